//! One connection to a database, and what opens them: the seam between the statements, which are
//! written once, and the two databases.
//!
//! A session sends several statements in one packet and gives their results back in order. It knows
//! transactions, so that none is ever left open or begun inside another one; it knows nothing of rows.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sale::Timestamp;
use sqlx::{ColumnIndex, Decode, Either, Row};

use super::dialect::Dialect;
use super::statements::batch::BatchOutcome;
use super::{BatchId, StoreError, Written};
use crate::telemetry::labels::ConnectionPurpose;

/// A connection.
#[async_trait]
pub(super) trait Session: Send + 'static {
    /// A row of a result.
    type Row: Cells;

    /// The SQL it speaks.
    const DIALECT: Dialect;

    /// The clock as an expression for one statement that waits for nobody, in microseconds.
    fn statement_clock() -> String;

    /// Sends `sql`, one or more statements, and returns a result for each.
    async fn run(&mut self, sql: String) -> Result<Vec<ResultSet<Self::Row>>, StoreError>;

    /// Sends the statements of a transaction that is open, in one packet where that can be, and returns a result for
    /// each.
    async fn run_all(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<Self::Row>>, StoreError> {
        self.run(packet(statements)).await
    }

    /// Begins a transaction that writes: runs `lock`, then reads the clock, then runs `rest`, which
    /// may be no statements at all. After an error nothing of the transaction is left.
    async fn begin(&mut self, lock: String, rest: Vec<String>) -> Result<Begun<Self::Row>, StoreError>;

    /// Begins a transaction that only reads, all of it at one moment, and says which.
    async fn begin_snapshot(&mut self) -> Result<Timestamp, StoreError>;

    /// Writes `row`, a batch's own, then `writes`, and commits, if every write found as many rows as it must.
    /// [`BatchExists`](super::Fault::BatchExists) if the batch has a row. After an error other than an unknown outcome nothing of
    /// the transaction is left.
    async fn commit_batch(&mut self, row: BatchRow, writes: Vec<Write>) -> Result<Written, StoreError>;

    /// Runs `statements` and commits, in one packet where that can be. After an error other than an unknown
    /// outcome nothing of the transaction is left.
    async fn commit_with(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<Self::Row>>, StoreError>;

    /// Runs `statements` as a transaction, in one packet where that can be: then no lock outlasts it, even
    /// if this server vanishes in the middle. Errors as of `commit_with`.
    async fn transact(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<Self::Row>>, StoreError>;

    /// Commits.
    async fn commit(&mut self) -> Result<(), StoreError>;

    /// Ends the transaction, if there is one, without a change.
    async fn rollback(&mut self) -> Result<(), StoreError>;

    /// A round trip that does nothing.
    async fn ping(&mut self) -> Result<(), StoreError>;

    /// Says good-bye.
    async fn close(self);
}

/// What opens connections to one database.
#[async_trait]
pub(super) trait Backend: Send + Sync + 'static {
    /// What it opens.
    type Session: Session;

    /// How many connections may usefully write at the same time.
    const MAX_WRITERS: usize;

    /// Opens a connection.
    async fn connect(&self, purpose: Purpose) -> Result<Self::Session, StoreError>;

    /// Keeps everybody else's migrations out until the session ends or `end_migration`; on SQLite
    /// in one transaction.
    async fn begin_migration(&self) -> Result<Self::Session, StoreError>;

    /// Makes the migrations last, and lets others in.
    async fn end_migration(&self, session: Self::Session) -> Result<(), StoreError>;

    /// The settings that stand in the way of I7, for people.
    async fn durability(&self, session: &mut Self::Session) -> Result<Vec<String>, StoreError>;
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Batches: it waits for locks no longer than a batch does.
    Batches,
    /// Single reads.
    Reads,
    /// Everything else that writes, and long reads.
    Desk,
    /// Changes of the schema, which wait until those who read a table have finished.
    Migration,
}

impl From<Purpose> for ConnectionPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Batches => Self::Batches,
            Purpose::Reads => Self::Reads,
            Purpose::Desk => Self::Desk,
            Purpose::Migration => Self::Migration,
        }
    }
}

