//! Counts what becomes of each request, once: also of one whose caller hangs up, whose future is dropped.
//!
//! What belongs here: when a request counts as turned away, and by which reason. What does not: what the
//! rules say to it (`requests`), and the bounds and deadlines that turn it away.

use prometheus::IntCounter;

use super::{Overload, Rejection};
use crate::telemetry::EngineMetrics;
use crate::telemetry::families::Family;
use crate::telemetry::labels::{Ending, Label, TurnedAway};

/// A request that is being served. Dropped before it ends, it is counted as one whose caller hung up.
///
/// Whoever serves the request keeps it meanwhile: a function that took the work as a future would have room for it twice.
pub(super) struct Open<'a, R: Label> {
    metrics: &'a EngineMetrics,
    /// Where requests of its kind are counted by outcome, if they are.
    outcomes: Option<&'a Family<Ending<R>, IntCounter>>,
    /// What to count when it is dropped.
    ending: Option<Ending<R>>,
}

impl<R: Label> Drop for Open<'_, R> {
    fn drop(&mut self) {
        let unless_told = if std::thread::panicking() { TurnedAway::Internal } else { TurnedAway::HungUp };
        let ending = self.ending.unwrap_or(Ending::TurnedAway(unless_told));
        if let Some(outcomes) = self.outcomes {
            outcomes.of(ending).inc();
        }
        if let Ending::TurnedAway(reason) = ending {
            self.metrics.turned_away.of(reason).inc();
        }
    }
}

/// A request whose kind is not counted by outcome has one: it was served.
#[derive(Clone, Copy)]
pub(super) struct Unnamed;

impl Label for Unnamed {
    const COUNT: usize = 1;

    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self)
    }

    fn name(self) -> &'static str {
        "served"
    }

    fn index(self) -> usize {
        0
    }
}

/// A request that is counted by outcome.
pub(super) const fn tally<'a, R: Label>(
    metrics: &'a EngineMetrics,
    outcomes: &'a Family<Ending<R>, IntCounter>,
) -> Open<'a, R> {
    Open { metrics, outcomes: Some(outcomes), ending: None }
}

/// A request of a kind that is not counted by outcome: it is counted if it is turned away.
pub(super) const fn watch(metrics: &EngineMetrics) -> Open<'_, Unnamed> {
    Open { metrics, outcomes: None, ending: None }
}

impl<R: Label> Open<'_, R>
where
    Ending<R>: From<sale::Refusal>,
{
    /// This became of it; `served` says by which outcome to count it if it was served.
    pub(super) fn ended_as<T>(
        mut self,
        answer: Result<T, Rejection>,
        served: impl FnOnce(&T) -> R,
    ) -> Result<T, Rejection> {
        self.ending = Some(match &answer {
            Ok(value) => Ending::Served(served(value)),
            Err(Rejection::Refused(refusal)) => Ending::from(*refusal),
            // What a wish for a product that breaks an invariant is answered with.
            Err(Rejection::Inconsistent) => Ending::from(sale::Refusal::ProductSuspended),
            Err(rejection) => Ending::TurnedAway(reason(rejection)),
        });
        answer
    }
}

impl Open<'_, Unnamed> {
    /// This became of it.
    pub(super) fn ended<T>(mut self, answer: Result<T, Rejection>) -> Result<T, Rejection> {
        self.ending = Some(match &answer {
            Ok(_) | Err(Rejection::Refused(_)) => Ending::Served(Unnamed),
            Err(rejection) => Ending::TurnedAway(reason(rejection)),
        });
        answer
    }
}

const fn reason(rejection: &Rejection) -> TurnedAway {
    match rejection {
        Rejection::Overloaded(Overload::QueueFull) => TurnedAway::QueueFull,
        Rejection::Overloaded(Overload::QueueSlow { .. }) => TurnedAway::QueueSlow,
        Rejection::Overloaded(Overload::ReadsFull) => TurnedAway::ReadsFull,
        Rejection::TimedOut => TurnedAway::Deadline,
        Rejection::DatabaseUnavailable => TurnedAway::DatabaseUnavailable,
        Rejection::OutcomeUnknown => TurnedAway::OutcomeUnknown,
        Rejection::Stopping => TurnedAway::Stopping,
        Rejection::Internal | Rejection::Inconsistent | Rejection::Refused(_) => TurnedAway::Internal,
    }
}
