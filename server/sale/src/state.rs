//! The rows that a batch works on: those that were loaded, and those that it changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::rows::{Hold, HoldStatus, Movement, Order, OrderStatus, PaymentEvent, Product};
use crate::values::{HoldId, Key, OrderId, ProductId, Timestamp};

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
    pub holds: HashMap<HoldId, Hold>,
    /// Orders that commands name, those of known keys, and due ones.
    pub orders: HashMap<OrderId, Order>,
    /// Which hold a known key made.
    pub hold_keys: HashMap<Key, HoldId>,
    /// Which order a known key made.
    pub order_keys: HashMap<Key, OrderId>,
    /// The final event of each known payment key.
    pub payments: HashMap<Key, PaymentEvent>,
    /// The `pending` events of the named payment keys.
    pub pending_payments: HashMap<(Key, OrderId), PaymentEvent>,
    /// Due holds, of the products that need them.
    pub due_holds: HashMap<ProductId, Due<HoldId>>,
    /// Orders past their payment window, of the products that need them.
    pub due_orders: HashMap<ProductId, Due<OrderId>>,
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
    /// Products, with their new counters and status.
    pub products: Vec<Product>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A [`State`] at work: remembers which rows changed, and what each change did to the units, so that
/// the counters can be held against it.
pub(crate) struct Books {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    new_holds: BTreeSet<HoldId>,
    changed_holds: BTreeSet<HoldId>,
    new_orders: BTreeSet<OrderId>,
    changed_orders: BTreeSet<OrderId>,
    changed_products: BTreeSet<ProductId>,
    payment_events: Vec<PaymentEvent>,
    pub(crate) movements: Vec<Movement>,
    /// Units that entered (+) or left (-) active holds since the step began.
    pub(crate) held_change: i64,
    /// Units that entered (+) or left (-) orders not cancelled since the step began.
    pub(crate) sold_change: i64,
    /// Units that operators added or took since the step began.
    pub(crate) stocked_change: i64,
    touched_this_step: HashSet<ProductId>,
}

impl Books {
    pub(crate) fn open(state: State) -> Self {
        Self {
            now: state.now.unwrap_or(Timestamp(0)),
            state,
            new_holds: BTreeSet::new(),
            changed_holds: BTreeSet::new(),
            new_orders: BTreeSet::new(),
            changed_orders: BTreeSet::new(),
            changed_products: BTreeSet::new(),
            payment_events: Vec::new(),
            movements: Vec::new(),
            held_change: 0,
            sold_change: 0,
            stocked_change: 0,
            touched_this_step: HashSet::new(),
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.held_change = 0;
        self.sold_change = 0;
        self.stocked_change = 0;
        self.touched_this_step.clear();
    }

    /// The products whose rows this step changed.
    pub(crate) fn touched(&self) -> &HashSet<ProductId> {
        &self.touched_this_step
    }

    /// The clock of a product: it never goes back behind the product's last change.
    pub(crate) fn now_of(&self, product_id: ProductId) -> Timestamp {
        self.state.products.get(&product_id).map_or(self.now, |product| self.now.max(product.updated_at))
    }

    pub(crate) fn insert_hold(&mut self, hold: Hold) {
        self.held_change += hold.quantity.signed();
        if let Some(key) = &hold.key {
            self.state.hold_keys.insert(key.clone(), hold.id);
        }
        self.new_holds.insert(hold.id);
        self.state.holds.insert(hold.id, hold);
    }

    pub(crate) fn set_hold_status(&mut self, id: HoldId, status: HoldStatus) {
        let Some(hold) = self.state.holds.get_mut(&id) else { return };
        let was = i64::from(hold.status == HoldStatus::Active);
        let is = i64::from(status == HoldStatus::Active);
        self.held_change += (is - was) * hold.quantity.signed();
        hold.status = status;
        if !self.new_holds.contains(&id) {
            self.changed_holds.insert(id);
        }
    }

    pub(crate) fn insert_order(&mut self, order: Order) {
        self.sold_change += order.quantity.signed();
        if let Some(key) = &order.key {
            self.state.order_keys.insert(key.clone(), order.id);
        }
        self.new_orders.insert(order.id);
        self.state.orders.insert(order.id, order);
    }

    pub(crate) fn set_order_status(&mut self, id: OrderId, status: OrderStatus, at: Timestamp) {
        let Some(order) = self.state.orders.get_mut(&id) else { return };
        let was = i64::from(order.status != OrderStatus::Cancelled);
        let is = i64::from(status != OrderStatus::Cancelled);
        self.sold_change += (is - was) * order.quantity.signed();
        order.status = status;
        order.updated_at = at;
        if !self.new_orders.contains(&id) {
            self.changed_orders.insert(id);
        }
    }

    pub(crate) fn record_payment(&mut self, event: PaymentEvent) {
        if event.status == crate::rows::PaymentStatus::Pending {
            self.state.pending_payments.insert((event.key.clone(), event.order_id), event.clone());
        } else {
            self.state.payments.insert(event.key.clone(), event.clone());
        }
        self.payment_events.push(event);
    }

    /// The product's row, to be changed; the batch will write it.
    pub(crate) fn product_mut(&mut self, id: ProductId) -> Option<&mut Product> {
        let product = self.state.products.get_mut(&id)?;
        self.changed_products.insert(id);
        self.touched_this_step.insert(id);
        Some(product)
    }

    pub(crate) fn close(mut self) -> Changes {
        let state = &mut self.state;
        Changes {
            new_holds: self.new_holds.iter().filter_map(|id| state.holds.remove(id)).collect(),
            changed_holds: self.changed_holds.iter().filter_map(|id| state.holds.remove(id)).collect(),
            new_orders: self.new_orders.iter().filter_map(|id| state.orders.remove(id)).collect(),
            changed_orders: self.changed_orders.iter().filter_map(|id| state.orders.remove(id)).collect(),
            payment_events: self.payment_events,
            movements: self.movements,
            products: self.changed_products.iter().filter_map(|id| state.products.remove(id)).collect(),
        }
    }
}
