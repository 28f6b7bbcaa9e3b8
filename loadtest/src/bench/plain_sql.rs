//! Holds in plain SQL, without any service: what a transaction a hold costs the database alone. A process of its own.
//!
//! Each connection begins, locks the product's row, inserts a hold, updates the counter, and commits, with prepared
//! statements, and neither ledger nor batch: as little as a hold can be. SQLite has one writer, so there one connection
//! does it; more would wait for it in line. The tables are the service's. What does not belong here: the service.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

/// A hold outlives the bench.
const TTL_SECONDS: i64 = 86_400;

/// What it is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The database, with the service's tables in it.
    #[arg(long)]
    url: String,
    /// A product with units enough.
    #[arg(long)]
    product: i64,
    /// How many connections: MariaDB only.
    #[arg(long)]
    connections: u32,
    /// How long.
    #[arg(long)]
    seconds: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Placed {
    /// Holds that were committed.
    pub holds: u64,
    /// How long that took.
    pub microseconds: u64,
}

/// Places holds until the time is over.
///
/// # Errors
/// If the database refuses one.
pub(super) async fn run(arguments: &Arguments) -> Result<Placed, sqlx::Error> {
    let next_id = Arc::new(AtomicI64::new(first_id()));
    let is_file = arguments.url.starts_with("sqlite:");
    let mut workers = Vec::new();
    for _ in 0..if is_file { 1 } else { arguments.connections } {
        workers.push(if is_file {
            Worker::Sqlite(open_sqlite(&arguments.url).await?)
        } else {
            Worker::MySql(open_mysql(&arguments.url).await?)
        });
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(arguments.seconds);
    let product = arguments.product;
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let next_id = Arc::clone(&next_id);
            tokio::spawn(async move {
                let mut holds = 0_u64;
                while Instant::now() < until {
                    worker.place(next_id.fetch_add(1, Ordering::Relaxed), product).await?;
                    holds += 1;
                }
                Ok::<_, sqlx::Error>(holds)
            })
        })
        .collect();
    let mut holds = 0;
    for task in tasks {
        holds += task.await.map_err(|error| sqlx::Error::Protocol(error.to_string()))??;
    }
    Ok(Placed { holds, microseconds: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) })
}

/// One connection.
enum Worker {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

impl Worker {
    async fn place(&mut self, id: i64, product: i64) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => place_sqlite(connection, id, product).await,
            Self::MySql(connection) => place_mysql(connection, id, product).await,
        }
    }
}

async fn open_mysql(url: &str) -> Result<MySqlConnection, sqlx::Error> {
    let mut connection = MySqlConnectOptions::from_str(url)?.disable_statement_logging().connect().await?;
    sqlx::raw_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").execute(&mut connection).await?;
    Ok(connection)
}

async fn open_sqlite(url: &str) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(30));
    options.disable_statement_logging().connect().await
}

const INSERT: &str = "INSERT INTO holds (id, product_id, quantity, status, created_at, expires_at) \
                      VALUES (?, ?, 1, 'active', ?, ?)";
const UPDATE: &str = "UPDATE products SET stock_reserved = stock_reserved + 1, updated_at = ? WHERE id = ?";

async fn place_mysql(connection: &mut MySqlConnection, id: i64, product: i64) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let free: u64 = sqlx::query_scalar("SELECT stock_available - stock_reserved FROM products WHERE id = ? FOR UPDATE")
        .bind(product)
        .fetch_one(&mut *transaction)
        .await?;
    require_some(free)?;
    let now = now();
    sqlx::query(INSERT).bind(id).bind(product).bind(now).bind(deadline(now)).execute(&mut *transaction).await?;
    sqlx::query(UPDATE).bind(now).bind(product).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn place_sqlite(connection: &mut SqliteConnection, id: i64, product: i64) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let free: i64 = sqlx::query_scalar("SELECT stock_available - stock_reserved FROM products WHERE id = ?")
        .bind(product)
        .fetch_one(&mut *transaction)
        .await?;
    require_some(free.cast_unsigned())?;
    let now = now();
    sqlx::query(INSERT).bind(id).bind(product).bind(now).bind(deadline(now)).execute(&mut *transaction).await?;
    sqlx::query(UPDATE).bind(now).bind(product).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn require_some(free: u64) -> Result<(), sqlx::Error> {
    if free == 0 { Err(sqlx::Error::Protocol("the product is sold out".to_owned())) } else { Ok(()) }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Ids that go up from run to run, as they would in a service.
fn first_id() -> i64 {
    now()
}

fn deadline(now: i64) -> i64 {
    (now / 1_000_000 + TTL_SECONDS) * 1_000_000
}
