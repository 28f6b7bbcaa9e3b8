//! Deadlines: of holds, and of the payment windows of orders.
//!
//! One monotonic timer a product and kind, for the earliest deadline that this server knows of. When
//! it rings, one command releases all that is due, whoever placed it, some hundreds a batch, and says
//! when the next deadline is. A sweep finds the products of servers that died. This work is never
//! shed: a pile of expired holds must not outlive a rush.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sale::{ById, Command, NextDue, Outcome, ProductId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calls::answered;
use super::ticket::Waited;
use super::waiting::Class;
use super::{Rejection, Shared};

const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A product whose due work failed is tried again after this long, or by the next sweep.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Due work that would fail again, since the rows of its product are wrong, rests twice as long each time, up to
/// this: a person has to look at it first, and was told.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// A timer that rings a little early by the database's clock must not spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// The most commands of this work at once: each has a task and a place in its lane, neither of which is bounded
/// otherwise. Enough to fill the batches of all workers.
const UNDER_WAY_MAX: usize = 4_096;
/// Rows of batches are looked at within minutes, if at all; a day is ample.
const PRUNE_AFTER: Duration = Duration::from_hours(24);
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// What comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum DueKind {
    Holds,
    Orders,
}

/// Work that comes due at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueAt {
    pub(super) product_id: ProductId,
    pub(super) kind: DueKind,
    pub(super) at: Instant,
}

/// How late due work is. The timers tell it, and whoever looks at metrics reads it.
#[derive(Debug)]
pub(super) struct Lag {
    started: Instant,
    /// The oldest deadline that may have come and is not worked off, in microseconds after `started`.
    oldest_micros: AtomicU64,
}

impl Lag {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), oldest_micros: AtomicU64::new(u64::MAX) }
    }

    fn tell(&self, oldest: Option<Instant>) {
        let micros = oldest.map_or(u64::MAX, |at| micros(at.saturating_duration_since(self.started)));
        self.oldest_micros.store(micros, Ordering::Relaxed);
    }

    /// For how long the oldest deadline that has come has waited; zero if none has come.
    pub(super) fn now(&self) -> Duration {
        let oldest = self.oldest_micros.load(Ordering::Relaxed);
        Duration::from_micros(micros(self.started.elapsed()).saturating_sub(oldest))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Default)]
struct Timers {
    /// The earliest deadline of each product and kind.
    set: ById<(ProductId, DueKind), Instant>,
    by_time: BTreeSet<(Instant, ProductId, DueKind)>,
    /// Whose command is under way; a deadline that comes meanwhile waits for it.
    under_way: HashSet<(ProductId, DueKind)>,
    /// Deadlines that have come and are not worked off, also those whose command failed.
    late: ById<(ProductId, DueKind), Instant>,
    /// What would fail again.
    resting: ById<(ProductId, DueKind), Rest>,
}

/// Due work is left alone, until then and for as long.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    lasts: Duration,
}

impl Timers {
    fn set(&mut self, mut due: DueAt) {
        let key = (due.product_id, due.kind);
        if let Some(rest) = self.resting.get(&key) {
            due.at = due.at.max(rest.until);
        }
        if let Some(earlier) = self.set.get(&key).copied() {
            if earlier <= due.at {
                return;
            }
            self.by_time.remove(&(earlier, due.product_id, due.kind));
        }
        self.set.insert(key, due.at);
        self.by_time.insert((due.at, due.product_id, due.kind));
    }

    fn pop_due(&mut self, now: Instant) -> Option<(ProductId, DueKind)> {
        let (at, product_id, kind) = self.by_time.first().copied()?;
        if at > now {
            return None;
        }
        self.by_time.remove(&(at, product_id, kind));
        self.set.remove(&(product_id, kind));
        self.late.entry((product_id, kind)).or_insert(at);
        Some((product_id, kind))
    }

    /// The oldest deadline that is not worked off; it may be yet to come. Those of products that wait for a person
    /// do not count: that they are late says nothing of those that could be worked off.
    fn oldest(&self, waits_for_a_person: impl Fn(ProductId) -> bool) -> Option<Instant> {
        let late = self.late.iter().filter(|((product_id, _), _)| !waits_for_a_person(*product_id));
        late.map(|(_, at)| *at).chain(self.by_time.first().map(|(at, ..)| *at)).min()
    }

    /// What came of a command that was under way.
    fn ended(&mut self, product_id: ProductId, kind: DueKind, released: Released) {
        let key = (product_id, kind);
        self.under_way.remove(&key);
        let rested = self.resting.remove(&key);
        let again = match released {
            // Not left to the sweep alone: another server may do it, and then the sweep has nothing to say.
            Released::Failed => Some(Instant::now() + SWEEP_EVERY),
            Released::Broken => {
                let lasts = rested.map_or(SWEEP_EVERY, |rest| rest.lasts.saturating_mul(2).min(LONGEST_REST));
                let until = Instant::now() + lasts;
                // What the sweep has set meanwhile rests, too.
                if let Some(at) = self.set.remove(&key) {
                    self.by_time.remove(&(at, product_id, kind));
                }
                self.resting.insert(key, Rest { until, lasts });
                Some(until)
            }
            Released::All => {
                self.late.remove(&key);
                None
            }
            Released::Until(at) => {
                self.late.remove(&key);
                Some(at)
            }
        };
        if let Some(at) = again {
            self.set(DueAt { product_id, kind, at });
        }
    }
}

