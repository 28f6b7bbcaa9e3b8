//! The settings of a server: read once at start, checked as a whole, then passed on by value.
//!
//! What belongs here: the values that the parts are made with, and what makes a value wrong. What
//! does not: reading a setting anywhere else. All that is wrong is reported at once.

mod secret;
mod settings;
mod source;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use sale::Terms;

use crate::http::{MetricsAccess, QuotaSettings, Tokens, TrustedProxies, WebhookSecrets};
use crate::store;
use crate::telemetry::logs::{LogFormat, LogSettings};
use crate::telemetry::traces::{self, TraceSettings};

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
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// The most open connections of clients.
    pub max_connections: usize,
    /// How often one client may call.
    pub quotas: QuotaSettings,
    /// Who may see the metrics.
    pub metrics_access: MetricsAccess,
    /// How long what describes a product is cached; zero: not at all.
    pub product_cache: Duration,
    /// The time between two rounds of the reconciler.
    pub reconcile_interval: Duration,
    /// How long requests are still accepted after the signal to stop.
    pub drain_delay: Duration,
    /// How long requests in flight have to finish after that.
    pub drain: Duration,
    /// What webhooks are signed with; `None`: they are not checked.
    pub webhook_secrets: Option<WebhookSecrets>,
    /// The operators' bearer tokens; `None`: their routes do not exist.
    pub admin_tokens: Option<Tokens>,
    /// The storefront's bearer tokens; `None`: it is open.
    pub api_tokens: Option<Tokens>,
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
        let idle_timeout = reading.seconds("IDLE_TIMEOUT_SECONDS");
        let max_connections = reading.number("MAX_CONNECTIONS") as usize;
        let quotas = QuotaSettings {
            address_requests_per_second: NonZeroU32::new(reading.number("ADDRESS_REQUESTS_PER_SECOND")),
            token_requests_per_second: NonZeroU32::new(reading.number("TOKEN_REQUESTS_PER_SECOND")),
            trusted_proxies: reading.proxies("TRUSTED_PROXIES"),
        };
        let product_cache = reading.seconds("PRODUCT_CACHE_SECONDS");
        let reconcile_interval = reading.seconds("RECONCILE_SECONDS");
        let drain_delay = reading.seconds("DRAIN_DELAY_SECONDS");
        let drain = reading.seconds("DRAIN_SECONDS");
        let webhook_secrets = reading.webhook_secrets("WEBHOOK_SECRET");
        let admin_tokens = reading.tokens("ADMIN_TOKEN");
        let api_tokens = reading.tokens("API_TOKENS");
        let metrics_access = reading.metrics_access("METRICS_ACCESS");
        match (listen_addr, reading.errors) {
            (Some(listen_addr), errors) if errors.is_empty() => Ok(Self {
                database,
                listen_addr,
                ops_addr,
                terms,
                batch_max,
                request_timeout,
                idle_timeout,
                max_connections,
                quotas,
                metrics_access,
                product_cache,
                reconcile_interval,
                drain_delay,
                drain,
                webhook_secrets,
                admin_tokens,
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

/// Reads and checks the settings of the log. `default_filter` counts where `RUST_LOG` is unset.
///
/// # Errors
/// All of them that are wrong.
pub fn read_log_settings(sources: &Sources<'_>, default_filter: &str) -> Result<LogSettings, ConfigError> {
    let mut reading = Reading::new(sources);
    let format = reading.text("LOG_FORMAT").and_then(|value| match value.as_str() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => reading.wrong("LOG_FORMAT", &value, "text or json"),
    });
    let filter = sources.text("RUST_LOG");
    let filter = reading.keep(filter).unwrap_or_else(|| default_filter.to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
        let _: Option<()> = reading.wrong("RUST_LOG", &filter, format!("a filter such as info: {error}"));
    }
    reading.finish(LogSettings { format, filter })
}

/// Reads the standard settings of traces; `None`: they are off. With it comes what makes no sense.
pub fn read_trace_settings(sources: &Sources<'_>) -> (Option<TraceSettings>, Vec<String>) {
    traces::read_settings(&|name| sources.variable(name).ok().flatten())
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

    fn proxies(&mut self, name: &str) -> TrustedProxies {
        let Some(text) = self.text(name) else { return TrustedProxies::default() };
        TrustedProxies::parse(&text).unwrap_or_else(|error| {
            self.errors.push(SettingError::new(name, format!("cannot be used: {error}")));
            TrustedProxies::default()
        })
    }

    /// Nobody could have a token that is not set, so the metrics would be open, or closed to all.
    fn metrics_access(&mut self, name: &str) -> MetricsAccess {
        let text = self.text(name).unwrap_or_default();
        let (access, token) = match text.trim() {
            "anyone" => return MetricsAccess::Anyone,
            "api" => (MetricsAccess::Storefront, "API_TOKENS"),
            "admin" => (MetricsAccess::Operators, "ADMIN_TOKEN"),
            _ => return self.wrong(name, text, "anyone, api or admin").unwrap_or_default(),
        };
        if matches!(self.sources.secret(token), Ok(None)) {
            let problem = format!("is {}, but {token} is not set: set it, or choose anyone", text.trim());
            self.errors.push(SettingError::new(name, problem));
        }
        access
    }

    fn secret(&mut self, name: &str) -> Option<Secret> {
        let value = self.sources.secret(name);
        self.keep(value)
    }

    fn webhook_secrets(&mut self, name: &str) -> Option<WebhookSecrets> {
        let value = self.secret(name)?;
        let wanted = "it must be whsec_ and base64 of 24 bytes or more; several are separated by spaces";
        let secrets = WebhookSecrets::parse(value.expose())
            .map_err(|error| SettingError::new(name, format!("cannot be used: {error}; {wanted}")));
        self.keep(secrets.map(Some))
    }

    fn tokens(&mut self, name: &str) -> Option<Tokens> {
        let value = self.secret(name)?;
        // Unset means "open to all" or "closed to all": nobody who wrote something meant that.
        let tokens = Tokens::parse(value.expose()).map_err(|error| {
            SettingError::new(name, format!("cannot be used: {error}; several are separated by spaces"))
        });
        self.keep(tokens.map(Some))
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
        let url = DatabaseUrl::new(url.expose().trim());
        if let Err(problem) = check_url(&url) {
            self.errors.push(SettingError::new(name, problem));
        }
        DatabaseConfig { url, is_default: false, migrate_on_start }
    }
}

/// Parameters of a database URL that name files.
const FILE_PARAMETERS: [&str; 6] = ["ssl-ca", "sslca", "ssl-cert", "sslcert", "ssl-key", "sslkey"];

/// What is wrong with a database URL, if anything is: its form, or a file that it names.
fn check_url(url: &DatabaseUrl) -> Result<(), String> {
    let text = url.expose();
    if !["sqlite:", "mysql://", "mariadb://"].iter().any(|scheme| text.starts_with(scheme)) {
        let wanted = "must be sqlite:PATH or mysql://user:password@host:port/name";
        return Err(match url.masked() {
            Some(shown) => format!("is \"{shown}\", but {wanted}"),
            None => format!("{wanted}; what is set is not shown, since it may hold a password"),
        });
    }
    store::check_url(text).map_err(|error| format!("is \"{url}\": {}", error.source))?;
    let Some((_, parameters)) = text.split_once('?').filter(|_| !text.starts_with("sqlite:")) else { return Ok(()) };
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        // A certificate may also be written out in the URL itself.
        if FILE_PARAMETERS.contains(&&*name)
            && !value.trim_start().starts_with("-----BEGIN")
            && let Err(error) = std::fs::read(&*value)
        {
            return Err(format!("names the file {name}={value}, which cannot be read: {error}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
