//! What reads of products show: `counters`, `units_conserved` at rest, and their part of `fresh_reads`.
//!
//! Why a right server cannot break them: the counters of an answer are those of one moment between request and
//! answer, so `available_stock` is the difference of the other two, I1 holds among them, and each lies within the bounds of
//! its request's span (I2, I3, and `spans` for the bounds).
//!
//! A read that is off is either late or tells of units that were lost or made. Where the harness had come to rest, and
//! the last such read of the product is off, units are wrong: `units_conserved`. Where a later one is right again, it
//! was late: `fresh_reads`. A product whose units are wrong is not accused of late reads as well.

use indexmap::{IndexMap, IndexSet};

use super::Check;
use super::findings::Findings;
use super::ledger::{Ledger, Seen};
use super::shelf::{Bounds, Shelf};
use crate::history::{Moment, Operation, Outcome, ProductView};

/// What one read shows against what it can.
struct Look {
    /// Whether something is off.
    off: bool,
    /// Whether nothing else was possible.
    exact: bool,
}

pub(super) fn judge(ledger: &Ledger<'_>, shelves: &IndexMap<u64, Shelf>, findings: &mut Findings) {
    let (mut slack, mut rests) = (0_u64, 0_u64);
    // The last read at rest of each product, and whether it was off.
    let mut last_rest: IndexMap<u64, (Moment, bool)> = IndexMap::new();
    let mut off = Vec::new();
    for (position, record) in ledger.records.iter().enumerate() {
        let (Operation::ReadProduct { product, at_rest }, Outcome::Product(view)) = (record.operation, &record.outcome)
        else {
            continue;
        };
        let seen = Seen::new(position, record);
        judge_counters(product, view, seen, findings);
        let Some(shelf) = shelves.get(&product).filter(|_| ledger.whole) else { continue };
        let look = look(shelf, view, seen);
        if at_rest {
            rests += 1;
            if look.exact {
                findings.judged(Check::UnitsConserved);
            } else {
                slack += 1;
            }
            let last = last_rest.entry(product).or_insert((seen.ended, false));
            if seen.ended >= last.0 {
                *last = (seen.ended, look.off);
            }
        } else {
            findings.judged(Check::FreshReads);
        }
        if look.off {
            off.push((product, seen, at_rest, *view));
        }
    }
    let wrong: IndexSet<u64> = last_rest.iter().filter(|(_, last)| last.1).map(|(product, _)| *product).collect();
    for (product, seen, at_rest, view) in off {
        let check = match (wrong.contains(&product), at_rest) {
            (true, true) => Check::UnitsConserved,
            (true, false) => continue,
            (false, _) => Check::FreshReads,
        };
        let Some(shelf) = shelves.get(&product) else { continue };
        findings.breach(check, Some(product), seen.ended, &[seen.record], || describe(shelf, &view, seen));
    }
    if slack > 0 {
        let why = "since other requests were under way, or nobody ever knew what came of some";
        findings.note(
            Check::UnitsConserved,
            format!("{slack} of {rests} reads at rest left room for more than one answer, {why}"),
        );
    }
}

/// `counters`.
fn judge_counters(product: u64, view: &ProductView, seen: Seen, findings: &mut Findings) {
    let ProductView { free, available, reserved, .. } = *view;
    findings.judged(Check::Counters);
    let sane = 0 <= reserved && reserved <= available && available.checked_sub(reserved) == Some(free);
    if !sane {
        findings.breach(Check::Counters, Some(product), seen.ended, &[seen.record], || {
            format!(
                "product {product} was shown with stock_available {available}, stock_reserved {reserved} and available_stock {free}"
            )
        });
    }
}

/// Each counter: its name, what was shown, what can be.
fn counters(shelf: &Shelf, view: &ProductView, seen: Seen) -> [(&'static str, i64, Bounds); 3] {
    let (from, to) = (seen.invoked, seen.ended);
    [
        ("available_stock", view.free, shelf.free(from, to)),
        ("stock_available", view.available, shelf.available(from, to)),
        ("stock_reserved", view.reserved, shelf.reserved(from, to)),
    ]
}

fn look(shelf: &Shelf, view: &ProductView, seen: Seen) -> Look {
    let counters = counters(shelf, view, seen);
    Look {
        off: counters.iter().any(|(_, shown, bounds)| !bounds.contains(*shown)),
        exact: counters.iter().all(|(_, _, bounds)| bounds.is_exact()),
    }
}

fn describe(shelf: &Shelf, view: &ProductView, seen: Seen) -> String {
    let wrong: Vec<String> = counters(shelf, view, seen)
        .iter()
        .filter(|(_, shown, bounds)| !bounds.contains(*shown))
        .map(|(name, shown, bounds)| format!("{name} {shown} instead of {bounds}"))
        .collect();
    format!(
        "a read between {:.3} s and {:.3} s showed {}, of {} units stocked",
        seen.invoked.seconds(),
        seen.ended.seconds(),
        wrong.join(", "),
        shelf.stock
    )
}
