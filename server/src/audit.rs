//! The reconciler: looks for broken invariants while the sale runs, and takes such products out of it.
//!
//! What belongs here: when to look, and at what. What does not: the look at one suspect, and whom to tell, which
//! the engine does for its own suspects, too; the checks, which are the store's. Checks I1, I2 and the end of each ledger (I6), of products that
//! changed since the last round; `holdfast audit` checks every row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sale::{ProductId, ProductStatus};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::engine::{Look, Suspects};
use crate::store::{Fault, ReconcileMark, Store, StoreError};
use crate::telemetry::labels::{Round, SuspensionReason};
use crate::telemetry::{Metrics, ReconcilerMetrics, StockFigures, StockMetrics};

/// How long the check of all that changed may take.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the look at anything else may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// A running reconciler.
pub struct Reconciler {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reconciler {
    /// Starts the first round now and one each `interval`; `looks` are those of the engine.
    pub fn start(store: Arc<dyn Store>, looks: Arc<Suspects>, interval: Duration, metrics: &Metrics) -> Self {
        let mut rounds = Rounds::new(store, looks, metrics);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            // A round that takes long must not be followed by those that it kept waiting.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // A round that is cut off is a read, or a transaction that the database rolls back.
            let rounds = async {
                loop {
                    ticks.tick().await;
                    rounds.run().await;
                }
            };
            tokio::select! {
                () = rounds => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { stop, task }
    }

    /// Ends it, in the middle of a round if need be.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the reconciler ended with a panic: this is a bug");
        }
    }
}

/// What the reconciler knows from one round to the next.
struct Rounds {
    store: Arc<dyn Store>,
    mark: ReconcileMark,
    /// Products that looked broken and were not looked at under their lock yet: the mark has passed
    /// them, so they must not be forgotten if that fails.
    suspects: BTreeSet<ProductId>,
    looks: Arc<Suspects>,
    /// Settings of the database that were told of.
    durability_problems: Vec<String>,
    stock: StockMetrics,
    metrics: ReconcilerMetrics,
}

impl Rounds {
    fn new(store: Arc<dyn Store>, looks: Arc<Suspects>, metrics: &Metrics) -> Self {
        Self {
            store,
            mark: ReconcileMark::default(),
            suspects: BTreeSet::new(),
            looks,
            durability_problems: Vec::new(),
            stock: metrics.engine.stock.clone(),
            metrics: metrics.reconciler.clone(),
        }
    }

    async fn run(&mut self) {
        let began = Instant::now();
        let looked = self.look().await;
        self.look_around().await;
        self.look_at_stock().await;
        let round = match looked {
            Ok(breaches) => {
                self.metrics.succeeded_now();
                if breaches == 0 { Round::Clean } else { Round::Breach }
            }
            Err(error) => {
                tracing::warn!(error = %error.source, "the invariants could not be checked; the next round tries again");
                Round::Failed
            }
        };
        self.metrics.duration.observe(began.elapsed().as_secs_f64());
        self.metrics.rounds.of(round).inc();
    }

