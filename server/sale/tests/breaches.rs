//! States that are broken, by a bug or by a hand in the database, and the invariant that each names.
//!
//! What does not belong here: steps that do not add up, which no state can bring about (`src/check.rs`).

use sale::{
    Command, Hold, Invariant, Money, Order, OrderId, OrderStatus, PaymentEffect, PaymentStatus, Product, ProductId,
    ReleaseReason,
};

use crate::world::{
    NOW, P, World, at, give_back, hold, order, overdue, payment, place, product, redeem, redeemed, released, restock,
    settle,
};

type Row = (&'static str, World, Vec<Command>, Invariant);

fn check(rows: Vec<Row>) {
    for (name, world, commands, invariant) in rows {
        match world.decide(&commands) {
            Err(breach) => {
                assert_eq!((breach.product_id, breach.invariant), (P, invariant), "{name}: {breach}");
            }
            Ok(decision) => panic!("{name}: no breach, but {decision:?}"),
        }
    }
}

fn other(product: Product) -> Product {
    Product { id: ProductId(2), ..product }
}

fn of_other(hold: Hold) -> Hold {
    Hold { product_id: ProductId(2), ..hold }
}

const EXPIRE: Command = Command::ExpireHolds { product_id: P };
const CANCEL: Command = Command::CancelUnpaidOrders { product_id: P };

#[test]
fn counters_out_of_range() {
    let i1 = Invariant::CountersInRange;
    let reserved_too_much = || World::of(product(3, 4));
    check(vec![
        ("a new hold", reserved_too_much(), vec![place(9, 1)], i1),
        ("more stock", reserved_too_much(), vec![restock(5)], i1),
        ("less stock", reserved_too_much(), vec![restock(-1)], i1),
        ("expiry with nothing due", reserved_too_much(), vec![EXPIRE], i1),
        ("giving back must not heal it", reserved_too_much().hold(hold(1, 4)), vec![give_back(1)], i1),
        ("a redeemed hold must not pass it on", reserved_too_much().hold(hold(1, 3)), vec![redeem(1, 5)], i1),
        (
            "a cancelled order must not heal it",
            reserved_too_much().hold(redeemed(hold(5, 2), 5)).order(order(5, 2)),
            vec![settle("k", 5, PaymentStatus::Failure)],
            i1,
        ),
        ("fewer reserved than a hold keeps", World::of(product(10, 1)).hold(hold(1, 2)), vec![give_back(1)], i1),
        (
            "fewer reserved than a redeemed hold keeps",
            World::of(product(10, 1)).hold(hold(1, 2)),
            vec![redeem(1, 5)],
            i1,
        ),
        (
            "fewer reserved than an expired hold keeps",
            World::of(product(10, 1)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            vec![EXPIRE],
            i1,
        ),
    ]);
}

#[test]
fn an_order_whose_hold_is_not_its_own() {
    let i4 = Invariant::HoldUsedOnce;
    let fail = || vec![settle("k", 5, PaymentStatus::Failure)];
    let world = || World::of(product(10, 2)).order(order(5, 2));
    check(vec![
        ("not there", world(), fail(), i4),
        ("still active", world().hold(hold(5, 2)), fail(), i4),
        ("released", world().hold(released(hold(5, 2), ReleaseReason::GivenBack)), fail(), i4),
        ("redeemed by another order", world().hold(redeemed(hold(5, 2), 6)), fail(), i4),
        ("of another quantity", world().hold(redeemed(hold(5, 3), 5)), fail(), i4),
        (
            "of another product",
            world().product(other(product(1, 0))).hold(of_other(redeemed(hold(5, 2), 5))),
            fail(),
            i4,
        ),
        (
            "when the payment window is over",
            World::of(product(10, 2))
                .hold(hold(5, 2))
                .order(Order { payment_deadline: at(-1), ..order(5, 2) })
                .due_orders(&[5], false, None),
            vec![CANCEL],
            i4,
        ),
    ]);
}

#[test]
fn ids_given_twice() {
    let twice = || vec![place(9, 1), place(9, 1)];
    check(vec![
        ("two holds of a batch", World::of(product(10, 0)), twice(), Invariant::ReservedIsHeld),
        (
            "a hold that exists",
            World::of(product(10, 2)).hold(hold(9, 2)),
            vec![place(9, 1)],
            Invariant::ReservedIsHeld,
        ),
        (
            "a hold that ended",
            World::of(product(10, 0)).hold(released(hold(9, 2), ReleaseReason::Expired)),
            vec![place(9, 1)],
            Invariant::ReservedIsHeld,
        ),
        (
            "two orders of a batch",
            World::of(product(10, 4)).hold(hold(1, 2)).hold(hold(2, 2)),
            vec![redeem(1, 5), redeem(2, 5)],
            Invariant::UnitsConserved,
        ),
        (
            "an order that exists",
            World::of(product(10, 2)).hold(hold(1, 2)).order(order(5, 2)),
            vec![redeem(1, 5)],
            Invariant::UnitsConserved,
        ),
    ]);
}

#[test]
fn rows_of_a_product_that_is_not_locked() {
    let i3 = Invariant::UnitsConserved;
    let unlocked = || World::new().product(other(product(10, 5)));
    let sold = || unlocked().hold(redeemed(hold(5, 2), 5)).order(order(5, 2));
    check(vec![
        ("give back", unlocked().hold(hold(1, 2)), vec![give_back(1)], i3),
        ("redeem", unlocked().hold(hold(1, 2)), vec![redeem(1, 5)], i3),
        ("pay", sold(), vec![settle("k", 5, PaymentStatus::Success)], i3),
        ("payment failed", sold(), vec![settle("k", 5, PaymentStatus::Failure)], i3),
        ("payment pending", sold(), vec![settle("k", 5, PaymentStatus::Pending)], i3),
    ]);
}

#[test]
fn due_rows_of_another_product() {
    let i3 = Invariant::UnitsConserved;
    let world = || World::of(product(10, 5)).product(other(product(10, 5)));
    check(vec![
        ("a due hold", world().hold(of_other(overdue(1, 2))).due_holds(&[1], false, None), vec![EXPIRE], i3),
        (
            "a due hold that is to make room",
            World::of(product(10, 10)).product(other(product(10, 5))).hold(of_other(overdue(1, 2))).due_holds(
                &[1],
                false,
                None,
            ),
            vec![place(9, 1)],
            i3,
        ),
    ]);
}

#[test]
fn a_price_that_cannot_be_counted() {
    let dear = Product { price: Money(u64::MAX), ..product(10, 2) };
    let world = World::of(dear).hold(hold(1, 2));
    check(vec![("redeem", world, vec![redeem(1, 5)], Invariant::UnitsConserved)]);
}

#[test]
fn a_breach_says_which_product_and_what() {
    let breach = World::of(product(3, 4)).decide(&[place(9, 1)]).expect_err("I1 is broken");
    assert_eq!(
        breach.to_string(),
        "product 1 breaks I1 (0 <= stock_reserved <= stock_available): stock_reserved 4 is more than stock_available 3"
    );
    let codes: Vec<&str> = Invariant::ALL.iter().map(|invariant| invariant.code()).collect();
    assert_eq!(codes, ["I1", "I2", "I3", "I4", "I5", "I6"]);
}

#[test]
fn nothing_of_a_batch_counts_after_a_breach() {
    // The good command before the bad one is not answered: the caller decides again without the bad one.
    let world = World::of(product(10, 2)).hold(hold(1, 2)).order(order(5, 2));
    let commands = [place(9, 1), settle("k", 5, PaymentStatus::Failure)];
    let breach = world.decide(&commands).expect_err("the order's hold is not its own");
    assert_eq!(breach.invariant, Invariant::HoldUsedOnce);
}

#[test]
fn events_about_a_broken_order_that_move_nothing_are_taken() {
    // Money that came is recorded whatever else is wrong; the reconciler finds the rest.
    let paid = World::of(product(3, 4)).hold(hold(5, 2)).order(order(5, 2));
    let decision = paid.decide(&[settle("k", 5, PaymentStatus::Success)]).expect("nothing moved");
    assert_eq!(decision.changes.changed_orders[0].status, OrderStatus::Paid);
    let cancelled = Order { status: OrderStatus::Cancelled, ..order(5, 2) };
    let late = World::of(product(3, 4)).order(cancelled).payment(payment(
        "other",
        5,
        PaymentStatus::Failure,
        PaymentEffect::Cancelled,
    ));
    let decision = late.decide(&[settle("k", 5, PaymentStatus::Success)]).expect("nothing moved");
    let [event] = &decision.changes.payment_events[..] else { panic!("one event") };
    assert_eq!((event.effect, event.order_id, event.received_at), (PaymentEffect::RefundRequired, OrderId(5), NOW));
}
