//! The table of settings: names, defaults, ranges, meaning. Flags, help and checks come from it.
//!
//! What belongs here: what can be set. What does not: where values come from (`source`) and what the
//! server makes of them (`config`). Secrets are not in the table, so that none can become a flag.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// One setting that is no secret.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The environment variable. The flag is the same in lower case with dashes.
    pub name: &'static str,
    /// What may be set.
    pub kind: Kind,
    /// What counts if nothing is set; `None`: nothing, or it depends, as `meaning` says.
    pub default: Option<&'static str>,
    /// What it does, for people.
    pub meaning: &'static str,
    /// Who reads it.
    pub reader: Reader,
}

/// What a setting's value may be.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A whole number in this range.
    Number(RangeInclusive<u32>),
    /// `true` or `false`.
    Switch,
    /// Text, called this in the help.
    Text(&'static str),
}

/// Which commands read a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All of them: where the database is, how to log.
    Everyone,
    /// Those that change the database.
    Writers,
    /// `serve`.
    Server,
}

const DAY_SECONDS: u32 = 86_400;

/// More than a server can answer.
const MAX_REQUESTS_PER_SECOND: u32 = 1_000_000;

/// All settings but the secrets, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "DATABASE_URL",
        kind: Kind::Text("URL"),
        default: Some("sqlite:holdfast.db"),
        meaning: "Where the sale is kept: sqlite:PATH, or mysql://user:password@host:port/name for MySQL and \
                  MariaDB (with TLS: ?ssl-mode=VERIFY_IDENTITY). May come from a file as DATABASE_URL_FILE.",
        reader: Reader::Everyone,
    },
    Setting {
        name: "REQUIRE_DATABASE_URL",
        kind: Kind::Switch,
        default: Some("false"),
        meaning: "Refuse to start without DATABASE_URL, rather than sell from an empty file.",
        reader: Reader::Everyone,
    },
    Setting {
        name: "MIGRATE_ON_START",
        kind: Kind::Switch,
        default: Some("true"),
        meaning: "Bring the schema up to date at start. false: only check it, so that the account needs no \
                  rights to change tables; run `holdfast migrate` with one that has them.",
        reader: Reader::Writers,
    },
    Setting {
        name: "LISTEN_ADDR",
        kind: Kind::Text("ADDRESS"),
        default: Some("127.0.0.1:8080"),
        meaning: "Where the API listens. Port 0 picks a free one and prints it.",
        reader: Reader::Server,
    },
    Setting {
        name: "OPS_ADDR",
        kind: Kind::Text("ADDRESS"),
        default: None,
        meaning: "If set, /metrics, /healthz and /readyz move from the API's address to this one.",
        reader: Reader::Server,
    },
    Setting {
        name: "HOLD_TTL_SECONDS",
        kind: Kind::Number(1..=DAY_SECONDS),
        default: Some("120"),
        meaning: "How long a hold keeps its units.",
        reader: Reader::Server,
    },
    Setting {
        name: "PAYMENT_WINDOW_SECONDS",
        kind: Kind::Number(1..=30 * DAY_SECONDS),
        default: Some("900"),
        meaning: "How long an order waits for its payment before it is cancelled.",
        reader: Reader::Server,
    },
    Setting {
        name: "MAX_QTY_PER_HOLD",
        kind: Kind::Number(1..=sale::MAX_QUANTITY),
        default: Some("1000"),
        meaning: "The most units of one hold.",
        reader: Reader::Server,
    },
    Setting {
        name: "BATCH_MAX",
        kind: Kind::Number(1..=10_000),
        default: Some("512"),
        meaning: "The most commands in one transaction. 1 is a transaction a request, for comparison, and \
                  changes nothing else.",
        reader: Reader::Server,
    },
    Setting {
        name: "REQUEST_TIMEOUT_SECONDS",
        kind: Kind::Number(1..=300),
        default: Some("5"),
        meaning: "How long a request may take before it is answered with 503; a body, and the lines before it, must \
                  come within this time, too.",
        reader: Reader::Server,
    },
    Setting {
        name: "IDLE_TIMEOUT_SECONDS",
        kind: Kind::Number(1..=3_600),
        default: Some("75"),
        meaning: "How long a connection may be silent between two requests; before the first, 30 seconds at most. \
                  Longer than the load balancer's own, so that it closes first.",
        reader: Reader::Server,
    },
    Setting {
        name: "MAX_CONNECTIONS",
        kind: Kind::Number(1..=1_000_000),
        default: Some("10000"),
        meaning: "The most open connections of clients; one more is answered with 503 and closed.",
        reader: Reader::Server,
    },
    Setting {
        name: "ADDRESS_REQUESTS_PER_SECOND",
        kind: Kind::Number(0..=MAX_REQUESTS_PER_SECOND),
        default: Some("0"),
        meaning: "The most requests a second of one client address (IPv6: /64 network); as many may come at once, the \
                  rest is answered with 429. Webhooks, health checks and metrics are not counted. 0: any number.",
        reader: Reader::Server,
    },
    Setting {
        name: "TOKEN_REQUESTS_PER_SECOND",
        kind: Kind::Number(0..=MAX_REQUESTS_PER_SECOND),
        default: Some("0"),
        meaning: "The same for each of API_TOKENS. 0: any number.",
        reader: Reader::Server,
    },
    Setting {
        name: "TRUSTED_PROXIES",
        kind: Kind::Text("NETWORKS"),
        default: None,
        meaning: "The addresses and networks (10.0.0.0/8) of the proxies before this server, separated by spaces: their \
                  X-Forwarded-For says whose address is counted. Unset: nobody's does.",
        reader: Reader::Server,
    },
    Setting {
        name: "METRICS_ACCESS",
        kind: Kind::Text("WHO"),
        default: Some("anyone"),
        meaning: "Who may see /metrics, here or at OPS_ADDR: anyone, api (a token of API_TOKENS) or admin (ADMIN_TOKEN). \
                  Health checks are open.",
        reader: Reader::Server,
    },
    Setting {
        name: "PRODUCT_CACHE_SECONDS",
        kind: Kind::Number(0..=DAY_SECONDS),
        default: Some("300"),
        meaning: "How long names, descriptions and prices are cached; stock never is. 0: not at all.",
        reader: Reader::Server,
    },
    Setting {
        name: "RECONCILE_SECONDS",
        kind: Kind::Number(1..=DAY_SECONDS),
        default: Some("30"),
        meaning: "How often the invariants are checked while the sale runs.",
        reader: Reader::Server,
    },
    Setting {
        name: "DRAIN_DELAY_SECONDS",
        kind: Kind::Number(0..=3_600),
        default: Some("0"),
        meaning: "After SIGTERM: how long /readyz says 503 while requests are still accepted, so that a \
                  load balancer can look away.",
        reader: Reader::Server,
    },
    Setting {
        name: "DRAIN_SECONDS",
        kind: Kind::Number(0..=3_600),
        default: Some("20"),
        meaning: "After that: how long requests in flight have to finish.",
        reader: Reader::Server,
    },
    Setting {
        name: "LOG_FORMAT",
        kind: Kind::Text("FORMAT"),
        default: None,
        meaning: "text or json, on standard error. Unset: text on a terminal, else json.",
        reader: Reader::Everyone,
    },
    Setting {
        name: "RUST_LOG",
        kind: Kind::Text("FILTER"),
        default: Some("info"),
        meaning: "What is logged: error, warn, info, debug or trace, or by module, as in info,holdfast::engine=debug.",
        reader: Reader::Everyone,
    },
];