    /// One round: looks on one snapshot, then confirms each suspect under its lock. Returns how many
    /// breaches were confirmed. A suspect that could not be looked at, such as one that somebody keeps locked,
    /// stays one and fails the round, but the others are looked at.
    async fn look(&mut self) -> Result<usize, StoreError> {
        let suspects = in_time(CHECK_TIMEOUT, self.store.suspects(&mut self.mark)).await?;
        let suspended = &self.metrics.suspended_products;
        suspended.of(SuspensionReason::Inconsistent).set(count(self.mark.inconsistent));
        suspended.of(SuspensionReason::Operator).set(count(self.mark.suspended.saturating_sub(self.mark.inconsistent)));
        self.suspects.extend(suspects.into_iter().map(|breach| breach.product_id));
        let mut confirmed = 0;
        let mut failed = None;
        for product_id in self.suspects.clone() {
            match self.look_at(product_id).await {
                Ok(breaches) => confirmed += breaches,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(confirmed), Err)
    }

    /// Looks at a suspect under its lock, and returns how many breaches were confirmed.
    async fn look_at(&mut self, product_id: ProductId) -> Result<usize, StoreError> {
        let Look { breaches, suspended } = self.looks.look_at(product_id).await?;
        self.suspects.remove(&product_id);
        if suspended {
            self.metrics.suspended_products.of(SuspensionReason::Inconsistent).inc();
        }
        Ok(breaches)
    }

    /// What is no breach, but somebody's concern: payments to be paid back, and whether commits last.
    async fn look_around(&mut self) {
        match in_time(LOOK_TIMEOUT, self.store.refunds()).await {
            Ok(refunds) => self.metrics.refunds_waiting.set(count(refunds.len() as u64)),
            Err(error) => tracing::debug!(error = %error.source, "the refunds could not be counted"),
        }
        match in_time(LOOK_TIMEOUT, self.store.durability()).await {
            Ok(problems) => {
                self.metrics.durability_problems.set(count(problems.len() as u64));
                // Known ones were told of before.
                for problem in problems.iter().filter(|problem| !self.durability_problems.contains(problem)) {
                    tracing::warn!(problem, "the database may lose what was acknowledged if its machine fails");
                }
                self.durability_problems = problems;
            }
            Err(error) => tracing::debug!(error = %error.source, "the database's durability could not be looked at"),
        }
    }

    /// Reads the stock of the products that are shown: other servers, commands and hands change it, too.
    async fn look_at_stock(&self) {
        let shown = self.stock.shown();
        let ids: Vec<ProductId> = shown.iter().map(|product| product.id()).collect();
        if ids.is_empty() {
            return;
        }
        match in_time(LOOK_TIMEOUT, self.store.stocks(&ids, &[])).await {
            Ok(read) => {
                for product in shown {
                    if let Some(stock) = read.stocks.get(&product.id()) {
                        let figures = StockFigures {
                            available: stock.stock_available,
                            reserved: stock.stock_reserved,
                            on_sale: stock.status == ProductStatus::OnSale,
                        };
                        self.stock.read(product, figures);
                    }
                }
            }
            Err(error) => tracing::debug!(error = %error.source, "the stock of products could not be read"),
        }
    }
}

fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Waits for an answer of the store, but not for ever: a connection can fall silent.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::new(Fault::Disconnected, "the database did not answer in time");
    tokio::time::timeout(limit, answer).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use holdfast_loadtest::rig::database::{Kind, Session, TestDatabase};
    use sale::Money;

    use super::*;
    use crate::engine::INCONSISTENT;
    use crate::store::{self, NewProduct, OpenOptions};
    use crate::telemetry::Traces;
    use crate::telemetry::labels::BrokenInvariant;

    /// A database with products of ten units, and the rounds of a reconciler on it.
    struct Bench {
        store: Arc<dyn Store>,
        metrics: Metrics,
        rounds: Rounds,
        by_hand: Session,
        database: TestDatabase,
    }

    fn rounds(store: &Arc<dyn Store>, metrics: &Metrics) -> Rounds {
        let looks = Suspects::new(Arc::clone(store), metrics.engine.clone(), Traces::default());
        Rounds::new(Arc::clone(store), Arc::new(looks), metrics)
    }

    impl Bench {
        async fn new(kind: Kind, products: u64) -> Self {
            let database = TestDatabase::create(kind).await.expect("a database");
            let store = store::open(database.url(), &OpenOptions::default()).await.expect("a URL");
            store.migrate().await.expect("migrated");
            for id in 1..=products {
                let product =
                    NewProduct { name: "Lamp".to_owned(), description: String::new(), price: Money(1), stock: 10 };
                assert_eq!(store.create_product(&product).await.expect("made"), ProductId(id));
            }
            let metrics = Metrics::new();
            let rounds = rounds(&store, &metrics);
            let by_hand = database.session().await.expect("the database answers");
            Self { store, metrics, rounds, by_hand, database }
        }

        /// A hand in the database: as many units are reserved, and no hold keeps them.
        async fn reserve(&mut self, id: u64, units: u64) {
            let sql =
                format!("UPDATE products SET stock_reserved = {units}, updated_at = updated_at + 1 WHERE id = {id}");
            self.by_hand.execute(&sql).await.expect("updated");
        }

        async fn on_sale(&self) -> Vec<u64> {
            let shown = self.store.list_products(ProductId(0), 10, true).await.expect("read");
            let is_on_sale = |status: &ProductStatus| match status {
                ProductStatus::OnSale => true,
                ProductStatus::Suspended { reason } => {
                    assert_eq!(reason, INCONSISTENT);
                    false
                }
            };
            shown.into_iter().filter(|product| is_on_sale(&product.stock.status)).map(|product| product.id.0).collect()
        }

        fn rounds_of(&self, round: Round) -> u64 {
            self.metrics.reconciler.rounds.of(round).get()
        }
    }

