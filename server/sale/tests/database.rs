//! A database in memory that loads and writes as the stores do, with their limits and their constraints.
//!
//! What belongs here: what `Needs`, `State` and `Changes` promise one another. What does not: rules. It
//! stands in for no database in any test of a store.

use std::collections::{BTreeMap, VecDeque};

use sale::{
    Changes, Command, Due, Hold, HoldId, HoldStatus, Key, Movement, MovementKind, Needs, Order, OrderId, OrderStatus,
    PaymentEvent, PaymentStatus, Product, ProductId, State, Timestamp,
};

/// How many due rows one loading takes. The stores have the limits of `Needs`; small ones are met sooner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) due_per_command: usize,
    pub(crate) due_per_shortage: usize,
}

impl Limits {
    /// More than any test has rows.
    pub(crate) const NONE: Self = Self { due_per_command: usize::MAX, due_per_shortage: usize::MAX };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) products: BTreeMap<ProductId, Product>,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    pub(crate) orders: BTreeMap<OrderId, Order>,
    /// Final events, by their key.
    pub(crate) payments: BTreeMap<Key, PaymentEvent>,
    pub(crate) pending_payments: BTreeMap<(Key, OrderId), PaymentEvent>,
    pub(crate) movements: BTreeMap<(ProductId, u64), Movement>,
}

