//! The only room with SQL in it: the rows of a sale in MySQL or MariaDB ([`mysql`]) and in SQLite
//! ([`sqlite`]), behind one small trait.
//!
//! What belongs here: statements, connections, the classification of database errors. What does not:
//! rules (those are in `sale`), retries, queues (those are in `engine`). The trait speaks in batches.
//!
//! Keeps I7 (a commit that was answered is durable) with the database's own durability, and backs
//! I1, I4, I5 and I6 with constraints that refuse what the rules should never ask for.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use sale::{
    Breach, Changes, Hold, HoldId, Key, Money, Needs, Order, OrderId, ProductId, ProductStatus, State, Timestamp,
};

/// Names one transaction of the engine; the row of this id says that it was committed.
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
    /// [`Fault::OutcomeUnknown`] if the commit may have happened; [`Fault::BatchExists`] if a
    /// transaction with this id was committed before; any other: nothing was written.
    async fn commit(&mut self, batch: BatchId, changes: &Changes) -> Result<Written, StoreError>;

    /// Ends the transaction without a change.
    ///
    /// # Errors
    /// If the connection broke; nothing was changed in that case either.
    async fn rollback(&mut self) -> Result<(), StoreError>;

    /// Resolves an unknown outcome: locks `products` (which waits for the transaction in doubt to end),
    /// looks for the row of `batch`, and, if it is there, rewrites the products' rows and commits,
    /// so that what was seen is durable. `true`: it was committed. `false`: it was not, and never will be.
    ///
    /// # Errors
    /// If that could not be found out; ask again.
    async fn was_committed(&mut self, batch: BatchId, products: &[ProductId]) -> Result<bool, StoreError>;

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
    /// (I6), of products whose ledger or row changed since `since`, which it updates.
    ///
    /// # Errors
    /// If the check could not be finished.
    async fn suspects(&self, since: &mut ReconcileMark) -> Result<Vec<Breach>, StoreError>;

    /// Does the quick check of one product under its lock, and suspends it with `reason` if it fails,
    /// in the same transaction. Returns what it breaks.
    ///
    /// # Errors
    /// If it was not surely done.
    async fn quarantine(&self, product: ProductId, reason: &str) -> Result<Vec<Breach>, StoreError>;

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

/// What [`Writer::load`] found, and how long it took.
#[derive(Debug)]
pub struct Loaded {
    /// The locked rows and the clock.
    pub state: State,
    /// How long the product locks took.
    pub lock_wait: Duration,
    /// How long the rest of the loading took.
    pub load: Duration,
}

/// How long the parts of [`Writer::commit`] took. Where both go in one packet, all is `commit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Writing the rows.
    pub write: Duration,
    /// The commit itself.
    pub commit: Duration,
}

/// A counter that ids are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// Of holds.
    Holds,
    /// Of orders.
    Orders,
    /// Of batches.
    Batches,
}

/// A product to be made.
#[derive(Clone, Debug)]
pub struct NewProduct {
    /// 1 to 255 characters.
    pub name: String,
    /// Up to 2,000 characters.
    pub description: String,
    /// Of one unit.
    pub price: Money,
    /// Physical units.
    pub stock: u64,
}

/// What describes a product and hardly ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Of one unit.
    pub price: Money,
    /// When the product was made.
    pub created_at: Timestamp,
}

/// The stock of a product at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Whether it takes new holds.
    pub status: ProductStatus,
    /// As stored.
    pub stock_available: u64,
    /// As stored; includes `due_units`.
    pub stock_reserved: u64,
    /// Units of active holds whose deadline has come: they are free.
    pub due_units: u64,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

impl Stock {
    /// Units that live holds keep.
    pub fn reserved(&self) -> u64 {
        self.stock_reserved.saturating_sub(self.due_units)
    }

    /// Units that a new hold may take (I8).
    pub fn free(&self) -> u64 {
        self.stock_available.saturating_sub(self.reserved())
    }
}

/// What [`Store::stocks`] read.
#[derive(Clone, Debug, Default)]
pub struct Stocks {
    /// The known products.
    pub stocks: HashMap<ProductId, Stock>,
    /// The keys that have made a hold.
    pub known_keys: HashSet<Key>,
}

/// A product as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductReading {
    /// Names it.
    pub id: ProductId,
    /// What describes it.
    pub description: Description,
    /// Its stock.
    pub stock: Stock,
}

/// What [`Store::overdue`] found.
#[derive(Clone, Debug, Default)]
pub struct Overdue {
    /// Products with holds past their deadline.
    pub holds: Vec<ProductId>,
    /// Products with unpaid orders past their payment window.
    pub orders: Vec<ProductId>,
}

/// A payment that was taken for a cancelled order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Names the payment event.
    pub key: Key,
    /// The cancelled order.
    pub order_id: OrderId,
    /// What was paid.
    pub amount: Money,
    /// When the event came.
    pub received_at: Timestamp,
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct AuditReport {
    /// How many products were checked.
    pub products: u64,
    /// How many holds.
    pub holds: u64,
    /// How many orders.
    pub orders: u64,
    /// How many payment events.
    pub payment_events: u64,
    /// How many movements.
    pub movements: u64,
    /// What is broken, by product.
    pub breaches: Vec<Breach>,
    /// What must be paid back; no breach.
    pub refunds: Vec<Refund>,
}

/// Up to where the reconciler has looked.
#[derive(Clone, Debug, Default)]
pub struct ReconcileMark {
    /// The last movement seen of each product.
    pub seen: HashMap<ProductId, (u64, Timestamp)>,
}

/// A database error, classified by what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{fault}: {source}")]
pub struct StoreError {
    /// What to do about it.
    pub fault: Fault,
    /// What the database said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a database error means for the transaction it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Rolled back by a passing conflict: run it again.
    #[error("the transaction was rolled back ({})", .0.name())]
    Retry(Conflict),
    /// The connection broke, or its server cannot write: nothing was changed; run it again on another one.
    #[error("the connection is of no use")]
    Disconnected,
    /// The commit was sent and its answer never came: perhaps it happened.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown,
    /// A transaction with this batch id was committed before.
    #[error("this batch was committed before")]
    BatchExists,
    /// It would fail the same way again: a constraint, a value out of range, a broken statement.
    #[error("the database refused it")]
    Refused,
}

/// A passing conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// Locks in a circle, or a certification conflict of a cluster (1213).
    Deadlock,
    /// A product stayed locked for longer than the lock wait (1205), or SQLite's file did.
    LockTimeout,
    /// A row changed since it was read (1020).
    RowChanged,
    /// Another transaction wrote the same idempotency key (1062).
    DuplicateKey,
}

impl Conflict {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::LockTimeout => "lock_timeout",
            Self::RowChanged => "row_changed",
            Self::DuplicateKey => "duplicate_key",
        }
    }
}