    async fn a_broken_product_is_told_of_and_suspended(kind: Kind) {
        let mut bench = Bench::new(kind, 2).await;
        bench.rounds.run().await;
        assert_eq!(bench.rounds_of(Round::Clean), 1);
        assert!(bench.metrics.reconciler.last_success.get() > 0.0);

        bench.reserve(2, 3).await;
        bench.rounds.run().await;
        assert_eq!(bench.rounds_of(Round::Breach), 1);
        let inconsistencies = |invariant| bench.metrics.engine.inconsistencies.of(invariant).get();
        assert_eq!(inconsistencies(BrokenInvariant::ReservedIsHeld), 1);
        assert_eq!(inconsistencies(BrokenInvariant::CountersInRange), 0);
        assert_eq!(bench.on_sale().await, [1]);

        // It is counted once, and as suspended from then on.
        bench.rounds.run().await;
        assert_eq!(bench.metrics.engine.inconsistencies.of(BrokenInvariant::ReservedIsHeld).get(), 1);
        let suspended = |reason| bench.metrics.reconciler.suspended_products.of(reason).get();
        assert_eq!((suspended(SuspensionReason::Inconsistent), suspended(SuspensionReason::Operator)), (1, 0));
    }

    async fn a_forced_product_stays_on_sale_until_it_breaks_something_else(kind: Kind) {
        let mut bench = Bench::new(kind, 1).await;
        let ledger = "UPDATE movements SET stock_available = 9; UPDATE products SET updated_at = updated_at + 1";
        bench.by_hand.execute(ledger).await.expect("updated");
        bench.rounds.run().await;
        assert_eq!(bench.on_sale().await, [] as [u64; 0]);
        bench.store.accept_breaches(ProductId(1), true).await.expect("accepted");
        let resumed = "UPDATE products SET status = 'on_sale', suspended_reason = NULL, updated_at = updated_at + 1";
        bench.by_hand.execute(resumed).await.expect("resumed");
        for _ in 0..2 {
            bench.rounds.run().await;
            assert_eq!(bench.on_sale().await, [1]);
        }
        let inconsistencies = |bench: &Bench, invariant| bench.metrics.engine.inconsistencies.of(invariant).get();
        assert_eq!(inconsistencies(&bench, BrokenInvariant::LedgerChained), 1);
        bench.reserve(1, 3).await;
        bench.rounds.run().await;
        assert_eq!(bench.on_sale().await, [] as [u64; 0]);
        assert_eq!(inconsistencies(&bench, BrokenInvariant::ReservedIsHeld), 1);
    }

    /// Not on SQLite, where only the file as a whole can be locked.
    #[tokio::test]
    async fn a_locked_suspect_does_not_keep_the_others() {
        let mut bench = Bench::new(Kind::MariaDb, 3).await;
        for id in 1..=3 {
            bench.reserve(id, 3).await;
        }
        let mut stranger = bench.database.session().await.expect("the database answers");
        let lock = "START TRANSACTION; SELECT id FROM products WHERE id = 1 FOR UPDATE";
        stranger.execute(lock).await.expect("locked");
        bench.rounds.run().await;
        assert_eq!((bench.rounds_of(Round::Failed), bench.on_sale().await), (1, vec![1]));
        stranger.execute("ROLLBACK").await.expect("the lock is given back");
        bench.rounds.run().await;
        assert_eq!((bench.rounds_of(Round::Breach), bench.on_sale().await), (1, vec![]));
    }

    #[tokio::test]
    async fn a_broken_product_is_told_of_and_suspended_on_sqlite() {
        a_broken_product_is_told_of_and_suspended(Kind::Sqlite).await;
    }

    #[tokio::test]
    async fn a_broken_product_is_told_of_and_suspended_on_mysql() {
        a_broken_product_is_told_of_and_suspended(Kind::MariaDb).await;
    }

    #[tokio::test]
    async fn a_forced_product_stays_on_sale_on_sqlite() {
        a_forced_product_stays_on_sale_until_it_breaks_something_else(Kind::Sqlite).await;
    }

    #[tokio::test]
    async fn a_forced_product_stays_on_sale_on_mysql() {
        a_forced_product_stays_on_sale_until_it_breaks_something_else(Kind::MariaDb).await;
    }

    #[tokio::test]
    async fn a_round_that_cannot_be_finished_is_counted_as_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("no-tables.db").display());
        let store = store::open(&url, &OpenOptions::default()).await.expect("a URL");
        let metrics = Metrics::new();
        rounds(&store, &metrics).run().await;
        assert_eq!(metrics.reconciler.rounds.of(Round::Failed).get(), 1);
        assert!(metrics.reconciler.last_success.get().abs() < f64::EPSILON);
        store.close().await;
    }
}
