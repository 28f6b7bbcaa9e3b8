//! The settings of a server: read once at start, checked as a whole, then passed on by value.
//!
//! What belongs here: the values that the parts are made with, and what makes a value wrong. What
//! does not: reading a setting anywhere else. All that is wrong is reported at once.

mod secret;
mod settings;
mod source;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sale::Terms;

pub use secret::{DatabaseUrl, Secret};
pub use settings::{Given, Kind, Reader, ReaderFlags, SECRETS_HELP, SETTINGS, ServerFlags, Setting, WriterFlags};
pub use source::{Environment, SettingError, Sources, process_environment};

/// How the server is set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the sale is kept.
    pub database: DatabaseConfig,
    /// Where the API listens.
    pub listen_addr: SocketAddr,
    /// Where metrics and health checks listen; `None`: with the API.
    pub ops_addr: Option<SocketAddr>,
    /// What the rules depend on.
    pub terms: Terms,
    /// Most commands in one transaction.
    pub batch_max: usize,
    /// The deadline of a request.
    pub request_timeout: Duration,
    /// How long what describes a product is cached; zero: not at all.
    pub product_cache: Duration,
    /// The time between two rounds of the reconciler.
    pub reconcile_interval: Duration,
    /// How long requests are still accepted after the signal to stop.
    pub drain_delay: Duration,
    /// How long requests in flight have to finish after that.
    pub drain: Duration,
    /// What webhooks are signed with, as set; `None`: they are not checked.
    pub webhook_secret: Option<Secret>,
    /// The operators' bearer token; `None`: their routes do not exist.
    pub admin_token: Option<Secret>,
    /// The storefront's bearer tokens; none: it is open.
    pub api_tokens: Vec<Secret>,
}

/// Where the sale is kept.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The database.
    pub url: DatabaseUrl,
    /// Whether nobody said where, so that it is the default file.
    pub is_default: bool,
    /// Whether to bring the schema up to date, rather than only check it.
    pub migrate_on_start: bool,
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line; `None`: for people on a terminal, else for machines.
    pub format: Option<LogFormat>,
    /// What is logged, in the language of `RUST_LOG`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings that are no use: all of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<SettingError>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "a setting is wrong:" } else { "settings are wrong:" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl Config {
    /// Reads and checks all settings of the server.
    ///
    /// # Errors
    /// All settings that are wrong.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut reading = Reading::new(sources);
        let database = reading.database();
        let listen_addr = reading.address("LISTEN_ADDR");
        let ops_addr = reading.address("OPS_ADDR");
        if let (Some(listen), Some(ops)) = (listen_addr, ops_addr)
            && listen == ops
            && listen.port() != 0
        {
            let problem = format!("is {ops} like LISTEN_ADDR: choose another port, or unset it");
            reading.errors.push(SettingError::new("OPS_ADDR", problem));
        }
        let terms = Terms {
            hold_ttl_seconds: reading.number("HOLD_TTL_SECONDS"),
            payment_window_seconds: reading.number("PAYMENT_WINDOW_SECONDS"),
            max_qty_per_hold: reading.number("MAX_QTY_PER_HOLD"),
        };
        let batch_max = reading.number("BATCH_MAX") as usize;
        let request_timeout = reading.seconds("REQUEST_TIMEOUT_SECONDS");
        let product_cache = reading.seconds("PRODUCT_CACHE_SECONDS");
        let reconcile_interval = reading.seconds("RECONCILE_SECONDS");
        let drain_delay = reading.seconds("DRAIN_DELAY_SECONDS");
        let drain = reading.seconds("DRAIN_SECONDS");
        let webhook_secret = reading.secret("WEBHOOK_SECRET").map(Secret::new);
        let admin_token = reading.tokens("ADMIN_TOKEN", &[]).into_iter().next();
        let api_tokens = reading.tokens("API_TOKENS", &[' ', ',', '\n', '\r', '\t']);
        match (listen_addr, reading.errors) {
            (Some(listen_addr), errors) if errors.is_empty() => Ok(Self {
                database,
                listen_addr,
                ops_addr,
                terms,
                batch_max,
                request_timeout,
                product_cache,
                reconcile_interval,
                drain_delay,
                drain,
                webhook_secret,
                admin_token,
                api_tokens,
            }),
            (_, errors) => Err(ConfigError(errors)),
        }
    }
}

impl DatabaseConfig {
    /// Reads and checks the settings of the database alone: what the commands beside `serve` need.
    ///
    /// # Errors
    /// All of them that are wrong.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut reading = Reading::new(sources);
        let database = reading.database();
        reading.finish(database)
    }
}

