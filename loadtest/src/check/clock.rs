//! How far spans of time may be off: the margin, how long a hold lives, how long an order waits.
//!
//! A deadline is on the server's clock, requests are on the harness's. Only lengths of time are carried
//! from one to the other, never points in time, so that clocks which differ cannot matter; that they run
//! at different speeds, or are slewed, is what the margin is for. Where the harness's clock stood still or jumped
//! while the server's did not, a span may be off by all of that, wherever it lies.

use crate::history::{Limits, Mark};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The part of the margin that does not depend on the span, in nanoseconds.
const MARGIN: u64 = 100_000_000;

/// How far a span of so many nanoseconds on the server's clock may be off on the harness's, in nanoseconds:
/// 100 ms and a thousandth of it.
pub(super) const fn margin(span: u64) -> u64 {
    MARGIN.saturating_add(span / 1000)
}

/// The spans that the server's limits promise, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    time_to_live: u64,
    window: u64,
    /// How far the harness's clock came apart from others during the run, in all, in nanoseconds.
    apart: u64,
}

/// How long a hold lives, in nanoseconds on the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// At least.
    pub(super) shortest: u64,
    /// At most.
    pub(super) longest: u64,
    /// How far the harness's clock may be off besides.
    apart: u64,
}

impl Clock {
    pub(super) fn new(limits: &Limits, marks: &[Mark]) -> Self {
        let steps = marks.iter().map(|mark| match mark {
            Mark::ClockStepped { nanoseconds, .. } => *nanoseconds,
            _ => 0,
        });
        Self {
            apart: steps.fold(0, u64::saturating_add),
            time_to_live: limits.hold_ttl_seconds.saturating_mul(SECOND),
            window: limits.payment_window_seconds.saturating_mul(SECOND),
        }
    }

    /// What the limits promise for a hold: its deadline is rounded up to a whole second.
    pub(super) const fn life(&self) -> Life {
        let longest = self.time_to_live.saturating_add(SECOND);
        Life { shortest: self.time_to_live, longest, apart: self.apart }
    }

    /// What a read of the hold shows, in microseconds on the server's clock. A deadline before the beginning is a life of 0.
    pub(super) fn shown(&self, created_at: i64, expires_at: i64) -> Life {
        let microseconds = i128::from(expires_at) - i128::from(created_at);
        let span = u64::try_from(microseconds.max(0)).unwrap_or(u64::MAX).saturating_mul(1000);
        Life { shortest: span, longest: span, apart: self.apart }
    }

    /// How long an order waits for its payment at least, less the margin.
    pub(super) const fn window_at_least(&self) -> u64 {
        self.window.saturating_sub(margin(self.window)).saturating_sub(self.apart)
    }
}

impl Life {
    /// The shortest life, less the margin.
    pub(super) const fn at_least(self) -> u64 {
        self.shortest.saturating_sub(margin(self.shortest)).saturating_sub(self.apart)
    }

    /// The longest life and the margin.
    pub(super) const fn at_most(self) -> u64 {
        self.longest.saturating_add(margin(self.longest)).saturating_add(self.apart)
    }

    /// Whether this life, as shown, can be one that `promised` allows.
    pub(super) const fn keeps(self, promised: Self) -> bool {
        self.longest >= promised.at_least() && self.shortest <= promised.at_most()
    }
}
