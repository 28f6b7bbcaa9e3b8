//! When something happened: nanoseconds on the harness's monotonic clock.
//!
//! What does not belong here: any other clock. That of the server is read from its answers only, as they come.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the run began, on the harness's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds in a second.
    pub const SECOND: u64 = 1_000_000_000;

    /// This moment, of a run that began at `began`.
    pub fn since(began: Instant) -> Self {
        Self(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// In seconds, for people.
    pub fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shown with a few digits only")]
        let nanoseconds = self.0 as f64;
        nanoseconds / 1e9
    }

    /// The moment `nanoseconds` later; the last one there is if that is beyond it.
    #[must_use]
    pub fn later(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// The moment `nanoseconds` earlier; the beginning if that was before it.
    #[must_use]
    pub fn earlier(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_sub(nanoseconds))
    }
}