/// What the help of `serve` says about secrets.
pub const SECRETS_HELP: &str = "\
Secrets (environment only, never flags; each may come from a file instead, as NAME_FILE):
  WEBHOOK_SECRET  what payment webhooks are signed with, as in the Standard Webhooks
                  specification: whsec_ and base64 of 24 bytes or more; several, separated by
                  spaces, while one replaces another. Unset: webhooks are not checked.
  ADMIN_TOKEN     the bearer token of operators: 8 or more visible ASCII characters; several,
                  separated by spaces, while one replaces another. Unset: their routes do not exist.
  API_TOKENS      bearer tokens for the storefront API, of the same form, separated by spaces.
                  Unset: it is open to whoever can reach it.

Traces are sent by OTLP (HTTP) where OTEL_EXPORTER_OTLP_ENDPOINT is set. The other OTEL_ variables mean what
their specification says; OTEL_TRACES_SAMPLER=parentbased_traceidratio and OTEL_TRACES_SAMPLER_ARG=0.01 trace
one request in a hundred.

Every setting is an environment variable; a flag comes before it. An empty value counts as unset.";

/// The setting of this name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    fn help(&self) -> String {
        let mut help = self.meaning.to_owned();
        if let Kind::Number(range) = &self.kind {
            help = format!("{help} From {} to {}.", range.start(), range.end());
        }
        let default = self.default.unwrap_or("unset");
        format!("{help} [env: {}] [default: {default}]", self.name)
    }

    fn argument(&self) -> Arg {
        let argument = Arg::new(self.name).long(self.flag()).help(self.help());
        match &self.kind {
            Kind::Switch => argument.value_name("true|false").num_args(0..=1).default_missing_value("true"),
            Kind::Number(_) => argument.value_name(if self.name.ends_with("SECONDS") { "SECONDS" } else { "NUMBER" }),
            Kind::Text(name) => argument.value_name(*name),
        }
    }
}

