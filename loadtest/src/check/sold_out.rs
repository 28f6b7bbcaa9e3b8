//! `no_false_sold_out`: a hold is refused only if the units were really not there.
//!
//! Why a right server cannot break it: it refuses a hold of q units only if at some moment between request and
//! answer fewer than q were free (I8), and names how many those were. At every moment at least stock less what
//! perhaps was out is free, and at most stock less what surely was. So with q free units at every moment of the
//! request there was no such moment, and the number named lies within the bounds of the request's span, below q. Where
//! more units are out than there are, 0 is as near to the truth as an answer can come: that is an oversell, and no
//! false refusal.

use indexmap::IndexMap;

use super::Check;
use super::findings::Findings;
use super::ledger::{Ledger, Seen};
use super::shelf::Shelf;
use crate::history::{Code, Operation, Outcome};

pub(super) fn judge(ledger: &Ledger<'_>, shelves: &IndexMap<u64, Shelf>, findings: &mut Findings) {
    for (position, record) in ledger.records.iter().enumerate() {
        let Operation::PlaceHold { product, quantity, .. } = record.operation else { continue };
        let Outcome::Refused { code: Code::InsufficientStock, available, .. } = record.outcome else { continue };
        let Some(shelf) = shelves.get(&product) else { continue };
        findings.judged(Check::NoFalseSoldOut);
        let seen = Seen::new(position, record);
        let mut breach = |what: &dyn Fn() -> String| {
            findings.breach(Check::NoFalseSoldOut, Some(product), seen.ended, &[seen.record], what);
        };
        let named = available.map(|units| i64::try_from(units).unwrap_or(i64::MAX));
        if let Some(named) = named.filter(|named| *named >= i64::from(quantity)) {
            breach(&|| {
                format!("a hold of {quantity} units was refused as sold out, with {named} units said to be available")
            });
            continue;
        }
        if !ledger.whole {
            continue;
        }
        let free = shelf.free(seen.invoked, seen.ended);
        let is_possible = |named: i64| free.contains(named) || (named == 0 && free.most < 0);
        let (from, to) = (seen.invoked.seconds(), seen.ended.seconds());
        if free.least >= i64::from(quantity) {
            breach(&|| {
                format!(
                    "a hold of {quantity} units of product {product} was refused between {from:.3} s and {to:.3} s as sold out, while {free} of {} units were free all the time",
                    shelf.stock
                )
            });
        } else if let Some(named) = named.filter(|named| !is_possible(*named)) {
            breach(&|| {
                format!(
                    "a hold of {quantity} units of product {product} was refused between {from:.3} s and {to:.3} s with {named} units said to be available, but {free} of {} were free",
                    shelf.stock
                )
            });
        }
    }
}
