//! What is measured: databases, and servers on them, each a process of its own.
//!
//! What does not belong here: load. The servers are as shipped (metrics, logs, audit rows, full durability) but for
//! what is in [`SETTINGS`]; a database is as durable as the rig makes it, and gets the memory of a small server
//! besides ([`MARIADB`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::BenchError;
use super::settings::Database;
use super::usage::Usage;
use crate::api::Secrets;
use crate::rig::RigError;
use crate::rig::database::{MariaDb, MariaDbBuilder, Session};
use crate::rig::server::{ServerBuilder, ServerProcess};
use crate::target::{AuditAnswer, Operator, audit_answer, random_secrets};

/// What is not as shipped: deadlines that come after the bench, so that no round pays for the holds of another.
pub(super) const SETTINGS: [(&str, &str); 2] = [("HOLD_TTL_SECONDS", "86400"), ("PAYMENT_WINDOW_SECONDS", "86400")];

/// The database's memory and redo log: those of a small server, rather than those of a test. And what the README advises,
/// and `docker-compose.yml` sets.
pub(super) const MARIADB: [&str; 4] = [
    "--innodb-buffer-pool-size=2G",
    "--innodb-log-file-size=1G",
    "--max-connections=1000",
    "--innodb-adaptive-hash-index=ON",
];

/// The most units that a product can have: no round ever sells them out.
pub(super) const PLENTY: u64 = 1_000_000_000_000;

/// Lines that are kept of a server's log, which has one for every order.
const KEPT_LINES: usize = 1_000;
/// How long an audit of all that was sold may take.
const AUDIT_LIMIT: Duration = Duration::from_mins(20);
/// Products that are made at the same time.
const MAKERS: usize = 16;

/// Where databases come from.
#[derive(Debug)]
pub(super) struct Databases {
    /// Of which kind.
    pub(super) kind: Database,
    mariadb: Option<MariaDb>,
}

impl Databases {
    /// Starts what they need.
    ///
    /// # Errors
    /// If MariaDB is not installed, or does not start.
    pub(super) async fn start(kind: Database) -> Result<Self, BenchError> {
        let mariadb = match kind {
            Database::Sqlite => None,
            Database::MariaDb => {
                let builder = MARIADB.into_iter().fold(MariaDb::builder(), MariaDbBuilder::argument);
                Some(builder.start().await?)
            }
        };
        Ok(Self { kind, mariadb })
    }

    /// A fresh, empty one.
    ///
    /// # Errors
    /// If there is none to be had.
    pub(super) async fn fresh(&self) -> Result<Fresh, BenchError> {
        let folder =
            tempfile::Builder::new().prefix("holdfast-bench-").tempdir().map_err(RigError::system("make a folder"))?;
        let url = match &self.mariadb {
            Some(mariadb) => mariadb.create_database().await?,
            None => format!("sqlite:{}", folder.path().join("sale.db").display()),
        };
        Ok(Fresh { url, folder })
    }

    /// What the database's own process has used; `None` if it has none.
    pub(super) fn usage(&self) -> Option<Usage> {
        Usage::of(self.mariadb.as_ref()?.process_id())
    }

    /// What it calls itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn version(&self) -> Result<String, BenchError> {
        let (url, sql) = match &self.mariadb {
            Some(mariadb) => (mariadb.url(), "SELECT VERSION()"),
            None => ("sqlite::memory:".to_owned(), "SELECT sqlite_version()"),
        };
        let rows = Session::open(&url).await?.rows(sql).await?;
        let version = rows.into_iter().flatten().next().flatten().unwrap_or_default();
        Ok(format!("{} {version}", if self.mariadb.is_some() { "MariaDB" } else { "SQLite" }))
    }
}

/// A database of its own, with a folder for the server that uses it.
#[derive(Debug)]
pub(super) struct Fresh {
    /// As `DATABASE_URL` takes it.
    pub(super) url: String,
    folder: TempDir,
}