/// The settings that were given as flags, by name.
pub type Given = HashMap<&'static str, String>;

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident, $readers:expr) => {
        $(#[$doc])*
        #[derive(Clone, Default)]
        pub struct $name(pub Given);

        // By hand, since a database URL may hold a password.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_list().entries(self.0.keys()).finish()
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(given(matches, &$readers)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0.extend(given(matches, &$readers));
                Ok(())
            }
        }

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                command.next_help_heading("Settings").args(read_by(&$readers).map(Setting::argument))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
    };
}

flags!(
    /// The flags of commands that only read the database.
    ReaderFlags,
    [Reader::Everyone]
);
flags!(
    /// The flags of commands that change the database.
    WriterFlags,
    [Reader::Everyone, Reader::Writers]
);
flags!(
    /// The flags of `serve`.
    ServerFlags,
    [Reader::Everyone, Reader::Writers, Reader::Server]
);

fn read_by(readers: &[Reader]) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| readers.contains(&setting.reader))
}

fn given(matches: &ArgMatches, readers: &[Reader]) -> Given {
    read_by(readers)
        .filter_map(|setting| Some((setting.name, matches.get_one::<String>(setting.name)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_after_their_settings() {
        let command = ServerFlags::augment_args(Command::new("serve"));
        let line = ["serve", "--hold-ttl-seconds", "7", "--require-database-url", "--listen-addr", "[::1]:0"];
        let matches = command.clone().try_get_matches_from(line).expect("known flags");
        let flags = ServerFlags::from_arg_matches(&matches).expect("all optional");
        let expected = [("HOLD_TTL_SECONDS", "7"), ("REQUIRE_DATABASE_URL", "true"), ("LISTEN_ADDR", "[::1]:0")];
        assert_eq!(flags.0, expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
        for secret in ["webhook-secret", "admin-token", "api-tokens"] {
            let result = command.clone().try_get_matches_from(["serve".to_owned(), format!("--{secret}=x")]);
            assert!(result.is_err(), "a secret is a flag: {secret}");
        }
    }

    #[test]
    fn the_help_names_every_setting_with_its_default() {
        let mut command = ServerFlags::augment_args(Command::new("serve")).term_width(0);
        let help = command.render_long_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&format!("--{} ", setting.flag())), "{} is missing in\n{help}", setting.name);
            let ending = format!("[env: {}] [default: {}]", setting.name, setting.default.unwrap_or("unset"));
            assert!(help.contains(&ending), "{ending} is missing in\n{help}");
        }
    }

    #[test]
    fn the_readme_names_every_setting_with_its_default() {
        let readme = include_str!("../../../README.md");
        for setting in SETTINGS {
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` | ", setting.name)));
            let default = setting.default.map_or_else(|| "unset".to_owned(), |default| format!("`{default}`"));
            let shown = row.and_then(|row| row.split(" | ").nth(1)).unwrap_or("nothing");
            // What LOG_FORMAT is by default depends on who reads.
            assert!(shown == default || setting.name == "LOG_FORMAT", "{}: {shown}, not {default}", setting.name);
            assert!(row.is_some(), "{} is missing", setting.name);
        }
    }

    #[test]
    fn the_debug_output_of_flags_shows_no_values() {
        let flags = ServerFlags(Given::from([("DATABASE_URL", "mysql://app:swordfish@db/shop".to_owned())]));
        assert_eq!(format!("{flags:?}"), r#"["DATABASE_URL"]"#);
    }
}
