//! The service, as small as it can be: what it promises, on the server's clock, in microseconds.
//!
//! Right unless a bug is planted; each bug is wrong in one place, named where it is.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_loadtest::history::{
    Code, HoldStatus, HoldView, Key, Limits, News, Operation, OrderStatus, OrderView, Outcome, ProductView,
};

use super::Bug;

pub(super) const SECOND: i64 = 1_000_000;

#[derive(Clone, Debug)]
struct Hold {
    product: u64,
    quantity: u32,
    status: HoldStatus,
    order: Option<u64>,
    created_at: i64,
    expires_at: i64,
    redeemed_at: i64,
    returned: bool,
}

#[derive(Clone, Debug)]
struct Order {
    hold: u64,
    quantity: u32,
    status: OrderStatus,
    due_at: i64,
}

#[derive(Clone, Copy, Debug)]
struct Product {
    available: i64,
    reserved: i64,
    sold_out_until: i64,
}

/// The sale.
#[derive(Clone, Debug)]
pub(super) struct Sale {
    bug: Option<Bug>,
    limits: Limits,
    products: BTreeMap<u64, Product>,
    holds: BTreeMap<u64, Hold>,
    orders: BTreeMap<u64, Order>,
    hold_keys: BTreeMap<Key, ((u64, u32), u64)>,
    order_keys: BTreeMap<Key, (u64, u64)>,
    payments: BTreeMap<(Key, u64), (u64, News)>,
    pendings: BTreeSet<(Key, u64)>,
    next_hold: u64,
    next_order: u64,
}

const fn refused(status: u16, code: Code) -> Outcome {
    Outcome::Refused { status, code, available: None, order: None }
}

impl Sale {
    pub(super) fn new(bug: Option<Bug>, limits: Limits, stocks: &[u64]) -> Self {
        let product =
            |stock: &u64| Product { available: i64::try_from(*stock).unwrap(), reserved: 0, sold_out_until: 0 };
        Self {
            bug,
            limits,
            products: (1..).zip(stocks.iter().map(product)).collect(),
            holds: BTreeMap::new(),
            orders: BTreeMap::new(),
            hold_keys: BTreeMap::new(),
            order_keys: BTreeMap::new(),
            payments: BTreeMap::new(),
            pendings: BTreeSet::new(),
            next_hold: 1,
            next_order: 1,
        }
    }

    /// Whose lock an operation waits for.
    pub(super) fn product_of(&self, operation: &Operation) -> Option<u64> {
        match *operation {
            Operation::PlaceHold { product, .. } => Some(product),
            Operation::ReleaseHold { hold } | Operation::PlaceOrder { hold, .. } => {
                Some(self.holds.get(&hold)?.product)
            }
            Operation::Webhook { order, .. } => Some(self.holds.get(&self.orders.get(&order)?.hold)?.product),
            Operation::ReadHold { .. } | Operation::ReadOrder { .. } | Operation::ReadProduct { .. } => None,
        }
    }

    /// After a kill: what was there at `before` is there.
    pub(super) fn restart(&mut self, before: &Self) {
        match self.bug {
            Some(Bug::AcknowledgedBeforeDurable) => *self = before.clone(),
            Some(Bug::IdsReusedAfterKill) => self.next_hold = before.next_hold,
            _ => {}
        }
    }

