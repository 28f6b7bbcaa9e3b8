//! SQLite: the file, its connections, its transactions. What its error codes mean is in `classify`.
//!
//! Keeps I7 with a write-ahead log that is synchronised at every commit. The file has one writer at a
//! time: within this process those that want to write wait in line, fairly, which SQLite's own waiting
//! is not; other processes are waited for by SQLite. The clock is that of the process, read once the
//! transaction has begun.
//!
//! A batch travels in two messages to the connection's thread, so its writes and its COMMIT go together. That a write
//! found as many rows as it must is therefore checked by SQLite itself: see [`guarded`].

mod checkpoints;
mod classify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::StreamExt;
use sale::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::checkpoints::{Bounds, COMMITS_COPY_FROM, Checkpoints};
use self::classify::{classify, classify_batch_row, classify_commit, classify_connect};
use super::dialect::Dialect;
use super::error::{GUARD, Misconfigured};
use super::session::{Backend, BatchRow, Begun, Purpose, ResultSet, Session, Stopped, Write, all_of, collect, packet};
use super::statements::batch::batch_row;
use super::{Conflict, Fault, StoreError, Written};
use crate::telemetry::{OpenConnection, StoreMetrics};

/// How long to wait for another process that writes to the file: as for a locked row in MySQL.
const BATCH_LOCK_WAIT: Duration = Duration::from_secs(1);

/// The same for commands of people, who wait rather than try again.
const DESK_LOCK_WAIT: Duration = Duration::from_secs(10);

/// How long to wait for another process's migrations.
const MIGRATION_LOCK_WAIT: Duration = Duration::from_mins(1);

/// Pages of the file that the connection of batches keeps, in KiB, negative as SQLite has it: those of many products,
/// each of which has its own.
const BATCH_CACHE: &str = "-65536";

/// The file of an SQLite URL; `None` if it is a URL of another kind.
pub(super) fn path_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
    let Some(rest) = url.strip_prefix("sqlite:") else { return Ok(None) };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let refused = |text: &str| Err(StoreError::new(Fault::Refused, Misconfigured(text.to_owned())));
    if path.is_empty() {
        return refused("the database URL names no file: sqlite:PATH");
    }
    if path.contains(":memory:") || path.contains("mode=memory") {
        return refused("an SQLite database in memory is not supported: a sale must outlive the process");
    }
    if path.contains('?') {
        return refused("an SQLite URL has no parameters: sqlite:PATH");
    }
    Ok(Some(PathBuf::from(path)))
}

/// A file.
#[derive(Clone)]
pub(super) struct Sqlite {
    path: PathBuf,
    create_file: bool,
    /// Held by whoever has a write transaction in this process.
    turns: Arc<Mutex<()>>,
    metrics: StoreMetrics,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, create_file: bool) -> Self {
        Self { path, create_file, turns: Arc::new(Mutex::new(())), metrics: StoreMetrics::default() }
    }

    /// With its connections counted there.
    pub(super) fn counted_by(self, metrics: StoreMetrics) -> Self {
        Self { metrics, ..self }
    }

    async fn open(&self, purpose: Purpose) -> Result<SqliteSession, StoreError> {
        let lock_wait = match purpose {
            Purpose::Batches => BATCH_LOCK_WAIT,
            Purpose::Reads | Purpose::Desk => DESK_LOCK_WAIT,
            Purpose::Migration => MIGRATION_LOCK_WAIT,
        };
        let read_only = purpose == Purpose::Reads;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(self.create_file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(lock_wait)
            .pragma("query_only", if read_only { "ON" } else { "OFF" })
            .pragma("wal_autocheckpoint", COMMITS_COPY_FROM)
            // Rows of a large result wait in the connection's thread less often.
            .row_buffer_size(1024)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let options = if purpose == Purpose::Batches {
            // A statement of many rows keeps the pages that it changes, in case it fails: in memory, not in a file of
            // its own that is made and removed each time. What audits sort may be larger than memory.
            options.pragma("cache_size", BATCH_CACHE).pragma("temp_store", "MEMORY")
        } else {
            options
        };
        let started = Instant::now();
        loop {
            match options.connect().await {
                Ok(connection) => {
                    return Ok(SqliteSession {
                        connection,
                        turns: Arc::clone(&self.turns),
                        turn: None,
                        lock_wait,
                        in_transaction: false,
                        checkpoints: None,
                        _open: self.metrics.opened(purpose.into()),
                    });
                }
                // Whoever makes the file turns on its log, and for that moment SQLite lets nobody wait.
                Err(error) if classify::is_busy(&error) && started.elapsed() < DESK_LOCK_WAIT => {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(2..20))).await;
                }
                Err(error) => return Err(classify_connect(error, &self.path)),
            }
        }
    }
}

