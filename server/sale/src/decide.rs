//! The decisions: each command is checked whole, then changes rows whole.
//!
//! Every step ends with the invariants held against what it changed (double entry): holds and orders
//! say how many units they took or gave, and counters and movement must say the same. Keeps I1 on the
//! product, I2 and I3 for the step, I4 and I5 by status, I6 by construction.

use crate::command::{Command, NextDue, Outcome, Refusal, Terms};
use crate::invariant::{Breach, Invariant};
use crate::rows::{
    Hold, HoldStatus, Movement, MovementKind, Order, OrderStatus, PaymentEffect, PaymentEvent, PaymentStatus, Product,
    ProductStatus, ReleaseReason,
};
use crate::state::{Books, Changes, Due, State};
use crate::values::{HoldId, Key, MAX_STOCK, OrderId, ProductId, Quantity};

/// What a batch decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// One outcome a command, in the order of the commands.
    pub outcomes: Vec<Outcome>,
    /// The rows to write.
    pub changes: Changes,
}

/// Decides `commands` one after the other on the rows of `state`.
///
/// The result is that of the same commands decided one by one, each on the rows that the one before
/// left, window cancellations last.
///
/// # Errors
/// A [`Breach`] if a product breaks an invariant, or a step would. Then nothing of the batch may be
/// written: the caller takes the product out and decides the rest again.
pub fn decide(state: State, commands: &[Command], terms: &Terms) -> Result<Decision, Breach> {
    let mut books = Books::open(state);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; commands.len()];
    let last = |command: &Command| matches!(command, Command::CancelUnpaidOrders { .. });
    let in_order = (0..commands.len()).filter(|i| !last(&commands[*i]));
    for i in in_order.chain((0..commands.len()).filter(|i| last(&commands[*i]))) {
        outcomes[i] = Some(step(&mut books, &commands[i], terms)?);
    }
    Ok(Decision { outcomes: outcomes.into_iter().flatten().collect(), changes: books.close() })
}

fn step(books: &mut Books, command: &Command, terms: &Terms) -> Result<Outcome, Breach> {
    books.begin_step();
    let movements_before = books.movements.len();
    let outcome = match command {
        Command::PlaceHold { hold_id, product_id, quantity, key } => {
            place_hold(books, *hold_id, *product_id, *quantity, key.as_ref(), terms)
        }
        Command::GiveBackHold { hold_id } => give_back_hold(books, *hold_id),
        Command::RedeemHold { hold_id, order_id, key } => redeem_hold(books, *hold_id, *order_id, key.as_ref(), terms),
        Command::SettlePayment { key, order_id, status } => settle_payment(books, key, *order_id, *status),
        Command::ExpireHolds { product_id } => expire_holds(books, *product_id),
        Command::CancelUnpaidOrders { product_id } => cancel_unpaid_orders(books, *product_id),
        Command::Restock { product_id, change } => restock(books, *product_id, *change),
        Command::Suspend { product_id, reason } => {
            Ok(set_status(books, *product_id, &ProductStatus::Suspended { reason: reason.clone() }))
        }
        Command::Resume { product_id } => Ok(set_status(books, *product_id, &ProductStatus::OnSale)),
    }?;
    check_step(books, movements_before)?;
    Ok(outcome)
}

fn place_hold(
    books: &mut Books,
    hold_id: HoldId,
    product_id: ProductId,
    quantity: Quantity,
    key: Option<&Key>,
    terms: &Terms,
) -> Result<Outcome, Breach> {
    let known = key.and_then(|key| books.state.hold_keys.get(key)).and_then(|id| books.state.holds.get(id));
    if let Some(hold) = known {
        let same = hold.product_id == product_id && hold.quantity == quantity;
        return Ok(if same {
            Outcome::HoldPlaced { hold: hold.clone(), replayed: true }
        } else {
            Outcome::Refused(Refusal::KeyReused)
        });
    }
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    if quantity.get() > terms.max_qty_per_hold {
        return Ok(Outcome::Refused(Refusal::QuantityOverLimit { limit: terms.max_qty_per_hold }));
    }
    if product.status != ProductStatus::OnSale {
        return Ok(Outcome::Refused(Refusal::ProductSuspended));
    }
    check_counters(product)?;
    match make_room(books, product_id, quantity.units())? {
        Room::Made => {}
        Room::Short { available } => return Ok(Outcome::Refused(Refusal::InsufficientStock { available })),
        Room::Unsure => return Ok(Outcome::Deferred),
    }
    let now = books.now_of(product_id);
    let hold = Hold {
        id: hold_id,
        product_id,
        quantity,
        status: HoldStatus::Active,
        created_at: now,
        expires_at: now.plus_seconds(terms.hold_ttl_seconds).round_up_to_second(),
        key: key.cloned(),
    };
    books.insert_hold(hold.clone());
    move_units(books, product_id, MovementKind::HoldPlaced, 0, quantity.signed(), Some(hold_id), None)?;
    Ok(Outcome::HoldPlaced { hold, replayed: false })
}