    fn planted(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn units(&self, quantity: u32) -> i64 {
        if self.planted(Bug::QuantityIgnored) { 1 } else { i64::from(quantity) }
    }

    fn is_due(&self, hold: &Hold, now: i64) -> bool {
        let early = if self.planted(Bug::EarlyExpiry) { SECOND / 2 } else { 0 };
        now >= hold.expires_at - early
    }

    fn status(&self, hold: &Hold, now: i64) -> HoldStatus {
        if hold.status == HoldStatus::Active && self.is_due(hold, now) { HoldStatus::Expired } else { hold.status }
    }

    /// The units of overdue holds count as free, written down or not.
    fn view(&self, id: u64, now: i64) -> ProductView {
        let product = self.products[&id];
        let overdue: i64 = self
            .holds
            .values()
            .filter(|hold| hold.product == id && hold.status == HoldStatus::Active && self.is_due(hold, now))
            .map(|hold| self.units(hold.quantity))
            .sum();
        let overdue = if self.planted(Bug::ExpiredKeepsUnits) { 0 } else { overdue };
        let reserved = product.reserved - overdue;
        ProductView { free: product.available - reserved, available: product.available, reserved, suspended: false }
    }

    /// Writes down what the clock has decided.
    fn sweep(&mut self, id: u64, now: i64) {
        let due: Vec<u64> = self
            .holds
            .iter()
            .filter(|(_, hold)| hold.product == id && self.is_due(hold, now))
            .map(|(id, _)| *id)
            .collect();
        for hold_id in due {
            let Some(mut hold) = self.holds.get(&hold_id).cloned() else { continue };
            let units = self.units(hold.quantity);
            let product = self.products.get_mut(&id).unwrap();
            if hold.status == HoldStatus::Active {
                hold.status = HoldStatus::Expired;
                if self.bug != Some(Bug::ExpiredKeepsUnits) {
                    product.reserved -= units;
                }
            } else if self.bug == Some(Bug::ExpiryReturnsRedeemed)
                && hold.status == HoldStatus::Redeemed
                && !hold.returned
            {
                hold.returned = true;
                product.available += units;
            }
            self.holds.insert(hold_id, hold);
        }
    }

    /// The timer of unpaid orders.
    pub(super) fn cancel_overdue(&mut self, product: u64, now: i64) {
        let due: Vec<u64> = self
            .orders
            .iter()
            .filter(|(_, order)| order.status == OrderStatus::PendingPayment && order.due_at <= now)
            .filter(|(_, order)| self.holds[&order.hold].product == product)
            .map(|(id, _)| *id)
            .collect();
        for order in due {
            self.cancel(order, HoldStatus::PaymentOverdue);
        }
    }

    fn cancel(&mut self, id: u64, reason: HoldStatus) {
        let order = self.orders.get_mut(&id).unwrap();
        order.status = OrderStatus::Cancelled;
        let (hold, quantity) = (order.hold, order.quantity);
        let units = self.units(quantity);
        let hold = self.holds.get_mut(&hold).unwrap();
        hold.status = reason;
        if self.bug != Some(Bug::CancelledStillCounted) {
            self.products.get_mut(&hold.product).unwrap().available += units;
        }
    }

    /// A refusal that needs no lock: `now` is the moment at which it is decided and seen. `alone`: no other request
    /// with its key is under way.
    pub(super) fn refuse_without_lock(&self, operation: &Operation, now: i64, alone: bool) -> Option<Outcome> {
        match *operation {
            Operation::PlaceHold { product, quantity, key } if !self.hold_keys.contains_key(&key) && alone => {
                let free = self.view(product, now).free;
                (free < self.units(quantity)).then(|| Self::sold_out(free))
            }
            Operation::PlaceOrder { hold, key } if !self.order_keys.contains_key(&key) && alone => {
                let hold = self.holds.get(&hold)?;
                (self.status(hold, now) == HoldStatus::Expired && self.bug.is_none())
                    .then(|| refused(409, Code::HoldExpired))
            }
            _ => None,
        }
    }

    fn sold_out(free: i64) -> Outcome {
        let available = Some(u64::try_from(free.max(0)).unwrap());
        Outcome::Refused { status: 409, code: Code::InsufficientStock, available, order: None }
    }

    /// A read, of what is written down, at a moment.
    pub(super) fn read(&self, operation: &Operation, now: i64) -> Outcome {
        match *operation {
            Operation::ReadProduct { product, .. } => Outcome::Product(self.view(product, now)),
            Operation::ReadHold { hold } => match self.holds.get(&hold) {
                None => refused(404, Code::NotFound),
                Some(hold) => Outcome::Hold(HoldView {
                    product: hold.product,
                    quantity: i64::from(hold.quantity),
                    status: self.status(hold, now),
                    order: hold.order,
                    created_at: hold.created_at,
                    expires_at: hold.expires_at,
                }),
            },
            Operation::ReadOrder { order } => match self.orders.get(&order) {
                None => refused(404, Code::NotFound),
                Some(_) => Outcome::Order(self.order_view(order)),
            },
            _ => unreachable!("not a read"),
        }
    }

    fn order_view(&self, id: u64) -> OrderView {
        let order = &self.orders[&id];
        OrderView { order: id, hold: order.hold, quantity: i64::from(order.quantity), status: order.status }
    }

    /// A change, under the lock of its product, decided at `now`.
    pub(super) fn write(&mut self, operation: &Operation, now: i64) -> Outcome {
        if let Some(product) = self.product_of(operation)
            && !(self.planted(Bug::ExpiredRedeemed) && matches!(operation, Operation::PlaceOrder { .. }))
        {
            self.sweep(product, now);
        }
        match *operation {
            Operation::PlaceHold { product, quantity, key } => self.place_hold(product, quantity, key, now),
            Operation::ReleaseHold { hold } => self.release(hold),
            Operation::PlaceOrder { hold, key } => self.place_order(hold, key, now),
            Operation::Webhook { key, order, news } => self.webhook(key, order, news),
            Operation::ReadHold { .. } | Operation::ReadOrder { .. } | Operation::ReadProduct { .. } => {
                unreachable!("a read")
            }
        }
    }

    fn held(&self, id: u64, replayed: bool) -> Outcome {
        let hold = &self.holds[&id];
        let body = id.wrapping_mul(31).wrapping_add(hold.expires_at.unsigned_abs());
        Outcome::Held { hold: id, expires_at: hold.expires_at, replayed, body }
    }

    fn place_hold(&mut self, product: u64, quantity: u32, key: Key, now: i64) -> Outcome {
        if let Some((body, id)) = self.hold_keys.get(&key).copied()
            && !self.planted(Bug::ReplayMakesSecondHold)
        {
            return if body == (product, quantity) || self.planted(Bug::AnotherBodyReplayed) {
                self.held(id, true)
            } else {
                refused(422, Code::IdempotencyKeyReused)
            };
        }
        let units = self.units(quantity);
        let free = self.view(product, now).free;
        let racing: i64 = match self.bug {
            // What others took a moment ago is not seen.
            Some(Bug::CheckThenWrite) => self
                .holds
                .values()
                .filter(|hold| hold.product == product && now - hold.created_at < SECOND / 50)
                .map(|hold| i64::from(hold.quantity))
                .sum(),
            Some(Bug::OffByOne) => 1,
            Some(Bug::OffByOneShort) => -1,
            _ => 0,
        };
        let shelf = self.products.get_mut(&product).unwrap();
        let flagged = self.bug == Some(Bug::SoldOutAfterRelease) && now < shelf.sold_out_until;
        if free + racing < units || flagged {
            if !flagged {
                shelf.sold_out_until = now + SECOND / 2;
            }
            return Self::sold_out(free.min(units - 1));
        }
        shelf.reserved += units;
        let id = self.next_hold;
        self.next_hold += 1;
        let live = i64::try_from(self.limits.hold_ttl_seconds).unwrap() * SECOND;
        let expires_at = (now + live + SECOND - 1).div_euclid(SECOND) * SECOND;
        self.holds.insert(
            id,
            Hold {
                product,
                quantity,
                status: HoldStatus::Active,
                order: None,
                created_at: now,
                expires_at,
                redeemed_at: 0,
                returned: false,
            },
        );
        self.hold_keys.insert(key, ((product, quantity), id));
        self.held(id, false)
    }

    fn release(&mut self, id: u64) -> Outcome {
        let Some(hold) = self.holds.get(&id).cloned() else { return refused(404, Code::NotFound) };
        let units = self.units(hold.quantity);
        match hold.status {
            HoldStatus::Redeemed => {
                Outcome::Refused { status: 409, code: Code::HoldAlreadyRedeemed, available: None, order: hold.order }
            }
            HoldStatus::Active => {
                self.holds.get_mut(&id).unwrap().status = HoldStatus::GivenBack;
                self.products.get_mut(&hold.product).unwrap().reserved -= units;
                Outcome::Released
            }
            _ => {
                if self.planted(Bug::ReleaseTwice) {
                    self.products.get_mut(&hold.product).unwrap().reserved -= units;
                }
                Outcome::Released
            }
        }
    }

    fn place_order(&mut self, hold_id: u64, key: Key, now: i64) -> Outcome {
        let Some(hold) = self.holds.get(&hold_id).cloned() else { return refused(422, Code::ValidationFailed) };
        if let Some((body, id)) = self.order_keys.get(&key).copied() {
            return if body == hold_id {
                let order = OrderView { status: OrderStatus::PendingPayment, ..self.order_view(id) };
                Outcome::Ordered { order, replayed: true, body: id }
            } else {
                refused(422, Code::IdempotencyKeyReused)
            };
        }
        let again = self.planted(Bug::TwoOrdersFromOneHold) && now - hold.redeemed_at < SECOND / 10;
        let given_back = self.planted(Bug::GivenBackThenRedeemed) && hold.status == HoldStatus::GivenBack;
        match hold.status {
            HoldStatus::Redeemed if !again => {
                return Outcome::Refused {
                    status: 409,
                    code: Code::HoldAlreadyRedeemed,
                    available: None,
                    order: hold.order,
                };
            }
            HoldStatus::Expired => return refused(409, Code::HoldExpired),
            HoldStatus::GivenBack if !given_back => return refused(409, Code::HoldReleased),
            HoldStatus::PaymentFailed | HoldStatus::PaymentOverdue => return refused(409, Code::HoldReleased),
            HoldStatus::Active | HoldStatus::Redeemed | HoldStatus::GivenBack => {}
        }
        let units = self.units(hold.quantity);
        let product = self.products.get_mut(&hold.product).unwrap();
        product.available -= units;
        if hold.status == HoldStatus::Active {
            product.reserved -= units;
        }
        let id = self.next_order;
        self.next_order += 1;
        let due_at = now + i64::try_from(self.limits.payment_window_seconds).unwrap() * SECOND;
        let quantity = hold.quantity;
        self.orders.insert(id, Order { hold: hold_id, quantity, status: OrderStatus::PendingPayment, due_at });
        self.order_keys.insert(key, (hold_id, id));
        let hold = self.holds.get_mut(&hold_id).unwrap();
        hold.status = HoldStatus::Redeemed;
        hold.order = Some(id);
        hold.redeemed_at = now;
        Outcome::Ordered { order: self.order_view(id), replayed: false, body: id }
    }

    fn webhook(&mut self, key: Key, id: u64, news: News) -> Outcome {
        let scope = if self.planted(Bug::KeyOnTwoOrders) { id } else { 0 };
        let Some(order) = self.orders.get(&id).cloned() else {
            if self.planted(Bug::RefusedEventUsesKey) {
                self.payments.entry((key, scope)).or_insert((id, news));
            }
            return refused(422, Code::ValidationFailed);
        };
        if news == News::Pending && self.pendings.contains(&(key, id)) {
            return Outcome::Accepted;
        }
        if let Some(recorded) = self.payments.get(&(key, scope)) {
            if *recorded != (id, news) {
                return refused(409, Code::PaymentKeyConflict);
            }
            if self.planted(Bug::DuplicateAppliedTwice) && news == News::Failure {
                let product = self.holds[&order.hold].product;
                self.products.get_mut(&product).unwrap().available += i64::from(order.quantity);
            }
            return Outcome::Accepted;
        }
        let news_applied =
            if news == News::Pending && self.planted(Bug::PendingApplied) { News::Success } else { news };
        match (news_applied, order.status) {
            (News::Success, OrderStatus::PendingPayment) => self.pay(id),
            (News::Failure, OrderStatus::PendingPayment) => self.cancel(id, HoldStatus::PaymentFailed),
            (News::Failure, OrderStatus::Paid) if self.planted(Bug::LastWebhookWins) => {
                self.cancel(id, HoldStatus::PaymentFailed);
            }
            (News::Success, OrderStatus::Cancelled)
                if self.planted(Bug::LastWebhookWins) || self.planted(Bug::LateSuccessPaysCancelled) =>
            {
                self.pay(id);
            }
            _ => {}
        }
        if news == News::Pending {
            self.pendings.insert((key, id));
        } else {
            self.payments.insert((key, scope), (id, news));
        }
        Outcome::Accepted
    }

    fn pay(&mut self, id: u64) {
        self.orders.get_mut(&id).unwrap().status = OrderStatus::Paid;
    }
}
