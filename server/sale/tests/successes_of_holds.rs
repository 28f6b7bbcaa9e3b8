//! One row a success of a command about holds: the exact outcome and every row that it writes.

use sale::{
    Changes, Command, Hold, HoldId, HoldStatus, Movement, MovementKind, NextDue, Outcome, Product, ReleaseReason,
    Timestamp,
};

use crate::expected::{check, expired, moved, new_hold, of_hold};
use crate::world::{
    NOW, P, World, at, give_back, hold, key, movement, overdue, place, place_keyed, product, quantity, redeemed,
    released, suspended,
};
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
