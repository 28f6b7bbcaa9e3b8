//! The reconciler: looks for broken invariants while the sale runs, and takes such products out of it.
//!
//! What belongs here: when to look, whom to tell. What does not: the checks and the suspension, which
//! are one transaction of the store. Checks I1, I2 and the end of each ledger (I6), of products that
//! changed since the last round; `holdfast audit` checks every row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sale::{Breach, Invariant, ProductId};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::engine::INCONSISTENT;
use crate::store::{ReconcileMark, Store, StoreError};
use crate::telemetry::labels::Round;
use crate::telemetry::{EngineMetrics, Metrics, ReconcilerMetrics};

/// A running reconciler.
pub struct Reconciler {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reconciler {
    /// Starts the first round now and one each `interval`.
    pub fn start(store: Arc<dyn Store>, interval: Duration, metrics: &Metrics) -> Self {
        let mut rounds = Rounds::new(store, metrics);
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
    /// What was found and counted: a broken product whose orders go on is found again and again.
    found: BTreeSet<(ProductId, Invariant)>,
    engine: EngineMetrics,
    metrics: ReconcilerMetrics,
}

impl Rounds {
    fn new(store: Arc<dyn Store>, metrics: &Metrics) -> Self {
        Self {
            store,
            mark: ReconcileMark::default(),
            suspects: BTreeSet::new(),
            found: BTreeSet::new(),
            engine: metrics.engine.clone(),
            metrics: metrics.reconciler.clone(),
        }
    }

    async fn run(&mut self) {
        let began = Instant::now();
        let round = match self.look().await {
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
    /// breaches were confirmed; they are told at once, since the next suspect may end the round.
    async fn look(&mut self) -> Result<usize, StoreError> {
        let suspects = self.store.suspects(&mut self.mark).await?;
        let suspended_products = i64::try_from(self.mark.suspended).unwrap_or(i64::MAX);
        self.metrics.suspended_products.set(suspended_products);
        self.suspects.extend(suspects.into_iter().map(|breach| breach.product_id));
        let mut confirmed = 0;
        while let Some(product_id) = self.suspects.first().copied() {
            let breaches = self.store.quarantine(product_id, INCONSISTENT).await?;
            self.suspects.remove(&product_id);
            let still = |invariant| breaches.iter().any(|breach| breach.invariant == invariant);
            self.found.retain(|(id, invariant)| *id != product_id || still(*invariant));
            for breach in &breaches {
                self.report(breach);
            }
            confirmed += breaches.len();
        }
        Ok(confirmed)
    }

    fn report(&mut self, breach: &Breach) {
        let (product_id, invariant) = (breach.product_id, breach.invariant);
        if self.found.insert((product_id, invariant)) {
            self.engine.inconsistencies.of(invariant.into()).inc();
            tracing::error!(
                product_id = product_id.0,
                invariant = invariant.code(),
                rule = invariant.rule(),
                detail = breach.detail,
                "a product breaks an invariant and is suspended"
            );
        } else {
            tracing::warn!(
                product_id = product_id.0,
                invariant = invariant.code(),
                detail = breach.detail,
                "a product still breaks an invariant"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use sale::{Money, ProductStatus};
    use sqlx::{ConnectOptions, Connection};

    use super::*;
    use crate::store::{self, NewProduct, OpenOptions};
    use crate::telemetry::labels::BrokenInvariant;

    #[tokio::test]
    async fn a_product_that_breaks_an_invariant_is_told_of_and_suspended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sale.db");
        let url = format!("sqlite:{}", path.display());
        let store = store::open(&url, &OpenOptions::default()).await.expect("a URL");
        store.migrate().await.expect("migrated");
        let product = NewProduct { name: "Lamp".to_owned(), description: String::new(), price: Money(1), stock: 10 };
        let good = store.create_product(&product).await.expect("made");
        let bad = store.create_product(&product).await.expect("made");

        let metrics = Metrics::new();
        let mut rounds = Rounds::new(Arc::clone(&store), &metrics);
        rounds.run().await;
        assert_eq!(metrics.reconciler.rounds.of(Round::Clean).get(), 1);
        assert!(metrics.reconciler.last_success.get() > 0.0);

        // A hand in the database: units are reserved that no hold keeps.
        let mut hand = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.expect("connected");
        sqlx::query("UPDATE products SET stock_reserved = 3, updated_at = updated_at + 1 WHERE id = 2")
            .execute(&mut hand)
            .await
            .expect("updated");
        hand.close().await.expect("closed");
        rounds.run().await;
        assert_eq!(metrics.reconciler.rounds.of(Round::Breach).get(), 1);
        assert_eq!(metrics.engine.inconsistencies.of(Invariant::ReservedIsHeld.into()).get(), 1);
        assert_eq!(metrics.engine.inconsistencies.of(BrokenInvariant::CountersInRange).get(), 0);
        let shown = store.list_products(ProductId(0), 10, true).await.expect("read");
        let statuses: Vec<_> = shown.into_iter().map(|product| (product.id, product.stock.status)).collect();
        let suspended = ProductStatus::Suspended { reason: INCONSISTENT.to_owned() };
        assert_eq!(statuses, [(good, ProductStatus::OnSale), (bad, suspended)]);

        // It is counted once, and as suspended from then on.
        rounds.run().await;
        assert_eq!(metrics.engine.inconsistencies.of(BrokenInvariant::ReservedIsHeld).get(), 1);
        assert_eq!(metrics.reconciler.suspended_products.get(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn a_round_that_cannot_be_finished_is_counted_as_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("no-tables.db").display());
        let store = store::open(&url, &OpenOptions::default()).await.expect("a URL");
        let metrics = Metrics::new();
        Rounds::new(Arc::clone(&store), &metrics).run().await;
        assert_eq!(metrics.reconciler.rounds.of(Round::Failed).get(), 1);
        assert!(metrics.reconciler.last_success.get().abs() < f64::EPSILON);
        store.close().await;
    }
}
