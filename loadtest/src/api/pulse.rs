//! Whether the server still answers: a scenario whose clients hear nothing that says anything, for so long that
//! waiting on is pointless, is over.
//!
//! Only clients that ask and are not answered count: a scenario that waits for a deadline and asks nothing is
//! well. What does not belong here: whether answers are right, and how a scenario comes to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::book::is_final;
use crate::history::{Moment, Outcome, Why};

/// How long the clients of a scenario have asked in vain, and whether they are to go on.
#[derive(Debug)]
pub struct Pulse {
    /// How long they ask in vain, at most, in nanoseconds. A pause of that length begins a new count.
    limit: u64,
    over: CancellationToken,
    /// Whether somebody counts.
    is_watched: AtomicBool,
    has_stopped: AtomicBool,
    beats: Mutex<Beats>,
}

#[derive(Debug, Default)]
struct Beats {
    /// When the last answer came that said something.
    answered: Moment,
    /// Since when nothing did, and when that was seen last.
    in_vain: Option<(Moment, Moment)>,
}

impl Pulse {
    /// Cancels `over` when clients have asked for `limit` in vain, once it is watched. Whoever else cancels it ends
    /// the scenario as well.
    pub fn new(limit: Duration, over: CancellationToken) -> Self {
        Self {
            limit: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            over,
            is_watched: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
            beats: Mutex::default(),
        }
    }

    /// Begins to count.
    pub fn watch(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) = Beats::default();
        self.is_watched.store(true, Ordering::Relaxed);
    }

    /// Whether the scenario is to end, for whatever reason.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Whether that is because the server no longer says anything.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    /// Begins a new count: what ended until now says nothing of the server.
    pub(super) fn forget(&self, now: Moment) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) = Beats { answered: now, in_vain: None };
    }

    /// Takes down how a request ended that began at `invoked`.
    pub(super) fn enter(&self, invoked: Moment, ended: Moment, outcome: &Outcome) {
        // What a client loses on purpose says nothing of the server.
        if !self.is_watched.load(Ordering::Relaxed) || matches!(outcome, Outcome::Unknown { why: Why::Lost, .. }) {
            return;
        }
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        if is_final(outcome) {
            *beats = Beats { answered: ended, in_vain: None };
            return;
        }
        let began = invoked.max(beats.answered);
        let since = match beats.in_vain {
            Some((since, last)) if began <= last.later(self.limit) => since,
            _ => began,
        };
        beats.in_vain = Some((since, ended));
        if ended >= since.later(self.limit) && !self.is_over() {
            self.has_stopped.store(true, Ordering::Relaxed);
            self.over.cancel();
        }
    }
}

impl Default for Pulse {
    /// One that never stops, and that nobody ends.
    fn default() -> Self {
        Self::new(Duration::MAX, CancellationToken::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Code;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Whether a server has stopped that answered at these seconds, usefully or not.
    fn stops(requests: &[(u64, u64, bool)]) -> bool {
        let pulse = Pulse::new(LIMIT, CancellationToken::new());
        pulse.watch();
        for (invoked, ended, is_useful) in requests {
            let outcome = if *is_useful {
                Outcome::Accepted
            } else {
                Outcome::Refused { status: 503, code: Code::Overloaded, available: None, order: None }
            };
            pulse.enter(Moment(invoked * Moment::SECOND), Moment(ended * Moment::SECOND), &outcome);
        }
        assert_eq!(pulse.has_stopped(), pulse.is_over());
        pulse.has_stopped()
    }

    #[test]
    fn asking_in_vain_ends_and_waiting_does_not() {
        assert!(stops(&[(0, 1, false), (5, 6, false), (9, 10, false)]));
        assert!(stops(&[(0, 10, false)]), "a request that hangs counts from its beginning");
        assert!(!stops(&[(0, 1, false), (5, 6, true), (9, 10, false)]), "an answer begins a new count");
        assert!(!stops(&[(0, 6, true), (0, 10, false)]), "so does one while another hangs");
        assert!(!stops(&[(0, 1, false), (100, 101, false)]), "nobody asked for a long time between the two");
        assert!(!stops(&[]));
    }

    #[test]
    fn what_is_forgotten_does_not_count() {
        let pulse = Pulse::new(LIMIT, CancellationToken::new());
        pulse.watch();
        let hung = Outcome::Unknown { why: Why::TimedOut, status: None };
        pulse.enter(Moment(0), Moment(9 * Moment::SECOND), &hung);
        pulse.forget(Moment(9 * Moment::SECOND));
        pulse.enter(Moment(0), Moment(18 * Moment::SECOND), &hung);
        assert!(!pulse.has_stopped());
        pulse.enter(Moment(18 * Moment::SECOND), Moment(19 * Moment::SECOND), &hung);
        assert!(pulse.has_stopped());
    }

    #[test]
    fn it_counts_only_while_it_is_watched() {
        let pulse = Pulse::new(LIMIT, CancellationToken::new());
        let hung = Outcome::Unknown { why: Why::TimedOut, status: None };
        pulse.enter(Moment(0), Moment(60 * Moment::SECOND), &hung);
        assert!(!pulse.has_stopped());
        pulse.watch();
        pulse.enter(Moment(0), Moment(60 * Moment::SECOND), &Outcome::Unknown { why: Why::Lost, status: None });
        assert!(!pulse.has_stopped(), "what was lost on purpose");
        pulse.enter(Moment(0), Moment(60 * Moment::SECOND), &hung);
        assert!(pulse.has_stopped());
    }
}
