//! The command line of `run`: what may be asked for, and what goes together.
//!
//! What does not belong here: what a run does with it. Secrets come from the environment only.
#![expect(clippy::doc_markdown, reason = "these comments are the help text, where Markdown is not read")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::api::{Requests, Secrets};
use crate::history::ScenarioName;
use crate::measure::threshold::Threshold;
use crate::report::Wanted;
use crate::run::{Aim, Products, Settings};
use crate::target::PrivateDatabase;

/// Fires a flash sale at a server, records what every client saw, and says whether the sale oversold.
///
/// With no more arguments it starts a private server on a temporary SQLite file, and runs every scenario.
///
/// Exit codes: 0 all checks held; 1 an invariant was broken; 2 a threshold was missed; 3 the verdict is unknown, or
/// the run was stopped; 4 wrong usage, or no server ever answered.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Run the whole suite small: against a private server, in less than ten seconds.
    #[arg(long)]
    quick: bool,

    /// Run these scenarios only (several, or separated by commas).
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',', help_heading = "Load")]
    scenario: Vec<ScenarioName>,
    /// Users of a sustained scenario, and clients of a burst [default: 64; with --quick: 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    users: Option<u32>,
    /// How long a sustained scenario goes on, in whole seconds, such as 30s or 5m [default: 6s; with --quick: 1s].
    #[arg(long, value_name = "TIME", value_parser = whole_seconds, help_heading = "Load")]
    duration: Option<Duration>,
    /// In what time its users arrive [default: 0s].
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Load")]
    ramp: Option<Duration>,
    /// Units of each product [default: what suits the scenario].
    #[arg(long, value_name = "N", conflicts_with = "product", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000), help_heading = "Load")]
    stock: Option<u64>,
    /// What all choices are drawn from; the same seed makes the same choices [default: at random, and shown].
    #[arg(long, value_name = "N", help_heading = "Load")]
    seed: Option<u64>,
    /// How long a client waits for an answer.
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "10s", help_heading = "Load")]
    request_timeout: Duration,
    /// How long an outcome or a deadline may be waited for. A server whose holds live longer is not tested for
    /// expiry.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "180s", help_heading = "Load")]
    max_wait: Duration,

    /// Aim at a server that runs already, by its http or https URL.
    ///
    /// With ADMIN_TOKEN in the environment it makes products of its own, and cleans up after. API_TOKEN and
    /// WEBHOOK_SECRET come from the environment too, if the server wants them.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "A running server")]
    host: Option<String>,
    /// Buy this product rather than products of its own. Others may buy it too, so only what stays sound then is
    /// judged.
    #[arg(long, value_name = "ID", requires = "host", help_heading = "A running server")]
    product: Option<u64>,
    /// Nobody else buys the product: judge everything. It needs --stocked.
    #[arg(long, requires_all = ["product", "stocked"], help_heading = "A running server")]
    sole_user: bool,
    /// The units that the product has, all of them free.
    #[arg(long, value_name = "N", requires = "sole_user", help_heading = "A running server")]
    stocked: Option<u64>,

    /// The private server's binary [default: beside this program, else on PATH, else built by cargo].
    #[arg(long, value_name = "PATH", conflicts_with = "host", value_hint = ValueHint::FilePath, help_heading = "A private server")]
    server_bin: Option<PathBuf>,
    /// An empty database for the private server [default: a temporary SQLite file]. DATABASE_URL is not read.
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "mariadb"], help_heading = "A private server")]
    database_url: Option<String>,
    /// Start a throw-away MariaDB for the private server; `chaos` kills that, too.
    #[arg(long, conflicts_with = "host", help_heading = "A private server")]
    mariadb: bool,
    /// A setting of the private server, such as BATCH_MAX=1 (several).
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, conflicts_with = "host", help_heading = "A private server")]
    setting: Vec<(String, String)>,

    /// Fail, with exit code 2, if this is so: 'p99(hold) > 50ms', 'errors > 0.1%' (several).
    #[arg(long, value_name = "CONDITION", help_heading = "Results")]
    fail_if: Vec<Threshold>,
    /// Write a report: html, json, junit or markdown, such as html=report.html (several).
    #[arg(long, value_name = "KIND=PATH", help_heading = "Results")]
    report: Vec<Wanted>,
    /// Keep goose's own reports of the scenarios that it drives in this folder.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = "Results")]
    goose_reports: Option<PathBuf>,
    /// Keep the history here [default: in the temporary folder, unless everything held].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Results")]
    history: Option<PathBuf>,
    /// Mark the run in a Grafana; GRAFANA_TOKEN in the environment, or a user in the URL.
    #[arg(long, value_name = "GRAFANA_URL", value_hint = ValueHint::Url, help_heading = "Results")]
    annotate: Option<String>,
}

