//! Migrations: which there are, which were applied, and whether this binary can work with the schema.
//!
//! A migration counts as applied once its row is written, after its last statement. One that was killed
//! half-way has no row and is run again; its statements can be. The row also says the oldest schema
//! version that a binary must know: a migration that only adds leaves it as it was, so that the
//! previous binary goes on serving; one that breaks older binaries names itself.

use super::dialect::Dialect;
use super::error::Misconfigured;
use super::rows::Reader;
use super::session::{Backend, Purpose, Session};
use super::statements::desk;
use super::statements::insert::{NUMBERS, count_numbers};
use super::{Fault, StoreError};

/// A step of the schema.
pub(super) struct Migration {
    /// From 1 up without a gap.
    pub(super) version: u64,
    /// What it is about, for people.
    name: &'static str,
    /// The oldest version that a binary must know once this is applied.
    oldest_known: u64,
    /// Its statements in MySQL and MariaDB.
    pub(super) mysql: &'static str,
    /// The same in SQLite.
    pub(super) sqlite: &'static str,
}

/// All that this binary knows, in order.
pub(super) const MIGRATIONS: [Migration; 3] = [
    Migration {
        version: 1,
        name: "sale",
        oldest_known: 1,
        mysql: include_str!("../../../migrations/mysql/0001_sale.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0001_sale.sql"),
    },
    Migration {
        version: 2,
        name: "numbers",
        oldest_known: 1,
        mysql: include_str!("../../../migrations/mysql/0002_numbers.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0002_numbers.sql"),
    },
    Migration {
        version: 3,
        name: "words",
        oldest_known: 1,
        mysql: include_str!("../../../migrations/mysql/0003_words.sql"),
        sqlite: include_str!("../../../migrations/sqlite/0003_words.sql"),
    },
];

/// The newest version that this binary knows.
const NEWEST: u64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Applies what is missing. Whoever else migrates at the same time waits, and then finds nothing missing.
pub(super) async fn migrate<B: Backend>(backend: &B) -> Result<(), StoreError> {
    let mut session = backend.connect(Purpose::Migration).await?;
    let state = applied(&mut session).await?;
    session.close().await;
    if state.too_new().is_ok() && state.missing().next().is_none() {
        return Ok(());
    }
    let mut session = backend.begin_migration().await?;
    session.run(CREATE_TABLE.to_owned()).await?;
    let state = applied(&mut session).await?;
    state.too_new()?;
    for migration in state.missing() {
        tracing::info!(version = migration.version, name = migration.name, "applying a migration");
        let sql = match B::Session::DIALECT {
            Dialect::MySql => migration.mysql,
            Dialect::Sqlite => migration.sqlite,
        };
        session.run(sql.to_owned()).await?;
        let Migration { version, name, oldest_known, .. } = migration;
        let insert = B::Session::DIALECT.insert_missing();
        let clock = B::Session::statement_clock();
        let row = format!(
            "{insert} schema_migrations (version, name, oldest_known, applied_at) \
             VALUES ({version}, '{name}', {oldest_known}, {clock})"
        );
        session.run(row).await?;
    }
    backend.end_migration(session).await
}

/// Says whether this binary can work with the schema as it is.
pub(super) async fn check<S: Session>(session: &mut S) -> Result<(), StoreError> {
    let state = applied(session).await?;
    state.too_new()?;
    if let Some(Migration { version, name, .. }) = state.missing().next() {
        return Err(misconfigured(format!(
            "the database lacks migration {version} ({name}): run `holdfast migrate`, or let the server migrate when it \
             starts"
        )));
    }
    let results = session.run(count_numbers()).await?;
    let row = results.iter().find_map(|result| result.rows.first());
    let found = row.map(|row| Reader::new(row).count()).transpose()?;
    if found == Some(NUMBERS as u64) {
        return Ok(());
    }
    Err(misconfigured(format!(
        "the table `numbers` must have the integers from 0 to {}, and has {} of them: delete the row of migration 2 from \
         `schema_migrations` and run `holdfast migrate`",
        NUMBERS - 1,
        found.unwrap_or(0)
    )))
}

/// The same in both databases.
const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, \
    name VARCHAR(64) NOT NULL, oldest_known BIGINT NOT NULL, applied_at BIGINT NOT NULL)";

/// What was applied.
struct Applied {
    versions: Vec<u64>,
    oldest_known: u64,
}

impl Applied {
    fn missing(&self) -> impl Iterator<Item = &'static Migration> + '_ {
        MIGRATIONS.iter().filter(|migration| !self.versions.contains(&migration.version))
    }

    fn too_new(&self) -> Result<(), StoreError> {
        if self.oldest_known <= NEWEST {
            return Ok(());
        }
        let oldest = self.oldest_known;
        Err(misconfigured(format!(
            "the database is too new for this binary: it needs one that knows migration {oldest}, and this one knows \
             up to {NEWEST}"
        )))
    }
}

async fn applied<S: Session>(session: &mut S) -> Result<Applied, StoreError> {
    let found = session.run(desk::find_table(S::DIALECT, "schema_migrations")).await?;
    if found.iter().all(|result| result.rows.is_empty()) {
        return Ok(Applied { versions: Vec::new(), oldest_known: 0 });
    }
    let results =
        session.run("SELECT version, oldest_known FROM schema_migrations ORDER BY version".to_owned()).await?;
    let mut applied = Applied { versions: Vec::new(), oldest_known: 0 };
    for row in results.iter().flat_map(|result| &result.rows) {
        let mut reader = Reader::new(row);
        applied.versions.push(reader.count()?);
        applied.oldest_known = applied.oldest_known.max(reader.count()?);
    }
    Ok(applied)
}

fn misconfigured(text: String) -> StoreError {
    StoreError::new(Fault::Refused, Misconfigured(text))
}
