//! One row a refusal, and one a pair of rules that say no at once, so that their order is pinned.
//!
//! Every row also asserts that a refusal writes nothing.

use sale::{
    Changes, Command, Hold, HoldId, HoldStatus, MAX_STOCK, Order, OrderId, OrderStatus, Outcome, PaymentEffect,
};
use sale::{PaymentStatus, Product, ProductId, Refusal, ReleaseReason};

use crate::world::{
    NOW, P, World, at, give_back, hold, key, order, overdue, payment, place, place_keyed, product, redeem,
    redeem_keyed, redeemed, refused, released, restock, settle, suspended,
};

type Row = (&'static str, World, Command, Refusal);

fn check(rows: Vec<Row>) {
    for (name, world, command, refusal) in rows {
        let (outcome, changes) = world.step(name, command);
        assert_eq!(outcome, refused(refusal), "{name}");
        assert_eq!(changes, Changes::default(), "{name}: a refusal writes nothing");
        assert!(changes.is_empty(), "{name}");
    }
}

fn keyed(mut hold: Hold, name: &str) -> Hold {
    hold.key = Some(key(name));
    hold
}

const SHORT: Refusal = Refusal::InsufficientStock { available: 3 };
const OVER_LIMIT: Refusal = Refusal::QuantityOverLimit { limit: 10 };

#[test]
fn place_hold_refuses_in_order() {
    let of_key = || keyed(hold(1, 2), "k");
    let other_product = || Product { id: ProductId(2), ..product(0, 0) };
    check(vec![
        ("unknown product", World::of(other_product()), place(9, 1), Refusal::ProductUnknown),
        ("unknown before key reused", World::new().hold(of_key()), place_keyed(9, 3, "k"), Refusal::ProductUnknown),
        ("unknown before over limit", World::new(), place(9, 11), Refusal::ProductUnknown),
        (
            "key reused with another quantity",
            World::of(product(10, 2)).hold(of_key()),
            place_keyed(9, 3, "k"),
            Refusal::KeyReused,
        ),
        (
            "key reused for another product",
            World::of(product(10, 0)).hold(Hold { product_id: ProductId(2), ..of_key() }),
            place_keyed(9, 2, "k"),
            Refusal::KeyReused,
        ),
        (
            "key reused before over limit",
            World::of(product(10, 2)).hold(of_key()),
            place_keyed(9, 11, "k"),
            Refusal::KeyReused,
        ),
        (
            "key reused before suspended",
            World::of(suspended(product(10, 2))).hold(of_key()),
            place_keyed(9, 3, "k"),
            Refusal::KeyReused,
        ),
        (
            "key reused before insufficient",
            World::of(product(2, 2)).hold(of_key()),
            place_keyed(9, 3, "k"),
            Refusal::KeyReused,
        ),
        ("over limit", World::of(product(100, 0)), place(9, 11), OVER_LIMIT),
        ("over limit before suspended", World::of(suspended(product(100, 0))), place(9, 11), OVER_LIMIT),
        ("over limit before insufficient", World::of(product(3, 0)), place(9, 11), OVER_LIMIT),
        ("suspended", World::of(suspended(product(10, 0))), place(9, 1), Refusal::ProductSuspended),
        ("suspended before insufficient", World::of(suspended(product(3, 0))), place(9, 4), Refusal::ProductSuspended),
        (
            "suspended before an inconsistent product is noticed",
            World::of(suspended(product(3, 4))),
            place(9, 1),
            Refusal::ProductSuspended,
        ),
        ("insufficient by one", World::of(product(10, 7)), place(9, 4), SHORT),
        ("nothing left", World::of(product(10, 10)), place(9, 1), Refusal::InsufficientStock { available: 0 }),
        (
            "insufficient though all due holds count as gone",
            World::of(product(10, 9)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            place(9, 4),
            SHORT,
        ),
        (
            "a hold that still lives is not counted as gone",
            World::of(product(10, 9)).hold(overdue(1, 2)).hold(hold(2, 3)).due_holds(&[1, 2], false, None),
            place(9, 4),
            SHORT,
        ),
    ]);
}

#[test]
fn give_back_hold_refuses_in_order() {
    check(vec![
        ("unknown hold", World::of(product(10, 2)).hold(hold(1, 2)), give_back(9), Refusal::HoldUnknown),
        (
            "redeemed",
            World::of(product(10, 0)).hold(redeemed(hold(1, 2), 5)),
            give_back(1),
            Refusal::HoldAlreadyRedeemed { order_id: OrderId(5) },
        ),
        (
            "redeemed before the deadline, given back after it",
            World::of(product(10, 0)).hold(redeemed(overdue(1, 2), 5)),
            give_back(1),
            Refusal::HoldAlreadyRedeemed { order_id: OrderId(5) },
        ),
    ]);
}

#[test]
fn redeem_hold_refuses_in_order() {
    let redeemed_by_5 = Refusal::HoldAlreadyRedeemed { order_id: OrderId(5) };
    let of_key = || Order { key: Some(key("k")), ..order(5, 2) };
    let with_key = || World::of(product(10, 2)).order(of_key());
    let gone = |reason| World::of(product(10, 0)).hold(released(hold(1, 2), reason));
    check(vec![
        ("unknown hold", World::of(product(10, 2)).hold(hold(1, 2)), redeem(9, 6), Refusal::HoldUnknown),
        ("unknown hold before key reused", with_key(), redeem_keyed(9, 6, "k"), Refusal::HoldUnknown),
        ("key reused", with_key().hold(hold(1, 2)), redeem_keyed(1, 6, "k"), Refusal::KeyReused),
        (
            "key reused before already redeemed",
            with_key().hold(redeemed(hold(1, 2), 4)),
            redeem_keyed(1, 6, "k"),
            Refusal::KeyReused,
        ),
        ("key reused before expired", with_key().hold(overdue(1, 2)), redeem_keyed(1, 6, "k"), Refusal::KeyReused),
        (
            "key reused before released",
            with_key().hold(released(hold(1, 2), ReleaseReason::GivenBack)),
            redeem_keyed(1, 6, "k"),
            Refusal::KeyReused,
        ),
        ("redeemed", World::of(product(10, 0)).hold(redeemed(hold(1, 2), 5)), redeem(1, 6), redeemed_by_5),
        (
            "redeemed, and past its deadline",
            World::of(product(10, 0)).hold(redeemed(overdue(1, 2), 5)),
            redeem(1, 6),
            redeemed_by_5,
        ),
        (
            "redeemed without a key, then with one",
            World::of(product(10, 0)).hold(redeemed(hold(1, 2), 5)),
            redeem_keyed(1, 6, "k"),
            redeemed_by_5,
        ),
        ("past its deadline", World::of(product(10, 2)).hold(overdue(1, 2)), redeem(1, 6), Refusal::HoldExpired),
        (
            "at its deadline to the microsecond",
            World::of(product(10, 2)).hold(Hold { expires_at: NOW, ..hold(1, 2) }),
            redeem(1, 6),
            Refusal::HoldExpired,
        ),
        (
            "past its deadline by the product's clock, though the database's went back",
            World::of(Product { updated_at: at(40_000), ..product(10, 2) }).hold(hold(1, 2)),
            redeem(1, 6),
            Refusal::HoldExpired,
        ),
        ("swept", gone(ReleaseReason::Expired), redeem(1, 6), Refusal::HoldExpired),
        ("given back", gone(ReleaseReason::GivenBack), redeem(1, 6), Refusal::HoldReleased),
        ("its order's payment failed", gone(ReleaseReason::PaymentFailed), redeem(1, 6), Refusal::HoldReleased),
        ("its order was not paid", gone(ReleaseReason::PaymentOverdue), redeem(1, 6), Refusal::HoldReleased),
        (
            "given back, and past its deadline",
            World::of(product(10, 0)).hold(released(overdue(1, 2), ReleaseReason::GivenBack)),
            redeem(1, 6),
            Refusal::HoldReleased,
        ),
    ]);
}

#[test]
fn settle_payment_refuses_in_order() {
    use PaymentStatus::{Failure, Pending, Success};
    let paid = payment("k", 5, Success, PaymentEffect::Paid);
    let with =
        |order: Order| World::of(product(10, 0)).hold(redeemed(hold(5, 2), 5)).order(order).payment(paid.clone());
    let conflict = Refusal::PaymentKeyConflict;
    check(vec![
        ("unknown order", World::of(product(10, 0)).order(order(5, 2)), settle("n", 9, Success), Refusal::OrderUnknown),
        ("unknown order before key conflict", with(order(5, 2)), settle("k", 9, Success), Refusal::OrderUnknown),
        ("key with other news", with(order(5, 2)), settle("k", 5, Failure), conflict),
        ("key with no news after final news", with(order(5, 2)), settle("k", 5, Pending), conflict),
        (
            "key of another order",
            with(order(5, 2)).order(order(6, 2)).hold(redeemed(hold(6, 2), 6)),
            settle("k", 6, Success),
            conflict,
        ),
        (
            "key conflict before the order's final state",
            with(Order { status: OrderStatus::Cancelled, ..order(5, 2) }),
            settle("k", 5, Failure),
            conflict,
        ),
    ]);
}

#[test]
fn restock_refuses_in_order() {
    let most = i64::try_from(MAX_STOCK).expect("fits");
    check(vec![
        ("unknown product", World::new(), restock(1), Refusal::ProductUnknown),
        ("unknown product before over limit", World::new(), restock(most + 1), Refusal::ProductUnknown),
        ("unknown product before insufficient", World::new(), restock(-1), Refusal::ProductUnknown),
        ("over limit by one", World::of(product(10, 0)), restock(most - 9), Refusal::StockOverLimit),
        ("over limit beyond counting", World::of(product(10, 0)), restock(i64::MAX), Refusal::StockOverLimit),
        ("over limit while suspended", World::of(suspended(product(10, 0))), restock(most), Refusal::StockOverLimit),
        ("none is free", World::of(product(10, 10)), restock(-1), Refusal::InsufficientStock { available: 0 }),
        ("more than is free", World::of(product(10, 7)), restock(-4), SHORT),
        ("more than can be counted", World::of(product(10, 7)), restock(i64::MIN), SHORT),
        (
            "more than is free with all due holds gone",
            World::of(product(10, 9)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            restock(-4),
            SHORT,
        ),
    ]);
}

#[test]
fn product_commands_refuse_an_unknown_product() {
    let other = || World::of(Product { id: ProductId(2), ..product(10, 0) });
    let unknown = Refusal::ProductUnknown;
    check(vec![
        ("expire", other(), Command::ExpireHolds { product_id: P }, unknown),
        ("cancel", other(), Command::CancelUnpaidOrders { product_id: P }, unknown),
        ("suspend", other(), Command::Suspend { product_id: P, reason: "why".to_owned() }, unknown),
        ("resume", other(), Command::Resume { product_id: P }, unknown),
    ]);
}

#[test]
fn a_refusal_uses_up_no_key() {
    let world = World::of(product(3, 0));
    let decision = world.decide(&[place_keyed(1, 4, "k"), place_keyed(2, 3, "k")]).expect("no breach");
    assert_eq!(decision.outcomes[0], refused(SHORT));
    assert!(matches!(&decision.outcomes[1], Outcome::HoldPlaced { hold, replayed: false } if hold.id == HoldId(2)));
}

#[test]
fn a_hold_that_a_batch_gave_back_cannot_be_redeemed_in_it() {
    let world = World::of(product(10, 2)).hold(hold(1, 2));
    let decision = world.decide(&[give_back(1), redeem(1, 6), give_back(1)]).expect("no breach");
    assert_eq!(decision.outcomes[1], refused(Refusal::HoldReleased));
    assert_eq!(decision.outcomes[2], Outcome::HoldGivenBack { already: true });
    let [changed] = &decision.changes.changed_holds[..] else { panic!("one hold changed: {:?}", decision.changes) };
    assert!(matches!(changed.status, HoldStatus::Released { reason: ReleaseReason::GivenBack, .. }));
}
