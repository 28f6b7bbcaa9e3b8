//! One row a success of a command about orders: the exact outcome and every row that it writes.

use sale::{
    Changes, Command, Hold, HoldId, HoldStatus, MovementKind, NextDue, Order, OrderId, OrderStatus, Outcome,
    PaymentEffect, PaymentEvent, PaymentStatus, ReleaseReason, Timestamp,
};

use crate::expected::{Row, check, moved, of_hold, of_order};
use crate::world::{
    NOW, P, World, at, hold, key, movement, order, overdue, payment, product, redeem, redeem_keyed, redeemed, released,
    settle, suspended,
};
#[test]
fn redeem_hold() {
    let new_order =
        Order { created_at: NOW, updated_at: NOW, payment_deadline: at(900_000), hold_id: HoldId(1), ..order(5, 2) };
    let keyed = |order: &Order| Order { key: Some(key("k")), ..order.clone() };
    let sold = of_order(of_hold(movement(MovementKind::HoldRedeemed, 1, (-2, -2), (8, 1)), 1), 5);
    let changes = |order: Order, hold| Changes {
        changed_holds: vec![redeemed(hold, 5)],
        new_orders: vec![order],
        movements: vec![sold.clone()],
        products: vec![moved(8, 1, 1)],
        ..Changes::default()
    };
    let last_moment = Hold { expires_at: Timestamp(NOW.0 + 1), ..hold(1, 2) };
    let paid = Order { status: OrderStatus::Paid, ..keyed(&new_order) };
    check(vec![
        (
            "active",
            World::of(product(10, 3)).hold(hold(1, 2)),
            redeem(1, 5),
            Outcome::OrderPlaced { order: new_order.clone(), replayed: false },
            changes(new_order.clone(), hold(1, 2)),
        ),
        (
            "a microsecond before its deadline, with a key",
            World::of(product(10, 3)).hold(last_moment.clone()),
            redeem_keyed(1, 5, "k"),
            Outcome::OrderPlaced { order: keyed(&new_order), replayed: false },
            changes(keyed(&new_order), last_moment),
        ),
        (
            "while the product is suspended",
            World::of(suspended(product(10, 3))).hold(hold(1, 2)),
            redeem(1, 5),
            Outcome::OrderPlaced { order: new_order.clone(), replayed: false },
            Changes { products: vec![suspended(moved(8, 1, 1))], ..changes(new_order.clone(), hold(1, 2)) },
        ),
        (
            "the same again, paid since",
            World::of(product(8, 0)).hold(redeemed(overdue(1, 2), 5)).order(paid.clone()),
            redeem_keyed(1, 6, "k"),
            Outcome::OrderPlaced { order: paid, replayed: true },
            Changes::default(),
        ),
    ]);
}

/// An order of two units that has `status`, with its hold, and a payment event about it that has `effect`.
fn settled(status: OrderStatus, news: PaymentStatus, effect: PaymentEffect) -> Row {
    let hold = redeemed(overdue(5, 2), 5);
    let hold = if status == OrderStatus::Cancelled { released(hold, ReleaseReason::PaymentFailed) } else { hold };
    let before = Order { status, ..order(5, 2) };
    let event = PaymentEvent { key: key("k"), order_id: OrderId(5), status: news, effect, received_at: NOW };
    let mut changes = Changes {
        payment_events: vec![event.clone()],
        // The row is written for its clock alone where no units move.
        products: vec![moved(10, 3, 0)],
        ..Changes::default()
    };
    if effect == PaymentEffect::Paid {
        changes.changed_orders = vec![Order { status: OrderStatus::Paid, updated_at: NOW, ..before.clone() }];
    }
    if effect == PaymentEffect::Cancelled {
        let (at, reason, order_id) = (NOW, ReleaseReason::PaymentFailed, Some(OrderId(5)));
        changes.changed_orders = vec![Order { status: OrderStatus::Cancelled, updated_at: NOW, ..before.clone() }];
        changes.changed_holds = vec![Hold { status: HoldStatus::Released { at, reason, order_id }, ..hold.clone() }];
        changes.movements = vec![of_order(of_hold(movement(MovementKind::PaymentFailed, 1, (2, 0), (12, 3)), 5), 5)];
        changes.products = vec![moved(12, 3, 1)];
    }
    let world = World::of(product(10, 3)).hold(hold).order(before);
    (
        "the order's state and the news",
        world,
        settle("k", 5, news),
        Outcome::PaymentTaken { event, repeated: false },
        changes,
    )
}

