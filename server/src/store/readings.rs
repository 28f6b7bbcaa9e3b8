//! What the store is asked for and what it answers, besides the rows of `sale` themselves.
//!
//! Plain values: no SQL, no connection, no rule beyond the arithmetic of a [`Stock`] (I8).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sale::{Breach, Key, Money, OrderId, ProductId, ProductStatus, State, Timestamp};

/// What [`super::Writer::load`] found, and how long it took.
#[derive(Debug)]
pub struct Loaded {
    /// The locked rows and the clock.
    pub state: State,
    /// How long the product locks took.
    pub lock_wait: Duration,
    /// How long the rest of the loading took.
    pub load: Duration,
}

/// How long the parts of [`super::Writer::commit`] took.
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

/// What [`super::Store::stocks`] read.
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

/// What [`super::Store::overdue`] found.
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

/// What [`super::Store::quarantine`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// What the product breaks, but for what an operator accepted.
    pub breaches: Vec<Breach>,
    /// Whether it was on sale until then, and is suspended now.
    pub suspended: bool,
}

/// Up to where the reconciler has looked.
#[derive(Clone, Debug, Default)]
pub struct ReconcileMark {
    /// The last movement seen of each product.
    pub seen: HashMap<ProductId, (u64, Timestamp)>,
    /// How many products were suspended at that moment.
    pub suspended: u64,
    /// How many of them because they broke an invariant.
    pub inconsistent: u64,
}
