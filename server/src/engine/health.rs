//! Whether the database answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long the database may be silent before the server says that it is cut off.
const CUT_OFF_AFTER: Duration = Duration::from_secs(5);

const FAILING_AFTER: Duration = Duration::from_secs(3);

/// When the database last answered. Everything that talks to it reports here.
#[derive(Debug)]
pub(super) struct Health {
    started: Instant,
    answered_at_ms: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), answered_at_ms: AtomicU64::new(0) }
    }

    /// The database answered.
    pub(super) fn answered(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered_at_ms.store(now, Ordering::Relaxed);
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

    fn silent(&self) -> Duration {
        let answered_at = Duration::from_millis(self.answered_at_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(answered_at)
    }
}
