//! The audit: it finds each way to break an invariant, and nothing else.

use std::collections::BTreeSet;

use sale::Invariant;

use super::*;

on_both_databases!(a_sound_sale_passes, each_breach_is_found, an_audit_sees_one_moment);

/// Rows in every state: the ids that the breaches name.
struct Sale {
    product_id: ProductId,
    other_product: ProductId,
    active: HoldId,
    given_back: HoldId,
    pending: Order,
    paid: Order,
    failed: Order,
    overdue: Order,
}

async fn sale(place: &Place) -> Sale {
    let product_id = place.product(100).await;
    let other_product = place.product(50).await;
    place.hold(other_product, 5, None).await;
    let active = place.hold(product_id, 3, None).await.id;
    let given_back = place.hold(product_id, 2, None).await.id;
    place.act(product_id, &[Command::GiveBackHold { hold_id: given_back }]).await;
    let mut orders = Vec::new();
    for units in 4..8 {
        let hold = place.hold(product_id, units, None).await;
        orders.push(place.order(&hold, None).await);
    }
    let [pending, paid, failed, overdue] = orders.try_into().expect("four orders");
    place.pay(&paid, "evt_paid", PaymentStatus::Success).await;
    place.pay(&paid, "evt_again", PaymentStatus::Success).await;
    place.pay(&failed, "evt_failed", PaymentStatus::Failure).await;
    place.pay(&failed, "evt_late", PaymentStatus::Success).await;
    place.make_overdue(&overdue, 1).await;
    place.act(product_id, &[Command::CancelUnpaidOrders { product_id }]).await;
    place.act(product_id, &[Command::Restock { product_id, change: 10 }]).await;
    Sale { product_id, other_product, active, given_back, pending, paid, failed, overdue }
}

async fn a_sound_sale_passes(place: Place) {
    let Sale { product_id, other_product, .. } = sale(&place).await;
    let report = place.store.audit(None).await.expect("the audit is done");
    assert_eq!(report.breaches, []);
    assert_eq!((report.products, report.holds, report.orders, report.payment_events), (2, 7, 4, 4));
    let one = place.store.audit(Some(product_id)).await.expect("the audit is done");
    assert_eq!((one.breaches, one.products, one.holds, one.refunds.len()), (vec![], 1, 6, 1));
    let other = place.store.audit(Some(other_product)).await.expect("the audit is done");
    assert_eq!((other.breaches, other.holds, other.movements, other.refunds.len()), (vec![], 1, 2, 0));
    assert_eq!(one.movements + other.movements, report.movements);
}

