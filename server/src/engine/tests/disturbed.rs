//! A store that passes everything on to a real one, and disturbs what it is told to.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sale::{Breach, Changes, Hold, HoldId, Key, Needs, Order, OrderId, ProductId, Timestamp};
use tokio::sync::watch;

use crate::store::{
    AuditReport, BatchId, Conflict, Description, Fault, Loaded, NewProduct, Overdue, ProductReading, Quarantine,
    ReconcileMark, Refund, Sequence, Stocks, Store, StoreError, Writer, Written,
};

/// A batch with a new hold of so many units is refused by this store.
pub(super) const POISONED_UNITS: u32 = 13;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitFault {
    /// The connection is lost before the commit arrives; the caller cannot know.
    LostBefore,
    /// The commit is carried out, and its answer is lost.
    LostAfter,
    /// It is rolled back by a deadlock.
    Conflict,
    /// Something that it wants to write stays locked.
    Locked,
    /// The connection is lost before the commit is sent.
    Disconnect,
}

#[derive(Debug, Default)]
struct Plan {
    commit_faults: Mutex<VecDeque<CommitFault>>,
    panics_on: AtomicU64,
    resolution_blocked: AtomicBool,
    resolutions_asked: AtomicU64,
    loads: AtomicU64,
    loads_waiting: AtomicU64,
    commits: AtomicU64,
    commits_waiting: AtomicU64,
    looks_at_locks: AtomicU64,
    stock_reads: AtomicU64,
}

pub(super) struct Disturbed {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
    loads_held: watch::Sender<bool>,
    commits_held: watch::Sender<bool>,
    writers: usize,
}

impl Disturbed {
    /// Says that `writers` workers are worth having, whatever the real one says: those of SQLite wait for each other.
    pub(super) fn new(inner: Arc<dyn Store>, writers: usize) -> Self {
        let (loads_held, commits_held) = (watch::channel(false).0, watch::channel(false).0);
        Self { inner, plan: Arc::default(), loads_held, commits_held, writers }
    }

    pub(super) fn next_commit(&self, fault: CommitFault) {
        self.plan.commit_faults.lock().unwrap().push_back(fault);
    }

    /// Makes every load panic that locks this product.
    pub(super) fn panic_on(&self, product_id: ProductId) {
        self.plan.panics_on.store(product_id.0, Ordering::SeqCst);
    }

    pub(super) fn block_resolution(&self, blocked: bool) {
        self.plan.resolution_blocked.store(blocked, Ordering::SeqCst);
    }

    /// While held, a load waits before it asks the database.
    pub(super) fn hold_loads(&self, held: bool) {
        self.loads_held.send_replace(held);
    }

    /// While held, a commit waits before it is sent, with its locks.
    pub(super) fn hold_commits(&self, held: bool) {
        self.commits_held.send_replace(held);
    }

    pub(super) fn commits_waiting(&self) -> u64 {
        self.plan.commits_waiting.load(Ordering::SeqCst)
    }

    /// How often it was asked which products somebody keeps locked.
    pub(super) fn looks_at_locks(&self) -> u64 {
        self.plan.looks_at_locks.load(Ordering::SeqCst)
    }

    pub(super) fn resolutions_asked(&self) -> u64 {
        self.plan.resolutions_asked.load(Ordering::SeqCst)
    }

    pub(super) fn loads(&self) -> u64 {
        self.plan.loads.load(Ordering::SeqCst)
    }

    pub(super) fn loads_waiting(&self) -> u64 {
        self.plan.loads_waiting.load(Ordering::SeqCst)
    }

    pub(super) fn commits(&self) -> u64 {
        self.plan.commits.load(Ordering::SeqCst)
    }

    pub(super) fn stock_reads(&self) -> u64 {
        self.plan.stock_reads.load(Ordering::SeqCst)
    }
}

struct DisturbedWriter {
    inner: Box<dyn Writer>,
    plan: Arc<Plan>,
    loads_held: watch::Receiver<bool>,
    commits_held: watch::Receiver<bool>,
}

fn error(fault: Fault) -> StoreError {
    StoreError { fault, source: "disturbed".into() }
}

#[async_trait]
impl Writer for DisturbedWriter {
    async fn load(&mut self, needs: &Needs) -> Result<Loaded, StoreError> {
        if *self.loads_held.borrow() {
            self.plan.loads_waiting.fetch_add(1, Ordering::SeqCst);
            let _ = self.loads_held.wait_for(|held| !held).await;
        }
        self.plan.loads.fetch_add(1, Ordering::SeqCst);
        let panics_on = ProductId(self.plan.panics_on.load(Ordering::SeqCst));
        assert!(!needs.products.contains_key(&panics_on), "a bug in the store");
        self.inner.load(needs).await
    }