impl Fresh {
    /// Removes it. Without this it stays until the databases end.
    ///
    /// # Errors
    /// If the database refuses.
    pub(super) async fn remove(self) -> Result<(), BenchError> {
        if let Some((server, name)) = self.url.strip_prefix("mysql://").and_then(|rest| rest.rsplit_once('/')) {
            Session::open(&format!("mysql://{server}/")).await?.execute(&format!("DROP DATABASE {name}")).await?;
        }
        // Its folder goes with it.
        Ok(())
    }
}

/// How to start servers.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    program: PathBuf,
    secrets: Arc<Secrets>,
}

impl Servers {
    /// Of this binary.
    pub(super) fn new(program: &Path) -> Self {
        // Operators only: what the storefront and the webhook need no secret for is measured as shipped, without.
        let admin_token = random_secrets().admin_token;
        Self { program: program.to_owned(), secrets: Arc::new(Secrets { admin_token, ..Secrets::default() }) }
    }

    /// For commands and servers on this database.
    pub(super) fn builder(&self, database: &Fresh) -> ServerBuilder {
        let builder = ServerProcess::builder(&self.program)
            .database(&database.url)
            .directory(database.folder.path())
            .kept_lines(KEPT_LINES)
            .setting("ADMIN_TOKEN", self.secrets.admin_token.as_deref().unwrap_or_default());
        SETTINGS.iter().fold(builder, |builder, (name, value)| builder.setting(name, *value))
    }

    /// Starts one, with settings of its own, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) async fn start(&self, database: Fresh, settings: &[(&str, &str)]) -> Result<Station, BenchError> {
        let builder =
            settings.iter().fold(self.builder(&database), |builder, (name, value)| builder.setting(name, *value));
        let server = builder.start().await?;
        let operator = Operator::new(&server.url(), Arc::clone(&self.secrets))?;
        Ok(Station { server, database, operator })
    }
}

/// A server that is ready, and its database.
#[derive(Debug)]
pub(super) struct Station {
    server: ServerProcess,
    /// Its database.
    pub(super) database: Fresh,
    operator: Operator,
}

impl Station {
    /// The URL of its API.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// The number of its process.
    pub(super) fn process_id(&self) -> i32 {
        self.server.process_id()
    }

    /// Makes a product.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) async fn add_product(&self, name: &str, stock: u64) -> Result<u64, BenchError> {
        Ok(self.operator.add_product(name, stock).await?)
    }

    /// Makes products with numbers one after the other, and returns the first.
    ///
    /// # Errors
    /// If the server refuses, or somebody else makes products too.
    pub(super) async fn add_products(&self, count: u64, stock: u64) -> Result<u64, BenchError> {
        let making = stream::iter(0..count).map(|_| self.add_product("one of many", stock)).buffer_unordered(MAKERS);
        let mut ids: Vec<u64> = making.try_collect().await?;
        ids.sort_unstable();
        let first = ids.first().copied().unwrap_or_default();
        let gapless = ids.iter().zip(first..).all(|(id, expected)| *id == expected);
        if gapless { Ok(first) } else { Err(BenchError::Gap) }
    }

    /// Its metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn metrics(&self) -> Result<String, BenchError> {
        Ok(self.server.client().get("/metrics").await?.text())
    }

    /// What `holdfast audit` says of its database.
    ///
    /// # Errors
    /// If it could not check.
    pub(super) async fn audit(&self) -> Result<AuditAnswer, BenchError> {
        let finished = self.server.builder_again().run_within(&["audit", "--json"], AUDIT_LIMIT).await?;
        Ok(audit_answer(&finished)?)
    }

    /// Ends the server, and leaves its database. It is asked to end, as an operator asks it: one that is built to count
    /// which way its code goes writes that down at its end.
    ///
    /// # Errors
    /// If it had ended before, or goes on.
    pub(super) async fn leave(self) -> Result<Fresh, BenchError> {
        self.server.terminate().await?;
        Ok(self.database)
    }

    /// Ends the server, and removes its database.
    ///
    /// # Errors
    /// If it had ended before, or goes on, or if the database refuses.
    pub(super) async fn end(self) -> Result<(), BenchError> {
        self.leave().await?.remove().await
    }
}
