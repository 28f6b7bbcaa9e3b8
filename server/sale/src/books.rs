//! A [`State`] at work: remembers which rows changed, and what each step did to them, so that the
//! counters can be held against it.
//!
//! What belongs here: the only ways to change a row, each with its entry in the record of the step.
//! What does not: when to change one (`decide`), whether the step adds up (`check`). Keeps the record
//! that I2 to I5 are checked with: a row that moves in a way it never may is written down as a misstep.

use std::collections::BTreeSet;

use crate::invariant::Invariant;
use crate::rows::{Hold, HoldStatus, Movement, Order, OrderStatus, PaymentEvent, PaymentStatus, Product};
use crate::state::{Changes, State};
use crate::values::{HoldId, OrderId, ProductId, Timestamp};

/// The rows of a batch, and what became of them so far.
pub(crate) struct Books {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) movements: Vec<Movement>,
    pub(crate) step: StepRecord,
    new_holds: BTreeSet<HoldId>,
    changed_holds: BTreeSet<HoldId>,
    new_orders: BTreeSet<OrderId>,
    changed_orders: BTreeSet<OrderId>,
    changed_products: BTreeSet<ProductId>,
    payment_events: Vec<PaymentEvent>,
}

/// What the step in hand did.
#[derive(Default)]
pub(crate) struct StepRecord {
    /// Units that entered (+) or left (-) active holds.
    pub(crate) held_change: i64,
    /// Units that entered (+) or left (-) orders not cancelled.
    pub(crate) sold_change: i64,
    /// Units that operators added or took.
    pub(crate) stocked_change: i64,
    /// The products that own the changed rows, each once, with their counters before the step; `None` where the
    /// product's row is not locked. There is one, unless something is wrong.
    pub(crate) touched: Vec<(ProductId, Option<Counters>)>,
    /// The first row that changed in a way that none may.
    pub(crate) misstep: Option<(Invariant, String)>,
    /// How many movements the batch had before.
    pub(crate) movements_before: usize,
}

/// The part of a product's row that its ledger accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) stock_available: u64,
    pub(crate) stock_reserved: u64,
    pub(crate) movement_seq: u64,
}

impl Counters {
    pub(crate) fn of(product: &Product) -> Self {
        Self {
            stock_available: product.stock_available,
            stock_reserved: product.stock_reserved,
            movement_seq: product.movement_seq,
        }
    }
}

impl Books {
    /// For so many commands, each of which makes about one movement.
    pub(crate) fn open(state: State, commands: usize) -> Self {
        Self {
            now: state.now.unwrap_or(Timestamp(0)),
            state,
            movements: Vec::with_capacity(commands),
            step: StepRecord::default(),
            new_holds: BTreeSet::new(),
            changed_holds: BTreeSet::new(),
            new_orders: BTreeSet::new(),
            changed_orders: BTreeSet::new(),
            changed_products: BTreeSet::new(),
            payment_events: Vec::new(),
        }
    }

    pub(crate) fn begin_step(&mut self) {
        let mut touched = std::mem::take(&mut self.step.touched);
        touched.clear();
        self.step = StepRecord { touched, movements_before: self.movements.len(), ..StepRecord::default() };
    }

    /// The clock of a product: it never goes back behind the product's last change.
    pub(crate) fn now_of(&self, product_id: ProductId) -> Timestamp {
        self.state.products.get(&product_id).map_or(self.now, |product| self.now.max(product.updated_at))
    }

    /// The earliest deadline of the holds that this batch placed and that are still active.
    pub(crate) fn next_new_hold_deadline(&self, product_id: ProductId) -> Option<Timestamp> {
        let holds = self.new_holds.iter().filter_map(|id| self.state.holds.get(id));
        holds
            .filter(|hold| hold.product_id == product_id && hold.status == HoldStatus::Active)
            .map(|hold| hold.expires_at)
            .min()
    }

    /// The earliest payment deadline of the orders that this batch made and that are still unpaid.
    pub(crate) fn next_new_payment_deadline(&self, product_id: ProductId) -> Option<Timestamp> {
        let orders = self.new_orders.iter().filter_map(|id| self.state.orders.get(id));
        orders
            .filter(|order| order.product_id == product_id && order.status == OrderStatus::PendingPayment)
            .map(|order| order.payment_deadline)
            .min()
    }

    pub(crate) fn insert_hold(&mut self, hold: Hold) {
        self.touch(hold.product_id);
        self.step.held_change += hold.quantity.signed();
        if let Some(key) = &hold.key {
            self.state.hold_keys.insert(key.clone(), hold.id);
        }
        let id = hold.id;
        self.new_holds.insert(id);
        if self.state.holds.insert(id, hold).is_some() {
            self.misstep(Invariant::ReservedIsHeld, format!("hold {id} exists already; its units would be lost"));
        }
    }

