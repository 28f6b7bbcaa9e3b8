//! Whether the database answers, and whether it takes what is written.
//!
//! The two differ: one that is read-only, or has a full disk, reads on. Then what customers want written is turned
//! away at the door, but for one command a second, which shows whether it can be. Where nobody tries any more,
//! a small write of our own does; that it succeeds means less, since a full disk may take it and not the next row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::calls::answered;
use crate::store::{Fault, Sequence, StoreError};

/// How long the database may be silent, or take no write, before the server says that it is cut off.
const CUT_OFF_AFTER: Duration = Duration::from_secs(5);
/// How long that may last before what times out is put down to it.
const FAILING_AFTER: Duration = Duration::from_secs(3);
/// How often a database that took no write is asked whether it takes one.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// In place of a moment: the last write did not fail.
const NEVER: u64 = u64::MAX;

/// When the database last answered, and since when it takes no write. Everything that talks to it reports here.
#[derive(Debug)]
pub(super) struct Health {
    started: Instant,
    answered_at_ms: AtomicU64,
    lost: AtomicBool,
    /// When the first write failed of those since the last that did not.
    writes_fail_since_ms: AtomicU64,
    /// When the last of them failed.
    write_failed_at_ms: AtomicU64,
    /// When a command was last let through although writes fail.
    tried_at_ms: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            answered_at_ms: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            writes_fail_since_ms: AtomicU64::new(NEVER),
            write_failed_at_ms: AtomicU64::new(0),
            tried_at_ms: AtomicU64::new(0),
        }
    }

    /// The database answered.
    pub(super) fn answered(&self) {
        if self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed) {
            tracing::info!(silent_ms = millis(self.silent()), "the database answers again");
        }
        self.answered_at_ms.store(millis(self.started.elapsed()), Ordering::Relaxed);
    }

    /// The database took a write.
    pub(super) fn wrote(&self) {
        self.answered();
        if self.writes_fail_since_ms.load(Ordering::Relaxed) == NEVER {
            return;
        }
        let unwritable = self.unwritable();
        if self.writes_fail_since_ms.swap(NEVER, Ordering::Relaxed) != NEVER {
            tracing::info!(unwritable_ms = millis(unwritable), "the database takes writes again");
        }
    }

    /// A write failed for a reason that lies with the database. One warning tells of it, however many requests
    /// it meets.
    pub(super) fn write_failed(&self, error: &dyn std::fmt::Display) {
        let now = millis(self.started.elapsed());
        self.write_failed_at_ms.store(now, Ordering::Relaxed);
        let first = self.writes_fail_since_ms.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            tracing::warn!(%error, "the database takes no write; trying again until it does");
        }
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

    /// Whether it has been silent, or taken no write, for longer than two sweeps: what timed out meanwhile waited
    /// for it.
    pub(super) fn is_failing(&self) -> bool {
        self.silent() > FAILING_AFTER || self.unwritable() > FAILING_AFTER
    }

    /// Whether it has been silent for 5 seconds. The sweep asks it every second, so silence means that
    /// it is out of reach, not that nobody asked.
    pub(super) fn is_cut_off(&self) -> bool {
        self.silent() > CUT_OFF_AFTER
    }

    /// Whether it is cut off, or has taken no write for 5 seconds, whoever tried. Once one has failed it is tried
    /// every second.
    pub(super) fn is_unwritable(&self) -> bool {
        self.is_cut_off() || self.unwritable() > CUT_OFF_AFTER
    }

    /// Whether a command is to be tried: all of them, or, while it takes no write, one a second.
    pub(super) fn admits_write(&self) -> bool {
        if !self.is_unwritable() {
            return true;
        }
        let (tried_at, now) = (self.tried_at_ms.load(Ordering::Relaxed), millis(self.started.elapsed()));
        !self.is_cut_off()
            && now.saturating_sub(tried_at) >= millis(PROBE_EVERY)
            && self.tried_at_ms.compare_exchange(tried_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a write of ours that succeeded may be believed: no other has failed lately.
    fn believes_probe(&self) -> bool {
        let failed_at = Duration::from_millis(self.write_failed_at_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(failed_at) > FAILING_AFTER
    }

    /// Whether the last call was answered and the last write was taken, and how long ago the database last answered.
    pub(super) fn figures(&self) -> (bool, Duration) {
        let writes = self.writes_fail_since_ms.load(Ordering::Relaxed) == NEVER;
        (writes && !self.lost.load(Ordering::Relaxed), self.silent())
    }

    /// How long every write has failed; zero if the last did not.
    fn unwritable(&self) -> Duration {
        match self.writes_fail_since_ms.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            since => self.started.elapsed().saturating_sub(Duration::from_millis(since)),
        }
    }

    fn silent(&self) -> Duration {
        let answered_at = Duration::from_millis(self.answered_at_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(answered_at)
    }
}

/// Tries a small write while writes fail, so that it shows when they do not, though nobody else may try any more.
pub(super) async fn probe(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        if shared.health.unwritable().is_zero() {
            continue;
        }
        // An id that nobody gets does no harm.
        match answered("a small write", shared.store.reserve_ids(Sequence::Batches, 1)).await {
            Ok(_) if shared.health.believes_probe() => shared.health.wrote(),
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %error.source, "the database still takes no write"),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