/// What is done with what a run finds.
#[derive(Clone, Debug)]
pub struct Results {
    /// Conditions that make it fail.
    pub thresholds: Vec<Threshold>,
    /// Reports to write.
    pub reports: Vec<Wanted>,
    /// The Grafana to tell.
    pub annotate: Option<String>,
    /// Whether the history is kept, even if everything held.
    pub keep_history: bool,
}

impl RunArguments {
    /// What to run, and what to do with what it finds. `environment` looks a variable up, `command` is the
    /// command line as it was given.
    ///
    /// # Errors
    /// If something does not go together, in a sentence.
    pub fn settings(
        self,
        environment: impl Fn(&str) -> Option<String>,
        command: &[String],
    ) -> Result<(Settings, Results), String> {
        let seed = self.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
        let command = repeatable(command, self.seed, seed);
        let scenarios = if self.scenario.is_empty() { ScenarioName::ALL.to_vec() } else { self.scenario };
        if !self.fail_if.is_empty() && scenarios.iter().all(|name| *name == ScenarioName::Chaos) {
            return Err(
                "--fail-if has nothing to look at: chaos breaks things on purpose, so no figure of it counts; \
                        let another scenario run too, such as --scenario rush,chaos"
                    .to_owned(),
            );
        }
        let aim = match self.host {
            None => Aim::Private {
                server: self.server_bin,
                database: match self.database_url {
                    Some(url) => PrivateDatabase::Given(url),
                    None if self.mariadb => PrivateDatabase::MariaDb,
                    None => PrivateDatabase::Temporary,
                },
                settings: self.setting,
            },
            Some(url) => {
                let url = base_url(&url).map_err(|error| format!("--host: {error}"))?;
                let set = |name: &str| environment(name).filter(|value| !value.is_empty());
                let secrets = Secrets {
                    admin_token: set("ADMIN_TOKEN"),
                    api_token: set("API_TOKEN"),
                    webhook_secret: set("WEBHOOK_SECRET"),
                };
                // Told before anything is done.
                Requests::new(&url, "", &Arc::new(secrets.clone())).map_err(|error| error.to_string())?;
                let products = match self.product {
                    Some(product) => Products::Given { product, sole_stock: self.stocked },
                    None if secrets.admin_token.is_some() => Products::Own,
                    None => {
                        return Err("set ADMIN_TOKEN in the environment, so that the run can make products of its \
                                    own, or name one that is there with --product"
                            .to_owned());
                    }
                };
                Aim::Host { url, secrets: Arc::new(secrets), products }
            }
        };
        let settings = Settings {
            aim,
            scenarios,
            quick: self.quick,
            users: self.users.unwrap_or(if self.quick { 16 } else { 64 }),
            duration: self.duration.unwrap_or(Duration::from_secs(if self.quick { 1 } else { 6 })),
            ramp: self.ramp.unwrap_or_default(),
            stock: self.stock,
            seed,
            max_wait: self.max_wait,
            request_timeout: self.request_timeout,
            history: self.history.clone(),
            goose_reports: self.goose_reports,
            command,
        };
        let results = Results {
            thresholds: self.fail_if,
            reports: self.report,
            annotate: self.annotate,
            keep_history: self.history.is_some(),
        };
        Ok((settings, results))
    }
}