    pub(crate) fn set_hold_status(&mut self, id: HoldId, status: HoldStatus) {
        let Some(hold) = self.state.holds.get_mut(&id) else { return };
        let (was, product_id) = (hold.status, hold.product_id);
        hold.status = status;
        let active = |status| i64::from(status == HoldStatus::Active);
        self.step.held_change += (active(status) - active(was)) * hold.quantity.signed();
        self.touch(product_id);
        let allowed = match (was, status) {
            (HoldStatus::Active, HoldStatus::Redeemed { .. } | HoldStatus::Released { order_id: None, .. }) => true,
            (HoldStatus::Redeemed { order_id: of }, HoldStatus::Released { order_id: Some(by), .. }) => of == by,
            _ => false,
        };
        if !allowed {
            self.misstep(Invariant::HoldUsedOnce, format!("hold {id} went from {was:?} to {status:?}"));
        }
        self.changed_holds.insert(id);
    }

    pub(crate) fn insert_order(&mut self, order: Order) {
        self.touch(order.product_id);
        self.step.sold_change += order.quantity.signed();
        if let Some(key) = &order.key {
            self.state.order_keys.insert(key.clone(), order.id);
        }
        let id = order.id;
        self.new_orders.insert(id);
        if self.state.orders.insert(id, order).is_some() {
            self.misstep(Invariant::UnitsConserved, format!("order {id} exists already; its units would be lost"));
        }
    }

    pub(crate) fn set_order_status(&mut self, id: OrderId, status: OrderStatus, at: Timestamp) {
        let Some(order) = self.state.orders.get_mut(&id) else { return };
        let (was, product_id) = (order.status, order.product_id);
        order.status = status;
        order.updated_at = at;
        let sold = |status| i64::from(status != OrderStatus::Cancelled);
        self.step.sold_change += (sold(status) - sold(was)) * order.quantity.signed();
        self.touch(product_id);
        if was != OrderStatus::PendingPayment {
            self.misstep(
                Invariant::SettledOnce,
                format!("order {id} was {was:?}, which is final, and became {status:?}"),
            );
        }
        self.changed_orders.insert(id);
    }

    /// Records an event about an order of `product_id`. The product's clock remembers it too, or a
    /// later event could bear an earlier time.
    pub(crate) fn record_payment(&mut self, product_id: ProductId, event: PaymentEvent) {
        self.touch(product_id);
        if let Some(product) = self.product_mut(product_id) {
            product.updated_at = event.received_at;
        }
        let before = if event.status == PaymentStatus::Pending {
            self.state.pending_payments.insert((event.key.clone(), event.order_id), event.clone())
        } else {
            self.state.payments.insert(event.key.clone(), event.clone())
        };
        if before.is_some() {
            self.misstep(Invariant::SettledOnce, format!("the payment key {} took effect twice", event.key));
        }
        self.payment_events.push(event);
    }

    /// The product's row, to be changed; the batch will write it.
    pub(crate) fn product_mut(&mut self, id: ProductId) -> Option<&mut Product> {
        self.touch(id);
        let product = self.state.products.get_mut(&id)?;
        self.changed_products.insert(id);
        Some(product)
    }

    fn touch(&mut self, id: ProductId) {
        if self.step.touched.iter().all(|(touched, _)| *touched != id) {
            self.step.touched.push((id, self.state.products.get(&id).map(Counters::of)));
        }
    }

    fn misstep(&mut self, invariant: Invariant, detail: String) {
        self.step.misstep.get_or_insert((invariant, detail));
    }

    /// The rows to write. A new row that changed since leaves the state as new, and so is written once.
    pub(crate) fn close(mut self) -> Changes {
        let state = &mut self.state;
        Changes {
            new_holds: rows(&self.new_holds, |id| state.holds.remove(id)),
            changed_holds: rows(&self.changed_holds, |id| state.holds.remove(id)),
            new_orders: rows(&self.new_orders, |id| state.orders.remove(id)),
            changed_orders: rows(&self.changed_orders, |id| state.orders.remove(id)),
            payment_events: self.payment_events,
            movements: self.movements,
            products: rows(&self.changed_products, |id| state.products.remove(id)),
        }
    }
}

/// The rows of these ids, as far as `take` has them.
fn rows<Id, Row>(ids: &BTreeSet<Id>, take: impl FnMut(&Id) -> Option<Row>) -> Vec<Row> {
    // As many as can be: a list that grows is copied on its way.
    let mut rows = Vec::with_capacity(ids.len());
    rows.extend(ids.iter().filter_map(take));
    rows
}
