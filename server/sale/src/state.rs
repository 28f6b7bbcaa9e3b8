//! The rows that a batch works on: those that were loaded, and those that it changed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::rows::{Hold, Movement, Order, PaymentEvent, Product};
use crate::values::{HoldId, Key, OrderId, ProductId, Timestamp};

/// A map by ids. Those of rows are given out by us, and what else a caller may name is bounded by what may wait, so a quick
/// hash will do; its seed is random.
pub type ById<Id, Row> = HashMap<Id, Row, foldhash::fast::RandomState>;

/// Due rows of one product, oldest deadline first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<Id> {
    /// Their ids; the rows are in the [`State`] too.
    pub ids: VecDeque<Id>,
    /// Whether there are more due rows than were loaded.
    pub more: bool,
    /// The earliest deadline that has not come yet, where the loading looked for it.
    pub next_deadline: Option<Timestamp>,
}

impl<Id> Default for Due<Id> {
    fn default() -> Self {
        Self { ids: VecDeque::new(), more: false, next_deadline: None }
    }
}

/// What a batch knows: the rows that its commands name, locked, and the clock read after that.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The clock, read once the locks were held. Of a product it is never before its `updated_at`.
    pub now: Option<Timestamp>,
    /// The locked products.
    pub products: BTreeMap<ProductId, Product>,
    /// Holds that commands name, those of named orders, those of known keys, and due ones.
    pub holds: ById<HoldId, Hold>,
    /// Orders that commands name, those of known keys, and due ones.
    pub orders: ById<OrderId, Order>,
    /// Which hold a known key made.
    pub hold_keys: HashMap<Key, HoldId>,
    /// Which order a known key made.
    pub order_keys: HashMap<Key, OrderId>,
    /// The final event of each known payment key.
    pub payments: HashMap<Key, PaymentEvent>,
    /// The `pending` events of the named payment keys.
    pub pending_payments: HashMap<(Key, OrderId), PaymentEvent>,
    /// Due holds, of the products that need them.
    pub due_holds: ById<ProductId, Due<HoldId>>,
    /// Orders past their payment window, of the products that need them.
    pub due_orders: ById<ProductId, Due<OrderId>>,
}

/// What a batch changed: the rows to write, each once, in its last state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New holds.
    pub new_holds: Vec<Hold>,
    /// Holds that existed, with their new status.
    pub changed_holds: Vec<Hold>,
    /// New orders.
    pub new_orders: Vec<Order>,
    /// Orders that existed, with their new status.
    pub changed_orders: Vec<Order>,
    /// New payment events, in order.
    pub payment_events: Vec<PaymentEvent>,
    /// New movements, in order for each product.
    pub movements: Vec<Movement>,
    /// Products, with their new counters and status, ascending by id.
    pub products: Vec<Product>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
