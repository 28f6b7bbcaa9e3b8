//! The only room with SQL in it: the rows of a sale in MySQL or MariaDB and in SQLite, behind one
//! small trait.
//!
//! What belongs here: statements, connections, the classification of database errors. What does not:
//! rules (those are in `sale`), retries, queues (those are in `engine`). The trait speaks in batches.
//!
//! Keeps I7 (a commit that was answered is durable) with the database's own durability, and backs
//! I1, I4, I5 and I6 with constraints that refuse what the rules should never ask for.
//!
//! Inside: `mysql` and `sqlite` know their connections, errors and settings, and `dialect` the few
//! words in which the two databases differ. All else is written once, over a `session::Session`:
//! `statements` makes the text, `rows` reads what comes back, `writer` is the transaction of a batch,
//! `sql` is the [`Store`]. Every statement is text made from integers and hexadecimal literals; no
//! caller's text is ever part of it. That lets a whole transaction travel in two packets.

mod admin;
mod audit;
mod dialect;
mod error;
mod kept;
mod migrate;
mod mysql;
mod readers;
mod readings;
mod rows;
mod session;
mod sql;
mod sqlite;
mod statements;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sale::{Breach, Changes, Hold, HoldId, Key, Needs, Order, OrderId, ProductId, Timestamp};

use crate::telemetry::StoreMetrics;
pub use error::{Conflict, Fault, StoreError};
pub use readings::{
    AuditReport, Description, Loaded, NewProduct, Overdue, ProductReading, Quarantine, ReconcileMark, Refund, Sequence,
    Stock, Stocks, Written,
};

/// The suspension reason of a product that breaks an invariant.
pub const INCONSISTENT: &str = "inconsistent";

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The most connections that read at the same time.
    pub readers: usize,
    /// SQLite: whether a file that is not there is made. Otherwise that is an error.
    pub create_file: bool,
    /// Where connections are counted.
    pub metrics: StoreMetrics,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { readers: 4, create_file: true, metrics: StoreMetrics::default() }
    }
}

/// Opens the store of `url`: `sqlite:PATH`, or `mysql://user:password@host:port/name` (`mariadb://` is
/// the same; TLS by `?ssl-mode=VERIFY_CA&ssl-ca=FILE`).
///
/// Nothing is connected yet: a database that is not there shows with the first call.
///
/// # Errors
/// [`Fault::Refused`] if the URL is not one of these, for people.
#[expect(clippy::unused_async, reason = "that connecting is put off is not for callers to rely on")]
pub async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(path) = sqlite_path(url)? {
        let backend = sqlite::Sqlite::new(path, options.create_file).counted_by(options.metrics.clone());
        return Ok(Arc::new(sql::SqlStore::new(backend, options.readers)));
    }
    let backend = mysql::MySql::new(url)?.counted_by(options.metrics.clone());
    Ok(Arc::new(sql::SqlStore::new(backend, options.readers)))
}

/// Whether [`open`] takes this URL; nothing is opened or made.
///
/// # Errors
/// As [`open`].
pub fn check_url(url: &str) -> Result<(), StoreError> {
    match sqlite_path(url)? {
        Some(_) => Ok(()),
        None => mysql::MySql::new(url).map(|_| ()),
    }
}

/// The file of an SQLite `url`; `None` if it is a URL of another kind.
///
/// # Errors
/// [`Fault::Refused`] if it is an SQLite URL without a file.
pub fn sqlite_path(url: &str) -> Result<Option<PathBuf>, StoreError> {
    sqlite::path_of(url)
}

/// Names one transaction of the engine; the row of this id says whether it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub u64);

/// One connection that writes batches. Each worker keeps its own.
///
/// A transaction is `load`, then `commit` or `rollback`. After an error nothing of it is left, unless
/// the error is [`Fault::OutcomeUnknown`]; after [`Fault::Disconnected`] or [`Fault::OutcomeUnknown`]
/// the connection is of no use any more.
#[async_trait]
pub trait Writer: Send {
    /// Begins a transaction, locks the products in ascending order, reads the clock, and loads
    /// what `needs` names. The clock is read after the last lock was granted.
    ///
    /// # Errors
    /// [`Fault::Retry`], [`Fault::Disconnected`] or [`Fault::Refused`]; the transaction is over.
    async fn load(&mut self, needs: &Needs) -> Result<Loaded, StoreError>;

    /// Writes `changes` and the row of `batch`, and commits.
    ///
    /// # Errors
    /// [`Fault::OutcomeUnknown`] if the commit may have happened; [`Fault::BatchExists`] if this id is used up:
    /// a transaction with it was committed before, or was given up for lost; any other: nothing was written.
    async fn commit(&mut self, batch: BatchId, changes: &Changes) -> Result<Written, StoreError>;

    /// Ends the transaction without a change.
    ///
    /// # Errors
    /// If the connection broke; nothing was changed in that case either.
    async fn rollback(&mut self) -> Result<(), StoreError>;

    /// Resolves an unknown outcome: looks for the row of `batch`, and, if there is none, writes one that keeps
    /// the transaction in doubt from being committed later, whoever still has it (another node of a
    /// cluster, a proxy that repeats it). Either way a commit of our own makes durable what is answered.
    ///
    /// `true`: it was committed. `false`: it was not, and never will be; its id is used up. No lock of a
    /// product is waited for: whoever else keeps one locked stands in nobody's way.
    ///
    /// # Errors
    /// If that could not be found out; ask again. [`Fault::Retry`] while the transaction in doubt is being
    /// committed.
    async fn was_committed(&mut self, batch: BatchId) -> Result<bool, StoreError>;