#[async_trait]
impl Backend for Sqlite {
    type Session = SqliteSession;

    const MAX_WRITERS: usize = 1;

    async fn connect(&self, purpose: Purpose) -> Result<SqliteSession, StoreError> {
        let session = self.open(purpose).await?;
        let checkpoints = (purpose == Purpose::Batches).then(|| Checkpoints::start(self.clone(), Bounds::USUAL));
        Ok(SqliteSession { checkpoints, ..session })
    }

    async fn begin_migration(&self) -> Result<SqliteSession, StoreError> {
        let mut session = self.open(Purpose::Migration).await?;
        session.begin_immediate().await?;
        Ok(session)
    }

    async fn end_migration(&self, mut session: SqliteSession) -> Result<(), StoreError> {
        session.commit().await?;
        session.close().await;
        Ok(())
    }

    async fn durability(&self, _session: &mut SqliteSession) -> Result<Vec<String>, StoreError> {
        // Each connection sets what it takes.
        Ok(Vec::new())
    }
}

/// The process clock.
fn clock() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// A connection.
pub(super) struct SqliteSession {
    connection: SqliteConnection,
    turns: Arc<Mutex<()>>,
    /// Held from the beginning of a write transaction to its end.
    turn: Option<OwnedMutexGuard<()>>,
    /// How long to wait in line, and then how long for another process.
    lock_wait: Duration,
    in_transaction: bool,
    /// Of a connection that commits all the time: what looks after the log.
    checkpoints: Option<Checkpoints>,
    _open: OpenConnection,
}

impl SqliteSession {
    async fn send(&mut self, sql: String) -> Result<Vec<ResultSet<SqliteRow>>, Stopped> {
        let stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        let inserted_id = |id: i64| u64::try_from(id).unwrap_or(0);
        collect(stream.boxed(), |done| (done.rows_affected(), inserted_id(done.last_insert_rowid()))).await
    }

    /// Waits until no other connection of this process writes.
    async fn take_turn(&mut self) -> Result<(), StoreError> {
        let turn = tokio::time::timeout(self.lock_wait, Arc::clone(&self.turns).lock_owned()).await;
        let waited = |_| StoreError::new(Fault::Retry(Conflict::LockTimeout), "this process has another transaction");
        self.turn = Some(turn.map_err(waited)?);
        Ok(())
    }

    async fn begin_immediate(&mut self) -> Result<(), StoreError> {
        self.rollback().await?;
        self.take_turn().await?;
        self.in_transaction = true;
        if let Err(error) = self.run("BEGIN IMMEDIATE".to_owned()).await {
            self.in_transaction = false;
            self.turn = None;
            return Err(error);
        }
        Ok(())
    }

    async fn end(&mut self, sql: &str) -> Result<(), Stopped> {
        self.send(sql.to_owned()).await?;
        self.in_transaction = false;
        self.turn = None;
        Ok(())
    }

    /// Sends the statements of a transaction, the last of which is COMMIT.
    async fn send_to_commit(&mut self, statements: &[String]) -> Result<Vec<ResultSet<SqliteRow>>, Stopped> {
        let results = all_of(statements, self.send(packet(statements)).await?)?;
        self.in_transaction = false;
        self.turn = None;
        Ok(results)
    }
}

/// The statements of a commit, and the positions of its guards. A guard follows each statement that must find rows,
/// and fails if it found others than it must: then the packet stops there, before COMMIT.
fn guarded(row: BatchRow, writes: Vec<Write>) -> (Vec<String>, Vec<usize>) {
    let mut statements = vec![batch_row(row)];
    let mut guards = Vec::new();
    for Write { sql, must_match } in writes {
        statements.push(sql);
        if let Some(rows) = must_match {
            guards.push(statements.len());
            // Of the smallest integer there is no absolute value: that is an error.
            statements.push(format!("SELECT abs(-9223372036854775807 - (changes() <> {rows}))"));
        }
    }
    statements.push("COMMIT".to_owned());
    (statements, guards)
}

