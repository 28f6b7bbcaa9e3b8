//! Hand-made states for the tables: a few rows with round numbers, and the values that name them.
//!
//! What does not belong here: anything that decides. The rows are what a store would have loaded.

use sale::{
    Changes, Command, Decision, Due, Hold, HoldId, HoldStatus, Key, Money, Movement, MovementKind, Order, OrderId,
    OrderStatus, Outcome, PaymentEffect, PaymentEvent, PaymentStatus, Product, ProductId, ProductStatus, Quantity,
    Refusal, ReleaseReason, State, Terms, Timestamp, decide,
};

/// The clock of the tables, half a second past a whole one.
pub(crate) const NOW: Timestamp = Timestamp(1_764_637_200_500_000);

pub(crate) const TERMS: Terms = Terms { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 10 };

/// The product of most rows.
pub(crate) const P: ProductId = ProductId(1);

/// The number of the last movement of every product at the start.
pub(crate) const SEQ: u64 = 7;

/// A moment, in milliseconds from [`NOW`].
pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp(NOW.0 + millis * 1_000)
}

pub(crate) fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a quantity of the tables is in range")
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).expect("a key of the tables is in range")
}

pub(crate) fn product(stock_available: u64, stock_reserved: u64) -> Product {
    Product {
        id: P,
        price: Money(9_999),
        status: ProductStatus::OnSale,
        stock_available,
        stock_reserved,
        movement_seq: SEQ,
        updated_at: at(-60_000),
    }
}

pub(crate) fn suspended(mut product: Product) -> Product {
    product.status = ProductStatus::Suspended { reason: "checking".to_owned() };
    product
}

/// An active hold with half a minute left.
pub(crate) fn hold(id: u64, units: u32) -> Hold {
    Hold {
        id: HoldId(id),
        product_id: P,
        quantity: quantity(units),
        status: HoldStatus::Active,
        created_at: at(-90_000),
        expires_at: at(30_500),
        key: None,
    }
}

/// An active hold whose deadline came half a second ago.
pub(crate) fn overdue(id: u64, units: u32) -> Hold {
    Hold { expires_at: at(-500), ..hold(id, units) }
}

pub(crate) fn redeemed(hold: Hold, order_id: u64) -> Hold {
    Hold { status: HoldStatus::Redeemed { order_id: OrderId(order_id) }, ..hold }
}

pub(crate) fn released(hold: Hold, reason: ReleaseReason) -> Hold {
    Hold { status: HoldStatus::Released { at: at(-400), reason, order_id: None }, ..hold }
}

/// A pending order, of a hold of the same number unless said otherwise.
pub(crate) fn order(id: u64, units: u32) -> Order {
    Order {
        id: OrderId(id),
        hold_id: HoldId(id),
        product_id: P,
        quantity: quantity(units),
        total_amount: Money(9_999 * u64::from(units)),
        status: OrderStatus::PendingPayment,
        created_at: at(-70_000),
        updated_at: at(-70_000),
        payment_deadline: at(830_000),
        key: None,
    }
}

pub(crate) fn payment(name: &str, order_id: u64, status: PaymentStatus, effect: PaymentEffect) -> PaymentEvent {
    PaymentEvent { key: key(name), order_id: OrderId(order_id), status, effect, received_at: at(-5_000) }
}

/// A movement of [`P`] at [`NOW`]: its number after [`SEQ`], the changes, and both counters after it.
pub(crate) fn movement(kind: MovementKind, number: u64, changes: (i64, i64), after: (u64, u64)) -> Movement {
    Movement {
        product_id: P,
        seq: SEQ + number,
        kind,
        available_change: changes.0,
        reserved_change: changes.1,
        stock_available: after.0,
        stock_reserved: after.1,
        hold_id: None,
        order_id: None,
        at: NOW,
    }
}

pub(crate) fn place(hold_id: u64, units: u32) -> Command {
    Command::PlaceHold { hold_id: HoldId(hold_id), product_id: P, quantity: quantity(units), key: None }
}

pub(crate) fn place_keyed(hold_id: u64, units: u32, name: &str) -> Command {
    Command::PlaceHold { hold_id: HoldId(hold_id), product_id: P, quantity: quantity(units), key: Some(key(name)) }
}

pub(crate) fn give_back(hold_id: u64) -> Command {
    Command::GiveBackHold { hold_id: HoldId(hold_id) }
}

pub(crate) fn redeem(hold_id: u64, order_id: u64) -> Command {
    Command::RedeemHold { hold_id: HoldId(hold_id), order_id: OrderId(order_id), key: None }
}

pub(crate) fn redeem_keyed(hold_id: u64, order_id: u64, name: &str) -> Command {
    Command::RedeemHold { hold_id: HoldId(hold_id), order_id: OrderId(order_id), key: Some(key(name)) }
}

pub(crate) fn settle(name: &str, order_id: u64, status: PaymentStatus) -> Command {
    Command::SettlePayment { key: key(name), order_id: OrderId(order_id), status }
}

pub(crate) fn restock(change: i64) -> Command {
    Command::Restock { product_id: P, change }
}

pub(crate) fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

/// What a store would have loaded.
#[derive(Clone, Debug)]
pub(crate) struct World(State);

impl World {
    pub(crate) fn new() -> Self {
        Self(State { now: Some(NOW), ..State::default() })
    }

    pub(crate) fn of(product: Product) -> Self {
        Self::new().product(product)
    }

    pub(crate) fn clock(mut self, now: Timestamp) -> Self {
        self.0.now = Some(now);
        self
    }

    pub(crate) fn product(mut self, product: Product) -> Self {
        self.0.products.insert(product.id, product);
        self
    }

    pub(crate) fn hold(mut self, hold: Hold) -> Self {
        if let Some(key) = &hold.key {
            self.0.hold_keys.insert(key.clone(), hold.id);
        }
        self.0.holds.insert(hold.id, hold);
        self
    }

    pub(crate) fn order(mut self, order: Order) -> Self {
        if let Some(key) = &order.key {
            self.0.order_keys.insert(key.clone(), order.id);
        }
        self.0.orders.insert(order.id, order);
        self
    }

    pub(crate) fn payment(mut self, event: PaymentEvent) -> Self {
        if event.status == PaymentStatus::Pending {
            self.0.pending_payments.insert((event.key.clone(), event.order_id), event);
        } else {
            self.0.payments.insert(event.key.clone(), event);
        }
        self
    }

    pub(crate) fn due_holds(mut self, ids: &[u64], more: bool, next_deadline: Option<Timestamp>) -> Self {
        let ids = ids.iter().copied().map(HoldId).collect();
        self.0.due_holds.insert(P, Due { ids, more, next_deadline });
        self
    }

    pub(crate) fn due_orders(mut self, ids: &[u64], more: bool, next_deadline: Option<Timestamp>) -> Self {
        let ids = ids.iter().copied().map(OrderId).collect();
        self.0.due_orders.insert(P, Due { ids, more, next_deadline });
        self
    }

    pub(crate) fn decide(self, commands: &[Command]) -> Result<Decision, sale::Breach> {
        decide(self.0, commands, &TERMS)
    }

    /// The outcome of one command, and the rows to write.
    pub(crate) fn step(self, name: &str, command: Command) -> (Outcome, Changes) {
        let decision = self.decide(&[command]).unwrap_or_else(|breach| panic!("{name}: {breach}"));
        let [outcome] = decision.outcomes.try_into().unwrap_or_else(|_| panic!("{name}: not one outcome"));
        (outcome, decision.changes)
    }
}
