//! The units of one product over time: what surely counted, and what perhaps did.
//!
//! The sums of `spans` over all holds of a product. At every moment the true number is between the sure and the perhaps one, so what
//! an answer shows must lie between the least sure and the greatest perhaps value of its request's span.
//! What does not belong here: what is concluded from it.

use indexmap::IndexMap;

use super::ledger::{Ledger, Span, Spans, was_made};
use super::steps::{End, Steps};
use crate::history::Moment;

/// Two numbers of which a third is between, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: i64,
    pub(super) most: i64,
}

impl Bounds {
    pub(super) const fn contains(self, value: i64) -> bool {
        self.least <= value && value <= self.most
    }

    /// Whether one value only is possible.
    pub(super) const fn is_exact(self) -> bool {
        self.least == self.most
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_exact() {
            write!(formatter, "{}", self.least)
        } else {
            write!(formatter, "{} to {}", self.least, self.most)
        }
    }
}

/// The units of one product, with the stock it began with.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) stock: i64,
    surely_out: Steps,
    perhaps_out: Steps,
    surely_held: Steps,
    perhaps_held: Steps,
    surely_sold: Steps,
    perhaps_sold: Steps,
}

impl Shelf {
    /// What `available_stock` can be from `from` to `to`.
    pub(super) fn free(&self, from: Moment, to: Moment) -> Bounds {
        Bounds {
            least: self.stock.saturating_sub(self.perhaps_out.within(from, to)),
            most: self.stock.saturating_sub(self.surely_out.within(from, to)),
        }
    }

    /// What `stock_available` can be from `from` to `to`.
    pub(super) fn available(&self, from: Moment, to: Moment) -> Bounds {
        Bounds {
            least: self.stock.saturating_sub(self.perhaps_sold.within(from, to)),
            most: self.stock.saturating_sub(self.surely_sold.within(from, to)),
        }
    }

    /// What `stock_reserved` can be from `from` to `to`.
    pub(super) fn reserved(&self, from: Moment, to: Moment) -> Bounds {
        Bounds { least: self.surely_held.within(from, to), most: self.perhaps_held.within(from, to) }
    }

    /// The units that surely were out, from each moment at which they changed.
    pub(super) fn surely_out(&self) -> impl Iterator<Item = (Moment, i64)> + '_ {
        self.surely_out.changes()
    }
}

/// The shelves of all products whose stock is known.
pub(super) fn shelves(ledger: &Ledger<'_>) -> IndexMap<u64, Shelf> {
    let mut changes: IndexMap<u64, Changes> =
        ledger.stock.keys().map(|product| (*product, Changes::default())).collect();
    for hold in ledger.holds.values() {
        if let Some(placed) = &hold.placed
            && let Some(changes) = changes.get_mut(&placed.product)
        {
            changes.add(&ledger.spans(hold, placed));
        }
    }
    for bodies in ledger.hold_keys.values().filter(|bodies| !was_made(bodies)) {
        for keyed in bodies {
            if let Some(changes) = changes.get_mut(&keyed.body.0)
                && let Some(spans) = ledger.spans_of_unknown(keyed)
            {
                changes.add(&spans);
            }
        }
    }
    changes.into_iter().map(|(product, changes)| (product, changes.shelf(ledger.stock[&product]))).collect()
}

type Change = (Moment, i64);

#[derive(Default)]
struct Changes {
    surely_out: Vec<Change>,
    perhaps_out: Vec<Change>,
    surely_held: Vec<Change>,
    perhaps_held: Vec<Change>,
    surely_sold: Vec<Change>,
    perhaps_sold: Vec<Change>,
}

impl Changes {
    fn add(&mut self, spans: &Spans) {
        let units = i64::from(spans.quantity);
        let add = |changes: &mut Vec<Change>, span: Span| {
            if !span.is_empty() {
                changes.extend([(span.from, units), (span.to, -units)]);
            }
        };
        add(&mut self.surely_out, spans.surely_out[0]);
        add(&mut self.surely_out, spans.surely_out[1]);
        add(&mut self.perhaps_out, spans.perhaps_out);
        add(&mut self.surely_held, spans.surely_held);
        add(&mut self.perhaps_held, spans.perhaps_held);
        add(&mut self.surely_sold, spans.surely_sold);
        add(&mut self.perhaps_sold, spans.perhaps_sold);
    }

    fn shelf(self, stock: i64) -> Shelf {
        Shelf {
            stock,
            surely_out: Steps::new(End::Least, self.surely_out),
            perhaps_out: Steps::new(End::Most, self.perhaps_out),
            surely_held: Steps::new(End::Least, self.surely_held),
            perhaps_held: Steps::new(End::Most, self.perhaps_held),
            surely_sold: Steps::new(End::Least, self.surely_sold),
            perhaps_sold: Steps::new(End::Most, self.perhaps_sold),
        }
    }
}
