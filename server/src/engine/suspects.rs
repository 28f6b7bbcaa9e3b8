//! Looks at products that seem to break an invariant, and tells of what was found: loudly once, then no more.
//!
//! What belongs here: who has been looked at, what was told, and when to look again. What does not: the check
//! and the suspension, which are one transaction of the store; and what makes a suspect: a batch that a
//! product broke (`worker`), or the reconciler's reading of all that changed (`audit`). Both look by way of the
//! same [`Suspects`], so that a breach is counted once, whoever finds it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sale::{Breach, Invariant, ProductId};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::calls::answered;
use super::lock;
use crate::store::{INCONSISTENT, Quarantine, Store, StoreError};
use crate::telemetry::{EngineMetrics, Traces};

/// A product that goes on breaking batches, such as by the holds that it cannot release, is not looked at more
/// often than this for it; nothing is lost, since the reconciler looks whenever its row has changed.
const LOOKS_APART: Duration = Duration::from_secs(30);

/// What a look at a product found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many invariants it breaks that nobody has accepted.
    pub breaches: usize,
    /// Whether this look suspended it.
    pub suspended: bool,
}

/// The products that were looked at.
pub struct Suspects {
    store: Arc<dyn Store>,
    metrics: EngineMetrics,
    traces: Traces,
    /// Breaches that were counted and logged, as of the last look at their product.
    found: Mutex<HashSet<(ProductId, Invariant)>>,
    /// When a batch last had these looked at; they may be under way yet.
    looked_at: Mutex<HashMap<ProductId, Instant>>,
    /// One look at a time: they wait for locks, and none is urgent.
    turn: tokio::sync::Mutex<()>,
}

impl Suspects {
    /// Nobody is suspected yet.
    pub fn new(store: Arc<dyn Store>, metrics: EngineMetrics, traces: Traces) -> Self {
        Self {
            store,
            metrics,
            traces,
            found: Mutex::default(),
            looked_at: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Has the store look at a product under its lock, and suspend it if it breaks an invariant; counts and logs
    /// what is new, in a span that is always recorded.
    ///
    /// # Errors
    /// If the store could not look, or did not answer in time; nothing was changed then, or a suspension that the
    /// next look finds.
    pub async fn look_at(&self, product_id: ProductId) -> Result<Look, StoreError> {
        let span = self.traces.suspect(product_id.0).unwrap_or_else(Span::none);
        let looking = async {
            let _turn = self.turn.lock().await;
            let answer =
                answered("looking at a suspect product", self.store.quarantine(product_id, INCONSISTENT)).await;
            let Quarantine { breaches, suspended } = answer.inspect_err(|error| {
                tracing::warn!(product_id = product_id.0, error = %error.source, "a suspect product could not be looked at");
            })?;
            if suspended {
                self.metrics.quarantines.inc();
                self.metrics.stock.suspended(product_id);
            }
            let still = |invariant| breaches.iter().any(|breach| breach.invariant == invariant);
            lock(&self.found).retain(|(id, invariant)| *id != product_id || still(*invariant));
            for breach in &breaches {
                self.tell(breach, suspended);
            }
            Ok(Look { breaches: breaches.len(), suspended })
        };
        looking.instrument(span).await
    }

    /// Whether this product may be looked at because it broke a batch: not if that was done a moment ago. It counts
    /// as looked at from now on.
    pub(super) fn is_due(&self, product_id: ProductId) -> bool {
        let now = Instant::now();
        let mut looked_at = lock(&self.looked_at);
        looked_at.retain(|_, at| now.duration_since(*at) < LOOKS_APART);
        let is_due = !looked_at.contains_key(&product_id);
        if is_due {
            looked_at.insert(product_id, now);
        }
        is_due
    }

    /// A look came to nothing: the next batch that the product breaks has it looked at again.
    pub(super) fn was_not_looked_at(&self, product_id: ProductId) {
        lock(&self.looked_at).remove(&product_id);
    }

    /// Whether this product broke an invariant when it was last looked at.
    pub(super) fn is_known_broken(&self, product_id: ProductId) -> bool {
        lock(&self.found).iter().any(|(id, _)| *id == product_id)
    }

    /// Tells of a breach as an error if it is new, or if its product was on sale until now.
    fn tell(&self, breach: &Breach, suspended: bool) {
        let (product_id, invariant) = (breach.product_id, breach.invariant);
        let is_new = lock(&self.found).insert((product_id, invariant));
        if is_new || suspended {
            self.metrics.inconsistencies.of(invariant.into()).inc();
            tracing::error!(
                product_id = product_id.0,
                invariant = invariant.code(),
                rule = invariant.rule(),
                detail = breach.detail,
                "a product breaks an invariant{}",
                if suspended { " and is suspended" } else { "; it was suspended before" }
            );
        } else {
            tracing::debug!(
                product_id = product_id.0,
                invariant = invariant.code(),
                detail = breach.detail,
                "a product still breaks an invariant"
            );
        }
    }
}
