//! What a commit leaves behind: every kind of row, read back as it was; guards, duplicate batches and
//! keys, unknown outcomes.

use std::collections::HashMap;

use sale::{HoldStatus, MovementKind, OrderStatus, PaymentEffect, ProductStatus, ReleaseReason};

use super::*;
use crate::store::Conflict;

on_both_databases!(
    every_kind_of_row_comes_back,
    a_guard_undoes_the_batch,
    a_batch_is_committed_once,
    an_empty_batch_leaves_its_row,
    callers_keys_are_unique,
    a_key_is_compared_byte_by_byte,
    a_rolled_back_batch_leaves_nothing,
    a_dropped_transaction_is_not_committed_by_the_next,
    an_unknown_outcome_is_looked_up,
    a_batch_given_up_for_lost_is_never_committed,
    a_commit_that_is_under_way_is_waited_for,
    a_batch_that_ends_while_it_is_looked_up_is_found,
    a_strangers_lock_does_not_hold_up_the_answer,
    many_products_in_one_batch,
    rows_that_are_computed_come_back,
    orders_and_movements_that_are_computed_come_back,
    a_number_that_is_missing_undoes_the_batch,
);

async fn every_kind_of_row_comes_back(place: Place) {
    let product_id = place.product(100).await;
    let given_back = place.hold(product_id, 1, Some("k1")).await;
    place.act(product_id, &[Command::GiveBackHold { hold_id: given_back.id }]).await;
    let paid_hold = place.hold(product_id, 2, None).await;
    let paid = place.order(&paid_hold, Some("k2")).await;
    place.pay(&paid, "evt_1", PaymentStatus::Pending).await;
    place.pay(&paid, "evt_1", PaymentStatus::Success).await;
    let failed_hold = place.hold(product_id, 3, None).await;
    let failed = place.order(&failed_hold, None).await;
    place.pay(&failed, "evt_2", PaymentStatus::Failure).await;
    place.pay(&failed, "evt_3", PaymentStatus::Success).await;
    let overdue_hold = place.hold(product_id, 4, None).await;
    let overdue = place.order(&overdue_hold, None).await;
    place.make_overdue(&overdue, 1).await;
    place.act(product_id, &[Command::CancelUnpaidOrders { product_id }]).await;
    let expired = place.hold(product_id, 5, None).await;
    place.make_due(&expired, 7).await;
    place.act(product_id, &[Command::ExpireHolds { product_id }]).await;
    let active = place.hold(product_id, 6, Some("k3")).await;
    let reason = "naïve: it's \"half\" \\ off; 😀 -- done".to_owned();
    place
        .act(
            product_id,
            &[Command::Restock { product_id, change: -7 }, Command::Suspend { product_id, reason: reason.clone() }],
        )
        .await;

    let ids = [&given_back, &paid_hold, &failed_hold, &overdue_hold, &expired, &active].map(|hold| hold.id);
    let holds = place.store.holds(&ids).await.expect("the holds are read");
    let status = |hold: &Hold| holds[&hold.id].0.status;
    assert!(matches!(
        status(&given_back),
        HoldStatus::Released { reason: ReleaseReason::GivenBack, order_id: None, .. }
    ));
    assert_eq!(status(&paid_hold), HoldStatus::Redeemed { order_id: paid.id });
    let is_released = |hold: &Hold, reason: ReleaseReason, order: &Order| matches!(status(hold), HoldStatus::Released { reason: r, order_id: Some(id), .. } if r == reason && id == order.id);
    assert!(is_released(&failed_hold, ReleaseReason::PaymentFailed, &failed));
    assert!(is_released(&overdue_hold, ReleaseReason::PaymentOverdue, &overdue));
    assert!(matches!(
        status(&expired),
        HoldStatus::Released { at: sale::Timestamp(7_000_000), reason: ReleaseReason::Expired, order_id: None }
    ));
    assert_eq!(holds[&active.id].0, active);
    assert!(holds[&active.id].1 >= active.created_at, "the clock of a product does not go back");

    let orders = place.store.orders(&[paid.id, failed.id, overdue.id]).await.expect("the orders are read");
    assert_eq!(orders[&paid.id].status, OrderStatus::Paid);
    assert_eq!(Order { status: paid.status, updated_at: paid.updated_at, ..orders[&paid.id].clone() }, paid);
    assert_eq!(orders[&failed.id].status, OrderStatus::Cancelled);
    assert_eq!(orders[&overdue.id].status, OrderStatus::Cancelled);

    let mut needs = needs_of(product_id);
    needs.payment_keys.extend(["evt_1", "evt_2", "evt_3", "evt_4"].map(key));
    needs.hold_keys.extend(["k1", "k3", "k4"].map(key));
    needs.order_keys.insert(key("k2"));
    let mut writer = place.writer().await;
    let state = writer.load(&needs).await.expect("the rows are loaded").state;
    let effects: HashMap<_, _> = state.payments.values().map(|event| (event.key.to_string(), event.effect)).collect();
    let expected = [
        ("evt_1".to_owned(), PaymentEffect::Paid),
        ("evt_2".to_owned(), PaymentEffect::Cancelled),
        ("evt_3".to_owned(), PaymentEffect::RefundRequired),
    ];
    assert_eq!(effects, HashMap::from(expected));
    assert!(state.pending_payments.contains_key(&(key("evt_1"), paid.id)));
    assert_eq!(state.hold_keys, HashMap::from([(key("k1"), given_back.id), (key("k3"), active.id)]));
    assert_eq!(state.order_keys, HashMap::from([(key("k2"), paid.id)]));
    assert_eq!(state.holds[&paid_hold.id].status, HoldStatus::Redeemed { order_id: paid.id });
    let product = &state.products[&product_id];
    assert_eq!(product.status, ProductStatus::Suspended { reason });
    assert_eq!((product.stock_available, product.stock_reserved), (100 - 2 - 7, 6));
    writer.rollback().await.expect("the lock is given back");

    let report = place.store.audit(None).await.expect("the audit is done");
    assert_eq!(report.breaches, []);
    let counts = (report.products, report.holds, report.orders, report.payment_events, report.movements);
    assert_eq!(counts, (1, 6, 3, 4, 1 + 6 + 3 + 1 + 1 + 1 + 1 + 1));
}