fn give_back_hold(books: &mut Books, hold_id: HoldId) -> Result<Outcome, Breach> {
    let Some(hold) = books.state.holds.get(&hold_id) else {
        return Ok(Outcome::Refused(Refusal::HoldUnknown));
    };
    let (product_id, quantity) = (hold.product_id, hold.quantity);
    let now = books.now_of(product_id);
    match hold.status {
        HoldStatus::Redeemed { order_id } => Ok(Outcome::Refused(Refusal::HoldAlreadyRedeemed { order_id })),
        HoldStatus::Released { .. } => Ok(Outcome::HoldGivenBack { already: true }),
        // Its deadline released it. Expiry writes that down, with the deadline as its time.
        HoldStatus::Active if hold.is_due(now) => Ok(Outcome::HoldGivenBack { already: true }),
        HoldStatus::Active => {
            books.set_hold_status(
                hold_id,
                HoldStatus::Released { at: now, reason: ReleaseReason::GivenBack, order_id: None },
            );
            let kind = MovementKind::HoldGivenBack;
            move_units(books, product_id, kind, 0, -quantity.signed(), Some(hold_id), None)?;
            Ok(Outcome::HoldGivenBack { already: false })
        }
    }
}

fn redeem_hold(
    books: &mut Books,
    hold_id: HoldId,
    order_id: OrderId,
    key: Option<&Key>,
    terms: &Terms,
) -> Result<Outcome, Breach> {
    let known = key.and_then(|key| books.state.order_keys.get(key)).and_then(|id| books.state.orders.get(id));
    if let Some(order) = known {
        return Ok(if order.hold_id == hold_id {
            Outcome::OrderPlaced { order: order.clone(), replayed: true }
        } else {
            Outcome::Refused(Refusal::KeyReused)
        });
    }
    let Some(hold) = books.state.holds.get(&hold_id) else {
        return Ok(Outcome::Refused(Refusal::HoldUnknown));
    };
    let (product_id, quantity) = (hold.product_id, hold.quantity);
    let now = books.now_of(product_id);
    match hold.status {
        HoldStatus::Redeemed { order_id } => {
            return Ok(Outcome::Refused(Refusal::HoldAlreadyRedeemed { order_id }));
        }
        HoldStatus::Released { reason: ReleaseReason::Expired, .. } => {
            return Ok(Outcome::Refused(Refusal::HoldExpired));
        }
        HoldStatus::Released { .. } => return Ok(Outcome::Refused(Refusal::HoldReleased)),
        HoldStatus::Active if hold.is_due(now) => return Ok(Outcome::Refused(Refusal::HoldExpired)),
        HoldStatus::Active => {}
    }
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    let Some(total_amount) = product.price.times(quantity) else {
        return Err(Breach {
            product_id,
            invariant: Invariant::UnitsConserved,
            detail: format!("its price of {} minor units times {} cannot be counted", product.price.0, quantity.get()),
        });
    };
    let order = Order {
        id: order_id,
        hold_id,
        product_id,
        quantity,
        total_amount,
        status: OrderStatus::PendingPayment,
        created_at: now,
        updated_at: now,
        payment_deadline: now.plus_seconds(terms.payment_window_seconds),
        key: key.cloned(),
    };
    books.set_hold_status(hold_id, HoldStatus::Redeemed { order_id });
    books.insert_order(order.clone());
    let units = quantity.signed();
    move_units(books, product_id, MovementKind::HoldRedeemed, -units, -units, Some(hold_id), Some(order_id))?;
    Ok(Outcome::OrderPlaced { order, replayed: false })
}

