//! From a request to a commit and back: routing, group commit, expiry, coalesced reads.
//!
//! What belongs here: queues, workers, timers, retries. What does not: rules (`sale`), SQL (`store`),
//! JSON or status codes (`http`).

mod coalesce;
mod expiry;
mod health;
mod ids;
mod queue;
mod reads;
mod shared;
#[cfg(test)]
mod tests;
mod ticket;
mod worker;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;
use sale::{
    Breach, Command, Hold, HoldId, HoldStatus, Key, Order, OrderId, Outcome, PaymentEffect, PaymentEvent,
    PaymentStatus, ProductId, ProductStatus, Quantity, Refusal, ReleaseReason, Terms, Timestamp,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::coalesce::{Coalescer, ReadFailed};
pub use self::shared::INCONSISTENT;
use self::shared::Shared;
use self::ticket::{Class, KeyName, Left, Waited};
use self::worker::Worker;
pub use crate::store::{Description, NewProduct, ProductReading, Stock};
use crate::store::{Fault, Store, StoreError};
use crate::telemetry::EngineMetrics;
use crate::telemetry::labels::{HoldOutcome, OrderOutcome, PaymentOutcome, TurnedAway};

/// How many workers commit at once, where the database takes more than one writer.
const WORKERS: usize = 4;
/// How many products are remembered with what describes them.
const DESCRIPTIONS_MAX: u64 = 10_000;

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
    /// Its deadline came before its turn; nothing changed.
    TimedOut,
    /// The server is stopping; nothing changed.
    Stopping,
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
    shared: Arc<Shared>,
    stocks: Arc<Coalescer<StockQuery, (Stock, bool)>>,
    descriptions: Arc<Coalescer<ProductId, Description>>,
    holds: Arc<Coalescer<HoldId, (Hold, Timestamp)>>,
    orders: Arc<Coalescer<OrderId, Order>>,
    lists: Arc<Coalescer<(ProductId, u32), Vec<ProductReading>>>,
    described: Cache<ProductId, Description>,
    tasks: Arc<Tasks>,
}

/// A product's stock, and whether a key has made a hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StockQuery {
    product_id: ProductId,
    key: Option<Key>,
}

#[derive(Default)]
struct Tasks {
    workers: Mutex<JoinSet<()>>,
    timers: Mutex<JoinSet<()>>,
}