async fn a_guard_undoes_the_batch(place: Place) {
    for (meanwhile, has_others) in [
        ("UPDATE holds SET status = 'redeemed' WHERE id = HOLD", false),
        ("DELETE FROM holds WHERE id = HOLD", false),
        ("UPDATE products SET movement_seq = movement_seq + 1 WHERE id = PRODUCT", false),
        // It then has what the batch found another product to have.
        ("UPDATE products SET movement_seq = movement_seq + 1 WHERE id = PRODUCT", true),
    ] {
        let product_id = place.product(10).await;
        let hold = place.hold(product_id, 1, None).await;
        let mut writer = place.writer().await;
        let mut commands = vec![(product_id, Command::GiveBackHold { hold_id: hold.id })];
        if has_others {
            let other_id = place.product(10).await;
            place.hold(other_id, 1, None).await;
            place.hold(other_id, 1, None).await;
            commands.push((other_id, super::place(HoldId(place.id()), other_id, 1, None)));
        }
        let decision = place.decide_all(writer.as_mut(), &commands).await;
        // Nobody can change a row under the lock, so it changes once the lock is gone.
        writer.rollback().await.expect("the lock is given back");
        let by_hand = meanwhile.replace("HOLD", &hold.id.to_string()).replace("PRODUCT", &product_id.to_string());
        place.by_hand().await.run(&by_hand).await.expect("it is changed by hand");
        writer.load(&needs_of(product_id)).await.expect("the product is locked");
        let batch = place.batch();
        let before = dump(&place).await;
        assert_eq!(fault(writer.commit(batch, &decision.changes).await), Some(Fault::Refused), "{meanwhile}");
        assert!(!writer.was_committed(batch).await.expect("known"), "{meanwhile}");
        assert_eq!(dump(&place).await, before, "{meanwhile}");
    }
}

/// The sums of everything that a batch writes.
async fn dump(place: &Place) -> Vec<i64> {
    let mut by_hand = place.by_hand().await;
    let mut sums = Vec::new();
    for sql in [
        "SELECT COALESCE(SUM(stock_available * 1000 + stock_reserved + movement_seq), 0) FROM products",
        "SELECT COUNT(*) FROM movements",
        "SELECT COUNT(*) FROM holds WHERE status = 'active'",
        "SELECT COUNT(*) FROM orders",
        "SELECT COUNT(*) FROM batches WHERE outcome = 'committed'",
    ] {
        sums.push(by_hand.number(sql).await);
    }
    sums
}

