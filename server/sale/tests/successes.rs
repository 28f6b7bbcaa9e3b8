//! One row a success: the exact outcome and every row that it writes, so that nothing else moves.

use sale::{
    Changes, Command, Hold, HoldId, HoldStatus, MAX_STOCK, Movement, MovementKind, NextDue, Order, OrderId,
    OrderStatus, Outcome, PaymentEffect, PaymentEvent, PaymentStatus, Product, ProductStatus, ReleaseReason, Timestamp,
};

use crate::world::{
    NOW, P, SEQ, World, at, give_back, hold, key, movement, order, overdue, payment, place, place_keyed, product,
    quantity, redeem, redeem_keyed, redeemed, released, restock, settle, suspended,
};

type Row = (&'static str, World, Command, Outcome, Changes);

fn check(rows: Vec<Row>) {
    for (name, world, command, outcome, changes) in rows {
        assert_eq!(world.step(name, command), (outcome, changes), "{name}");
    }
}

/// A product after `movements` of a step at [`NOW`].
fn moved(stock_available: u64, stock_reserved: u64, movements: u64) -> Product {
    Product { movement_seq: SEQ + movements, updated_at: NOW, ..product(stock_available, stock_reserved) }
}

fn of_hold(mut movement: Movement, id: u64) -> Movement {
    movement.hold_id = Some(HoldId(id));
    movement
}

fn of_order(mut movement: Movement, id: u64) -> Movement {
    movement.order_id = Some(OrderId(id));
    movement
}

/// An overdue hold after its expiry: released at its deadline, whenever that was noticed.
fn expired(hold: Hold) -> Hold {
    let at = hold.expires_at;
    Hold { status: HoldStatus::Released { at, reason: ReleaseReason::Expired, order_id: None }, ..hold }
}

fn new_hold(id: u64, units: u32) -> Hold {
    Hold {
        id: HoldId(id),
        product_id: P,
        quantity: quantity(units),
        status: HoldStatus::Active,
        created_at: NOW,
        // Half a second past a whole one, two minutes on, rounded up.
        expires_at: at(120_500),
        key: None,
    }
}

fn placed(hold: Hold) -> Outcome {
    Outcome::HoldPlaced { hold, replayed: false }
}

#[test]
fn place_hold() {
    let placed_movement =
        |number, units: i64, after| of_hold(movement(MovementKind::HoldPlaced, number, (0, units), after), 9);
    let keyed = |hold: Hold| Hold { key: Some(key("k")), ..hold };
    let replay = |hold: &Hold| Outcome::HoldPlaced { hold: hold.clone(), replayed: true };
    let first = keyed(hold(1, 4));
    let first_gone = keyed(expired(overdue(1, 4)));
    let of_whole_second = Hold { created_at: at(500), expires_at: at(120_500), ..new_hold(9, 1) };
    check(vec![
        (
            "units are free",
            World::of(product(10, 3)),
            place(9, 4),
            placed(new_hold(9, 4)),
            Changes {
                new_holds: vec![new_hold(9, 4)],
                movements: vec![placed_movement(1, 4, (10, 7))],
                products: vec![moved(10, 7, 1)],
                ..Changes::default()
            },
        ),
        (
            "the last units, the most of one hold, with a key",
            World::of(product(10, 0)),
            place_keyed(9, 10, "k"),
            placed(keyed(new_hold(9, 10))),
            Changes {
                new_holds: vec![keyed(new_hold(9, 10))],
                movements: vec![placed_movement(1, 10, (10, 10))],
                products: vec![moved(10, 10, 1)],
                ..Changes::default()
            },
        ),
        (
            "a whole second needs no rounding",
            World::of(product(10, 0)).clock(at(500)),
            place(9, 1),
            placed(of_whole_second.clone()),
            Changes {
                new_holds: vec![of_whole_second],
                movements: vec![Movement { at: at(500), ..placed_movement(1, 1, (10, 1)) }],
                products: vec![Product { updated_at: at(500), ..moved(10, 1, 1) }],
                ..Changes::default()
            },
        ),
        (
            "the database's clock went back behind the product's",
            World::of(product(10, 0)).clock(at(-61_000)),
            place(9, 1),
            placed(Hold { created_at: at(-60_000), expires_at: at(60_500), ..new_hold(9, 1) }),
            Changes {
                new_holds: vec![Hold { created_at: at(-60_000), expires_at: at(60_500), ..new_hold(9, 1) }],
                movements: vec![Movement { at: at(-60_000), ..placed_movement(1, 1, (10, 1)) }],
                products: vec![Product { updated_at: at(-60_000), ..moved(10, 1, 1) }],
                ..Changes::default()
            },
        ),
        (
            "as many due holds are released as it takes, oldest first",
            World::of(product(10, 9)).hold(overdue(1, 2)).hold(overdue(2, 2)).hold(overdue(3, 2)).due_holds(
                &[2, 1, 3],
                true,
                None,
            ),
            place(9, 4),
            placed(new_hold(9, 4)),
            Changes {
                new_holds: vec![new_hold(9, 4)],
                changed_holds: vec![expired(overdue(1, 2)), expired(overdue(2, 2))],
                movements: vec![
                    of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 7)), 2),
                    of_hold(movement(MovementKind::HoldExpired, 2, (0, -2), (10, 5)), 1),
                    placed_movement(3, 4, (10, 9)),
                ],
                products: vec![moved(10, 9, 3)],
                ..Changes::default()
            },
        ),
        (
            "no due hold is released where units are free",
            World::of(product(10, 9)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            place(9, 1),
            placed(new_hold(9, 1)),
            Changes {
                new_holds: vec![new_hold(9, 1)],
                movements: vec![placed_movement(1, 1, (10, 10))],
                products: vec![moved(10, 10, 1)],
                ..Changes::default()
            },
        ),
        (
            "too few due holds are at hand: those are released, and the command is put off",
            World::of(product(10, 10)).hold(overdue(1, 2)).due_holds(&[1], true, None),
            place_keyed(9, 4, "k"),
            Outcome::Deferred,
            Changes {
                changed_holds: vec![expired(overdue(1, 2))],
                movements: vec![of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 8)), 1)],
                products: vec![moved(10, 8, 1)],
                ..Changes::default()
            },
        ),
        (
            "the same again",
            World::of(product(10, 4)).hold(first.clone()),
            place_keyed(9, 4, "k"),
            replay(&first),
            Changes::default(),
        ),
        (
            "the same again, expired, sold out and suspended since",
            World::of(suspended(product(0, 0))).hold(first_gone.clone()),
            place_keyed(9, 4, "k"),
            replay(&first_gone),
            Changes::default(),
        ),
        (
            "the same again, over the limit since",
            World::of(product(100, 11)).hold(Hold { quantity: quantity(11), ..first.clone() }),
            place_keyed(9, 11, "k"),
            replay(&Hold { quantity: quantity(11), ..first }),
            Changes::default(),
        ),
    ]);
}

