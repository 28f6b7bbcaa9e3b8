//! The reconciler: looks for broken invariants while the sale runs, and takes such products out of it.
//!
//! What belongs here: when to look, whom to tell. What does not: the checks and the suspension, which
//! are one transaction of the store. Checks I1, I2 and the end of each ledger (I6), of products that
//! changed since the last round; `holdfast audit` checks every row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sale::{Breach, ProductId};
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
    engine: EngineMetrics,
    metrics: ReconcilerMetrics,
}

impl Rounds {
    fn new(store: Arc<dyn Store>, metrics: &Metrics) -> Self {
        let (mark, suspects) = (ReconcileMark::default(), BTreeSet::new());
        Self { store, mark, suspects, engine: metrics.engine.clone(), metrics: metrics.reconciler.clone() }
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
        self.suspects.extend(suspects.into_iter().map(|breach| breach.product_id));
        let mut confirmed = 0;
        while let Some(product_id) = self.suspects.first().copied() {
            let breaches = self.store.quarantine(product_id, INCONSISTENT).await?;
            self.suspects.remove(&product_id);
            for breach in &breaches {
                self.report(breach);
            }
            confirmed += breaches.len();
        }
        Ok(confirmed)
    }

    fn report(&self, breach: &Breach) {
        self.engine.inconsistencies.of(breach.invariant.into()).inc();
        tracing::error!(
            product_id = breach.product_id.0,
            invariant = breach.invariant.code(),
            rule = breach.invariant.rule(),
            detail = breach.detail,
            "a product breaks an invariant and is suspended"
        );
    }
}