impl Engine {
    /// Starts workers, timers and the sweep. Needs a tokio runtime.
    pub fn start(store: Arc<dyn Store>, settings: Settings, metrics: EngineMetrics) -> Self {
        let workers = store.max_writers().min(WORKERS);
        let product_cache = settings.product_cache;
        let (deadlines, due) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(store, settings, workers, deadlines, metrics));
        let tasks = Tasks::default();
        {
            let mut set = JoinSet::new();
            for _ in 0..workers {
                set.spawn(Worker::new(Arc::clone(&shared)).run());
            }
            *lock(&tasks.workers) = set;
            let mut set = JoinSet::new();
            set.spawn(expiry::run(Arc::clone(&shared), due));
            set.spawn(expiry::sweep(Arc::clone(&shared)));
            *lock(&tasks.timers) = set;
        }
        let described = if product_cache.is_zero() {
            Cache::new(0)
        } else {
            Cache::builder().max_capacity(DESCRIPTIONS_MAX).time_to_live(product_cache).build()
        };
        Self {
            stocks: Arc::new(reads::stocks(&shared)),
            descriptions: Arc::new(reads::descriptions(&shared)),
            holds: Arc::new(reads::holds(&shared)),
            orders: Arc::new(reads::orders(&shared)),
            lists: Arc::new(reads::lists(&shared)),
            described,
            tasks: Arc::new(tasks),
            shared,
        }
    }

    /// The settings that clients may want to know.
    pub fn terms(&self) -> Terms {
        self.shared.settings.terms
    }

    /// Whether the database answers.
    pub fn readiness(&self) -> Readiness {
        if self.shared.health.is_cut_off() { Readiness::CutOff } else { Readiness::Ready }
    }

    /// A product, on sale or suspended, or `None`. Its stock is of a moment after this call.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn product(&self, id: ProductId, deadline: Instant) -> Result<Option<ProductReading>, Rejection> {
        let stock = self.read(deadline, self.stocks.get(StockQuery { product_id: id, key: None }));
        let description = async {
            match self.described.get(&id) {
                Some(description) => Ok(Some(description)),
                None => self.read(deadline, self.descriptions.get(id)).await,
            }
        };
        let (stock, description) = tokio::join!(stock, description);
        let (Some((stock, _)), Some(description)) = (stock?, description?) else { return Ok(None) };
        self.shared.learn_stock(id, &stock);
        self.described.insert(id, description.clone());
        Ok(Some(ProductReading { id, description, stock }))
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
        Ok(self.read(deadline, self.lists.get((after, limit))).await?.unwrap_or_default())
    }

    /// A hold as the clock shows it, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn hold(&self, id: HoldId, deadline: Instant) -> Result<Option<Hold>, Rejection> {
        let Some((mut hold, now)) = self.read(deadline, self.holds.get(id)).await? else { return Ok(None) };
        if hold.is_due(now) {
            hold.status = HoldStatus::Released { at: hold.expires_at, reason: ReleaseReason::Expired, order_id: None };
        }
        Ok(Some(hold))
    }

    /// An order, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn order(&self, id: OrderId, deadline: Instant) -> Result<Option<Order>, Rejection> {
        self.read(deadline, self.orders.get(id)).await
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
        let placed = self.try_place_hold(product_id, quantity, key, deadline).await;
        self.shared
            .metrics
            .holds
            .of(match &placed {
                Ok(Placed { replayed: false, .. }) => HoldOutcome::Placed,
                Ok(Placed { replayed: true, .. }) => HoldOutcome::Replayed,
                Err(Rejection::Refused(refusal)) => HoldOutcome::from(*refusal),
                Err(Rejection::Inconsistent) => HoldOutcome::ProductSuspended,
                Err(rejection) => self.not_served(rejection, HoldOutcome::NotServed),
            })
            .inc();
        placed
    }

    async fn try_place_hold(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Hold>, Rejection> {
        let limit = self.terms().max_qty_per_hold;
        if quantity.get() > limit && key.is_none() {
            return Err(Rejection::Refused(Refusal::QuantityOverLimit { limit }));
        }
        if !self.is_worth_queueing(product_id, quantity) {
            self.refuse_if_sold_out(product_id, quantity, key.as_ref(), deadline).await?;
        }
        let command = Command::PlaceHold { hold_id: HoldId(0), product_id, quantity, key };
        match self.run(product_id, command, Class::Hold, deadline).await? {
            Outcome::HoldPlaced { hold, replayed } => Ok(Placed { row: hold, replayed }),
            outcome => Err(unexpected(&outcome)),
        }
    }

    fn is_worth_queueing(&self, product_id: ProductId, quantity: Quantity) -> bool {
        self.shared.hint(product_id).is_some_and(|free| free >= quantity.units())
    }

    /// Asks the database, in the query that all who wait for this product share, whether a hold has a
    /// chance. It is refused without a lock only if the units were really not there at that moment
    /// (I8), and no hold of its key exists or is being made.
    async fn refuse_if_sold_out(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<&Key>,
        deadline: Instant,
    ) -> Result<(), Rejection> {
        if key.is_some_and(|key| self.shared.queue.is_at_work(&KeyName::Hold(key.clone()))) {
            return Ok(());
        }
        let query = StockQuery { product_id, key: key.cloned() };
        let Some((stock, key_known)) = self.read(deadline, self.stocks.get(query)).await? else {
            return Err(Rejection::Refused(Refusal::ProductUnknown));
        };
        self.shared.learn_stock(product_id, &stock);
        if key_known || quantity.get() > self.terms().max_qty_per_hold {
            return Ok(());
        }
        if stock.status != ProductStatus::OnSale {
            return Err(Rejection::Refused(Refusal::ProductSuspended));
        }
        if stock.free() < quantity.units() {
            return Err(Rejection::Refused(Refusal::InsufficientStock { available: stock.free() }));
        }
        Ok(())
    }

    /// Gives a hold's units back; fine if they were back already.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn give_back_hold(&self, hold_id: HoldId, deadline: Instant) -> Result<(), Rejection> {
        let product_id = self.route_of_hold(hold_id, deadline).await?;
        match self.run(product_id, Command::GiveBackHold { hold_id }, Class::Money, deadline).await? {
            Outcome::HoldGivenBack { .. } => Ok(()),
            outcome => Err(unexpected(&outcome)),
        }
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
        let placed = self.try_redeem_hold(hold_id, key, deadline).await;
        self.shared
            .metrics
            .orders
            .of(match &placed {
                Ok(Placed { replayed: false, .. }) => OrderOutcome::Placed,
                Ok(Placed { replayed: true, .. }) => OrderOutcome::Replayed,
                Err(Rejection::Refused(refusal)) => OrderOutcome::from(*refusal),
                Err(rejection) => self.not_served(rejection, OrderOutcome::NotServed),
            })
            .inc();
        placed
    }

    async fn try_redeem_hold(
        &self,
        hold_id: HoldId,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Order>, Rejection> {
        let product_id = self.route_of_hold(hold_id, deadline).await?;
        let command = Command::RedeemHold { hold_id, order_id: OrderId(0), key };
        match self.run(product_id, command, Class::Money, deadline).await? {
            Outcome::OrderPlaced { order, replayed } => Ok(Placed { row: order, replayed }),
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// Whether this order is known: the check of a webhook's fields, before its command.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn knows_order(&self, order_id: OrderId, deadline: Instant) -> Result<bool, Rejection> {
        match self.route_of_order(order_id, deadline).await {
            Ok(_) => Ok(true),
            Err(Rejection::Refused(Refusal::OrderUnknown)) => Ok(false),
            Err(rejection) => Err(rejection),
        }
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
        let payment = self.try_settle_payment(key, order_id, status, deadline).await;
        self.shared
            .metrics
            .payment_events
            .of(match &payment {
                Ok(Payment { repeated: true, .. }) => PaymentOutcome::Repeated,
                Ok(Payment { event, .. }) => event.effect.into(),
                Err(Rejection::Refused(Refusal::PaymentKeyConflict)) => PaymentOutcome::KeyConflict,
                Err(Rejection::Refused(_)) => PaymentOutcome::OrderUnknown,
                Err(rejection) => self.not_served(rejection, PaymentOutcome::NotServed),
            })
            .inc();
        if let Ok(Payment { event: PaymentEvent { effect: PaymentEffect::RefundRequired, .. }, repeated: false }) =
            &payment
        {
            self.shared.metrics.refunds_required.inc();
        }
        payment
    }

    async fn try_settle_payment(
        &self,
        key: Key,
        order_id: OrderId,
        status: PaymentStatus,
        deadline: Instant,
    ) -> Result<Payment, Rejection> {
        let product_id = self.route_of_order(order_id, deadline).await?;
        let command = Command::SettlePayment { key, order_id, status };
        match self.run(product_id, command, Class::Money, deadline).await? {
            Outcome::PaymentTaken { event, repeated } => Ok(Payment { event, repeated }),
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// Makes a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn add_product(&self, product: NewProduct, deadline: Instant) -> Result<ProductReading, Rejection> {
        let store = Arc::clone(&self.shared.store);
        // In a task of its own, so that a caller who hangs up cannot cancel it half-way.
        let made = tokio::spawn(async move { store.create_product(&product).await });
        let id = match tokio::time::timeout_at(deadline, made).await {
            Ok(Ok(Ok(id))) => id,
            Ok(Ok(Err(error))) => return Err(rejection_of(&error)),
            Ok(Err(_)) | Err(_) => return Err(Rejection::OutcomeUnknown),
        };
        self.changed_product(id, deadline).await
    }

    /// Changes the physical stock by `change` units.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn restock(&self, id: ProductId, change: i64, deadline: Instant) -> Result<ProductReading, Rejection> {
        self.operate(id, Command::Restock { product_id: id, change }, deadline).await
    }

    /// Takes no new holds of a product.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn suspend(&self, id: ProductId, reason: String, deadline: Instant) -> Result<ProductReading, Rejection> {
        self.operate(id, Command::Suspend { product_id: id, reason }, deadline).await
    }

    /// Takes new holds again, if an audit of the product finds no breach, or `force` says so anyway.
    ///
    /// # Errors
    /// As [`Rejection`] says, in [`ResumeError`] with what the audit found.
    pub async fn resume(&self, id: ProductId, force: bool, deadline: Instant) -> Result<ProductReading, ResumeError> {
        self.known_product(id, deadline).await?;
        if !force {
            let audit = tokio::time::timeout_at(deadline, self.shared.store.audit(Some(id))).await;
            let report = match audit {
                Ok(Ok(report)) => report,
                Ok(Err(error)) => return Err(rejection_of(&error).into()),
                Err(_) => return Err(Rejection::DatabaseUnavailable.into()),
            };
            if !report.breaches.is_empty() {
                return Err(ResumeError::Inconsistent(report.breaches));
            }
        }
        Ok(self.operate(id, Command::Resume { product_id: id }, deadline).await?)
    }

    /// Finishes what is queued and in flight, and stops. Requests that come later are refused.
    pub async fn stop(&self) {
        self.shared.queue.close();
        let mut workers = std::mem::take(&mut *lock(&self.tasks.workers));
        while workers.join_next().await.is_some() {}
        lock(&self.tasks.timers).abort_all();
    }

    async fn operate(&self, id: ProductId, command: Command, deadline: Instant) -> Result<ProductReading, Rejection> {
        self.known_product(id, deadline).await?;
        match self.run(id, command, Class::Money, deadline).await? {
            Outcome::ProductChanged(_) => self.changed_product(id, deadline).await,
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// The product after a change that is committed: not to read it back leaves the change as it is.
    async fn changed_product(&self, id: ProductId, deadline: Instant) -> Result<ProductReading, Rejection> {
        match self.product(id, deadline).await {
            Ok(Some(product)) => Ok(product),
            Ok(None) | Err(_) => Err(Rejection::OutcomeUnknown),
        }
    }

    async fn known_product(&self, id: ProductId, deadline: Instant) -> Result<(), Rejection> {
        match self.product(id, deadline).await? {
            Some(_) => Ok(()),
            None => Err(Rejection::Refused(Refusal::ProductUnknown)),
        }
    }

    async fn route_of_hold(&self, id: HoldId, deadline: Instant) -> Result<ProductId, Rejection> {
        if let Some(product_id) = self.shared.hold_routes.get(&id) {
            return Ok(product_id);
        }
        match self.read(deadline, self.holds.get(id)).await? {
            Some((hold, _)) => {
                self.shared.hold_routes.insert(id, hold.product_id);
                Ok(hold.product_id)
            }
            None => Err(Rejection::Refused(Refusal::HoldUnknown)),
        }
    }

    async fn route_of_order(&self, id: OrderId, deadline: Instant) -> Result<ProductId, Rejection> {
        if let Some(product_id) = self.shared.order_routes.get(&id) {
            return Ok(product_id);
        }
        match self.read(deadline, self.orders.get(id)).await? {
            Some(order) => {
                self.shared.order_routes.insert(id, order.product_id);
                Ok(order.product_id)
            }
            None => Err(Rejection::Refused(Refusal::OrderUnknown)),
        }
    }

    /// Queues a command and waits for its outcome.
    async fn run(
        &self,
        product_id: ProductId,
        command: Command,
        class: Class,
        deadline: Instant,
    ) -> Result<Outcome, Rejection> {
        if self.shared.health.is_cut_off() {
            return Err(Rejection::DatabaseUnavailable);
        }
        let caller = self.shared.queue_command(product_id, command, class)?;
        match caller.wait(Some(deadline)).await {
            Waited::Answered(Ok(Outcome::Refused(refusal))) => Err(Rejection::Refused(refusal)),
            Waited::Answered(answer) => answer,
            Waited::Left(Left::Undecided) => Err(Rejection::OutcomeUnknown),
            Waited::Left(Left::Withdrawn) if self.shared.health.is_failing() => Err(Rejection::DatabaseUnavailable),
            Waited::Left(Left::Withdrawn) => Err(Rejection::TimedOut),
        }
    }

    /// Counts why a request was not served, and gives back `label`, the outcome it counts as.
    fn not_served<L>(&self, rejection: &Rejection, label: L) -> L {
        let reason = match rejection {
            Rejection::Overloaded => TurnedAway::QueueFull,
            Rejection::TimedOut => TurnedAway::Deadline,
            Rejection::DatabaseUnavailable => TurnedAway::DatabaseUnavailable,
            Rejection::OutcomeUnknown => TurnedAway::OutcomeUnknown,
            Rejection::Stopping => TurnedAway::Stopping,
            Rejection::Internal | Rejection::Inconsistent | Rejection::Refused(_) => TurnedAway::Internal,
        };
        self.shared.metrics.turned_away.of(reason).inc();
        label
    }

    async fn read<T>(
        &self,
        deadline: Instant,
        read: impl Future<Output = Result<T, ReadFailed>>,
    ) -> Result<T, Rejection> {
        match tokio::time::timeout_at(deadline, read).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ReadFailed)) | Err(_) => Err(Rejection::DatabaseUnavailable),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded sets of tasks are usable whatever happened to who held the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An outcome that does not belong to its command is a bug.
fn unexpected(outcome: &Outcome) -> Rejection {
    tracing::error!(?outcome, "an outcome does not belong to its command");
    Rejection::Internal
}

fn rejection_of(error: &StoreError) -> Rejection {
    match error.fault {
        Fault::OutcomeUnknown => Rejection::OutcomeUnknown,
        Fault::Disconnected | Fault::Retry(_) => Rejection::DatabaseUnavailable,
        Fault::BatchExists | Fault::Refused => {
            tracing::error!(error = %error.source, "the database refused an operator's request");
            Rejection::Internal
        }
    }
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