/// The command line with the seed in it, quoted as a shell reads it. Passwords in URLs are left out.
fn repeatable(command: &[String], given: Option<u64>, seed: u64) -> String {
    let mut words = Vec::with_capacity(command.len() + 2);
    let mut is_setting = false;
    for word in command {
        let bare = without_secrets(word, is_setting);
        is_setting = word == "--setting";
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
        words.push(if !bare.is_empty() && bare.chars().all(plain) {
            bare
        } else {
            format!("'{}'", bare.replace('\'', r"'\''"))
        });
    }
    if given.is_none() {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// A word of the command line, with all that might be a secret replaced: values of the server's settings, unless it
/// is known that they are none, and passwords and queries of URLs.
fn without_secrets(word: &str, is_setting: bool) -> String {
    const HARMLESS: [&str; 9] = [
        "BATCH_MAX",
        "HOLD_TTL_SECONDS",
        "LOG_FORMAT",
        "MAX_QTY_PER_HOLD",
        "PAYMENT_WINDOW_SECONDS",
        "PRODUCT_CACHE_SECONDS",
        "RECONCILE_SECONDS",
        "REQUEST_TIMEOUT_SECONDS",
        "RUST_LOG",
    ];
    let (flag, setting) = match word.strip_prefix("--setting=") {
        Some(setting) => ("--setting=", Some(setting)),
        None => ("", is_setting.then_some(word)),
    };
    match setting.map(|setting| setting.split_once('=').unwrap_or((setting, ""))) {
        Some((name, _)) if !HARMLESS.contains(&name) => format!("{flag}{name}=***"),
        Some(_) => word.to_owned(),
        None => without_passwords(word),
    }
}

/// `mysql://user:secret@host` as `mysql://user:***@host`.
fn without_passwords(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user.to_owned(), |(name, _)| format!("{name}:***"));
            format!("{scheme}://{user}@{host}{}{query}", &rest[end..])
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 30s, 500ms or 2m"))
}

/// A duration that is not nothing.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        time => Ok(time),
    }
}

/// A duration of whole seconds, one or more: goose counts in them.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    match some_time(text)? {
        time if time.subsec_nanos() > 0 => Err("must be whole seconds".to_owned()),
        time => Ok(time),
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let url =
        reqwest::Url::parse(text).map_err(|error| format!("{error}; write it like https://staging.example.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("must begin with http:// or https://, and have neither a query nor a fragment".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user or password: tokens come from the environment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE, such as BATCH_MAX=1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, milliseconds) in
            [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1m 5s", 65_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_bare_url() {
        assert_eq!(base_url("http://127.0.0.1:8080/").as_deref(), Ok("http://127.0.0.1:8080"));
        assert_eq!(base_url("https://example.com/shop/").as_deref(), Ok("https://example.com/shop"));
        for text in ["example.com", "ftp://example.com", "https://user:pw@example.com", "http://x/?a=1", "http://"] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_can_be_repeated_and_tells_no_password() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let command = words(&["holdfast-loadtest", "run", "--fail-if", "errors > 0.1%"]);
        assert_eq!(repeatable(&command, None, 7), "holdfast-loadtest run --fail-if 'errors > 0.1%' --seed 7");
        let command = words(&["x", "--database-url", "mysql://root:secret@db:3306/sale", "--seed", "7"]);
        assert_eq!(repeatable(&command, Some(7), 7), "x --database-url 'mysql://root:***@db:3306/sale' --seed 7");
        for (word, is_setting, shown) in [
            ("WEBHOOK_SECRET=whsec_abc", true, "WEBHOOK_SECRET=***"),
            ("--setting=WEBHOOK_SECRET=whsec_abc", false, "--setting=WEBHOOK_SECRET=***"),
            ("OTEL_EXPORTER_OTLP_HEADERS=authorization=x", true, "OTEL_EXPORTER_OTLP_HEADERS=***"),
            ("--setting=BATCH_MAX=1", false, "--setting=BATCH_MAX=1"),
            ("--annotate=http://a:b@g/x?token=c", false, "--annotate=http://a:***@g/x?***"),
            ("html=report.html", false, "html=report.html"),
        ] {
            assert_eq!(without_secrets(word, is_setting), shown, "{word}");
        }
    }
}
