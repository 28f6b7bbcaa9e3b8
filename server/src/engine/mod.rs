//! From a request to a commit and back: routing, group commit, expiry, coalesced reads.
//!
//! What belongs here: queues, workers, timers, retries. What does not: rules (`sale`), SQL (`store`),
//! JSON or status codes (`http`).

mod admission;
mod answers;
mod attempt;
mod batch;
mod calls;
mod coalesce;
mod doors;
mod expiry;
mod flights;
mod health;
mod ids;
mod lane;
mod locked;
mod operations;
mod pace;
mod queue;
mod reads;
mod requests;
mod routes;
mod shared;
mod suspects;
mod tally;
#[cfg(test)]
mod tests;
mod ticket;
mod waiting;
mod worker;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, Either};
use moka::sync::Cache;
use sale::{Hold, HoldId, HoldStatus, Key, Order, OrderId, ProductId, ReleaseReason, Terms, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::answers::{Overload, Payment, Placed, Readiness, Rejection, ResumeError};
use self::attempt::Worker;
use self::coalesce::{Coalescer, ReadFailed};
use self::shared::Shared;
pub use self::suspects::{Look, Suspects};
use self::tally::watch;
pub use crate::store::INCONSISTENT;
use crate::store::Store;
pub use crate::store::{Description, NewProduct, ProductReading, Stock};
use crate::telemetry::{EngineMetrics, Traces};

/// How many workers commit at once, where the database takes more than one writer.
const WORKERS: usize = 4;
/// How long the engine may take to finish when it is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
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
    pub product_cache: Duration,
    /// Whether it looks for holds and orders that are overdue. Servers do; an engine that only carries out
    /// one command leaves them to the servers.
    pub tends_deadlines: bool,
    /// How long a batch may take to be loaded and still take in holds that came meanwhile: [`FRESH_MAX`], but where
    /// a test must not depend on the time.
    pub fresh_max: Duration,
    /// What records transactions.
    pub traces: Traces,
}

/// A batch that took longer to be loaded takes no more holds in: they would be dated by a clock that was read before
/// they came. What a hold loses of its time by that is less than the way to a customer takes.
pub const FRESH_MAX: Duration = Duration::from_millis(20);

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
        // Bounded by what is sent: a batch tells of its products once, a sweep of those that it finds, and who receives
        // waits for nothing else. A sender must not wait, for it has answers to give.
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
            set.spawn(expiry::prune(Arc::clone(&shared)));
            set.spawn(health::probe(Arc::clone(&shared)));
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

    /// Whether the database answers, and takes what is written.
    pub fn readiness(&self) -> Readiness {
        if self.shared.health.is_unwritable() { Readiness::CutOff } else { Readiness::Ready }
    }

    /// What looks at products that seem to break an invariant, for the reconciler to use, too: what both find is
    /// told of once.
    pub fn suspects(&self) -> Arc<Suspects> {
        Arc::clone(&self.shared.suspects)
    }

    /// Sets the metrics that are true of a moment: to be called before they are shown.
    pub fn measure(&self) {
        let metrics = &self.shared.metrics;
        self.shared.queue.show_age();
        let (answers, silence) = self.shared.health.figures();
        metrics.database_reachable.set(i64::from(answers));
        metrics.database_silence.set(silence.as_secs_f64());
        metrics.expiry_lag.set(self.shared.expiry_lag.now().as_secs_f64());
    }

    /// A product, on sale or suspended, or `None`. Its stock is of a moment after this call.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn product(&self, id: ProductId, deadline: Instant) -> Result<Option<ProductReading>, Rejection> {
        let open = watch(&self.shared.metrics);
        open.ended(self.read_product(id, deadline).await)
    }

    async fn read_product(&self, id: ProductId, deadline: Instant) -> Result<Option<ProductReading>, Rejection> {
        let stock = self.read(deadline, self.stocks.get(StockQuery { product_id: id, key: None }));
        let description = self.description(id, deadline);
        let (stock, description) = tokio::join!(stock, description);
        let (Some((stock, _)), Some(description)) = (stock?, description?) else { return Ok(None) };
        self.shared.learn_stock(id, &stock);
        Ok(Some(ProductReading { id, description, stock }))
    }

    /// What describes a product; one that is not there is never remembered as missing.
    async fn description(&self, id: ProductId, deadline: Instant) -> Result<Option<Description>, Rejection> {
        if let Some(description) = self.described.get(&id) {
            return Ok(Some(description));
        }
        let read = self.read(deadline, self.descriptions.get(id)).await?;
        if let Some(description) = &read {
            self.described.insert(id, description.clone());
        }
        Ok(read)
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
        let open = watch(&self.shared.metrics);
        let page = open.ended(self.read(deadline, self.lists.get((after, limit))).await)?;
        Ok(page.unwrap_or_default())
    }

    /// A hold as the clock shows it, or `None`.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn hold(&self, id: HoldId, deadline: Instant) -> Result<Option<Hold>, Rejection> {
        let open = watch(&self.shared.metrics);
        let reading = open.ended(self.read(deadline, self.holds.get(id)).await)?;
        let Some((mut hold, now)) = reading else { return Ok(None) };
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
        let open = watch(&self.shared.metrics);
        open.ended(self.read(deadline, self.orders.get(id)).await)
    }

    /// Finishes what is queued and in flight, for at most 10 seconds, and stops. Requests that come later
    /// are refused. `false`: something was not finished, such as a commit in doubt while the database is
    /// away. Nobody waits for it any more, and the database ends what it was sent as a whole.
    pub async fn stop(&self) -> bool {
        self.shared.queue.close();
        let mut workers = std::mem::take(&mut *lock(&self.tasks.workers));
        let all = async { while workers.join_next().await.is_some() {} };
        let finished = tokio::time::timeout(STOP_TIMEOUT, all).await.is_ok();
        lock(&self.tasks.timers).abort_all();
        finished
    }

    fn read<T>(
        &self,
        deadline: Instant,
        read: impl Future<Output = Result<T, ReadFailed>>,
    ) -> impl Future<Output = Result<T, Rejection>> {
        // The database is not asked for what nobody waits for.
        if self.shared.health.is_cut_off() || deadline <= Instant::now() {
            return Either::Left(future::ready(Err(Rejection::DatabaseUnavailable)));
        }
        Either::Right(tokio::time::timeout_at(deadline, read).map(|read| match read {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ReadFailed::TooMany)) => Err(Rejection::Overloaded(Overload::ReadsFull)),
            Ok(Err(ReadFailed::NoAnswer)) | Err(_) => Err(Rejection::DatabaseUnavailable),
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the engine guards so are sets, usable whatever happened to who held the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
