//! How many commands wait, and the bound on each class of them.
//!
//! Shared by the queue, which counts commands in and out, and by callers, which withdraw theirs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::EngineMetrics;
use crate::telemetry::labels::Queue;

/// The most holds that wait, all products together.
pub(super) const HOLDS_MAX: usize = 20_000;
/// The most holds that wait for one product: one that does not move must leave room to the others.
pub(super) const HOLDS_PER_PRODUCT_MAX: usize = HOLDS_MAX / 2;
/// The most orders, payments and operators' commands that wait, all products together.
pub(super) const MONEY_MAX: usize = 10_000;

/// Whose work a command is; each class has a bound of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// A wish for units.
    Hold,
    /// Orders, payments, units given back, operators: money and stock come before wishes.
    Money,
    /// Expiry and window cancellations: never shed.
    Internal,
}

/// The commands that wait, by class.
#[derive(Debug)]
pub(super) struct Waiting {
    holds: AtomicUsize,
    money: AtomicUsize,
    metrics: EngineMetrics,
}

impl Waiting {
    pub(super) fn new(metrics: EngineMetrics) -> Self {
        Self { holds: AtomicUsize::new(0), money: AtomicUsize::new(0), metrics }
    }

    fn of(&self, class: Class) -> Option<(&AtomicUsize, Queue, usize)> {
        match class {
            Class::Hold => Some((&self.holds, Queue::Holds, HOLDS_MAX)),
            Class::Money => Some((&self.money, Queue::Others, MONEY_MAX)),
            Class::Internal => None,
        }
    }

    /// Whether no more commands of this class may wait.
    pub(super) fn is_full(&self, class: Class) -> bool {
        self.of(class).is_some_and(|(count, _, most)| count.load(Ordering::Relaxed) >= most)
    }

    /// A command waits.
    pub(super) fn enter(&self, class: Class) {
        if let Some((count, queue, _)) = self.of(class) {
            count.fetch_add(1, Ordering::Relaxed);
            self.metrics.queue_depth.of(queue).inc();
        }
    }

    /// A command that waited since then goes with a batch.
    pub(super) fn go(&self, class: Class, since: Instant, now: Instant) {
        if let Some((_, queue, _)) = self.of(class) {
            self.metrics.queue_wait.of(queue).observe(now.saturating_duration_since(since).as_secs_f64());
        }
        self.leave(class);
    }

    /// Shows for how long the oldest command of each class has waited.
    pub(super) fn show_oldest(&self, oldest: impl Fn(Class) -> Option<Instant>) {
        for class in [Class::Hold, Class::Money] {
            if let Some((_, queue, _)) = self.of(class) {
                let age = oldest(class).map_or(Duration::ZERO, |since| since.elapsed());
                self.metrics.queue_age.of(queue).set(age.as_secs_f64());
            }
        }
    }

    /// A command that waited went with a batch, or was withdrawn.
    pub(super) fn leave(&self, class: Class) {
        if let Some((count, queue, _)) = self.of(class) {
            count.fetch_sub(1, Ordering::Relaxed);
            self.metrics.queue_depth.of(queue).dec();
        }
    }

    /// How many commands of this class wait.
    #[cfg(test)]
    pub(super) fn count(&self, class: Class) -> usize {
        self.of(class).map_or(0, |(count, ..)| count.load(Ordering::Relaxed))
    }
}