#[test]
fn give_back_hold() {
    let already = || Outcome::HoldGivenBack { already: true };
    let back = HoldStatus::Released { at: NOW, reason: ReleaseReason::GivenBack, order_id: None };
    let gone = |reason| World::of(product(10, 0)).hold(released(hold(1, 2), reason));
    let back_movement = of_hold(movement(MovementKind::HoldGivenBack, 1, (0, -2), (10, 1)), 1);
    let last_moment = Hold { expires_at: Timestamp(NOW.0 + 1), ..hold(1, 2) };
    let changes = |hold: Hold| Changes {
        changed_holds: vec![Hold { status: back, ..hold }],
        movements: vec![back_movement.clone()],
        products: vec![moved(10, 1, 1)],
        ..Changes::default()
    };
    check(vec![
        (
            "active",
            World::of(product(10, 3)).hold(hold(1, 2)),
            give_back(1),
            Outcome::HoldGivenBack { already: false },
            changes(hold(1, 2)),
        ),
        (
            "a microsecond before its deadline",
            World::of(product(10, 3)).hold(last_moment.clone()),
            give_back(1),
            Outcome::HoldGivenBack { already: false },
            changes(last_moment),
        ),
        (
            "while the product is suspended",
            World::of(suspended(product(10, 3))).hold(hold(1, 2)),
            give_back(1),
            Outcome::HoldGivenBack { already: false },
            Changes { products: vec![suspended(moved(10, 1, 1))], ..changes(hold(1, 2)) },
        ),
        (
            "at its deadline: expiry will write it down",
            World::of(product(10, 2)).hold(Hold { expires_at: NOW, ..hold(1, 2) }),
            give_back(1),
            already(),
            Changes::default(),
        ),
        ("given back", gone(ReleaseReason::GivenBack), give_back(1), already(), Changes::default()),
        ("expired", gone(ReleaseReason::Expired), give_back(1), already(), Changes::default()),
        ("payment failed", gone(ReleaseReason::PaymentFailed), give_back(1), already(), Changes::default()),
        ("payment overdue", gone(ReleaseReason::PaymentOverdue), give_back(1), already(), Changes::default()),
    ]);
}

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
fn expire_holds() {
    let expire = || Command::ExpireHolds { product_id: P };
    let alive = Hold { id: HoldId(3), ..hold(3, 4) };
    let two_expired = Changes {
        changed_holds: vec![expired(overdue(1, 2)), expired(overdue(2, 1))],
        movements: vec![
            of_hold(movement(MovementKind::HoldExpired, 1, (0, -1), (10, 6)), 2),
            of_hold(movement(MovementKind::HoldExpired, 2, (0, -2), (10, 4)), 1),
        ],
        products: vec![moved(10, 4, 2)],
        ..Changes::default()
    };
    let world = || World::of(product(10, 7)).hold(overdue(1, 2)).hold(overdue(2, 1)).hold(alive.clone());
    let at_deadline = NextDue::At { deadline: at(30_500), now: NOW };
    check(vec![
        (
            "nothing is due",
            World::of(product(10, 4)).hold(alive.clone()).due_holds(&[], false, Some(at(30_500))),
            expire(),
            Outcome::HoldsExpired { holds: 0, units: 0, next: at_deadline },
            Changes::default(),
        ),
        (
            "nothing is held",
            World::of(product(10, 0)).due_holds(&[], false, None),
            expire(),
            Outcome::HoldsExpired { holds: 0, units: 0, next: NextDue::Never },
            Changes::default(),
        ),
        (
            "all that is due, oldest first",
            world().due_holds(&[2, 1], false, Some(at(30_500))),
            expire(),
            Outcome::HoldsExpired { holds: 2, units: 3, next: at_deadline },
            two_expired.clone(),
        ),
        (
            "more is due than was loaded",
            world().due_holds(&[2, 1], true, Some(at(30_500))),
            expire(),
            Outcome::HoldsExpired { holds: 2, units: 3, next: NextDue::Now },
            two_expired,
        ),
        (
            "redeemed, released and living holds are left alone",
            World::of(product(10, 4))
                .hold(redeemed(overdue(1, 2), 5))
                .hold(released(overdue(2, 1), ReleaseReason::GivenBack))
                .hold(alive.clone())
                .due_holds(&[1, 2, 3], false, None),
            expire(),
            Outcome::HoldsExpired { holds: 0, units: 0, next: NextDue::Never },
            Changes::default(),
        ),
    ]);
}

