//! What a transaction locks and loads: the clock, the neighbours, due rows.

use std::collections::BTreeSet;
use std::time::Instant;

use sale::{DUE_PER_COMMAND, Timestamp};

use super::*;
use crate::store::Conflict;

on_both_databases!(
    only_what_is_named_is_loaded,
    unknown_rows_are_left_out,
    due_holds_are_loaded_to_cover_a_shortage,
    due_rows_come_oldest_first_with_the_next_deadline,
    an_expiry_takes_no_more_than_its_share,
    a_locked_product_is_not_waited_for_long,
    a_neighbours_rows_are_not_waited_for,
    due_rows_of_the_next_product_are_not_waited_for,
    the_clock_is_read_after_the_lock,
);

async fn only_what_is_named_is_loaded(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 1, Some("k1")).await;
    let other = place.hold(product_id, 1, None).await;
    let order = place.order(&other, Some("k2")).await;
    let mut writer = place.writer().await;
    let state = writer.load(&needs_of(product_id)).await.expect("loaded").state;
    assert_eq!((state.products.len(), state.holds.len(), state.orders.len()), (1, 0, 0));

    let mut needs = needs_of(product_id);
    needs.holds.insert(hold.id);
    let state = writer.load(&needs).await.expect("loaded").state;
    assert_eq!(state.holds.into_iter().collect::<Vec<_>>(), [(hold.id, hold)]);

    let mut needs = needs_of(product_id);
    needs.orders.insert(order.id);
    let state = writer.load(&needs).await.expect("loaded").state;
    assert_eq!(state.holds.keys().collect::<Vec<_>>(), [&other.id], "an order comes with its hold");
    assert_eq!(state.orders.into_iter().collect::<Vec<_>>(), [(order.id, order)]);
    writer.rollback().await.expect("the lock is given back");
}

async fn unknown_rows_are_left_out(place: Place) {
    let product_id = place.product(10).await;
    let mut needs = needs_of(product_id);
    needs.products.insert(ProductId(4_000), 5);
    needs.holds.insert(HoldId(4_000));
    needs.orders.insert(OrderId(4_000));
    needs.hold_keys.insert(key("unknown"));
    needs.order_keys.insert(key("unknown"));
    needs.payment_keys.insert(key("unknown"));
    needs.expire.insert(ProductId(4_000));
    let mut writer = place.writer().await;
    let state = writer.load(&needs).await.expect("loaded").state;
    assert_eq!(state.products.keys().collect::<Vec<_>>(), [&product_id]);
    assert!(state.holds.is_empty() && state.orders.is_empty() && state.payments.is_empty());
    writer.rollback().await.expect("the lock is given back");
}

/// A hold of `units`, due since `second` seconds after 1970 began.
async fn due_hold(place: &Place, product_id: ProductId, units: u32, second: i64) -> HoldId {
    let hold = place.hold(product_id, units, None).await;
    place.make_due(&hold, second).await;
    hold.id
}