#[test]
fn settle_payment_by_news_and_state() {
    use OrderStatus::{Cancelled, Paid, PendingPayment};
    use PaymentStatus::{Failure, Pending, Success};
    check(vec![
        settled(PendingPayment, Success, PaymentEffect::Paid),
        settled(PendingPayment, Failure, PaymentEffect::Cancelled),
        settled(PendingPayment, Pending, PaymentEffect::NoEffect),
        settled(Paid, Success, PaymentEffect::NoEffect),
        settled(Paid, Failure, PaymentEffect::NoEffect),
        settled(Paid, Pending, PaymentEffect::NoEffect),
        settled(Cancelled, Success, PaymentEffect::RefundRequired),
        settled(Cancelled, Failure, PaymentEffect::NoEffect),
        settled(Cancelled, Pending, PaymentEffect::NoEffect),
    ]);
}

#[test]
fn settle_payment_by_key() {
    use PaymentStatus::{Pending, Success};
    let world = || World::of(product(10, 0)).hold(redeemed(hold(5, 2), 5)).order(order(5, 2));
    let paid_world = || World::of(product(10, 0)).order(Order { status: OrderStatus::Paid, ..order(5, 2) });
    let repeated = |event: &PaymentEvent| Outcome::PaymentTaken { event: event.clone(), repeated: true };
    let paid = payment("k", 5, Success, PaymentEffect::Paid);
    let pending = payment("k", 5, Pending, PaymentEffect::NoEffect);
    let first = PaymentEvent { received_at: NOW, ..paid.clone() };
    let other_pending = payment("k", 6, Pending, PaymentEffect::NoEffect);
    check(vec![
        (
            "final news again",
            paid_world().payment(paid.clone()),
            settle("k", 5, Success),
            repeated(&paid),
            Changes::default(),
        ),
        (
            "no news again",
            world().payment(pending.clone()),
            settle("k", 5, Pending),
            repeated(&pending),
            Changes::default(),
        ),
        (
            "no news again, late, after final news of the key",
            paid_world().payment(pending.clone()).payment(paid),
            settle("k", 5, Pending),
            repeated(&pending),
            Changes::default(),
        ),
        (
            "no news uses up no key",
            world().payment(pending).payment(other_pending),
            settle("k", 5, Success),
            Outcome::PaymentTaken { event: first.clone(), repeated: false },
            Changes {
                changed_orders: vec![Order { status: OrderStatus::Paid, updated_at: NOW, ..order(5, 2) }],
                payment_events: vec![first],
                products: vec![moved(10, 0, 0)],
                ..Changes::default()
            },
        ),
    ]);
}

#[test]
fn cancel_unpaid_orders() {
    let cancel = || Command::CancelUnpaidOrders { product_id: P };
    let late = |id| Order { payment_deadline: NOW, ..order(id, 2) };
    let cancelled = |id, units: i64, number, after| {
        let movement = movement(MovementKind::PaymentOverdue, number, (units, 0), after);
        of_order(of_hold(movement, id), id)
    };
    let ended = |id| {
        let status =
            HoldStatus::Released { at: NOW, reason: ReleaseReason::PaymentOverdue, order_id: Some(OrderId(id)) };
        Hold { status, ..hold(id, 2) }
    };
    let both = |status, more| {
        World::of(product(10, 3))
            .hold(redeemed(hold(5, 2), 5))
            .hold(redeemed(hold(6, 2), 6))
            .order(late(5))
            .order(Order { status, ..late(6) })
            .due_orders(&[6, 5], more, Some(at(830_000)))
    };
    let dead = |id| Order { status: OrderStatus::Cancelled, updated_at: NOW, ..late(id) };
    let next = NextDue::At { deadline: at(830_000), now: NOW };
    check(vec![
        (
            "all that is overdue, oldest first, at the deadline to the microsecond",
            both(OrderStatus::PendingPayment, false),
            cancel(),
            Outcome::OrdersCancelled { orders: vec![OrderId(6), OrderId(5)], next },
            Changes {
                changed_holds: vec![ended(5), ended(6)],
                changed_orders: vec![dead(5), dead(6)],
                movements: vec![cancelled(6, 2, 1, (12, 3)), cancelled(5, 2, 2, (14, 3))],
                products: vec![moved(14, 3, 2)],
                ..Changes::default()
            },
        ),
        (
            "a paid order stays, and more wait",
            both(OrderStatus::Paid, true),
            cancel(),
            Outcome::OrdersCancelled { orders: vec![OrderId(5)], next: NextDue::Now },
            Changes {
                changed_holds: vec![ended(5)],
                changed_orders: vec![dead(5)],
                movements: vec![cancelled(5, 2, 1, (12, 3))],
                products: vec![moved(12, 3, 1)],
                ..Changes::default()
            },
        ),
        (
            "a microsecond before the deadline",
            World::of(product(10, 3))
                .hold(redeemed(hold(5, 2), 5))
                .order(Order { payment_deadline: Timestamp(NOW.0 + 1), ..late(5) })
                .due_orders(&[5], false, None),
            cancel(),
            Outcome::OrdersCancelled { orders: vec![], next: NextDue::Never },
            Changes::default(),
        ),
    ]);
}
