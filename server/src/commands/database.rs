//! How the commands beside `serve` reach the database, and what they say where they cannot.
//!
//! What belongs here: opening, and errors of the store in words. What does not: SQL (`store`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, print};
use crate::config::{DatabaseConfig, DatabaseUrl, Sources};
use crate::engine::{Engine, Rejection};
use crate::store::{Fault, Store, StoreError};

/// How long an operator waits for one command.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a command that starts now gives up.
pub(super) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// An open database and where it is.
pub(super) struct Database {
    pub(super) store: Arc<dyn Store>,
    url: DatabaseUrl,
}

/// What the schema must be before a command works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// As it is, if this binary knows it; and there must be a database already.
    Checked,
    /// Brought up to date, if `MIGRATE_ON_START` says so; a new file is made.
    Migrated,
}

impl Database {
    /// Opens the database that the settings name.
    pub(super) async fn open(sources: &Sources<'_>, schema: Schema) -> Result<Self, Failure> {
        let config = DatabaseConfig::read(sources)?;
        let url = config.url;
        if schema == Schema::Checked || !config.migrate_on_start {
            crate::app::check_file(&url)?;
        }
        let store = crate::app::open_store(&url).await?;
        let database = Self { store, url };
        let ready = match schema {
            Schema::Migrated if config.migrate_on_start => database.store.migrate().await,
            Schema::Migrated | Schema::Checked => database.store.check_schema().await,
        };
        match ready {
            Ok(()) => Ok(database),
            Err(error) => {
                let failure = database.failed("its schema is not as this binary needs it", &error);
                database.store.close().await;
                Err(failure)
            }
        }
    }

    /// Does `work` with an engine on this database, so that it keeps the rules and takes the locks.
    pub(super) async fn with_engine<T>(
        self,
        work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let engine = crate::app::start_engine(Arc::clone(&self.store));
        let result = work(&engine).await;
        engine.stop().await;
        self.store.close().await;
        result
    }

    /// Does `work` with the store.
    pub(super) async fn with_store<T>(self, work: impl AsyncFnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let result = work(&self).await;
        self.store.close().await;
        result
    }

    /// What to say of an error of the store.
    pub(super) fn failed(&self, what: &str, error: &StoreError) -> Failure {
        if error.fault == Fault::Disconnected {
            return unreachable(&self.url, error);
        }
        Failure::Failed(format!("database {}: {what}: {}", self.url, error.source))
    }
}

fn unreachable(url: &DatabaseUrl, error: &StoreError) -> Failure {
    Failure::Failed(format!(
        "the database {url} cannot be used: {}\nCheck DATABASE_URL, and that the database runs and lets this user in.",
        error.source
    ))
}

/// `holdfast migrate`.
pub(super) async fn migrate(sources: &Sources<'_>) -> Result<(), Failure> {
    let config = DatabaseConfig::read(sources)?;
    let url = config.url;
    let store = crate::app::open_store(&url).await?;
    let database = Database { store, url };
    database
        .with_store(async |database| {
            database.store.migrate().await.map_err(|error| database.failed("it could not be migrated", &error))?;
            print(&format!("the schema of {} is up to date", database.url))
        })
        .await
}

/// What to say of a product command that the engine did not carry out.
pub(super) fn rejected(rejection: &Rejection) -> Failure {
    use sale::Refusal;
    let text = match rejection {
        Rejection::Refused(Refusal::ProductUnknown) => {
            "there is no such product; `holdfast product list` shows those there are".to_owned()
        }
        Rejection::Refused(Refusal::InsufficientStock { available }) => {
            format!("only {available} units are free to be taken away; the others are held or sold")
        }
        Rejection::Refused(Refusal::StockOverLimit) => {
            format!("a product cannot have more than {} units in stock", sale::MAX_STOCK)
        }
        Rejection::Refused(refusal) => format!("a rule of the sale refused it: {refusal:?}"),
        Rejection::Inconsistent => {
            "the product breaks an invariant and is out of the sale; `holdfast audit` shows which".to_owned()
        }
        Rejection::Overloaded(_) | Rejection::TimedOut | Rejection::Stopping => {
            "it did not get its turn in time; nothing was changed: try again".to_owned()
        }
        Rejection::DatabaseUnavailable => {
            "the database did not answer; nothing was changed: check that it runs, and try again".to_owned()
        }
        Rejection::OutcomeUnknown => {
            "the database did not say whether it was done: look with `holdfast product list` before you repeat it"
                .to_owned()
        }
        Rejection::Internal => "an unforeseen error, nothing was changed: RUST_LOG=debug shows more".to_owned(),
    };
    Failure::Failed(text)
}