async fn due_holds_are_loaded_to_cover_a_shortage(place: Place) {
    let product_id = place.product(10).await;
    let third = due_hold(&place, product_id, 1, 30).await;
    let first = due_hold(&place, product_id, 2, 10).await;
    let second = due_hold(&place, product_id, 3, 20).await;
    place.hold(product_id, 2, None).await;
    // 2 units are free. Rows are counted, not units: each due hold frees one at least.
    for (wanted, expected, more) in [
        (2, &[][..], false),
        (3, &[first][..], true),
        (4, &[first, second][..], true),
        (5, &[first, second, third][..], false),
        (500, &[first, second, third][..], false),
    ] {
        let mut needs = Needs::default();
        needs.products.insert(product_id, wanted);
        let mut writer = place.writer().await;
        let state = writer.load(&needs).await.expect("loaded").state;
        let due = state.due_holds.get(&product_id).cloned().unwrap_or_default();
        assert_eq!((due.ids.iter().copied().collect::<Vec<_>>(), due.more), (expected.to_vec(), more), "{wanted}");
        assert!(expected.iter().all(|id| state.holds.contains_key(id)));
        writer.rollback().await.expect("the lock is given back");
    }
    // The units of due holds can be sold again, swept or not (I8).
    place.hold(product_id, 8, None).await;
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn due_rows_come_oldest_first_with_the_next_deadline(place: Place) {
    let product_id = place.product(100).await;
    let late = due_hold(&place, product_id, 1, 20).await;
    let early = due_hold(&place, product_id, 1, 10).await;
    let alive = place.hold(product_id, 1, None).await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(place.order(&place.hold(product_id, 1, None).await, None).await);
    }
    place.make_overdue(&orders[0], 20).await;
    place.make_overdue(&orders[1], 10).await;
    let mut needs = needs_of(product_id);
    needs.expire.insert(product_id);
    needs.cancel.insert(product_id);
    let mut writer = place.writer().await;
    let state = writer.load(&needs).await.expect("loaded").state;
    writer.rollback().await.expect("the lock is given back");
    let due = &state.due_holds[&product_id];
    assert_eq!((due.ids.iter().copied().collect::<Vec<_>>(), due.more), (vec![early, late], false));
    assert_eq!(due.next_deadline, Some(alive.expires_at));
    let due = &state.due_orders[&product_id];
    assert_eq!((due.ids.iter().copied().collect::<Vec<_>>(), due.more), (vec![orders[1].id, orders[0].id], false));
    assert_eq!(due.next_deadline, Some(orders[2].payment_deadline));
    let loaded: BTreeSet<HoldId> = state.holds.keys().copied().collect();
    assert_eq!(loaded, BTreeSet::from([early, late, orders[0].hold_id, orders[1].hold_id]));

    let nothing = place.product(1).await;
    let mut needs = needs_of(nothing);
    needs.expire.insert(nothing);
    needs.cancel.insert(nothing);
    let state = writer.load(&needs).await.expect("loaded").state;
    writer.rollback().await.expect("the lock is given back");
    assert_eq!(state.due_holds[&nothing], sale::Due::default());
    assert_eq!(state.due_orders[&nothing], sale::Due::default());
}

