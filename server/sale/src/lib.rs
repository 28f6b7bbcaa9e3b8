//! The rules of a flash sale as a deterministic state machine: commands in, outcomes and rows to
//! write out.
//!
//! What belongs here: every rule by which units move, every refusal, and the invariants that each
//! step must keep. What does not: I/O, async, a clock, randomness. Times and ids are parameters,
//! so that the same commands on the same rows always decide the same.
//!
//! One batch goes through three values:
//!
//! 1. [`Needs::of`] the commands says which rows must be locked and loaded;
//! 2. the store fills a [`State`] with them;
//! 3. [`decide`] answers each command with an [`Outcome`] and collects the [`Changes`] to write.
//!
//! The invariants are named in [`Invariant`]; a broken one is a [`Breach`], never a refusal.

mod books;
mod check;
mod command;
mod decide;
mod invariant;
mod needs;
mod rows;
mod state;
mod units;
mod values;

pub use command::{Command, NextDue, Outcome, Refusal, Terms};
pub use decide::{Decision, decide};
pub use invariant::{Breach, Invariant};
pub use needs::{DUE_PER_COMMAND, DUE_PER_SHORTAGE, Needs};
pub use rows::{
    Hold, HoldStatus, Movement, MovementKind, Order, OrderStatus, PaymentEffect, PaymentEvent, PaymentStatus, Product,
    ProductStatus, ReleaseReason,
};
pub use state::{ById, Changes, Due, State};
pub use values::{
    HoldId, Key, KeyError, MAX_ID, MAX_PRICE_MINOR, MAX_QUANTITY, MAX_STOCK, Money, OrderId, ProductId, Quantity,
    Timestamp,
};
