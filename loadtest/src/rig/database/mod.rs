//! Databases for tests: a fresh one each, on SQLite or on MariaDB, gone when the test is.
//!
//! What does not belong here: the service's tables. A test may look into them with [`TestDatabase::rows`],
//! and [`TestDatabase::snapshot`] reads whatever tables there are.

mod session;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use self::session::{Row, Session};
use super::RigError;
pub use super::mariadb::{MariaDb, MariaDbBuilder};

/// Names a MariaDB that tests share: the URL of an account with all rights, without a database.
pub const SHARED_MARIADB: &str = "HOLDFAST_TEST_MYSQL_URL";

/// The URL of the MariaDB that tests share, such as `mysql://root@127.0.0.1:PORT/`: that of
/// [`SHARED_MARIADB`], or else of one that this process starts and keeps.
///
/// # Errors
/// If there is none and none can be started.
pub async fn shared_mariadb_url() -> Result<String, RigError> {
    static OURS: OnceCell<MariaDb> = OnceCell::const_new();
    match std::env::var(SHARED_MARIADB) {
        Ok(url) if !url.is_empty() => Ok(if url.ends_with('/') { url } else { url + "/" }),
        _ => Ok(OURS.get_or_try_init(MariaDb::start).await?.url()),
    }
}

/// The kinds of database that Holdfast runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A database of the shared MariaDB.
    MariaDb,
}

/// An empty database of a test's own. Dropping it removes it.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite { _folder: Option<TempDir> },
    MariaDb,
}

impl TestDatabase {
    /// Makes one.
    ///
    /// # Errors
    /// If the folder or the schema cannot be made.
    pub async fn create(kind: Kind) -> Result<Self, RigError> {
        match kind {
            Kind::Sqlite => Self::sqlite(),
            Kind::MariaDb => Self::mariadb(&shared_mariadb_url().await?).await,
        }
    }

    /// A path in a temporary folder; there is no file yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn sqlite() -> Result<Self, RigError> {
        let folder =
            tempfile::Builder::new().prefix("holdfast-test-").tempdir().map_err(RigError::system("make a folder"))?;
        let url = format!("sqlite:{}", folder.path().join("holdfast.db").display());
        Ok(Self { url, place: Place::Sqlite { _folder: Some(folder) } })
    }

    /// A path in a folder of the caller's, who also removes it; there is no file yet.
    pub fn sqlite_in(folder: &Path) -> Self {
        let url = format!("sqlite:{}", folder.join("holdfast.db").display());
        Self { url, place: Place::Sqlite { _folder: None } }
    }

    /// A fresh database of the server at `server_url`, which names no database.
    ///
    /// # Errors
    /// If the server cannot be reached, or refused.
    pub async fn mariadb(server_url: &str) -> Result<Self, RigError> {
        Ok(Self { url: create_database(server_url).await?, place: Place::MariaDb })
    }

    /// The kind of database that it is.
    pub fn kind(&self) -> Kind {
        match self.place {
            Place::Sqlite { .. } => Kind::Sqlite,
            Place::MariaDb => Kind::MariaDb,
        }
    }

    /// Its URL, as `DATABASE_URL` takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its URL with another address of the server in it, such as a proxy's. That of SQLite stays as it is.
    pub fn url_through(&self, address: &str) -> String {
        match self.place {
            Place::Sqlite { .. } => self.url.clone(),
            Place::MariaDb => {
                // `mysql://user@address/name`: the parts that are there by how it was made.
                let (front, rest) = self.url.split_once('@').unwrap_or(("mysql://root", &self.url));
                let name = rest.rsplit('/').next().unwrap_or_default();
                format!("{front}@{address}/{name}")
            }
        }
    }

    /// Where its server listens, such as `127.0.0.1:3306`; empty for SQLite.
    pub fn address(&self) -> String {
        let rest = match self.place {
            Place::Sqlite { .. } => "",
            Place::MariaDb => self.url.rsplit('@').next().unwrap_or_default(),
        };
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// A connection of its own, to keep a transaction open in.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn session(&self) -> Result<Session, RigError> {
        Session::open(&self.url).await
    }

    /// Runs a query on a new connection: its rows, each value as text.
    ///
    /// # Errors
    /// If the database refused.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>, RigError> {
        self.session().await?.rows(sql).await
    }

    /// The first value of the first row as a number; 0 where there is no row, or it is NULL.
    ///
    /// # Errors
    /// If the database refused, or the value is no integer.
    pub async fn integer(&self, sql: &str) -> Result<i64, RigError> {
        let rows = self.rows(sql).await?;
        let Some(Some(text)) = rows.first().and_then(|row| row.first()) else { return Ok(0) };
        text.parse().map_err(|error| RigError::Database(sqlx::Error::Decode(Box::new(error))))
    }

    /// Runs statements, separated by semicolons, on a new connection.
    ///
    /// # Errors
    /// If the database refused one.
    pub async fn execute(&self, sql: &str) -> Result<(), RigError> {
        self.session().await?.execute(sql).await
    }

    /// All rows of all tables but `without`, to hold two moments against each other.
    ///
    /// # Errors
    /// If the database refused.
    pub async fn snapshot(&self, without: &[&str]) -> Result<Snapshot, RigError> {
        let mut session = self.session().await?;
        let mut tables = BTreeMap::new();
        for name in session.tables().await? {
            if without.contains(&name.as_str()) {
                continue;
            }
            let mut rows = session.rows(&format!("SELECT * FROM {name}")).await?;
            rows.sort();
            tables.insert(name, rows);
        }
        Ok(Snapshot { tables })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !matches!(self.place, Place::MariaDb) {
            return;
        }
        let url = self.url.clone();
        // The test's own runtime cannot be waited on from here. A server that was killed with its
        // transactions open may keep its locks for a while: then the schema stays, and goes with the server.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let _ = tokio::time::timeout(Duration::from_secs(5), drop_database(&url)).await;
            });
            Ok::<_, std::io::Error>(())
        })
        .join();
    }
}

/// All rows of some tables at one moment, sorted, each value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By the name of the table.
    pub tables: BTreeMap<String, Vec<Row>>,
}

impl Snapshot {
    /// How many rows a table has; 0 if there is no such table.
    pub fn count(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, Vec::len)
    }
}

/// Makes a fresh, empty database of the server at `server_url` and returns its URL.
pub(crate) async fn create_database(server_url: &str) -> Result<String, RigError> {
    let name = format!("holdfast_{:016x}", fastrand::u64(..));
    let mut connection = MySqlConnection::connect(server_url).await?;
    run(&mut connection, format!("CREATE DATABASE {name}")).await?;
    connection.close().await?;
    Ok(format!("{}/{name}", server_url.trim_end_matches('/')))
}

async fn drop_database(url: &str) -> Result<(), RigError> {
    let options = MySqlConnectOptions::from_str(url)?;
    let name = options.get_database().unwrap_or_default().to_owned();
    let mut connection = options.connect().await?;
    run(&mut connection, "SET lock_wait_timeout = 2".to_owned()).await?;
    run(&mut connection, format!("DROP DATABASE IF EXISTS {name}")).await
}

/// The data folder of the server at `server_url`: what tells it from all others.
pub(crate) async fn data_folder_of(server_url: &str) -> Result<String, RigError> {
    let mut connection = MySqlConnection::connect(server_url).await?;
    let folder: String = sqlx::query_scalar("SELECT @@datadir").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(folder.trim_end_matches('/').to_owned())
}

async fn run(connection: &mut MySqlConnection, sql: String) -> Result<(), RigError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
