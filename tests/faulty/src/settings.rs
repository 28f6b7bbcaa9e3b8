//! Settings, from the environment variables of the service.
//!
//! Those that it does not know it ignores. What does not belong here: what they are for.

use std::env::var;
use std::path::PathBuf;

use standardwebhooks::Webhook;

use crate::fault::{Fault, UnknownFault};

/// The limits of the sale, as `/api/limits` shows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) hold_ttl_seconds: i64,
    pub(crate) payment_window_seconds: i64,
    pub(crate) max_qty_per_hold: i64,
}

/// How a server is to run.
pub struct Settings {
    pub(crate) listen_addr: String,
    /// The journal: the path of the database, with `.journal` after it.
    pub(crate) journal: PathBuf,
    pub(crate) terms: Terms,
    pub(crate) admin_tokens: Vec<String>,
    pub(crate) api_tokens: Vec<String>,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) fault: Option<Fault>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It keeps its sale in a file.
    #[error("DATABASE_URL must be sqlite:PATH")]
    Database,
    /// No whole number above 0.
    #[error("{0} must be a whole number above 0")]
    Number(&'static str),
    /// Not as the Standard Webhooks specification says.
    #[error("WEBHOOK_SECRET: {0}")]
    Secret(#[from] standardwebhooks::WebhookError),
    /// No such fault.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// If one of them has no meaning.
    pub fn from_environment() -> Result<Self, SettingsError> {
        let url = text("DATABASE_URL").unwrap_or_else(|| "sqlite:holdfast-faulty.db".to_owned());
        let path = url.strip_prefix("sqlite:").ok_or(SettingsError::Database)?;
        // Whatever the real server's driver takes after the path.
        let path = path.split('?').next().unwrap_or(path).trim_start_matches("//");
        let webhooks = words("WEBHOOK_SECRET").iter().map(|secret| Webhook::new(secret)).collect::<Result<_, _>>()?;
        Ok(Self {
            listen_addr: text("LISTEN_ADDR").unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            journal: PathBuf::from(format!("{path}.journal")),
            terms: Terms {
                hold_ttl_seconds: number("HOLD_TTL_SECONDS", 120)?,
                payment_window_seconds: number("PAYMENT_WINDOW_SECONDS", 900)?,
                max_qty_per_hold: number("MAX_QTY_PER_HOLD", 1000)?,
            },
            admin_tokens: words("ADMIN_TOKEN"),
            api_tokens: words("API_TOKENS"),
            webhooks,
            fault: text("HOLDFAST_FAULT").map(|name| name.parse()).transpose()?,
        })
    }
}

/// An empty value counts as unset.
fn text(name: &str) -> Option<String> {
    var(name).ok().filter(|value| !value.is_empty())
}

fn words(name: &str) -> Vec<String> {
    text(name).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

fn number(name: &'static str, default: i64) -> Result<i64, SettingsError> {
    let Some(text) = text(name) else { return Ok(default) };
    text.parse().ok().filter(|number| *number > 0).ok_or(SettingsError::Number(name))
}