/// Runs the timers until the engine stops.
pub(super) async fn run(shared: Arc<Shared>, mut deadlines: mpsc::UnboundedReceiver<DueAt>) {
    let mut timers = Timers::default();
    // Bounded by those that are under way: each sends once.
    let (done, mut finished) = mpsc::unbounded_channel::<(ProductId, DueKind, Released)>();
    loop {
        while timers.under_way.len() < UNDER_WAY_MAX
            && let Some((product_id, kind)) = timers.pop_due(Instant::now())
        {
            if !timers.under_way.insert((product_id, kind)) {
                timers.set(DueAt { product_id, kind, at: Instant::now() + RETRY_AFTER });
                continue;
            }
            let (shared, done) = (Arc::clone(&shared), done.clone());
            tokio::spawn(async move {
                let released = release_due(&shared, product_id, kind).await;
                // The receiver ends with the engine; then nobody waits for the next deadline.
                let _ = done.send((product_id, kind, released));
            });
        }
        shared.expiry_lag.tell(timers.oldest(|product_id| shared.suspects.is_known_broken(product_id)));
        // While too many are under way, the end of one of them is waited for.
        let has_room = timers.under_way.len() < UNDER_WAY_MAX;
        let next = timers.by_time.first().map(|(at, ..)| *at).filter(|_| has_room);
        tokio::select! {
            due = deadlines.recv() => match due {
                Some(due) => timers.set(due),
                None => return,
            },
            Some((product_id, kind, released)) = finished.recv() => {
                timers.ended(product_id, kind, released);
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// What became of due work.
#[derive(Clone, Copy, Debug)]
enum Released {
    /// It was not done.
    Failed,
    /// It was not done, and would fail again.
    Broken,
    /// Nothing is waiting.
    All,
    /// What was due is done; look again then.
    Until(Instant),
}

/// Releases what is due of one product and says when to look again.
async fn release_due(shared: &Arc<Shared>, product_id: ProductId, kind: DueKind) -> Released {
    let command = match kind {
        DueKind::Holds => Command::ExpireHolds { product_id },
        DueKind::Orders => Command::CancelUnpaidOrders { product_id },
    };
    let outcome = match shared.queue_command(product_id, command, Class::Internal, None) {
        Ok(caller) => caller.wait(None).await,
        Err(_) => return Released::Failed,
    };
    let next = match outcome {
        Waited::Answered(Ok(Outcome::HoldsExpired { holds, units, next })) => {
            if holds > 0 {
                tracing::info!(product_id = product_id.0, holds, units, "holds expired");
            }
            next
        }
        Waited::Answered(Ok(Outcome::OrdersCancelled { orders, next })) => {
            for order_id in orders {
                tracing::info!(
                    product_id = product_id.0,
                    order_id = order_id.0,
                    reason = "payment_overdue",
                    "order cancelled"
                );
            }
            next
        }
        Waited::Answered(Ok(_)) => NextDue::Never,
        Waited::Answered(Err(Rejection::Internal | Rejection::Inconsistent)) => return Released::Broken,
        Waited::Answered(Err(_)) | Waited::Left(_) => return Released::Failed,
    };
    match next {
        NextDue::Now => Released::Until(Instant::now()),
        NextDue::At { deadline, now } => {
            Released::Until(Instant::now() + until(now.micros_until(deadline)).max(SHORTEST_WAIT))
        }
        NextDue::Never => Released::All,
    }
}

/// A span of the database's clock as one of ours; zero if it is over.
pub(super) fn until(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Looks every second or so for due work that no timer of this server knows of, and tells by the way
/// whether the database answers.
pub(super) async fn sweep(shared: Arc<Shared>) {
    loop {
        match answered("the sweep", shared.store.overdue()).await {
            Ok(overdue) => {
                shared.health.answered();
                if !shared.settings.tends_deadlines {
                    pause().await;
                    continue;
                }
                let holds = overdue.holds.into_iter().map(|product_id| (product_id, DueKind::Holds));
                let orders = overdue.orders.into_iter().map(|product_id| (product_id, DueKind::Orders));
                for (product_id, kind) in holds.chain(orders) {
                    shared.due_at(DueAt { product_id, kind, at: Instant::now() });
                }
            }
            Err(error) => shared.health.heard("the sweep", &error),
        }
        pause().await;
    }
}

/// Servers that were started together should not sweep together.
async fn pause() {
    tokio::time::sleep(SWEEP_EVERY.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
}

/// Deletes rows of batches that nobody will ask for any more.
pub(super) async fn prune(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PRUNE_EVERY).await;
        if let Err(error) = answered("deleting old batch rows", shared.store.prune_batches(PRUNE_AFTER)).await {
            tracing::warn!(error = %error.source, "old batch rows could not be deleted; trying again later");
        }
    }
}
