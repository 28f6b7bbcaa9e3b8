//! One connection to either kind of database, for a test's own statements.
//!
//! What does not belong here: anything a test would assert. Values come as text, so that one
//! assertion holds for both databases.

use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

use crate::rig::RigError;

/// The values of one row as text; `None` is NULL. Bytes that are no text are shown with replacements.
pub type Row = Vec<Option<String>>;

/// A connection. Dropping it ends its transaction without a change.
#[derive(Debug)]
pub struct Session {
    connection: Connected,
}

#[derive(Debug)]
enum Connected {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

impl Session {
    /// Connects to the database at `url`, `sqlite:PATH` or `mysql://…`. A file that is not there is made.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn open(url: &str) -> Result<Self, RigError> {
        let connection = if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?;
            // A writer of the service may be at it; nothing here waits for as long as this.
            let options = options.create_if_missing(true).busy_timeout(Duration::from_secs(30));
            Connected::Sqlite(options.connect().await?)
        } else {
            Connected::MySql(MySqlConnection::connect(url).await?)
        };
        Ok(Self { connection })
    }

    /// Runs a query.
    ///
    /// # Errors
    /// If the database refused it.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, RigError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows: Result<Vec<Row>, sqlx::Error> = match &mut self.connection {
            Connected::Sqlite(connection) => query.fetch_all(connection).await?.iter().map(sqlite_row).collect(),
            Connected::MySql(connection) => query.fetch_all(connection).await?.iter().map(mysql_row).collect(),
        };
        Ok(rows?)
    }

    /// Runs statements, separated by semicolons.
    ///
    /// # Errors
    /// If the database refused one.
    pub async fn execute(&mut self, sql: &str) -> Result<(), RigError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.connection {
            Connected::Sqlite(connection) => query.execute(connection).await.map(|_| ())?,
            Connected::MySql(connection) => query.execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    /// The names of all tables, in alphabetical order.
    ///
    /// # Errors
    /// If the database refused.
    pub async fn tables(&mut self) -> Result<Vec<String>, RigError> {
        let sql = match self.connection {
            Connected::Sqlite(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            }
            Connected::MySql(_) => {
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name"
            }
        };
        Ok(self.rows(sql).await?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

// Both databases give the bytes of a value's text when they are asked for bytes: MariaDB because plain
// statements are answered in text, SQLite because it converts.
fn mysql_row(row: &MySqlRow) -> Result<Row, sqlx::Error> {
    (0..row.len()).map(|column| row.try_get_unchecked::<Option<Vec<u8>>, _>(column).map(text)).collect()
}

fn sqlite_row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    (0..row.len()).map(|column| row.try_get_unchecked::<Option<Vec<u8>>, _>(column).map(text)).collect()
}

fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