fn settle_payment(books: &mut Books, key: &Key, order_id: OrderId, status: PaymentStatus) -> Result<Outcome, Breach> {
    let Some(order) = books.state.orders.get(&order_id) else {
        return Ok(Outcome::Refused(Refusal::OrderUnknown));
    };
    if let Some(event) = books.state.payments.get(key) {
        return Ok(if event.order_id == order_id && event.status == status {
            Outcome::PaymentTaken { event: event.clone(), repeated: true }
        } else {
            Outcome::Refused(Refusal::PaymentKeyConflict)
        });
    }
    if status == PaymentStatus::Pending
        && let Some(event) = books.state.pending_payments.get(&(key.clone(), order_id))
    {
        return Ok(Outcome::PaymentTaken { event: event.clone(), repeated: true });
    }
    let now = books.now_of(order.product_id);
    let effect = match (status, order.status) {
        (PaymentStatus::Success, OrderStatus::PendingPayment) => PaymentEffect::Paid,
        (PaymentStatus::Failure, OrderStatus::PendingPayment) => PaymentEffect::Cancelled,
        (PaymentStatus::Success, OrderStatus::Cancelled) => PaymentEffect::RefundRequired,
        (PaymentStatus::Pending, _)
        | (PaymentStatus::Success, OrderStatus::Paid)
        | (PaymentStatus::Failure, OrderStatus::Paid | OrderStatus::Cancelled) => PaymentEffect::NoEffect,
    };
    match effect {
        PaymentEffect::Paid => books.set_order_status(order_id, OrderStatus::Paid, now),
        PaymentEffect::Cancelled => cancel_order(books, order_id, ReleaseReason::PaymentFailed)?,
        PaymentEffect::NoEffect | PaymentEffect::RefundRequired => {}
    }
    let event = PaymentEvent { key: key.clone(), order_id, status, effect, received_at: now };
    books.record_payment(event.clone());
    Ok(Outcome::PaymentTaken { event, repeated: false })
}

fn expire_holds(books: &mut Books, product_id: ProductId) -> Result<Outcome, Breach> {
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    check_counters(product)?;
    let (mut holds, mut units) = (0, 0);
    while let Some(released) = expire_oldest(books, product_id)? {
        holds += 1;
        units += released;
    }
    Ok(Outcome::HoldsExpired {
        holds,
        units,
        next: next_due(books, product_id, books.state.due_holds.get(&product_id)),
    })
}

fn cancel_unpaid_orders(books: &mut Books, product_id: ProductId) -> Result<Outcome, Breach> {
    if !books.state.products.contains_key(&product_id) {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    }
    let now = books.now_of(product_id);
    let due = books.state.due_orders.get_mut(&product_id).map(|due| std::mem::take(&mut due.ids)).unwrap_or_default();
    let mut orders = Vec::new();
    for order_id in due {
        // A payment event of this batch may have ended it.
        let unpaid = books
            .state
            .orders
            .get(&order_id)
            .is_some_and(|order| order.status == OrderStatus::PendingPayment && order.payment_deadline <= now);
        if unpaid {
            cancel_order(books, order_id, ReleaseReason::PaymentOverdue)?;
            orders.push(order_id);
        }
    }
    Ok(Outcome::OrdersCancelled { orders, next: next_due(books, product_id, books.state.due_orders.get(&product_id)) })
}

fn restock(books: &mut Books, product_id: ProductId, change: i64) -> Result<Outcome, Breach> {
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    check_counters(product)?;
    if change > 0 && product.stock_available.saturating_add(change.unsigned_abs()) > MAX_STOCK {
        return Ok(Outcome::Refused(Refusal::StockOverLimit));
    }
    if change < 0 {
        match make_room(books, product_id, change.unsigned_abs())? {
            Room::Made => {}
            Room::Short { available } => return Ok(Outcome::Refused(Refusal::InsufficientStock { available })),
            Room::Unsure => return Ok(Outcome::Deferred),
        }
    }
    books.stocked_change += change;
    move_units(books, product_id, MovementKind::Restocked, change, 0, None, None)?;
    Ok(product_changed(books, product_id))
}