async fn a_batch_is_committed_once(place: Place) {
    let product_id = place.product(10).await;
    let mut writer = place.writer().await;
    let batch = place.batch();
    let first = place.decide(writer.as_mut(), product_id, &[super::place(HoldId(1), product_id, 1, None)]).await;
    writer.commit(batch, &first.changes).await.expect("the first is committed");
    // The same once more, and another one with the same id.
    let second = place.decide(writer.as_mut(), product_id, &[super::place(HoldId(2), product_id, 1, None)]).await;
    assert_eq!(fault(writer.commit(batch, &second.changes).await), Some(Fault::BatchExists));
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    assert_eq!(fault(writer.commit(batch, &first.changes).await), Some(Fault::BatchExists));
    assert_eq!(place.by_hand().await.number("SELECT COUNT(*) FROM holds").await, 1);
}

async fn an_empty_batch_leaves_its_row(place: Place) {
    let product_id = place.product(10).await;
    let mut writer = place.writer().await;
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    let batch = place.batch();
    writer.commit(batch, &Changes::default()).await.expect("it is committed");
    assert!(writer.was_committed(batch).await.expect("known"));
}

async fn callers_keys_are_unique(place: Place) {
    let (one, other) = (place.product(10).await, place.product(10).await);
    // For two products at once nobody sees the other's key before the commit.
    let mut writer = place.writer().await;
    let hold_of = |id, product_id| super::place(HoldId(id), product_id, 1, Some("same ' for key 'PRIMARY'"));
    let first = place.decide(writer.as_mut(), one, &[hold_of(1, one)]).await;
    writer.rollback().await.expect("the lock is given back");
    place.act(other, &[hold_of(2, other)]).await;
    writer.load(&needs_of(one)).await.expect("the product is locked");
    let duplicate = Some(Fault::Retry(Conflict::DuplicateKey));
    assert_eq!(fault(writer.commit(place.batch(), &first.changes).await), duplicate);

    let (hold_a, hold_b) = (place.hold(one, 1, None).await, place.hold(other, 1, None).await);
    let order_of =
        |hold: &Hold, id| Command::RedeemHold { hold_id: hold.id, order_id: OrderId(id), key: Some(key("same")) };
    let first = place.decide(writer.as_mut(), one, &[order_of(&hold_a, 1)]).await;
    writer.rollback().await.expect("the lock is given back");
    place.act(other, &[order_of(&hold_b, 2)]).await;
    writer.load(&needs_of(one)).await.expect("the product is locked");
    assert_eq!(fault(writer.commit(place.batch(), &first.changes).await), duplicate);

    let (order_a, order_b) =
        (place.order(&hold_a, None).await, place.order(&place.hold(other, 1, None).await, None).await);
    let news =
        |order: &Order| Command::SettlePayment { key: key("evt"), order_id: order.id, status: PaymentStatus::Success };
    let first = place.decide(writer.as_mut(), one, &[news(&order_a)]).await;
    writer.rollback().await.expect("the lock is given back");
    place.act(other, &[news(&order_b)]).await;
    writer.load(&needs_of(one)).await.expect("the product is locked");
    assert_eq!(fault(writer.commit(place.batch(), &first.changes).await), duplicate);
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn a_key_is_compared_byte_by_byte(place: Place) {
    let product_id = place.product(10).await;
    let keys = ["k", "K", "k ", "'k'", "\u{fc}", "u"];
    for text in keys {
        place.hold(product_id, 1, Some(text)).await;
    }
    let stocks = place.store.stocks(&[], &keys.map(key)).await.expect("the keys are read");
    assert_eq!(stocks.known_keys.len(), keys.len());
    let unknown = ["", "kk", "\u{e9}"].iter().filter_map(|text| Key::new(text.as_bytes()).ok()).collect::<Vec<_>>();
    assert_eq!(place.store.stocks(&[], &unknown).await.expect("the keys are read").known_keys.len(), 0);
}

async fn a_rolled_back_batch_leaves_nothing(place: Place) {
    let product_id = place.product(10).await;
    let mut writer = place.writer().await;
    place.decide(writer.as_mut(), product_id, &[super::place(HoldId(1), product_id, 1, None)]).await;
    writer.rollback().await.expect("the lock is given back");
    writer.rollback().await.expect("there is nothing to roll back");
    writer.ping().await.expect("the connection lives");
    // Another one can lock the product at once.
    place.hold(product_id, 1, None).await;
}

async fn a_dropped_transaction_is_not_committed_by_the_next(place: Place) {
    let product_id = place.product(10).await;
    let mut writer = place.writer().await;
    // As if the caller had lost patience in the middle: the next load begins with a transaction open.
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    writer.load(&needs_of(product_id)).await.expect("the product is locked again");
    writer.commit(place.batch(), &Changes::default()).await.expect("it is committed");
    let needs = needs_of(product_id);
    drop(tokio::time::timeout(Duration::ZERO, writer.load(&needs)).await);
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    writer.rollback().await.expect("the lock is given back");
    drop(writer);
    place.hold(product_id, 1, None).await;
}

async fn an_unknown_outcome_is_looked_up(place: Place) {
    let product_id = place.product(10).await;
    let (committed, lost) = (place.batch(), place.batch());
    let mut writer = place.writer().await;
    let commands = [super::place(HoldId(1), product_id, 1, None)];
    let decision = place.decide(writer.as_mut(), product_id, &commands).await;
    writer.commit(committed, &decision.changes).await.expect("it is committed");
    let before = place.by_hand().await.number("SELECT MAX(committed_at) FROM batches").await;
    assert!(writer.was_committed(committed).await.expect("known"));
    let after = place.by_hand().await.number("SELECT MAX(committed_at) FROM batches").await;
    assert!(after > before, "looking it up writes, so that what was seen is durable");
    for _ in 0..2 {
        assert!(!writer.was_committed(lost).await.expect("known"));
        assert!(writer.was_committed(committed).await.expect("known"));
    }
}

async fn a_batch_given_up_for_lost_is_never_committed(place: Place) {
    let product_id = place.product(10).await;
    let lost = place.batch();
    let mut resolver = place.another_store().await.writer().await.expect("the database answers");
    assert!(!resolver.was_committed(lost).await.expect("known"));
    // Its transaction was only late.
    let mut writer = place.writer().await;
    let commands = [super::place(HoldId(1), product_id, 1, None)];
    let decision = place.decide(writer.as_mut(), product_id, &commands).await;
    assert_eq!(fault(writer.commit(lost, &decision.changes).await), Some(Fault::BatchExists));
    assert!(!resolver.was_committed(lost).await.expect("known"), "the answer stays");
    let mut by_hand = place.by_hand().await;
    assert_eq!(by_hand.number("SELECT COUNT(*) FROM holds").await, 0);
    // Under another id the same is written.
    let decision = place.decide(writer.as_mut(), product_id, &commands).await;
    let again = place.batch();
    writer.commit(again, &decision.changes).await.expect("it is committed");
    assert!(resolver.was_committed(again).await.expect("known"));
}

/// A transaction that wrote its row and has not ended: nobody can say yet.
async fn a_commit_that_is_under_way_is_waited_for(place: Place) {
    let mut resolver = place.writer().await;
    for (end, is_committed) in [("ROLLBACK", false), ("COMMIT", true)] {
        let batch = place.batch();
        let mut in_doubt = place.by_hand().await;
        let row = format!("INSERT INTO batches (id, outcome, committed_at) VALUES ({}, 'committed', 1)", batch.0);
        in_doubt.run(&format!("BEGIN; {row}")).await.expect("its row is written");
        let unknown = within(resolver.was_committed(batch)).await;
        assert_eq!(fault(unknown), Some(Fault::Retry(Conflict::LockTimeout)));
        in_doubt.run(end).await.expect("it ends");
        assert_eq!(resolver.was_committed(batch).await.expect("known"), is_committed);
    }
}

async fn a_batch_that_ends_while_it_is_looked_up_is_found(place: Place) {
    if !place.is_mysql() {
        // Who waits for a file tells nobody, so that the moment cannot be hit.
        return;
    }
    let batch = place.batch();
    let mut in_doubt = place.by_hand().await;
    let row = format!("INSERT INTO batches (id, outcome, committed_at) VALUES ({}, 'committed', 1)", batch.0);
    in_doubt.run(&format!("BEGIN; {row}")).await.expect("its row is written");
    let mut resolver = place.writer().await;
    let looking = tokio::spawn(async move { (within(resolver.was_committed(batch)).await, resolver) });
    place.wait_until_somebody_waits().await;
    in_doubt.run("COMMIT").await.expect("it ends");
    let (answer, mut resolver) = looking.await.expect("no panic");
    match answer {
        Ok(committed) => assert!(committed),
        // It had to wait for too long, and asks again.
        Err(error) => {
            assert_eq!(error.fault, Fault::Retry(Conflict::LockTimeout));
            assert!(resolver.was_committed(batch).await.expect("known"));
        }
    }
}

/// A batch of many products is not held up by whoever keeps one of them locked.
async fn a_strangers_lock_does_not_hold_up_the_answer(place: Place) {
    if !place.is_mysql() {
        // SQLite has one writer at a time.
        return;
    }
    let products = [place.product(10).await, place.product(10).await];
    let committed = place.batch();
    let mut writer = place.writer().await;
    writer.load(&needs_of(products[0])).await.expect("the product is locked");
    writer.commit(committed, &Changes::default()).await.expect("it is committed");
    let mut stranger = place.another_store().await.writer().await.expect("the database answers");
    let mut needs = needs_of(products[0]);
    needs.products.insert(products[1], 0);
    stranger.load(&needs).await.expect("both are locked");
    assert!(within(writer.was_committed(committed)).await.expect("known"));
    assert!(!within(writer.was_committed(place.batch())).await.expect("known"));
    stranger.rollback().await.expect("the locks are given back");
}

async fn many_products_in_one_batch(place: Place) {
    // Of some all columns are alike, of some all that changes, and of the others little or nothing.
    for (stocks_differ, changes_differ, kinds) in
        [(false, false, 1), (true, false, 1), (true, true, 3), (true, true, 40)]
    {
        let differing = |i: usize, most: usize, differs: bool| if differs { i % most } else { 0 };
        let (mut commands, mut given_back, mut expected) = (Vec::new(), Vec::new(), HashMap::new());
        for i in 0..70 {
            let stock = 100 + differing(i, 7, stocks_differ);
            let product_id = place.product(stock as u64).await;
            let holds = 2 + differing(i, kinds, changes_differ);
            let hold_id = |n: usize| HoldId(product_id.0 * 100 + n as u64);
            for n in 0..holds {
                commands.push((product_id, super::place(hold_id(n), product_id, 2, None)));
            }
            let reason = "found in the back room; 100 % 'certain'".to_owned();
            let is_suspended = differing(i, 5, changes_differ) == 1;
            let suspend = Command::Suspend { product_id, reason: reason.clone() };
            commands.extend(is_suspended.then_some((product_id, suspend)));
            given_back.push((product_id, Command::GiveBackHold { hold_id: hold_id(0) }));
            let status = if is_suspended { ProductStatus::Suspended { reason } } else { ProductStatus::OnSale };
            expected.insert(product_id, (stock as u64, 2 * holds as u64, status));
        }
        let products: Vec<ProductId> = expected.keys().copied().collect();
        let mut writer = place.writer().await;
        for (commands, is_given_back) in [(commands, false), (given_back, true)] {
            let decision = place.decide_all(writer.as_mut(), &commands).await;
            writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
            let stocks = place.store.stocks(&products, &[]).await.expect("the stocks are read").stocks;
            let found: HashMap<ProductId, (u64, u64, ProductStatus)> = stocks
                .into_iter()
                .map(|(id, stock)| (id, (stock.stock_available, stock.stock_reserved, stock.status)))
                .collect();
            if is_given_back {
                for (_, reserved, _) in expected.values_mut() {
                    *reserved -= 2;
                }
            }
            assert_eq!(found, expected);
            assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
        }
    }
}

#[test]
fn every_word_is_read_back() {
    use crate::store::rows::Word;
    fn read_back<W: Word + std::fmt::Debug>() {
        for (value, word) in W::WORDS {
            assert_eq!((W::of(word), value.word()), (Some(*value), *word));
        }
    }
    read_back::<ReleaseReason>();
    read_back::<OrderStatus>();
    read_back::<PaymentStatus>();
    read_back::<PaymentEffect>();
    read_back::<MovementKind>();
    read_back::<crate::store::statements::batch::BatchOutcome>();
}

async fn rows_that_are_computed_come_back(place: Place) {
    let (one, other) = (place.product(10_000).await, place.product(10_000).await);
    // First rows that follow each other, then some in no order, with keys of one length and of several.
    let units = |n: u64| if n < 1_100 { 2 } else { 1 + u32::try_from(n * n % 11).expect("few") };
    let mut commands = Vec::new();
    for n in 0..1_600 {
        let product_id = if n < 1_100 || n % 3 == 0 { one } else { other };
        let key = match n {
            700 | 1_200..1_300 => Some(format!("key {n:04}")),
            1_300..1_310 => Some(format!("k{}", "y".repeat(usize::try_from(n - 1_300).expect("few")))),
            _ => None,
        };
        commands.push((product_id, super::place(HoldId(place.id()), product_id, units(n), key.as_deref())));
    }
    let mut writer = place.writer().await;
    let decision = place.decide_all(writer.as_mut(), &commands).await;
    writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
    let ids: Vec<HoldId> = decision.changes.new_holds.iter().map(|hold| hold.id).collect();
    assert_eq!(ids.len(), 1_600);
    let found = place.store.holds(&ids).await.expect("the holds are read");
    for hold in &decision.changes.new_holds {
        assert_eq!(found[&hold.id].0, *hold);
    }
    // It holds every movement against its hold.
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn orders_and_movements_that_are_computed_come_back(place: Place) {
    let product_id = place.product(10_000).await;
    let mut writer = place.writer().await;
    let commit = async |writer: &mut dyn Writer, commands: &[Command]| {
        let decision = place.decide(writer, product_id, commands).await;
        writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
        decision.changes
    };
    let units = |n: u32| 1 + n * n % 13;
    let placed: Vec<Command> = (0..60).map(|n| super::place(HoldId(place.id()), product_id, units(n), None)).collect();
    let holds = commit(writer.as_mut(), &placed).await.new_holds;
    // In no order, and with one or two digits.
    let chosen = |n: usize| &holds[n * 7 % 60];
    let keys = |n: usize| n.is_multiple_of(3).then(|| key(&format!("order {}", n * n)));
    let mut commands: Vec<Command> = (0..30)
        .map(|n| Command::RedeemHold { hold_id: chosen(n).id, order_id: OrderId(place.id()), key: keys(n) })
        .collect();
    commands.extend((30..60).map(|n| Command::GiveBackHold { hold_id: chosen(n).id }));
    let changes = commit(writer.as_mut(), &commands).await;
    assert_eq!((changes.new_orders.len(), changes.movements.len()), (30, 60));
    let ids: Vec<OrderId> = changes.new_orders.iter().map(|order| order.id).collect();
    let found = place.store.orders(&ids).await.expect("the orders are read");
    for order in &changes.new_orders {
        assert_eq!(found[&order.id], *order);
    }
    let events: Vec<Command> = (changes.new_orders.iter().zip(0..))
        .map(|(order, n)| {
            let status = if n % 2 == 0 { PaymentStatus::Success } else { PaymentStatus::Failure };
            Command::SettlePayment { key: key(&format!("evt {}", n * n)), order_id: order.id, status }
        })
        .collect();
    let changes = commit(writer.as_mut(), &events).await;
    assert_eq!((changes.payment_events.len(), changes.movements.len()), (30, 15));
    // It holds every movement against its hold, and every event against its order.
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn a_number_that_is_missing_undoes_the_batch(place: Place) {
    let product_id = place.product(100).await;
    place.by_hand().await.run("DELETE FROM numbers WHERE n = 20").await.expect("it is gone");
    let mut writer = place.writer().await;
    let before = dump(&place).await;
    let commands: Vec<Command> = (0..30).map(|_| super::place(HoldId(place.id()), product_id, 1, None)).collect();
    let decision = place.decide(writer.as_mut(), product_id, &commands).await;
    let batch = place.batch();
    assert_eq!(fault(writer.commit(batch, &decision.changes).await), Some(Fault::Refused));
    assert!(!writer.was_committed(batch).await.expect("known"));
    assert_eq!(dump(&place).await, before);
}
