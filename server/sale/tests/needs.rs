//! Which rows a batch asks for: one row a command, then what a batch of several adds up to.

use std::collections::{BTreeMap, BTreeSet};

use sale::{Command, HoldId, Needs, OrderId, PaymentStatus, ProductId};

use crate::world::{P, give_back, key, place, place_keyed, redeem, redeem_keyed, restock, settle};

fn locked(wanted: u64) -> Needs {
    Needs { products: BTreeMap::from([(P, wanted)]), ..Needs::default() }
}

#[test]
fn each_command_names_its_rows() {
    let hold = BTreeSet::from([HoldId(3)]);
    let keys = BTreeSet::from([key("k")]);
    let rows: [(&str, Command, Needs); 14] = [
        ("place", place(1, 4), locked(4)),
        ("place with a key", place_keyed(1, 4, "k"), Needs { hold_keys: keys.clone(), ..locked(4) }),
        ("give back", give_back(3), Needs { holds: hold.clone(), ..locked(0) }),
        ("redeem", redeem(3, 5), Needs { holds: hold.clone(), ..locked(0) }),
        ("redeem with a key", redeem_keyed(3, 5, "k"), Needs { holds: hold, order_keys: keys.clone(), ..locked(0) }),
        (
            "settle",
            settle("k", 5, PaymentStatus::Success),
            Needs { orders: BTreeSet::from([OrderId(5)]), payment_keys: keys, ..locked(0) },
        ),
        ("expire", Command::ExpireHolds { product_id: P }, Needs { expire: BTreeSet::from([P]), ..locked(0) }),
        ("cancel", Command::CancelUnpaidOrders { product_id: P }, Needs { cancel: BTreeSet::from([P]), ..locked(0) }),
        ("restock", restock(4), locked(0)),
        ("take one away", restock(-1), locked(1)),
        ("take away", restock(-4), locked(4)),
        ("take away beyond counting", restock(i64::MIN), locked(1 << 63)),
        ("suspend", Command::Suspend { product_id: P, reason: "why".to_owned() }, locked(0)),
        ("resume", Command::Resume { product_id: P }, locked(0)),
    ];
    for (name, command, expected) in rows {
        assert_eq!(Needs::of([(P, &command)]), expected, "{name}");
    }
}

#[test]
fn no_command_needs_nothing() {
    assert_eq!(Needs::of([]), Needs::default());
}

#[test]
fn a_batch_adds_up_the_units_of_each_product() {
    let other = ProductId(2);
    let of_other =
        Command::PlaceHold { hold_id: HoldId(2), product_id: other, quantity: crate::world::quantity(7), key: None };
    let batch = [(P, place(1, 4)), (other, of_other), (P, restock(-5)), (P, restock(100)), (P, place(3, 1))];
    let needs = Needs::of(batch.iter().map(|(product_id, command)| (*product_id, command)));
    assert_eq!(needs.products, BTreeMap::from([(P, 10), (other, 7)]));
}

#[test]
fn units_beyond_counting_saturate() {
    let batch = [restock(i64::MIN), restock(i64::MIN), place(1, 1)];
    assert_eq!(Needs::of(batch.iter().map(|command| (P, command))), locked(u64::MAX));
}

#[test]
fn a_row_that_two_commands_name_is_asked_for_once() {
    let batch = [redeem_keyed(3, 5, "k"), give_back(3), redeem_keyed(3, 6, "k")];
    let needs = Needs::of(batch.iter().map(|command| (P, command)));
    assert_eq!(needs.holds, BTreeSet::from([HoldId(3)]));
    assert_eq!(needs.order_keys, BTreeSet::from([key("k")]));
}

#[test]
fn a_command_locks_the_product_that_it_was_routed_to() {
    // A hold names no product, so what it was routed to is all there is.
    assert_eq!(Needs::of([(ProductId(8), &give_back(3))]).products, BTreeMap::from([(ProductId(8), 0)]));
}