fn set_status(books: &mut Books, product_id: ProductId, status: &ProductStatus) -> Outcome {
    let now = books.now_of(product_id);
    let Some(product) = books.state.products.get(&product_id) else {
        return Outcome::Refused(Refusal::ProductUnknown);
    };
    // The first reason stays: a second suspension must not hide why the first one was made.
    let changes = match (&product.status, status) {
        (ProductStatus::Suspended { .. }, ProductStatus::Suspended { .. })
        | (ProductStatus::OnSale, ProductStatus::OnSale) => false,
        (ProductStatus::Suspended { .. }, ProductStatus::OnSale)
        | (ProductStatus::OnSale, ProductStatus::Suspended { .. }) => true,
    };
    if changes && let Some(product) = books.product_mut(product_id) {
        product.status = status.clone();
        product.updated_at = now;
    }
    product_changed(books, product_id)
}

fn product_changed(books: &Books, product_id: ProductId) -> Outcome {
    match books.state.products.get(&product_id) {
        Some(product) => Outcome::ProductChanged(product.clone()),
        None => Outcome::Refused(Refusal::ProductUnknown),
    }
}

/// Ends an order without a sale: its units go back to the shelf, its hold is released for good.
fn cancel_order(books: &mut Books, order_id: OrderId, reason: ReleaseReason) -> Result<(), Breach> {
    let Some(order) = books.state.orders.get(&order_id) else { return Ok(()) };
    let (hold_id, product_id, quantity) = (order.hold_id, order.product_id, order.quantity);
    let redeemed = HoldStatus::Redeemed { order_id };
    if books.state.holds.get(&hold_id).map(|hold| hold.status) != Some(redeemed) {
        return Err(Breach {
            product_id,
            invariant: Invariant::HoldUsedOnce,
            detail: format!("order {order_id} is pending, but its hold {hold_id} is not redeemed by it"),
        });
    }
    let now = books.now_of(product_id);
    books.set_order_status(order_id, OrderStatus::Cancelled, now);
    books.set_hold_status(hold_id, HoldStatus::Released { at: now, reason, order_id: Some(order_id) });
    let kind = match reason {
        ReleaseReason::PaymentOverdue => MovementKind::PaymentOverdue,
        ReleaseReason::PaymentFailed | ReleaseReason::Expired | ReleaseReason::GivenBack => MovementKind::PaymentFailed,
    };
    move_units(books, product_id, kind, quantity.signed(), 0, Some(hold_id), Some(order_id))
}

enum Room {
    /// So many units are free.
    Made,
    /// They are not, even if every due hold is counted as gone.
    Short { available: u64 },
    /// They may be once more due holds are loaded; those at hand are released.
    Unsure,
}

/// Sees to it that `units` are free: a hold past its deadline keeps none (I8). Only as many due holds
/// are released as it takes, and none if that would not be enough.
fn make_room(books: &mut Books, product_id: ProductId, units: u64) -> Result<Room, Breach> {
    let free = |books: &Books| books.state.products.get(&product_id).map_or(0, Product::free);
    if free(books) >= units {
        return Ok(Room::Made);
    }
    let (due_units, more) = due_units(books, product_id);
    let available = free(books).saturating_add(due_units);
    if available < units && !more {
        return Ok(Room::Short { available });
    }
    while free(books) < units {
        if expire_oldest(books, product_id)?.is_none() {
            return Ok(Room::Unsure);
        }
    }
    Ok(Room::Made)
}

fn due_units(books: &Books, product_id: ProductId) -> (u64, bool) {
    let Some(due) = books.state.due_holds.get(&product_id) else { return (0, false) };
    let now = books.now_of(product_id);
    let holds = due.ids.iter().filter_map(|id| books.state.holds.get(id)).filter(|hold| hold.is_due(now));
    (holds.map(|hold| hold.quantity.units()).sum(), due.more)
}

