//! Defects that this kind of service has really had, each as the test that would have found it.
//!
//! What does not belong here: races for their own sake (`races`).

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_test_support::{
    HOUSEKEEPING, OrFail, Sale, Setup, Stock, all, burst, clock_is, deadline_of, eventually, for_both, number, order,
    payment, rounds, statuses,
};

for_both!(
    a_redeemed_hold_is_not_given_back_by_expiry,
    paid_units_never_come_back,
    one_payment_key_settles_one_order,
    one_payment_key_at_the_same_moment_settles_one_order,
    a_pending_payment_changes_nothing,
    a_failed_payment_gives_back_once,
    the_hold_of_a_cancelled_order_is_not_sold_again,
    many_orders_of_one_hold_make_one,
    a_late_success_asks_for_a_refund,
    an_unpaid_order_gives_its_units_back,
);

/// Waits until the servers have swept every hold that was placed before: one that is placed now is
/// released in its row.
async fn sweep(sale: &Sale, product: u64) {
    let witness = sale.hold(product, 1).await;
    let sql = format!("SELECT COUNT(*) FROM holds WHERE id = {witness} AND status = 'released'");
    eventually("the last hold is swept", async || match sale.database.integer(&sql).await.or_fail() {
        1 => Ok(()),
        _ => Err("it is not"),
    })
    .await;
}

async fn a_redeemed_hold_is_not_given_back_by_expiry(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let hold = sale.hold(product, 4).await;
    let order = sale.order(hold).await;
    sweep(&sale, product).await;
    clock_is(Duration::ZERO, deadline_of(&sale.hold_shown(hold).await)).await;
    assert_eq!(sale.stock(product).await, Stock { free: 6, available: 6, reserved: 0 });
    let shown = sale.hold_shown(hold).await;
    assert_eq!((&shown["status"], number(&shown["order_id"])), (&"redeemed".into(), order));
    sale.assert_audit_passes().await;
}

async fn paid_units_never_come_back(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").setting("PAYMENT_WINDOW_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let paid = sale.order(sale.hold(product, 4).await).await;
    sale.pay("evt_paid", paid, "success").await;
    // Not paid, so cancelled when its window is over, and with it any other whose window was over before.
    let unpaid = sale.order(sale.hold(product, 1).await).await;
    eventually("the unpaid order is cancelled", async || {
        let shown = sale.order_shown(unpaid).await;
        if shown["status"] == "cancelled" { Ok(()) } else { Err(shown) }
    })
    .await;
    sweep(&sale, product).await;
    sale.pay("evt_late_failure", paid, "failure").await;
    sale.pay("evt_pending", paid, "pending").await;
    sale.pay("evt_paid", paid, "success").await;
    assert_eq!(sale.order_shown(paid).await["status"], "paid");
    assert_eq!(sale.stock(product).await, Stock { free: 6, available: 6, reserved: 0 });
    sale.assert_audit_passes().await;
}

async fn one_payment_key_settles_one_order(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let first = sale.order(sale.hold(product, 1).await).await;
    let second = sale.order(sale.hold(product, 1).await).await;
    sale.pay("evt", first, "success").await;
    let answer = sale.send(&payment("evt", second, "success")).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "payment_key_conflict"));
    assert_eq!(sale.order_shown(second).await["status"], "pending_payment");
    sale.assert_audit_passes().await;
}

async fn one_payment_key_at_the_same_moment_settles_one_order(setup: Setup) {
    let sale = setup.start().await;
    let products = [sale.product(1000).await, sale.product(1000).await];
    for round in 0..rounds(20, 200) {
        // Of one product in one round, of two in the next.
        let orders = [
            sale.order(sale.hold(products[0], 1).await).await,
            sale.order(sale.hold(products[round % 2], 1).await).await,
        ];
        let key = format!("evt_{round}");
        let requests = orders.map(|order| (sale.client.clone(), payment(&key, order, "success")));
        let answers = all(burst(requests.to_vec()).await);
        let expected = BTreeMap::from([((200, String::new()), 1), ((409, "payment_key_conflict".to_owned()), 1)]);
        assert_eq!(statuses(&answers), expected);
        for (order, answer) in orders.iter().zip(&answers) {
            let expected = if answer.status == 200 { "paid" } else { "pending_payment" };
            assert_eq!(sale.order_shown(*order).await["status"], expected);
        }
    }
    sale.assert_audit_passes().await;
}

