//! Which rows a batch of commands must lock and load before it can be decided.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::Command;
use crate::values::{HoldId, Key, OrderId, ProductId};

/// The most due holds or orders that one expiry or cancellation command takes, in rows.
pub const DUE_PER_COMMAND: u64 = 500;

/// The most due holds that are loaded to make room for new ones, in rows. Past it commands are
/// deferred, so that one transaction stays short however large the pile is.
pub const DUE_PER_SHORTAGE: u64 = 2_000;

/// The rows that a batch names. Sorted, so that locks are taken in one order everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Products to lock, with the units that the batch wants of each: where fewer are free, due holds
    /// are loaded too, oldest deadline first, at least until their units make up the shortage, at most
    /// [`DUE_PER_SHORTAGE`] rows. Due is what the product's clock says, which is never before its `updated_at`.
    pub products: BTreeMap<ProductId, u64>,
    /// Holds by id.
    pub holds: BTreeSet<HoldId>,
    /// Orders by id, each with its hold.
    pub orders: BTreeSet<OrderId>,
    /// Keys of holds that may exist.
    pub hold_keys: BTreeSet<Key>,
    /// Keys of orders that may exist.
    pub order_keys: BTreeSet<Key>,
    /// Keys of payment events that may exist.
    pub payment_keys: BTreeSet<Key>,
    /// Products whose due holds are wanted, up to [`DUE_PER_COMMAND`] rows, and the deadline after those.
    /// Where units are short too, the longer of the two lists is loaded.
    pub expire: BTreeSet<ProductId>,
    /// Products whose overdue orders are wanted, likewise, each with its hold.
    pub cancel: BTreeSet<ProductId>,
}

impl Needs {
    /// What `commands` need, each together with the product that it was routed to.
    pub fn of<'a>(commands: impl IntoIterator<Item = (ProductId, &'a Command)>) -> Self {
        let mut needs = Self::default();
        for (product_id, command) in commands {
            let wanted = needs.products.entry(product_id).or_default();
            match command {
                Command::PlaceHold { quantity, key, .. } => {
                    *wanted = wanted.saturating_add(quantity.units());
                    needs.hold_keys.extend(key.clone());
                }
                Command::Restock { change, .. } => {
                    let taken = (*change).min(0).unsigned_abs();
                    *wanted = wanted.saturating_add(taken);
                }
                Command::GiveBackHold { hold_id } => {
                    needs.holds.insert(*hold_id);
                }
                Command::RedeemHold { hold_id, key, .. } => {
                    needs.holds.insert(*hold_id);
                    needs.order_keys.extend(key.clone());
                }
                Command::SettlePayment { key, order_id, .. } => {
                    needs.orders.insert(*order_id);
                    needs.payment_keys.insert(key.clone());
                }
                Command::ExpireHolds { product_id } => {
                    needs.expire.insert(*product_id);
                }
                Command::CancelUnpaidOrders { product_id } => {
                    needs.cancel.insert(*product_id);
                }
                Command::Suspend { .. } | Command::Resume { .. } => {}
            }
        }
        needs
    }
}
