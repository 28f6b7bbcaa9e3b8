//! The invariants by name, and the error that says that one is broken.
//!
//! A breach is a bug or a hand in the database, never the caller's fault: it stops its product.

use std::fmt;

use crate::values::ProductId;

/// What must be true of a sale at every commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: `0 <= stock_reserved <= stock_available`.
    CountersInRange,
    /// I2: `stock_reserved` is the units of active holds.
    ReservedIsHeld,
    /// I3: `stock_available` and the units of orders not cancelled are the units ever stocked.
    UnitsConserved,
    /// I4: a hold is redeemed by at most one order, and its units go back at most once.
    HoldUsedOnce,
    /// I5: a payment key takes effect once, and an order reaches one final state.
    SettledOnce,
    /// I6: movements are a gapless chain whose last balances are the counters.
    LedgerChained,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::CountersInRange,
        Self::ReservedIsHeld,
        Self::UnitsConserved,
        Self::HoldUsedOnce,
        Self::SettledOnce,
        Self::LedgerChained,
    ];

    /// The short name that documents use: `I1` to `I6`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CountersInRange => "I1",
            Self::ReservedIsHeld => "I2",
            Self::UnitsConserved => "I3",
            Self::HoldUsedOnce => "I4",
            Self::SettledOnce => "I5",
            Self::LedgerChained => "I6",
        }
    }

    /// What it demands, in words for people.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::CountersInRange => "0 <= stock_reserved <= stock_available",
            Self::ReservedIsHeld => "stock_reserved = the units of active holds",
            Self::UnitsConserved => "stock_available + the units of orders not cancelled = the units ever stocked",
            Self::HoldUsedOnce => "a hold is redeemed by at most one order, and its units are given back at most once",
            Self::SettledOnce => {
                "a payment key takes effect at most once, and an order reaches at most one final state"
            }
            Self::LedgerChained => "movements are a gapless chain whose last balances are the counters",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A product breaks an invariant, or would after the step that was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("product {product_id} breaks {invariant} ({}): {detail}", .invariant.rule())]
pub struct Breach {
    /// Which product.
    pub product_id: ProductId,
    /// What it breaks.
    pub invariant: Invariant,
    /// The figures that show it.
    pub detail: String,
}