/// Releases the oldest due hold and says how many units it kept; `None` if there is none at hand.
fn expire_oldest(books: &mut Books, product_id: ProductId) -> Result<Option<u64>, Breach> {
    let now = books.now_of(product_id);
    loop {
        let Some(hold_id) = books.state.due_holds.get_mut(&product_id).and_then(|due| due.ids.pop_front()) else {
            return Ok(None);
        };
        let Some(hold) = books.state.holds.get(&hold_id).filter(|hold| hold.is_due(now)) else { continue };
        let (quantity, at) = (hold.quantity, hold.expires_at);
        books.set_hold_status(hold_id, HoldStatus::Released { at, reason: ReleaseReason::Expired, order_id: None });
        move_units(books, product_id, MovementKind::HoldExpired, 0, -quantity.signed(), Some(hold_id), None)?;
        return Ok(Some(quantity.units()));
    }
}

fn next_due<Id>(books: &Books, product_id: ProductId, due: Option<&Due<Id>>) -> NextDue {
    match due {
        Some(due) if due.more => NextDue::Now,
        Some(Due { next_deadline: Some(deadline), .. }) => {
            NextDue::At { deadline: *deadline, now: books.now_of(product_id) }
        }
        Some(_) | None => NextDue::Never,
    }
}

/// Writes one movement and its counters. Nothing else changes a counter.
fn move_units(
    books: &mut Books,
    product_id: ProductId,
    kind: MovementKind,
    available_change: i64,
    reserved_change: i64,
    hold_id: Option<HoldId>,
    order_id: Option<OrderId>,
) -> Result<(), Breach> {
    let now = books.now_of(product_id);
    let Some(product) = books.product_mut(product_id) else {
        return Err(Breach {
            product_id,
            invariant: Invariant::UnitsConserved,
            detail: "its units were to move, but its row is not locked".to_owned(),
        });
    };
    let available = product.stock_available.checked_add_signed(available_change);
    let reserved = product.stock_reserved.checked_add_signed(reserved_change);
    let (Some(available), Some(reserved)) = (available, reserved) else {
        return Err(Breach {
            product_id,
            invariant: Invariant::CountersInRange,
            detail: format!(
                "stock_available {} {available_change:+}, stock_reserved {} {reserved_change:+}",
                product.stock_available, product.stock_reserved
            ),
        });
    };
    product.stock_available = available;
    product.stock_reserved = reserved;
    product.movement_seq += 1;
    product.updated_at = now;
    let movement = Movement {
        product_id,
        seq: product.movement_seq,
        kind,
        available_change,
        reserved_change,
        stock_available: available,
        stock_reserved: reserved,
        hold_id,
        order_id,
        at: now,
    };
    check_counters(product)?;
    books.movements.push(movement);
    Ok(())
}

fn check_counters(product: &Product) -> Result<(), Breach> {
    if product.stock_reserved <= product.stock_available {
        return Ok(());
    }
    Err(Breach {
        product_id: product.id,
        invariant: Invariant::CountersInRange,
        detail: format!(
            "stock_reserved {} is more than stock_available {}",
            product.stock_reserved, product.stock_available
        ),
    })
}

/// Holds what the step did to holds and orders against what its movements did to the counters.
fn check_step(books: &Books, movements_before: usize) -> Result<(), Breach> {
    let movements = books.movements.get(movements_before..).unwrap_or_default();
    let reserved: i64 = movements.iter().map(|movement| movement.reserved_change).sum();
    let available: i64 = movements.iter().map(|movement| movement.available_change).sum();
    let breach = |invariant, detail| {
        let product_id = books.touched().iter().next().copied().unwrap_or(ProductId(0));
        Err(Breach { product_id, invariant, detail })
    };
    if reserved != books.held_change {
        let detail = format!("active holds changed by {:+} units, stock_reserved by {reserved:+}", books.held_change);
        return breach(Invariant::ReservedIsHeld, detail);
    }
    if available + books.sold_change != books.stocked_change {
        let detail = format!(
            "stocked {:+}, sold {:+} units, but stock_available changed by {available:+}",
            books.stocked_change, books.sold_change
        );
        return breach(Invariant::UnitsConserved, detail);
    }
    for product in books.touched().iter().filter_map(|id| books.state.products.get(id)) {
        let last = movements.iter().rev().find(|movement| movement.product_id == product.id);
        let chained = last.is_none_or(|last| {
            last.seq == product.movement_seq
                && last.stock_available == product.stock_available
                && last.stock_reserved == product.stock_reserved
        });
        if !chained {
            return breach(Invariant::LedgerChained, "its last movement does not end at its counters".to_owned());
        }
    }
    Ok(())
}
