//! From a request to a commit and back: routing, group commit, expiry, coalesced reads.
//!
//! What belongs here: queues, workers, timers, retries. What does not: rules (`sale`), SQL (`store`),
//! JSON or status codes (`http`).

use std::sync::Arc;

use sale::{
    Breach, Hold, HoldId, Key, Order, OrderId, PaymentEvent, PaymentStatus, ProductId, Quantity, Refusal, Terms,
    Timestamp,
};
use tokio::time::Instant;

use crate::store::Store;
pub use crate::store::{Description, NewProduct, ProductReading, Stock};

/// How the engine is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the rules depend on.
    pub terms: Terms,
    /// Most commands in one transaction.
    pub batch_max: usize,
    /// How long the describing fields of a product are cached; zero: not at all.
    pub product_cache: std::time::Duration,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A rule said no; nothing changed.
    Refused(Refusal),
    /// The product breaks an invariant and is taken out of the sale; nothing changed.
    Inconsistent,
    /// Too much is waiting; nothing changed.
    Overloaded,
    /// The database cannot be reached; nothing changed.
    DatabaseUnavailable,
    /// Perhaps it happened: only a repetition with the same key, or a read, will tell.
    OutcomeUnknown,
    /// Something unforeseen; nothing changed.
    Internal,
}

/// A row that a request made, or that an earlier request with the same key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The row.
    pub row: T,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

/// What became of a payment event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The event as recorded; of a repeated one, the first.
    pub event: PaymentEvent,
    /// Whether it was recorded before.
    pub repeated: bool,
}

/// A hold, as the clock shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldReading {
    /// The hold, with a status that follows the clock.
    pub hold: Hold,
}

/// Whether the server should be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// It has had no answer from the database for 5 seconds.
    CutOff,
}

/// The engine: cheap to clone, shared by all connections.
#[derive(Clone)]
pub struct Engine {
    _store: Arc<dyn Store>,
}

#[expect(unused_variables, clippy::unused_async, reason = "to be built")]
impl Engine {
    /// Starts workers, timers and the sweep.
    pub fn start(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self { _store: store }
    }

    /// The settings that clients may want to know.
    pub fn terms(&self) -> Terms {
        unimplemented!()
    }

    /// Whether the database answers.
    pub fn readiness(&self) -> Readiness {
        unimplemented!()
    }

    /// A product as it is on sale, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn product(&self, id: ProductId, deadline: Instant) -> Result<Option<ProductReading>, Rejection> {
        unimplemented!()
    }

    /// Up to `limit` products on sale with ids above `after`, ascending.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn products(
        &self,
        after: ProductId,
        limit: u32,
        deadline: Instant,
    ) -> Result<Vec<ProductReading>, Rejection> {
        unimplemented!()
    }

    /// A hold, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn hold(&self, id: HoldId, deadline: Instant) -> Result<Option<HoldReading>, Rejection> {
        unimplemented!()
    }

    /// An order, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn order(&self, id: OrderId, deadline: Instant) -> Result<Option<Order>, Rejection> {
        unimplemented!()
    }

    /// Keeps units for a customer.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn place_hold(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Hold>, Rejection> {
        unimplemented!()
    }

    /// Gives a hold's units back; fine if they were back already.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn give_back_hold(&self, hold_id: HoldId, deadline: Instant) -> Result<(), Rejection> {
        unimplemented!()
    }

    /// Makes a hold an order. A replayed order is as it is stored: its first answer showed it pending,
    /// updated when it was created.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn redeem_hold(
        &self,
        hold_id: HoldId,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Order>, Rejection> {
        unimplemented!()
    }

    /// Whether this order is known: the check of a webhook's fields, before its command.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn knows_order(&self, order_id: OrderId, deadline: Instant) -> Result<bool, Rejection> {
        unimplemented!()
    }

    /// Takes news of a payment.
    ///
    /// # Errors
    /// As [`Rejection`] says; `OrderUnknown` if the order is gone under the lock.
    pub async fn settle_payment(
        &self,
        key: Key,
        order_id: OrderId,
        status: PaymentStatus,
        deadline: Instant,
    ) -> Result<Payment, Rejection> {
        unimplemented!()
    }

    /// Makes a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn add_product(&self, product: NewProduct, deadline: Instant) -> Result<ProductReading, Rejection> {
        unimplemented!()
    }

    /// Changes the physical stock by `change` units.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn restock(&self, id: ProductId, change: i64, deadline: Instant) -> Result<ProductReading, Rejection> {
        unimplemented!()
    }

    /// Takes no new holds of a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn suspend(&self, id: ProductId, reason: String, deadline: Instant) -> Result<ProductReading, Rejection> {
        unimplemented!()
    }

    /// Takes new holds again, if an audit of the product finds no breach, or `force` says so anyway.
    ///
    /// # Errors
    /// As [`Rejection`] says, in [`ResumeError`] with what the audit found.
    pub async fn resume(&self, id: ProductId, force: bool, deadline: Instant) -> Result<ProductReading, ResumeError> {
        unimplemented!()
    }

    /// Finishes what is in flight and stops.
    pub async fn stop(&self) {}
}

/// Why a product was not resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// It breaks these invariants.
    Inconsistent(Vec<Breach>),
    /// As for any other command.
    Rejected(Rejection),
}

impl From<Rejection> for ResumeError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

#[expect(dead_code, reason = "to be built")]
fn unused(_: Timestamp) {}
