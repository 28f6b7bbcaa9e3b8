//! What the checks found so far: how much each judged, and the first breaches of each.
//!
//! What does not belong here: what follows from it (that is `judge`).

use super::{Breach, Check};
use crate::history::Moment;

/// How many breaches of a check are kept: those that were certain first.
const KEPT: usize = 10;

/// What one check found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) judged: u64,
    pub(super) breaches: Vec<Breach>,
    pub(super) breaches_in_all: u64,
    /// What whoever reads the verdict should know besides.
    pub(super) note: Option<String>,
    /// What it did not see and had to, to be believed.
    pub(super) missing: Option<String>,
}

/// What all checks found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: [Found; Check::ALL.len()],
}

impl Findings {
    /// Hands over what `check` found.
    pub(super) fn take(&mut self, check: Check) -> Found {
        std::mem::take(self.of_mut(check))
    }

    fn of_mut(&mut self, check: Check) -> &mut Found {
        &mut self.found[check as usize]
    }

    /// Takes down that `check` judged one operation more.
    pub(super) fn judged(&mut self, check: Check) {
        self.judged_many(check, 1);
    }

    /// Takes down that `check` judged so many operations more.
    pub(super) fn judged_many(&mut self, check: Check, operations: u64) {
        self.of_mut(check).judged += operations;
    }

    /// Takes down what whoever reads the verdict should know of `check` besides.
    pub(super) fn note(&mut self, check: Check, note: String) {
        self.of_mut(check).note = Some(note);
    }

    /// Takes down that `check` cannot be believed, however much it judged, and why.
    pub(super) fn missing(&mut self, check: Check, what: String) {
        self.of_mut(check).missing = Some(what);
    }

    /// Takes down a breach that was certain `at` a moment. `what` is asked only if it is kept, so that a server
    /// that is wrong a million times costs no million sentences.
    pub(super) fn breach(
        &mut self,
        check: Check,
        product: Option<u64>,
        at: Moment,
        records: &[u32],
        what: impl FnOnce() -> String,
    ) {
        let found = self.of_mut(check);
        found.breaches_in_all += 1;
        let place = found.breaches.partition_point(|breach| breach.at <= at);
        if place < KEPT {
            let mut positions: Vec<usize> = Vec::with_capacity(records.len());
            for record in records {
                let position = *record as usize;
                if !positions.contains(&position) {
                    positions.push(position);
                }
            }
            found.breaches.insert(place, Breach { what: what(), product, at, records: positions });
            found.breaches.truncate(KEPT);
        }
    }
}