async fn each_breach_is_found(place: Place) {
    use Invariant::{CountersInRange, HoldUsedOnce, LedgerChained, ReservedIsHeld, SettledOnce, UnitsConserved};
    let Sale { product_id: p, active, given_back, pending, paid, failed, overdue, .. } = sale(&place).await;
    let last = format!("(SELECT movement_seq FROM products WHERE id = {p})");
    let movement = |seq: &str, kind: &str, available: i64, hold: HoldId| {
        format!(
            "INSERT INTO movements SELECT {p}, {seq}, '{kind}', {available}, 0, stock_available, stock_reserved, \
             {hold}, NULL, 1 FROM products WHERE id = {p}"
        )
    };
    // Each with what must be found at least, and what it says.
    let cases: Vec<(Invariant, &str, &str, String)> = vec![
        (
            CountersInRange,
            "out of range",
            "products",
            format!("UPDATE products SET stock_reserved = 900 WHERE id = {p}"),
        ),
        (
            CountersInRange,
            "out of range",
            "products",
            format!("UPDATE products SET stock_available = 2 WHERE id = {p}"),
        ),
        (
            ReservedIsHeld,
            "stock_reserved 4, units of active holds 3",
            "products",
            format!("UPDATE products SET stock_reserved = 4 WHERE id = {p}"),
        ),
        (
            ReservedIsHeld,
            "units of active holds 2",
            "holds",
            format!("UPDATE holds SET quantity = 2 WHERE id = {active}"),
        ),
        (
            UnitsConserved,
            "the units are not those",
            "products",
            format!("UPDATE products SET stock_available = stock_available + 1 WHERE id = {p}"),
        ),
        (UnitsConserved, "the units are not those", "orders", format!("DELETE FROM orders WHERE id = {}", pending.id)),
        (
            UnitsConserved,
            "the units are not those",
            "movements",
            format!("UPDATE movements SET available_change = 9 WHERE product_id = {p} AND kind = 'restocked'"),
        ),
        (
            HoldUsedOnce,
            "more than one order",
            "orders",
            format!("UPDATE orders SET hold_id = {} WHERE id = {}", paid.hold_id, pending.id),
        ),
        (
            HoldUsedOnce,
            "no order that is not cancelled",
            "orders",
            format!("DELETE FROM orders WHERE id = {}", paid.id),
        ),
        (
            HoldUsedOnce,
            "contradict each other",
            "holds",
            format!("UPDATE holds SET status = 'active' WHERE id = {}", pending.hold_id),
        ),
        (
            HoldUsedOnce,
            "contradict each other",
            "orders",
            format!("UPDATE orders SET quantity = quantity + 1 WHERE id = {}", paid.id),
        ),
        (
            HoldUsedOnce,
            "contradict each other",
            "orders",
            format!("UPDATE orders SET status = 'pending_payment' WHERE id = {}", overdue.id),
        ),
        (
            HoldUsedOnce,
            "times given back 2",
            "movements",
            movement(&format!("{last} + 1"), "hold_given_back", 0, given_back),
        ),
        (
            HoldUsedOnce,
            "times cancelled 2",
            "movements",
            movement(&format!("{last} + 1"), "payment_failed", 0, failed.hold_id),
        ),
        (HoldUsedOnce, "do not add up", "movements", format!("DELETE FROM movements WHERE hold_id = {active}")),
        (
            SettledOnce,
            "more than one final event",
            "payment_events",
            "UPDATE payment_events SET payment_key = x'41'".to_owned(),
        ),
        (
            SettledOnce,
            "events that paid it 0",
            "payment_events",
            format!("DELETE FROM payment_events WHERE order_id = {}", paid.id),
        ),
        (
            SettledOnce,
            "events that paid it 2",
            "payment_events",
            format!("UPDATE payment_events SET effect = 'paid' WHERE order_id = {}", paid.id),
        ),
        (
            SettledOnce,
            "order's state is not",
            "orders",
            format!("UPDATE orders SET status = 'paid' WHERE id = {}", pending.id),
        ),
        (
            SettledOnce,
            "release reason of its hold payment_overdue",
            "holds",
            format!("UPDATE holds SET release_reason = 'payment_overdue' WHERE id = {}", failed.hold_id),
        ),
        (
            SettledOnce,
            "release reason of its hold payment_failed",
            "holds",
            format!("UPDATE holds SET release_reason = 'payment_failed' WHERE id = {}", overdue.hold_id),
        ),
        (
            SettledOnce,
            "cannot have",
            "payment_events",
            format!("UPDATE payment_events SET status = 'failure' WHERE order_id = {}", paid.id),
        ),
        (
            SettledOnce,
            "cannot have",
            "payment_events",
            format!(
                "UPDATE payment_events SET effect = 'refund_required' WHERE order_id = {} AND effect = 'no_effect'",
                paid.id
            ),
        ),
        (
            LedgerChained,
            "does not follow",
            "movements",
            format!("UPDATE movements SET stock_available = stock_available + 1 WHERE product_id = {p} AND seq = 2"),
        ),
        (
            LedgerChained,
            "does not follow",
            "movements",
            format!("UPDATE movements SET reserved_change = reserved_change + 1 WHERE product_id = {p} AND seq = 2"),
        ),
        (
            LedgerChained,
            "not numbered from 1",
            "movements",
            format!("DELETE FROM movements WHERE product_id = {p} AND seq = 2"),
        ),
        (
            LedgerChained,
            "not numbered from 1",
            "products",
            format!("UPDATE products SET movement_seq = movement_seq + 1 WHERE id = {p}"),
        ),
        (
            LedgerChained,
            "does not end at the counters",
            "movements",
            format!("UPDATE movements SET stock_reserved = 4 WHERE product_id = {p} AND seq = {last}"),
        ),
        (LedgerChained, "a hold that is not there", "holds", format!("DELETE FROM holds WHERE id = {given_back}")),
    ];
    let mut by_hand = place.by_hand().await;
    let mut covered = BTreeSet::new();
    for (invariant, says, table, breach) in cases {
        covered.insert(invariant);
        by_hand.tamper(table, &breach).await;
        for product in [None, Some(p)] {
            let breaches = place.store.audit(product).await.expect("the audit is done").breaches;
            let found =
                breaches.iter().any(|b| b.invariant == invariant && b.product_id == p && b.detail.contains(says));
            assert!(found, "{breach}: {breaches:#?}");
            // What belongs to no order any more belongs to no product.
            let elsewhere = breaches.iter().any(|b| b.product_id != p && b.product_id != ProductId(0));
            assert!(!elsewhere, "{breach}: {breaches:#?}");
        }
        by_hand.mend(table).await;
        let breaches = place.store.audit(None).await.expect("the audit is done").breaches;
        assert_eq!(breaches, [], "after {breach}");
    }
    assert_eq!(covered, BTreeSet::from(Invariant::ALL));
}

/// What is compared must have been true at one moment, whatever is sold meanwhile.
async fn an_audit_sees_one_moment(place: Place) {
    let product_id = place.product(1_000_000).await;
    let store = place.another_store().await;
    let audits = tokio::spawn(async move {
        let mut movements = BTreeSet::new();
        while movements.len() < 10 {
            let report = store.audit(None).await.expect("the audit is done");
            assert_eq!(report.breaches, []);
            movements.insert(report.movements);
        }
    });
    let mut writer = place.writer().await;
    while !audits.is_finished() {
        let commands = [super::place(HoldId(place.id()), product_id, 1, None)];
        let decision = place.decide(writer.as_mut(), product_id, &commands).await;
        writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
    }
    within(audits).await.expect("no breach");
}
