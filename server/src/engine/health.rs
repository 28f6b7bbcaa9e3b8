//! Whether the database answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Fault, StoreError};

/// How long the database may be silent before the server says that it is cut off.
const CUT_OFF_AFTER: Duration = Duration::from_secs(5);
/// How long it may be silent before what times out is put down to it.
const FAILING_AFTER: Duration = Duration::from_secs(3);

/// When the database last answered. Everything that talks to it reports here.
#[derive(Debug)]
pub(super) struct Health {
    started: Instant,
    answered_at_ms: AtomicU64,
    lost: AtomicBool,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), answered_at_ms: AtomicU64::new(0), lost: AtomicBool::new(false) }
    }

    /// The database answered.
    pub(super) fn answered(&self) {
        if self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed) {
            tracing::info!(silent_ms = millis(self.silent()), "the database answers again");
        }
        self.answered_at_ms.store(millis(self.started.elapsed()), Ordering::Relaxed);
    }

    /// A call of the store failed. An error that the database sent is an answer, too.
    pub(super) fn heard(&self, what: &str, error: &StoreError) {
        match error.fault {
            Fault::Disconnected | Fault::OutcomeUnknown => self.failed(error),
            Fault::Retry(_) | Fault::Refused | Fault::BatchExists => {
                self.answered();
                tracing::warn!(error = %error.source, fault = %error.fault, "{what} failed");
            }
        }
    }

    /// The database could not be asked, or did not answer. One warning tells of the outage, however many
    /// requests it meets.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the database does not answer; trying again until it does");
        }
    }

    /// Whether it has been silent for longer than two sweeps: what timed out meanwhile waited for it.
    pub(super) fn is_failing(&self) -> bool {
        self.silent() > FAILING_AFTER
    }

    /// Whether it has been silent for 5 seconds. The sweep asks it every second, so silence means that
    /// it is out of reach, not that nobody asked.
    pub(super) fn is_cut_off(&self) -> bool {
        self.silent() > CUT_OFF_AFTER
    }

    /// Whether the last call was answered, and how long ago the database last answered.
    pub(super) fn figures(&self) -> (bool, Duration) {
        (!self.lost.load(Ordering::Relaxed), self.silent())
    }

    fn silent(&self) -> Duration {
        let answered_at = Duration::from_millis(self.answered_at_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(answered_at)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
