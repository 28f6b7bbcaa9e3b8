//! When something was seen: the earliest answer that showed it, and the latest question that it answered.
//!
//! What is true for good, once shown, holds from the earliest answer on. What can end, and then for good, had
//! not ended before the latest question whose answer shows it. Nothing else of a crowd of answers is needed.

use crate::history::{Moment, Outcome, Record, Why};

/// One request, by its moments and its position in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) struct Seen {
    pub(in crate::check) invoked: Moment,
    pub(in crate::check) ended: Moment,
    pub(in crate::check) record: u32,
}

impl Seen {
    pub(in crate::check) fn new(position: usize, record: &Record) -> Self {
        // A history of more records than that does not fit into memory.
        Self { invoked: record.invoked, ended: record.ended, record: u32::try_from(position).unwrap_or(u32::MAX) }
    }

    /// The one that was answered first.
    pub(in crate::check) fn first(seen: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        seen.into_iter().flatten().min_by_key(|seen| (seen.ended, seen.record))
    }
}

/// Keeps the request that was answered first.
pub(super) fn keep_first_answered(kept: &mut Option<Seen>, seen: Seen) {
    if kept.is_none_or(|kept| seen.ended < kept.ended) {
        *kept = Some(seen);
    }
}

/// Keeps the request that was sent first.
pub(super) fn keep_first_invoked(kept: &mut Option<Seen>, seen: Seen) {
    if kept.is_none_or(|kept| seen.invoked < kept.invoked) {
        *kept = Some(seen);
    }
}

/// Requests whose answers showed the same.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Sights {
    /// The one answered first.
    pub(in crate::check) first: Seen,
    /// The one sent last.
    pub(in crate::check) last: Seen,
}

impl Sights {
    pub(super) fn add(sights: &mut Option<Self>, seen: Seen) {
        match sights {
            None => *sights = Some(Self { first: seen, last: seen }),
            Some(sights) => {
                if seen.ended < sights.first.ended {
                    sights.first = seen;
                }
                if seen.invoked > sights.last.invoked {
                    sights.last = seen;
                }
            }
        }
    }
}

/// Whether a request with this outcome may have been carried out, or may be yet.
pub(in crate::check) const fn perhaps_done(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Refused { .. } | Outcome::Unknown { why: Why::NotSent, .. })
}
