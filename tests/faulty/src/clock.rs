//! Time: microseconds since 1970, UTC, and how it is shown.
//!
//! What does not belong here: deadlines. Those are the sale's.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const SECOND: i64 = 1_000_000;

/// Now, by the machine's clock.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The same moment if it is a whole second, else the next one that is.
pub(crate) fn round_up_to_second(at: i64) -> i64 {
    at + (-at).rem_euclid(SECOND)
}

/// `2025-12-02T19:00:26.000000Z`.
pub(crate) fn shown(at: i64) -> String {
    format!("{:.6}", moment(at))
}

/// `2025-12-02T01:00:00Z`.
pub(crate) fn shown_whole(at: i64) -> String {
    format!("{:.0}", moment(at))
}

fn moment(at: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::MAX)
}