/// The result of one statement.
#[derive(Debug)]
pub(super) struct ResultSet<R> {
    /// The rows that it returned.
    pub(super) rows: Vec<R>,
    /// The rows that it changed, or, of an UPDATE, found.
    pub(super) matched: u64,
    /// The id that it gave to a row.
    pub(super) inserted_id: u64,
    /// When it was there, from the sending on.
    pub(super) elapsed: Duration,
}

/// What [`Session::begin`] found.
pub(super) struct Begun<R> {
    /// The rows of the statement that locks.
    pub(super) locked: Vec<R>,
    /// The clock, read after the lock was granted.
    pub(super) now: Timestamp,
    /// The results of the rest.
    pub(super) rest: Vec<ResultSet<R>>,
    /// How long the lock took.
    pub(super) lock_wait: Duration,
}

/// The row of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchRow {
    /// Which batch.
    pub(super) batch: BatchId,
    /// What became of it.
    pub(super) outcome: BatchOutcome,
    /// When.
    pub(super) at: Timestamp,
}

/// A statement that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The statement.
    pub(super) sql: String,
    /// How many rows it must find, or add; `None` for an INSERT that spells them out, which does it all or fails.
    pub(super) must_match: Option<u64>,
}

/// The columns of a row, by position. A type is not compared with the column's: a sum is a decimal in one
/// database and an integer in the other, and what cannot be read is an error all the same.
pub(super) trait Cells: Send + Sync + Unpin + 'static {
    /// A number, or NULL.
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error>;

    /// Text, or NULL.
    fn text(&self, index: usize) -> Result<Option<&str>, sqlx::Error>;

    /// Bytes, or NULL.
    fn bytes(&self, index: usize) -> Result<Option<&[u8]>, sqlx::Error>;
}

impl<R> Cells for R
where
    R: Row + Unpin + 'static,
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database>,
    for<'r> &'r str: Decode<'r, R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database>,
{
    fn integer(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn text(&self, index: usize) -> Result<Option<&str>, sqlx::Error> {
        self.try_get_unchecked(index)
    }

    fn bytes(&self, index: usize) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get_unchecked(index)
    }
}

/// Statements that did not all succeed.
pub(super) struct Stopped {
    /// How many succeeded before the one that failed.
    pub(super) done: usize,
    /// Why it failed.
    pub(super) error: sqlx::Error,
}

/// Collects the results of the statements of one packet, of which there is one at least.
pub(super) async fn collect<Done, R>(
    mut stream: BoxStream<'_, Result<Either<Done, R>, sqlx::Error>>,
    figures: impl Fn(&Done) -> (u64, u64) + Send,
) -> Result<Vec<ResultSet<R>>, Stopped> {
    let sent = Instant::now();
    let mut results = Vec::new();
    let mut rows = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(Either::Right(row))) => rows.push(row),
            Ok(Some(Either::Left(done))) => {
                let (matched, inserted_id) = figures(&done);
                let rows = std::mem::take(&mut rows);
                results.push(ResultSet { rows, matched, inserted_id, elapsed: sent.elapsed() });
            }
            Ok(None) if results.is_empty() => return Err(Stopped { done: 0, error: sqlx::Error::WorkerCrashed }),
            Ok(None) => return Ok(results),
            Err(error) => return Err(Stopped { done: results.len(), error }),
        }
    }
}

/// The results of all of `statements`. Where what works for the connection breaks away, the stream may end without an
/// error, and what has no result may not have been done.
pub(super) fn all_of<R>(statements: &[String], results: Vec<ResultSet<R>>) -> Result<Vec<ResultSet<R>>, Stopped> {
    // Empty ones are not sent.
    if results.len() == statements.iter().filter(|statement| !statement.is_empty()).count() {
        return Ok(results);
    }
    Err(Stopped { done: results.len(), error: sqlx::Error::WorkerCrashed })
}

/// Statements as one packet; empty ones are left out.
pub(super) fn packet(statements: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut sql = String::new();
    for statement in statements {
        let statement = statement.as_ref();
        if !statement.is_empty() {
            if !sql.is_empty() {
                sql.push_str(";\n");
            }
            sql.push_str(statement);
        }
    }
    sql
}