/// The constraint that refused a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl Database {
    pub(crate) fn of(products: impl IntoIterator<Item = Product>) -> Self {
        let mut database = Self {
            products: BTreeMap::new(),
            holds: BTreeMap::new(),
            orders: BTreeMap::new(),
            payments: BTreeMap::new(),
            pending_payments: BTreeMap::new(),
            movements: BTreeMap::new(),
        };
        for product in products {
            let stocked = Movement {
                product_id: product.id,
                seq: 1,
                kind: MovementKind::Stocked,
                available_change: i64::try_from(product.stock_available).expect("a stock fits"),
                reserved_change: 0,
                stock_available: product.stock_available,
                stock_reserved: 0,
                hold_id: None,
                order_id: None,
                at: product.updated_at,
            };
            database.movements.insert((product.id, 1), stocked);
            database.products.insert(product.id, Product { movement_seq: 1, ..product });
        }
        database
    }

    /// Where a command goes; `None` if the row that it names is not there.
    pub(crate) fn route(&self, command: &Command) -> Option<ProductId> {
        match command {
            Command::PlaceHold { product_id, .. }
            | Command::ExpireHolds { product_id }
            | Command::CancelUnpaidOrders { product_id }
            | Command::Restock { product_id, .. }
            | Command::Suspend { product_id, .. }
            | Command::Resume { product_id } => Some(*product_id),
            Command::GiveBackHold { hold_id } | Command::RedeemHold { hold_id, .. } => {
                self.holds.get(hold_id).map(|hold| hold.product_id)
            }
            Command::SettlePayment { order_id, .. } => self.orders.get(order_id).map(|order| order.product_id),
        }
    }

    /// The clock of a product when the database's says `now`.
    pub(crate) fn clock(&self, product_id: ProductId, now: Timestamp) -> Timestamp {
        self.products.get(&product_id).map_or(now, |product| now.max(product.updated_at))
    }

    pub(crate) fn load(&self, needs: &Needs, now: Timestamp, limits: Limits) -> State {
        let mut state = State { now: Some(now), ..State::default() };
        for product_id in needs.products.keys() {
            state.products.extend(self.products.get(product_id).map(|product| (*product_id, product.clone())));
        }
        for id in &needs.holds {
            self.load_hold(&mut state, *id);
        }
        for id in &needs.orders {
            self.load_order(&mut state, *id);
        }
        for key in &needs.hold_keys {
            if let Some(hold) = self.holds.values().find(|hold| hold.key.as_ref() == Some(key)) {
                state.hold_keys.insert(key.clone(), hold.id);
                state.holds.insert(hold.id, hold.clone());
            }
        }
        for key in &needs.order_keys {
            if let Some(order) = self.orders.values().find(|order| order.key.as_ref() == Some(key)) {
                state.order_keys.insert(key.clone(), order.id);
                state.orders.insert(order.id, order.clone());
            }
        }
        for key in &needs.payment_keys {
            state.payments.extend(self.payments.get(key).map(|event| (key.clone(), event.clone())));
            let pending = self.pending_payments.iter().filter(|((of, _), _)| of == key);
            state.pending_payments.extend(pending.map(|(name, event)| (name.clone(), event.clone())));
        }
        for (product_id, wanted) in &needs.products {
            self.load_due_holds(&mut state, *product_id, *wanted, needs.expire.contains(product_id), now, limits);
        }
        for product_id in &needs.cancel {
            self.load_due_orders(&mut state, *product_id, now, limits);
        }
        state
    }

    fn load_hold(&self, state: &mut State, id: HoldId) {
        state.holds.extend(self.holds.get(&id).map(|hold| (id, hold.clone())));
    }

    fn load_order(&self, state: &mut State, id: OrderId) {
        if let Some(order) = self.orders.get(&id) {
            state.orders.insert(id, order.clone());
            self.load_hold(state, order.hold_id);
        }
    }

    fn load_due_holds(
        &self,
        state: &mut State,
        product_id: ProductId,
        wanted: u64,
        expire: bool,
        now: Timestamp,
        limits: Limits,
    ) {
        let Some(product) = self.products.get(&product_id) else { return };
        let now = self.clock(product_id, now);
        let shortage = wanted.saturating_sub(product.free());
        if shortage == 0 && !expire {
            return;
        }
        let mut active: Vec<&Hold> = self.holds.values().filter(|hold| is_active(hold, product_id)).collect();
        active.sort_by_key(|hold| (hold.expires_at, hold.id));
        let due = active.partition_point(|hold| hold.expires_at <= now);
        let mut units = 0;
        let for_shortage = active[..due]
            .iter()
            .take_while(|hold| {
                let short = units < shortage;
                units += hold.quantity.units();
                short
            })
            .count()
            .min(limits.due_per_shortage);
        let for_expiry = if expire { due.min(limits.due_per_command) } else { 0 };
        let taken = for_shortage.max(for_expiry);
        for hold in &active[..taken] {
            state.holds.insert(hold.id, (*hold).clone());
        }
        let ids: VecDeque<HoldId> = active[..taken].iter().map(|hold| hold.id).collect();
        let next_deadline = active.get(due).filter(|_| expire).map(|hold| hold.expires_at);
        state.due_holds.insert(product_id, Due { ids, more: due > taken, next_deadline });
    }

    fn load_due_orders(&self, state: &mut State, product_id: ProductId, now: Timestamp, limits: Limits) {
        let now = self.clock(product_id, now);
        let unpaid = |order: &&Order| order.product_id == product_id && order.status == OrderStatus::PendingPayment;
        let mut unpaid: Vec<&Order> = self.orders.values().filter(unpaid).collect();
        unpaid.sort_by_key(|order| (order.payment_deadline, order.id));
        let due = unpaid.partition_point(|order| order.payment_deadline <= now);
        let taken = due.min(limits.due_per_command);
        for order in &unpaid[..taken] {
            self.load_order(state, order.id);
        }
        let ids = unpaid[..taken].iter().map(|order| order.id).collect();
        let next_deadline = unpaid.get(due).map(|order| order.payment_deadline);
        state.due_orders.insert(product_id, Due { ids, more: due > taken, next_deadline });
    }

    /// Writes all of it, or nothing.
    pub(crate) fn apply(&mut self, changes: &Changes) -> Result<(), Refused> {
        let mut after = self.clone();
        after.write(changes)?;
        *self = after;
        Ok(())
    }

    fn write(&mut self, changes: &Changes) -> Result<(), Refused> {
        for hold in &changes.new_holds {
            let of_key = |other: &Hold| hold.key.is_some() && other.key == hold.key;
            unless(self.holds.values().any(of_key), || format!("hold {}: its key exists", hold.id))?;
            let before = self.holds.insert(hold.id, hold.clone());
            unless(before.is_some(), || format!("hold {} exists", hold.id))?;
        }
        for hold in &changes.changed_holds {
            let before = self.holds.insert(hold.id, hold.clone());
            let same = before.is_some_and(|before| Hold { status: hold.status, ..before } == *hold);
            unless(!same, || format!("hold {}: more than its status changed", hold.id))?;
        }
        for order in &changes.new_orders {
            let of_key = |other: &Order| order.key.is_some() && other.key == order.key;
            unless(self.orders.values().any(of_key), || format!("order {}: its key exists", order.id))?;
            let of_hold = |other: &Order| other.hold_id == order.hold_id;
            unless(self.orders.values().any(of_hold), || format!("order {}: its hold has one", order.id))?;
            let before = self.orders.insert(order.id, order.clone());
            unless(before.is_some(), || format!("order {} exists", order.id))?;
        }
        for order in &changes.changed_orders {
            let before = self.orders.insert(order.id, order.clone());
            let same = before
                .is_some_and(|before| Order { status: order.status, updated_at: order.updated_at, ..before } == *order);
            unless(!same, || format!("order {}: more than its status changed", order.id))?;
        }
        for event in &changes.payment_events {
            let before = if event.status == PaymentStatus::Pending {
                self.pending_payments.insert((event.key.clone(), event.order_id), event.clone())
            } else {
                self.payments.insert(event.key.clone(), event.clone())
            };
            unless(before.is_some(), || format!("payment key {} exists", event.key))?;
        }
        for movement in &changes.movements {
            let before = self.movements.insert((movement.product_id, movement.seq), movement.clone());
            unless(before.is_some(), || format!("movement {} of {} exists", movement.seq, movement.product_id))?;
        }
        for product in &changes.products {
            unless(product.stock_reserved > product.stock_available, || format!("product {}: I1", product.id))?;
            let before = self.products.insert(product.id, product.clone());
            unless(before.is_none(), || format!("product {} does not exist", product.id))?;
        }
        Ok(())
    }

    /// Active holds of a product that keep no units any more.
    pub(crate) fn due(&self, product_id: ProductId, now: Timestamp) -> impl Iterator<Item = &Hold> {
        let now = self.clock(product_id, now);
        self.holds.values().filter(move |hold| is_active(hold, product_id) && hold.expires_at <= now)
    }
}

fn is_active(hold: &Hold, product_id: ProductId) -> bool {
    hold.product_id == product_id && hold.status == HoldStatus::Active
}

fn unless(broken: bool, why: impl FnOnce() -> String) -> Result<(), Refused> {
    if broken { Err(Refused(why())) } else { Ok(()) }
}