    /// Whether the transactions to come wait for locks, of rows and of tables, as they do at first: for a second, at most.
    /// One that does not fails as soon as it would have to, where the database can do so.
    ///
    /// # Errors
    /// If the connection broke.
    async fn set_patience(&mut self, waits: bool) -> Result<(), StoreError>;

    /// Which of `products` somebody else keeps locked at this moment, without waiting for any, and without
    /// locking any. `None` if this database cannot tell.
    ///
    /// # Errors
    /// If the connection broke.
    async fn locked(&mut self, products: &[ProductId]) -> Result<Option<Vec<ProductId>>, StoreError>;

    /// A round trip that keeps an idle connection open.
    ///
    /// # Errors
    /// If the connection is gone.
    async fn ping(&mut self) -> Result<(), StoreError>;
}

/// A database that a sale is kept in.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Opens a connection for a worker.
    ///
    /// # Errors
    /// If the database cannot be reached, or refuses the connection.
    async fn writer(&self) -> Result<Box<dyn Writer>, StoreError>;

    /// How many workers are worth having: 1 where there is one writer at a time.
    fn max_writers(&self) -> usize;

    /// What kind of database it is, as OpenTelemetry names it.
    fn system(&self) -> &'static str;

    /// Reserves `count` ids in a transaction of its own and returns the first. No id is given twice.
    ///
    /// # Errors
    /// If the reservation was not surely committed; the ids are then lost, which does no harm.
    async fn reserve_ids(&self, sequence: Sequence, count: u64) -> Result<u64, StoreError>;

    /// Makes a product, with its first movement.
    ///
    /// # Errors
    /// If it was not surely made.
    async fn create_product(&self, product: &NewProduct) -> Result<ProductId, StoreError>;

    /// The stock of `products`, and which of `keys` have made a hold: one statement, so one moment.
    /// Unknown products are left out.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn stocks(&self, products: &[ProductId], keys: &[Key]) -> Result<Stocks, StoreError>;

    /// What describes `products`. Unknown ones are left out.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn descriptions(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Description>, StoreError>;

    /// Up to `limit` products with ids above `after`, ascending, with their stock: one statement.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn list_products(
        &self,
        after: ProductId,
        limit: u32,
        include_suspended: bool,
    ) -> Result<Vec<ProductReading>, StoreError>;

    /// Holds by id, each with the clock of its product at that moment. Unknown ones are left out.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn holds(&self, ids: &[HoldId]) -> Result<HashMap<HoldId, (Hold, Timestamp)>, StoreError>;

    /// Orders by id. Unknown ones are left out.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn orders(&self, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, StoreError>;

    /// Products that have holds past their deadline, and products that have orders past their payment window.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn overdue(&self) -> Result<Overdue, StoreError>;

    /// Deletes rows of batches older than `age`, some thousands at a time, and says how many.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn prune_batches(&self, age: Duration) -> Result<u64, StoreError>;

    /// Payments that must be paid back and were not yet.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn refunds(&self) -> Result<Vec<Refund>, StoreError>;

    /// Notes that the payment of `key` was paid back. `false` if no refund of that key is waiting.
    ///
    /// # Errors
    /// If it was not surely noted.
    async fn refund_done(&self, key: &Key) -> Result<bool, StoreError>;

    /// Whether an acknowledged commit survives a crash of the database's machine (I7); if not, the
    /// settings that stand in the way, for people.
    ///
    /// # Errors
    /// If the database did not answer.
    async fn durability(&self) -> Result<Vec<String>, StoreError>;

    /// Checks I1 to I6 on one consistent snapshot: every row, or those of one product.
    ///
    /// # Errors
    /// If the check could not be finished.
    async fn audit(&self, product: Option<ProductId>) -> Result<AuditReport, StoreError>;

    /// The quick check of the reconciler on one consistent snapshot: I1, I2 and the end of each ledger
    /// (I6), of products whose ledger or row changed since `since`, which it updates. Breaches that an
    /// operator accepted are left out.
    ///
    /// # Errors
    /// If the check could not be finished.
    async fn suspects(&self, since: &mut ReconcileMark) -> Result<Vec<Breach>, StoreError>;

    /// Does the quick check of one product under its lock, and suspends it with `reason` if it is on sale and
    /// fails, in the same transaction. Breaches that an operator accepted do not count.
    ///
    /// # Errors
    /// If it was not surely done.
    async fn quarantine(&self, product: ProductId, reason: &str) -> Result<Quarantine, StoreError>;

    /// Before a product is resumed. With `force`, accepts what the quick check finds broken in it now, under
    /// its lock, and returns that: from then on [`Store::suspects`] and [`Store::quarantine`] look for other
    /// invariants only. Without, forgets what was accepted, and returns nothing. A suspension, whoever makes
    /// it, forgets it too.
    ///
    /// # Errors
    /// If it was not surely done; it can be done again.
    async fn accept_breaches(&self, product: ProductId, force: bool) -> Result<Vec<Breach>, StoreError>;

    /// Applies the migrations that are missing, alone, whoever else starts at the same time.
    ///
    /// # Errors
    /// If they could not be applied, or the schema is too new for this binary.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// Checks that the schema is one that this binary can work with.
    ///
    /// # Errors
    /// If migrations are missing, or the schema is too new for this binary.
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Closes the connections.
    async fn close(&self);
}