    async fn commit(&mut self, batch: BatchId, changes: &Changes) -> Result<Written, StoreError> {
        if changes.new_holds.iter().any(|hold| hold.quantity.get() == POISONED_UNITS) {
            self.inner.rollback().await?;
            return Err(error(Fault::Refused));
        }
        if *self.commits_held.borrow() {
            self.plan.commits_waiting.fetch_add(1, Ordering::SeqCst);
            let _ = self.commits_held.wait_for(|held| !held).await;
        }
        let fault = self.plan.commit_faults.lock().unwrap().pop_front();
        match fault {
            None => {
                self.plan.commits.fetch_add(1, Ordering::SeqCst);
                self.inner.commit(batch, changes).await
            }
            Some(CommitFault::LostBefore) => {
                self.inner.rollback().await?;
                Err(error(Fault::OutcomeUnknown))
            }
            Some(CommitFault::LostAfter) => {
                self.inner.commit(batch, changes).await?;
                Err(error(Fault::OutcomeUnknown))
            }
            Some(CommitFault::Conflict) => {
                self.inner.rollback().await?;
                Err(error(Fault::Retry(Conflict::Deadlock)))
            }
            Some(CommitFault::Locked) => {
                self.inner.rollback().await?;
                Err(error(Fault::Retry(Conflict::LockTimeout)))
            }
            Some(CommitFault::Disconnect) => {
                self.inner.rollback().await?;
                Err(error(Fault::Disconnected))
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        self.inner.rollback().await
    }

    async fn was_committed(&mut self, batch: BatchId) -> Result<bool, StoreError> {
        self.plan.resolutions_asked.fetch_add(1, Ordering::SeqCst);
        if self.plan.resolution_blocked.load(Ordering::SeqCst) {
            return Err(error(Fault::Disconnected));
        }
        self.inner.was_committed(batch).await
    }

    async fn set_patience(&mut self, waits: bool) -> Result<(), StoreError> {
        self.inner.set_patience(waits).await
    }

    async fn locked(&mut self, products: &[ProductId]) -> Result<Option<Vec<ProductId>>, StoreError> {
        self.plan.looks_at_locks.fetch_add(1, Ordering::SeqCst);
        self.inner.locked(products).await
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

#[async_trait]
impl Store for Disturbed {
    async fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        let inner = self.inner.writer().await?;
        let (loads_held, commits_held) = (self.loads_held.subscribe(), self.commits_held.subscribe());
        Ok(Box::new(DisturbedWriter { inner, plan: Arc::clone(&self.plan), loads_held, commits_held }))
    }

    fn max_writers(&self) -> usize {
        self.writers
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }

    async fn reserve_ids(&self, sequence: Sequence, count: u64) -> Result<u64, StoreError> {
        self.inner.reserve_ids(sequence, count).await
    }

    async fn create_product(&self, product: &NewProduct) -> Result<ProductId, StoreError> {
        self.inner.create_product(product).await
    }

    async fn stocks(&self, products: &[ProductId], keys: &[Key]) -> Result<Stocks, StoreError> {
        self.plan.stock_reads.fetch_add(1, Ordering::SeqCst);
        self.inner.stocks(products, keys).await
    }

    async fn descriptions(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Description>, StoreError> {
        self.inner.descriptions(products).await
    }

    async fn list_products(
        &self,
        after: ProductId,
        limit: u32,
        include_suspended: bool,
    ) -> Result<Vec<ProductReading>, StoreError> {
        self.inner.list_products(after, limit, include_suspended).await
    }

    async fn holds(&self, ids: &[HoldId]) -> Result<HashMap<HoldId, (Hold, Timestamp)>, StoreError> {
        self.inner.holds(ids).await
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, StoreError> {
        self.inner.orders(ids).await
    }

    async fn overdue(&self) -> Result<Overdue, StoreError> {
        self.inner.overdue().await
    }

    async fn prune_batches(&self, age: Duration) -> Result<u64, StoreError> {
        self.inner.prune_batches(age).await
    }

    async fn refunds(&self) -> Result<Vec<Refund>, StoreError> {
        self.inner.refunds().await
    }

    async fn refund_done(&self, key: &Key) -> Result<bool, StoreError> {
        self.inner.refund_done(key).await
    }

    async fn durability(&self) -> Result<Vec<String>, StoreError> {
        self.inner.durability().await
    }

    async fn audit(&self, product: Option<ProductId>) -> Result<AuditReport, StoreError> {
        self.inner.audit(product).await
    }

    async fn suspects(&self, since: &mut ReconcileMark) -> Result<Vec<Breach>, StoreError> {
        self.inner.suspects(since).await
    }

    async fn quarantine(&self, product: ProductId, reason: &str) -> Result<Quarantine, StoreError> {
        self.inner.quarantine(product, reason).await
    }

    async fn accept_breaches(&self, product: ProductId, force: bool) -> Result<Vec<Breach>, StoreError> {
        self.inner.accept_breaches(product, force).await
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.migrate().await
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        self.inner.check_schema().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