async fn a_pending_payment_changes_nothing(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let order = sale.order(sale.hold(product, 3).await).await;
    // The event is recorded, and with it the product's clock, so that it never goes back.
    let recorded = [HOUSEKEEPING.as_slice(), &["payment_events", "products"]].concat();
    let before = (sale.database.snapshot(&recorded).await.or_fail(), sale.stock(product).await);
    for _ in 0..3 {
        sale.pay("evt", order, "pending").await;
    }
    assert_eq!((sale.database.snapshot(&recorded).await.or_fail(), sale.stock(product).await), before);
    assert_eq!(sale.order_shown(order).await["status"], "pending_payment");
    // Its key is not used up.
    sale.pay("evt", order, "success").await;
    assert_eq!(sale.order_shown(order).await["status"], "paid");
    sale.assert_audit_passes().await;
}

async fn a_failed_payment_gives_back_once(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").setting("PAYMENT_WINDOW_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let hold = sale.hold(product, 4).await;
    let order = sale.order(hold).await;
    assert_eq!(sale.stock(product).await.available, 6);
    let requests = (0..10).map(|n| payment(&format!("evt_{n}"), order, "failure")).collect();
    for answer in all(sale.client.burst(requests).await) {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    // Expiry, and then the window, come later.
    sweep(&sale, product).await;
    let unpaid = sale.order(sale.hold(product, 1).await).await;
    eventually("the unpaid order is cancelled", async || {
        let shown = sale.order_shown(unpaid).await;
        if shown["status"] == "cancelled" { Ok(()) } else { Err(shown) }
    })
    .await;
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    let shown = sale.hold_shown(hold).await;
    assert_eq!((&shown["status"], &shown["release_reason"]), (&"released".into(), &"payment_failed".into()));
    sale.assert_audit_passes().await;
}

async fn the_hold_of_a_cancelled_order_is_not_sold_again(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let hold = sale.hold(product, 4).await;
    let cancelled = sale.order(hold).await;
    sale.pay("evt", cancelled, "failure").await;
    for answer in all(sale.client.burst(vec![order(hold); 10]).await) {
        assert_eq!((answer.status, answer.code().as_str()), (409, "hold_released"));
    }
    assert_eq!(sale.order_shown(cancelled).await["status"], "cancelled");
    sale.assert_audit_passes().await;
}

async fn many_orders_of_one_hold_make_one(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(1000).await;
    for _ in 0..rounds(5, 50) {
        let hold = sale.hold(product, 2).await;
        let before = sale.stock(product).await;
        let answers = all(sale.client.burst(vec![order(hold); 20]).await);
        let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 19));
        let id = number(&made[0].json()["data"]["id"]);
        for answer in refused {
            assert_eq!((answer.status, answer.code().as_str()), (409, "hold_already_redeemed"));
            assert_eq!(number(&answer.json()["order_id"]), id);
        }
        let after = sale.stock(product).await;
        assert_eq!((after.available, after.reserved), (before.available - 2, before.reserved - 2));
    }
    sale.assert_audit_passes().await;
}

async fn a_late_success_asks_for_a_refund(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let order = sale.order(sale.hold(product, 4).await).await;
    sale.pay("evt_failure", order, "failure").await;
    for _ in 0..3 {
        sale.pay("evt_late", order, "success").await;
    }
    assert_eq!(sale.order_shown(order).await["status"], "cancelled");
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    let effect = "SELECT COUNT(*) FROM payment_events WHERE effect = 'refund_required' AND refunded_at IS NULL";
    assert_eq!(sale.database.integer(effect).await.or_fail(), 1);
    let list = sale.holdfast(&["refund", "list"]).await;
    assert!(list.code() == Some(0) && list.out.contains("evt_late"), "{list:?}");
    // It is no breach, and it is told until a person has done it.
    assert!(sale.assert_audit_passes().await.to_string().contains("evt_late"));
    let done = sale.holdfast(&["refund", "done", "evt_late"]).await;
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert!(!sale.assert_audit_passes().await.to_string().contains("evt_late"));
    let list = sale.holdfast(&["refund", "list"]).await;
    assert!(!list.out.contains("evt_late"), "{list:?}");
}

async fn an_unpaid_order_gives_its_units_back(setup: Setup) {
    let sale = setup.setting("PAYMENT_WINDOW_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let hold = sale.hold(product, 4).await;
    let order = sale.order(hold).await;
    eventually("the order is cancelled", async || {
        let shown = sale.order_shown(order).await;
        if shown["status"] == "cancelled" { Ok(()) } else { Err(shown) }
    })
    .await;
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    assert_eq!(sale.hold_shown(hold).await["release_reason"], "payment_overdue");
    sale.assert_audit_passes().await;
}
