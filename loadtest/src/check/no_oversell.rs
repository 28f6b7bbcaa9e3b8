//! `no_oversell`: units surely acknowledged never exceed the units stocked, at any moment.
//!
//! Why a right server cannot break it: at every moment the units of active holds and of orders not cancelled are no more than
//! those stocked (I1 to I3), and what surely was out at a moment, as `spans` argues, is part of them.

use indexmap::IndexMap;

use super::Check;
use super::findings::Findings;
use super::ledger::Ledger;
use super::shelf::Shelf;
use crate::history::Moment;

/// How many requests a breach names.
const NAMED: usize = 6;

pub(super) fn judge(ledger: &Ledger<'_>, shelves: &IndexMap<u64, Shelf>, findings: &mut Findings) {
    let judged =
        ledger.holds.values().filter_map(|hold| hold.placed).filter(|placed| shelves.contains_key(&placed.product));
    findings.judged_many(Check::NoOversell, judged.count() as u64);
    if !ledger.whole {
        return;
    }
    for (product, shelf) in shelves {
        let mut last = 0;
        let (mut crossings, mut first, mut peak) = (0_u64, None, (Moment(0), 0));
        for (moment, out) in shelf.surely_out() {
            if out > shelf.stock && out > last {
                crossings += 1;
                first.get_or_insert((moment, out));
                if out > peak.1 {
                    peak = (moment, out);
                }
            }
            last = out;
        }
        let Some((moment, out)) = first else { continue };
        let records = holds_out_at(ledger, *product, moment);
        let stock = shelf.stock;
        findings.breach(Check::NoOversell, Some(*product), moment, &records, || {
            let after = if peak.1 > out {
                format!("; at {:.3} s it was {} units", peak.0.seconds(), peak.1)
            } else {
                String::new()
            };
            format!(
                "{out} units of {stock} were surely held or sold at {:.3} s: product {product} was oversold {crossings} times, by {} at most{after}",
                moment.seconds(),
                peak.1 - stock,
            )
        });
    }
}

/// The requests that got the last of the units that were out at a moment, and the first.
fn holds_out_at(ledger: &Ledger<'_>, product: u64, at: Moment) -> Vec<u32> {
    let mut out: Vec<(Moment, u32)> = Vec::new();
    for hold in ledger.holds.values() {
        let Some(placed) = hold.placed.filter(|placed| placed.product == product) else { continue };
        let spans = ledger.spans(hold, &placed);
        if spans.surely_out.iter().any(|span| span.from <= at && at < span.to) {
            out.push((placed.acknowledged.ended, placed.acknowledged.record));
        }
    }
    out.sort_unstable();
    out.iter().rev().take(NAMED).map(|(_, record)| *record).collect()
}