#[async_trait]
impl Session for SqliteSession {
    type Row = SqliteRow;

    const DIALECT: Dialect = Dialect::Sqlite;

    fn statement_clock() -> String {
        clock().0.to_string()
    }

    async fn run(&mut self, sql: String) -> Result<Vec<ResultSet<SqliteRow>>, StoreError> {
        self.send(sql).await.map_err(|stopped| classify(stopped.error))
    }

    async fn begin(&mut self, lock: String, rest: Vec<String>) -> Result<Begun<SqliteRow>, StoreError> {
        self.rollback().await?;
        let started = Instant::now();
        self.take_turn().await?;
        let waited = started.elapsed();
        self.in_transaction = true;
        let statements: Vec<String> = ["BEGIN IMMEDIATE".to_owned(), lock].into_iter().chain(rest).collect();
        let sent = self.send(packet(&statements)).await.and_then(|results| all_of(&statements, results));
        let results = match sent {
            Ok(results) => results,
            Err(stopped) => {
                if stopped.done == 0 {
                    self.in_transaction = false;
                    self.turn = None;
                }
                drop(self.rollback().await);
                return Err(classify(stopped.error));
            }
        };
        let now = clock();
        let mut results = results.into_iter();
        let lock_wait = waited + results.next().map_or(Duration::ZERO, |begun| begun.elapsed);
        let locked = results.next().map_or_else(Vec::new, |result| result.rows);
        Ok(Begun { locked, now, rest: results.collect(), lock_wait })
    }

    async fn begin_snapshot(&mut self) -> Result<Timestamp, StoreError> {
        self.rollback().await?;
        self.in_transaction = true;
        // The first read fixes the moment, not BEGIN.
        self.run("BEGIN; SELECT COUNT(*) FROM id_blocks".to_owned()).await?;
        Ok(clock())
    }

    async fn commit_batch(&mut self, row: BatchRow, writes: Vec<Write>) -> Result<Written, StoreError> {
        let started = Instant::now();
        let (statements, guards) = guarded(row, writes);
        let commit = statements.len() - 1;
        match self.send_to_commit(&statements).await {
            Ok(results) => {
                if let Some(checkpoints) = &self.checkpoints {
                    checkpoints.committed();
                }
                let written = commit.checked_sub(1).and_then(|last| results.get(last));
                let write = written.map_or(Duration::ZERO, |result| result.elapsed);
                Ok(Written { write, commit: started.elapsed().saturating_sub(write) })
            }
            Err(Stopped { done, error }) => {
                let error = match done {
                    0 => classify_batch_row(error),
                    // Without an answer of the database nobody knows how far it got.
                    _ if done == commit || error.as_database_error().is_none() => classify_commit(error),
                    _ if guards.contains(&done) && classify::is_plain_error(&error) => {
                        StoreError::new(Fault::Refused, GUARD)
                    }
                    _ => classify(error),
                };
                if error.fault != Fault::OutcomeUnknown {
                    drop(self.rollback().await);
                }
                Err(error)
            }
        }
    }

    async fn commit_with(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<SqliteRow>>, StoreError> {
        match self.run(packet(statements)).await {
            Ok(results) => {
                self.commit().await?;
                Ok(results)
            }
            Err(error) => {
                drop(self.rollback().await);
                Err(error)
            }
        }
    }

    async fn transact(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<SqliteRow>>, StoreError> {
        self.begin_immediate().await?;
        self.commit_with(statements).await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let Err(stopped) = self.end("COMMIT").await else { return Ok(()) };
        let error = classify_commit(stopped.error);
        if error.fault != Fault::OutcomeUnknown {
            drop(self.rollback().await);
        }
        Err(error)
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        if !self.in_transaction {
            return Ok(());
        }
        match self.end("ROLLBACK").await {
            // Some errors have rolled back already, and then there is nothing left to end.
            Err(stopped) if classify::is_plain_error(&stopped.error) => {
                self.in_transaction = false;
                self.turn = None;
                Ok(())
            }
            ended => ended.map_err(|stopped| classify(stopped.error)),
        }
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.connection.ping().await.map_err(classify)
    }

    async fn close(self) {
        drop(self.connection.close().await);
    }
}