#[test]
fn the_next_deadline_knows_the_rows_of_its_own_batch() {
    let next = |commands: &[Command], world: World| {
        let decision = world.decide(commands).expect("no breach");
        match decision.outcomes.last() {
            Some(Outcome::HoldsExpired { next, .. } | Outcome::OrdersCancelled { next, .. }) => *next,
            other => panic!("the last outcome has a deadline: {other:?}"),
        }
    };
    let expire = Command::ExpireHolds { product_id: P };
    let cancel = Command::CancelUnpaidOrders { product_id: P };
    let by = |deadline| NextDue::At { deadline, now: NOW };
    let none = || World::of(product(10, 2)).hold(hold(1, 2)).due_holds(&[], false, None).due_orders(&[], false, None);
    let later = || {
        let world = World::of(product(10, 2)).hold(hold(1, 2));
        world.due_holds(&[], false, Some(at(500_500))).due_orders(&[], false, Some(at(990_000)))
    };
    let sooner = || {
        let world = World::of(product(10, 2)).hold(hold(1, 2));
        world.due_holds(&[], false, Some(at(30_500))).due_orders(&[], false, Some(at(40_000)))
    };
    assert_eq!(next(&[place(9, 1), expire.clone()], none()), by(at(120_500)));
    assert_eq!(next(&[place(9, 1), expire.clone()], later()), by(at(120_500)));
    assert_eq!(next(&[place(9, 1), expire.clone()], sooner()), by(at(30_500)));
    assert_eq!(next(&[place(9, 1), redeem(9, 5), expire.clone()], none()), NextDue::Never, "it is an order now");
    assert_eq!(next(&[redeem(1, 5), cancel.clone()], none()), by(at(900_000)));
    assert_eq!(next(&[redeem(1, 5), cancel.clone()], later()), by(at(900_000)));
    assert_eq!(next(&[redeem(1, 5), cancel.clone()], sooner()), by(at(40_000)));
    let paid = [redeem(1, 5), settle("k", 5, PaymentStatus::Success), cancel];
    assert_eq!(next(&paid, none()), NextDue::Never, "it is paid");
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

#[test]
fn a_payment_that_gets_there_first_counts() {
    // The cancellation comes first in the batch, and is decided last.
    let late = Order { payment_deadline: at(-1), ..order(5, 2) };
    let world = World::of(product(10, 0)).hold(redeemed(hold(5, 2), 5)).order(late).due_orders(&[5], false, None);
    let commands = [Command::CancelUnpaidOrders { product_id: P }, settle("k", 5, PaymentStatus::Success)];
    let decision = world.decide(&commands).expect("no breach");
    assert_eq!(decision.outcomes[0], Outcome::OrdersCancelled { orders: vec![], next: NextDue::Never });
    assert!(
        matches!(&decision.outcomes[1], Outcome::PaymentTaken { event, .. } if event.effect == PaymentEffect::Paid)
    );
    assert!(decision.changes.movements.is_empty());
}

#[test]
fn restock_product() {
    let most = i64::try_from(MAX_STOCK).expect("fits");
    let restocked = |change, after| movement(MovementKind::Restocked, 1, (change, 0), after);
    let row = |name, world, change: i64, after: (u64, u64)| {
        let changes = Changes {
            movements: vec![restocked(change, after)],
            products: vec![moved(after.0, after.1, 1)],
            ..Changes::default()
        };
        (name, world, restock(change), Outcome::ProductChanged(moved(after.0, after.1, 1)), changes)
    };
    let through_expiry = moved(6, 6, 2);
    check(vec![
        row("some", World::of(product(10, 7)), 5, (15, 7)),
        row("up to the most there may be", World::of(product(10, 7)), most - 10, (MAX_STOCK, 7)),
        row("all that is free is taken away", World::of(product(10, 7)), -3, (7, 7)),
        (
            "what due holds kept can be taken away",
            World::of(product(10, 8)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            restock(-4),
            Outcome::ProductChanged(through_expiry.clone()),
            Changes {
                changed_holds: vec![expired(overdue(1, 2))],
                movements: vec![
                    of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 6)), 1),
                    movement(MovementKind::Restocked, 2, (-4, 0), (6, 6)),
                ],
                products: vec![through_expiry],
                ..Changes::default()
            },
        ),
        (
            "too few due holds are at hand",
            World::of(product(10, 10)).hold(overdue(1, 2)).due_holds(&[1], true, None),
            restock(-4),
            Outcome::Deferred,
            Changes {
                changed_holds: vec![expired(overdue(1, 2))],
                movements: vec![of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 8)), 1)],
                products: vec![moved(10, 8, 1)],
                ..Changes::default()
            },
        ),
    ]);
}

