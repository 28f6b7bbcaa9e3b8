//! The decisions: each command is checked whole, then changes rows whole.
//!
//! What belongs here: one function a command, its refusals in order of precedence. What does not: how
//! units move (`units`), how rows are written (`books`). Every step ends with the invariants held against
//! what it changed (`check`). Keeps I4 and I5: the status of a hold or an order says what it still can become.

use crate::books::Books;
use crate::check::{check_counters, check_step, not_locked};
use crate::command::{Command, NextDue, Outcome, Refusal, Terms};
use crate::invariant::{Breach, Invariant};
use crate::rows::{
    Hold, HoldStatus, MovementKind, Order, OrderStatus, PaymentEffect, PaymentEvent, PaymentStatus, ProductStatus,
    ReleaseReason,
};
use crate::state::{Changes, Due, State};
use crate::units::{Room, expire_oldest, make_room, move_units};
use crate::values::{HoldId, Key, MAX_STOCK, OrderId, ProductId, Quantity, Timestamp};

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
    let mut books = Books::open(state, commands.len());
    let mut outcomes: Vec<Option<Outcome>> = vec![None; commands.len()];
    let last = |command: &Command| matches!(command, Command::CancelUnpaidOrders { .. });
    let in_order = (0..commands.len()).filter(|i| !last(&commands[*i]));
    for i in in_order.chain((0..commands.len()).filter(|i| last(&commands[*i]))) {
        outcomes[i] = Some(step(&mut books, &commands[i], terms)?);
    }
    let mut in_given_order = Vec::with_capacity(commands.len());
    in_given_order.extend(outcomes.into_iter().flatten());
    Ok(Decision { outcomes: in_given_order, changes: books.close() })
}

fn step(books: &mut Books, command: &Command, terms: &Terms) -> Result<Outcome, Breach> {
    books.begin_step();
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
    check_step(books)?;
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
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    let known = key.and_then(|key| books.state.hold_keys.get(key)).and_then(|id| books.state.holds.get(id));
    if let Some(hold) = known {
        let same = hold.product_id == product_id && hold.quantity == quantity;
        return Ok(if same {
            Outcome::HoldPlaced { hold: hold.clone(), replayed: true }
        } else {
            Outcome::Refused(Refusal::KeyReused)
        });
    }
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
    let Some(hold) = books.state.holds.get(&hold_id) else {
        return Ok(Outcome::Refused(Refusal::HoldUnknown));
    };
    let known = key.and_then(|key| books.state.order_keys.get(key)).and_then(|id| books.state.orders.get(id));
    if let Some(order) = known {
        return Ok(if order.hold_id == hold_id {
            Outcome::OrderPlaced { order: order.clone(), replayed: true }
        } else {
            Outcome::Refused(Refusal::KeyReused)
        });
    }
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
        // A hold names a product, so this is a batch that locked the wrong one.
        return Err(not_locked(product_id));
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
    // First, because final news of the same key does not make this delivery another content.
    if status == PaymentStatus::Pending
        && let Some(event) = books.state.pending_payments.get(&(key.clone(), order_id))
    {
        return Ok(Outcome::PaymentTaken { event: event.clone(), repeated: true });
    }
    if let Some(event) = books.state.payments.get(key) {
        return Ok(if event.order_id == order_id && event.status == status {
            Outcome::PaymentTaken { event: event.clone(), repeated: true }
        } else {
            Outcome::Refused(Refusal::PaymentKeyConflict)
        });
    }
    let product_id = order.product_id;
    let now = books.now_of(product_id);
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
    books.record_payment(product_id, event.clone());
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
    let due = books.state.due_holds.get(&product_id);
    let next = next_due(books, product_id, due, books.next_new_hold_deadline(product_id));
    Ok(Outcome::HoldsExpired { holds, units, next })
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
    let due = books.state.due_orders.get(&product_id);
    let next = next_due(books, product_id, due, books.next_new_payment_deadline(product_id));
    Ok(Outcome::OrdersCancelled { orders, next })
}

fn restock(books: &mut Books, product_id: ProductId, change: i64) -> Result<Outcome, Breach> {
    let Some(product) = books.state.products.get(&product_id) else {
        return Ok(Outcome::Refused(Refusal::ProductUnknown));
    };
    check_counters(product)?;
    if change > 0 && product.stock_available.saturating_add(change.unsigned_abs()) > MAX_STOCK {
        return Ok(Outcome::Refused(Refusal::StockOverLimit));
    }
    let taken = change.min(0).unsigned_abs();
    match make_room(books, product_id, taken)? {
        Room::Made => {}
        Room::Short { available } => return Ok(Outcome::Refused(Refusal::InsufficientStock { available })),
        Room::Unsure => return Ok(Outcome::Deferred),
    }
    books.step.stocked_change += change;
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
    let redeemed_by_it = books.state.holds.get(&hold_id).is_some_and(|hold| {
        hold.status == HoldStatus::Redeemed { order_id } && hold.product_id == product_id && hold.quantity == quantity
    });
    if !redeemed_by_it {
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

/// When there is work again. The loaded deadline does not know of the rows that this batch makes.
fn next_due<Id>(
    books: &Books,
    product_id: ProductId,
    due: Option<&Due<Id>>,
    new_deadline: Option<Timestamp>,
) -> NextDue {
    if due.is_some_and(|due| due.more) {
        return NextDue::Now;
    }
    let loaded = due.and_then(|due| due.next_deadline);
    match loaded.into_iter().chain(new_deadline).min() {
        Some(deadline) => NextDue::At { deadline, now: books.now_of(product_id) },
        None => NextDue::Never,
    }
}
