//! Batches of several commands whose answer depends on one another.

use sale::{
    Command, Hold, HoldStatus, NextDue, Order, OrderId, OrderStatus, Outcome, PaymentEffect, PaymentStatus,
    ReleaseReason,
};

use crate::expected::{moved, new_hold};
use crate::world::{
    NOW, P, SEQ, World, at, hold, key, order, place, place_keyed, product, redeem, redeem_keyed, redeemed, settle,
};
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