impl LogConfig {
    /// Reads and checks the settings of the log.
    ///
    /// # Errors
    /// All of them that are wrong.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut reading = Reading::new(sources);
        let format = reading.text("LOG_FORMAT").and_then(|value| match value.as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => reading.wrong("LOG_FORMAT", &value, "text or json"),
        });
        let filter = reading.text("RUST_LOG").unwrap_or_default();
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
            let _: Option<()> = reading.wrong("RUST_LOG", &filter, format!("a filter such as info: {error}"));
        }
        reading.finish(Self { format, filter })
    }
}

/// Reads settings one after the other and remembers what was wrong. A wrong value reads as nothing;
/// what was read is of no use then, since there are errors.
struct Reading<'a> {
    sources: &'a Sources<'a>,
    errors: Vec<SettingError>,
}

impl<'a> Reading<'a> {
    fn new(sources: &'a Sources<'a>) -> Self {
        Self { sources, errors: Vec::new() }
    }

    fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.errors.is_empty() { Ok(value) } else { Err(ConfigError(self.errors)) }
    }

    fn keep<T>(&mut self, result: Result<Option<T>, SettingError>) -> Option<T> {
        result.unwrap_or_else(|error| {
            self.errors.push(error);
            None
        })
    }

    fn wrong<T>(&mut self, name: &str, value: impl fmt::Display, wanted: impl fmt::Display) -> Option<T> {
        self.errors.push(SettingError::value(name, value, wanted));
        None
    }

    /// The value of a setting of the table, or its default.
    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.sources.text(name);
        self.keep(value).or_else(|| settings::setting(name)?.default.map(str::to_owned))
    }

    fn number(&mut self, name: &str) -> u32 {
        let range = settings::setting(name).and_then(|setting| match &setting.kind {
            Kind::Number(range) => Some(range.clone()),
            Kind::Switch | Kind::Text(_) => None,
        });
        let (Some(range), Some(text)) = (range, self.text(name)) else { return 0 };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                let wanted = format!("a whole number from {} to {}", range.start(), range.end());
                self.wrong(name, text, wanted).unwrap_or_default()
            }
        }
    }

    fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(u64::from(self.number(name)))
    }

    fn switch(&mut self, name: &str) -> bool {
        let Some(text) = self.text(name) else { return false };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => self.wrong(name, text, "true or false").unwrap_or_default(),
        }
    }

    fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let text = self.text(name)?;
        let wanted = "an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080";
        text.trim().parse().ok().or_else(|| self.wrong(name, text, wanted))
    }

    fn secret(&mut self, name: &str) -> Option<String> {
        let value = self.sources.text_or_file(name);
        self.keep(value)
    }

    /// The bearer tokens of a secret, which `separators` part; without any there is one.
    fn tokens(&mut self, name: &str, separators: &[char]) -> Vec<Secret> {
        let Some(value) = self.secret(name) else { return Vec::new() };
        let tokens: Vec<&str> = value.split(separators).filter(|token| !token.is_empty()).collect();
        if tokens.iter().any(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let problem = "must be made of visible ASCII characters, without spaces: no other token fits a header";
            self.errors.push(SettingError::new(name, problem));
        } else if tokens.is_empty() {
            // Unset means "open to all": nobody who wrote separators alone meant that.
            self.errors.push(SettingError::new(name, "is set, but holds no token: set one, or unset it"));
        }
        tokens.into_iter().map(Secret::new).collect()
    }

    fn database(&mut self) -> DatabaseConfig {
        let name = "DATABASE_URL";
        let required = self.switch("REQUIRE_DATABASE_URL");
        let migrate_on_start = self.switch("MIGRATE_ON_START");
        let default = settings::setting(name).and_then(|setting| setting.default).unwrap_or_default();
        let errors_before = self.errors.len();
        let Some(url) = self.secret(name) else {
            if required && self.errors.len() == errors_before {
                let problem = "is not set, and REQUIRE_DATABASE_URL is: set it to \
                               mysql://user:password@host:port/name, or to sqlite:PATH";
                self.errors.push(SettingError::new(name, problem));
            }
            return DatabaseConfig { url: DatabaseUrl::new(default), is_default: true, migrate_on_start };
        };
        let url = DatabaseUrl::new(url.trim());
        if !["sqlite:", "mysql://", "mariadb://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
            let _: Option<()> = self.wrong(name, &url, "sqlite:PATH or mysql://user:password@host:port/name");
        }
        DatabaseConfig { url, is_default: false, migrate_on_start }
    }
}

#[cfg(test)]
mod tests;