async fn an_expiry_takes_no_more_than_its_share(place: Place) {
    let product_id = place.product(10_000).await;
    let commands: Vec<Command> =
        (0..=DUE_PER_COMMAND).map(|_| super::place(HoldId(place.id()), product_id, 1, None)).collect();
    place.act(product_id, &commands).await;
    place.by_hand().await.run("UPDATE holds SET created_at = 1, expires_at = 1000000").await.expect("they are due");
    for (expected, more) in [(DUE_PER_COMMAND, true), (1, false), (0, false)] {
        let mut needs = needs_of(product_id);
        needs.expire.insert(product_id);
        let mut writer = place.writer().await;
        let loaded = writer.load(&needs).await.expect("loaded");
        let due = &loaded.state.due_holds[&product_id];
        assert_eq!((due.ids.len() as u64, due.more), (expected, more));
        let command = Command::ExpireHolds { product_id };
        let decision = sale::decide(loaded.state, &[command], &TERMS).expect("no invariant is broken");
        writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
    }
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn a_locked_product_is_not_waited_for_long(place: Place) {
    let (before, locked, after) = (place.product(1).await, place.product(1).await, place.product(1).await);
    let mut holder = place.writer().await;
    holder.load(&needs_of(locked)).await.expect("locked");
    let mut writer = place.another_store().await.writer().await.expect("the database answers");
    let began = Instant::now();
    let refused = within(writer.load(&needs_of(locked))).await;
    assert_eq!(fault(refused), Some(Fault::Retry(Conflict::LockTimeout)));
    if place.is_mysql() {
        let waited = began.elapsed();
        let began = Instant::now();
        writer.set_patience(false).await.expect("it need not wait");
        let refused = within(writer.load(&needs_of(locked))).await;
        assert_eq!(fault(refused), Some(Fault::Retry(Conflict::LockTimeout)));
        assert!(began.elapsed() < waited / 2, "it waited for {:?}, and before for {waited:?}", began.elapsed());
        writer.set_patience(true).await.expect("it may wait");
        let began = Instant::now();
        let refused = within(writer.load(&needs_of(locked))).await;
        assert_eq!(fault(refused), Some(Fault::Retry(Conflict::LockTimeout)));
        assert!(began.elapsed() > waited / 2, "it waited for {:?}, and before for {waited:?}", began.elapsed());
        // Only the row is locked: its neighbours in a small table, and in the index, go on.
        let mut needs = needs_of(before);
        needs.products.insert(after, 0);
        writer.load(&needs).await.expect("the neighbours are free");
        writer.commit(place.batch(), &Changes::default()).await.expect("it is committed");
    }
    holder.rollback().await.expect("the lock is given back");
    writer.load(&needs_of(locked)).await.expect("it is free, and the connection fit for use");
}

/// Two workers with products of their own never meet, however small the tables are.
async fn a_neighbours_rows_are_not_waited_for(place: Place) {
    if !place.is_mysql() {
        // SQLite has one writer at a time.
        return;
    }
    let mut workers = Vec::new();
    for _ in 0..2 {
        let product_id = place.product(9).await;
        let redeemed = place.hold(product_id, 1, Some(&format!("hold {product_id}"))).await;
        let order = place.order(&redeemed, Some(&format!("order {product_id}"))).await;
        let overdue = place.order(&place.hold(product_id, 1, None).await, None).await;
        let due = place.hold(product_id, 1, None).await;
        place.make_due(&due, 1).await;
        place.make_overdue(&overdue, 1).await;
        let active = place.hold(product_id, 1, None).await;
        let commands = vec![
            Command::ExpireHolds { product_id },
            Command::CancelUnpaidOrders { product_id },
            Command::SettlePayment {
                key: key(&format!("evt {product_id}")),
                order_id: order.id,
                status: PaymentStatus::Failure,
            },
            Command::RedeemHold {
                hold_id: active.id,
                order_id: OrderId(place.id()),
                key: Some(key(&format!("order {product_id} again"))),
            },
            super::place(HoldId(place.id()), product_id, 9, Some(&format!("hold {product_id}"))),
            super::place(HoldId(place.id()), product_id, 2, Some(&format!("hold {product_id} again"))),
        ];
        workers.push((place.writer().await, product_id, commands));
    }
    // Everything loaded by both at once, and then written by both.
    let mut decisions = Vec::new();
    for (writer, product_id, commands) in &mut workers {
        decisions.push(within(place.decide(writer.as_mut(), *product_id, commands)).await);
    }
    for ((writer, ..), decision) in workers.iter_mut().zip(&decisions) {
        assert!(!decision.changes.changed_holds.is_empty() && !decision.changes.changed_orders.is_empty());
        within(writer.commit(place.batch(), &decision.changes)).await.expect("it is committed");
    }
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

/// In the index the rows of the next product follow at once where the first has no others.
async fn due_rows_of_the_next_product_are_not_waited_for(place: Place) {
    if !place.is_mysql() {
        return;
    }
    let mut workers = Vec::new();
    for _ in 0..2 {
        let product_id = place.product(9).await;
        // Only due ones: an order's hold is no active one, and a product of its own has the next order.
        let due = place.hold(product_id, 1, None).await;
        place.make_due(&due, 1).await;
        let ordered = place.product(9).await;
        let overdue = place.order(&place.hold(ordered, 1, None).await, None).await;
        place.make_overdue(&overdue, 1).await;
        workers.push((place.writer().await, product_id, ordered));
    }
    // The later products first, so that the earlier ones come upon what those have locked.
    let mut loaded = Vec::new();
    for (writer, product_id, ordered) in workers.iter_mut().rev() {
        let commands =
            [Command::ExpireHolds { product_id: *product_id }, Command::CancelUnpaidOrders { product_id: *ordered }];
        let needs = Needs::of([(*product_id, &commands[0]), (*ordered, &commands[1])]);
        let state = within(writer.load(&needs)).await.expect("nobody is in the way").state;
        loaded.push(sale::decide(state, &commands, &TERMS).expect("no invariant is broken"));
    }
    for ((writer, ..), decision) in workers.iter_mut().rev().zip(&loaded) {
        assert_eq!((decision.changes.changed_holds.len(), decision.changes.changed_orders.len()), (2, 1));
        within(writer.commit(place.batch(), &decision.changes)).await.expect("it is committed");
    }
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

/// Whoever waited for a lock must not decide by the time before the wait: that is how times run backwards.
async fn the_clock_is_read_after_the_lock(place: Place) {
    let product_id = place.product(1).await;
    let mut holder = place.writer().await;
    holder.load(&needs_of(product_id)).await.expect("locked");
    let mut waiter = place.another_store().await.writer().await.expect("the database answers");
    let needs = needs_of(product_id);
    let waiting = tokio::spawn(async move { within(waiter.load(&needs)).await.map(|loaded| (loaded, waiter)) });
    place.wait_until_somebody_waits().await;
    // A later clock, read while the other waits.
    let mut elsewhere = place.by_hand().await;
    let released_after = elsewhere.clock().await;
    holder.rollback().await.expect("the lock is given back");
    let (loaded, mut waiter) = waiting.await.expect("no panic").expect("locked");
    assert!(loaded.state.now > Some(Timestamp(released_after)), "{:?} > {released_after}", loaded.state.now);
    waiter.rollback().await.expect("the lock is given back");
}