#[test]
fn suspend_and_resume() {
    let suspend = |reason: &str| Command::Suspend { product_id: P, reason: reason.to_owned() };
    let resume = || Command::Resume { product_id: P };
    let with =
        |reason: &str, product| Product { status: ProductStatus::Suspended { reason: reason.to_owned() }, ..product };
    let written = |product: Product| Changes { products: vec![product], ..Changes::default() };
    let row = |name, before, command, after: Product, changes| {
        (name, World::of(before), command, Outcome::ProductChanged(after), changes)
    };
    let checking = with("checking", moved(10, 3, 0));
    check(vec![
        row("suspend", product(10, 3), suspend("checking"), checking.clone(), written(checking)),
        row(
            "suspend again",
            suspended(product(10, 3)),
            suspend("other"),
            suspended(product(10, 3)),
            Changes::default(),
        ),
        row("resume", suspended(product(10, 3)), resume(), moved(10, 3, 0), written(moved(10, 3, 0))),
        row("resume again", product(10, 3), resume(), product(10, 3), Changes::default()),
        row(
            "an inconsistent product can be suspended: that is what it is for",
            product(3, 4),
            suspend("inconsistent"),
            with("inconsistent", moved(3, 4, 0)),
            written(with("inconsistent", moved(3, 4, 0))),
        ),
        row(
            "and resumed, by force",
            with("inconsistent", product(3, 4)),
            resume(),
            moved(3, 4, 0),
            written(moved(3, 4, 0)),
        ),
    ]);
}

#[test]
fn a_life_within_one_batch_is_written_once() {
    let commands = [
        place_keyed(9, 2, "k"),
        redeem_keyed(9, 5, "o"),
        settle("p", 5, PaymentStatus::Failure),
        place_keyed(10, 2, "k"),
        redeem(9, 6),
    ];
    let decision = World::of(product(10, 0)).decide(&commands).expect("no breach");
    let status = HoldStatus::Released { at: NOW, reason: ReleaseReason::PaymentFailed, order_id: Some(OrderId(5)) };
    let hold = Hold { key: Some(key("k")), status, ..new_hold(9, 2) };
    assert_eq!(decision.outcomes[3], Outcome::HoldPlaced { hold: hold.clone(), replayed: true });
    assert_eq!(decision.outcomes[4], Outcome::Refused(sale::Refusal::HoldReleased));
    let changes = decision.changes;
    assert_eq!(changes.new_holds, [hold]);
    assert!(changes.changed_holds.is_empty() && changes.changed_orders.is_empty(), "new rows are no changed rows");
    let [order] = &changes.new_orders[..] else { panic!("one order: {:?}", changes.new_orders) };
    assert_eq!((order.id, order.status), (OrderId(5), OrderStatus::Cancelled));
    let seqs: Vec<u64> = changes.movements.iter().map(|movement| movement.seq).collect();
    assert_eq!(seqs, [SEQ + 1, SEQ + 2, SEQ + 3]);
    assert_eq!(changes.products, [moved(10, 0, 3)]);
}
