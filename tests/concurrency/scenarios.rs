//! The four scenarios that a flash sale must survive: the boundary of the stock, expiry, a webhook
//! that comes again, and one that comes too early.
//!
//! What does not belong here: races between different steps (`races`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_test_support::{
    HOUSEKEEPING, OrFail, Setup, Stock, all, clock_is, deadline_of, eventually, for_both, hold, number, payment,
    rounds, statuses,
};
use serde_json::json;

use crate::lock::Lock;

for_both!(
    holds_at_the_boundary,
    holds_of_many_sizes_at_the_boundary,
    an_expired_hold_returns_its_units,
    an_overdue_hold_keeps_no_units_swept_or_not,
    a_repeated_webhook_takes_effect_once,
    a_webhook_before_its_order_leaves_no_trace,
);

async fn holds_at_the_boundary(setup: Setup) {
    let sale = setup.start().await;
    for _ in 0..rounds(3, 30) {
        let product = sale.product(10).await;
        let answers = all(sale.client.burst(vec![hold(product, 1); 200]).await);
        let expected = BTreeMap::from([((201, String::new()), 10), ((409, "insufficient_stock".to_owned()), 190)]);
        assert_eq!(statuses(&answers), expected);
        let (placed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        let ids: BTreeSet<u64> = placed.iter().map(|answer| number(&answer.json()["hold_id"])).collect();
        assert_eq!(ids.len(), 10, "each hold is one of its own");
        for answer in refused {
            assert_eq!(answer.json()["available"], 0, "one unit was refused, so none was there");
        }
        assert_eq!(sale.stock(product).await, Stock { free: 0, available: 10, reserved: 10 });
        for id in ids {
            assert_eq!(sale.hold_shown(id).await["status"], "active");
        }
    }
    sale.assert_audit_passes().await;
}

async fn holds_of_many_sizes_at_the_boundary(setup: Setup) {
    const STOCK: u64 = 100;
    let sale = setup.start().await;
    let mut random = holdfast_test_support::seed();
    for _ in 0..rounds(3, 30) {
        let product = sale.product(STOCK).await;
        let sizes: Vec<u64> = (0..100).map(|_| random.u64(1..=9)).collect();
        let answers = all(sale.client.burst(sizes.iter().map(|qty| hold(product, *qty)).collect()).await);
        let mut kept = 0;
        for (qty, answer) in sizes.iter().zip(&answers) {
            if answer.status == 201 {
                kept += qty;
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (409, "insufficient_stock"));
                let available = number(&answer.json()["available"]);
                assert!(available < *qty, "refused {qty} of {available}");
            }
        }
        assert_eq!(sale.stock(product).await, Stock { free: STOCK - kept, available: STOCK, reserved: kept });
        // All or nothing, and none is refused without need: the smallest refused size does not fit the rest.
        let refused = sizes.iter().zip(&answers).filter(|(_, answer)| answer.status == 409).map(|(qty, _)| *qty);
        assert!(refused.min().is_none_or(|smallest| smallest > STOCK - kept));
    }
    sale.assert_audit_passes().await;
}

async fn an_expired_hold_returns_its_units(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let id = sale.hold(product, 4).await;
    let shown = sale.hold_shown(id).await;
    let deadline = deadline_of(&shown);
    let hold_shown = eventually("the hold is shown as released", async || {
        let stock = sale.stock(product).await;
        assert_eq!(stock.available, 10, "expiry does not touch the physical stock");
        let shown = sale.hold_shown(id).await;
        if shown["status"] == "released" { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert!(std::time::SystemTime::now() >= deadline, "released before its deadline");
    // What was shown as released can be sold at once, swept or not.
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    sale.hold(product, 10).await;
    assert_eq!(hold_shown["release_reason"], "expired");
    let expires_at = shown["expires_at"].as_str().unwrap_or_default().trim_end_matches('Z').to_owned();
    assert_eq!(hold_shown["released_at"], format!("{expires_at}.000000Z"));
    eventually("the row is released too", async || {
        let sql =
            format!("SELECT COUNT(*) FROM holds WHERE id = {id} AND status = 'released' AND released_at = expires_at");
        match sale.database.integer(&sql).await.or_fail() {
            1 => Ok(()),
            _ => Err("it is not"),
        }
    })
    .await;
    sale.assert_audit_passes().await;
}

async fn an_overdue_hold_keeps_no_units_swept_or_not(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let id = sale.hold(product, 10).await;
    // Nobody can sweep while the product is locked.
    let lock = Lock::take(&sale, product).await;
    clock_is(Duration::ZERO, deadline_of(&sale.hold_shown(id).await)).await;
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    let shown = sale.hold_shown(id).await;
    assert_eq!((&shown["status"], &shown["release_reason"]), (&"released".into(), &"expired".into()));
    let row = format!("SELECT status FROM holds WHERE id = {id}");
    assert_eq!(sale.database.rows(&row).await.or_fail(), [[Some("active".to_owned())]]);
    lock.release().await;
    sale.hold(product, 10).await;
    sale.assert_audit_passes().await;
}

async fn a_repeated_webhook_takes_effect_once(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(100).await;
    for round in 0..rounds(3, 30) {
        let order = sale.order(sale.hold(product, 2).await).await;
        let before = sale.stock(product).await;
        let key = format!("evt_{round}");
        let answers = all(sale.client.burst(vec![payment(&key, order, "success"); 20]).await);
        for answer in answers {
            assert_eq!((answer.status, answer.json()), (200, json!({"success": true})));
        }
        sale.pay(&key, order, "success").await;
        assert_eq!(sale.order_shown(order).await["status"], "paid");
        assert_eq!(sale.stock(product).await, before);
        let events = format!("SELECT COUNT(*) FROM payment_events WHERE order_id = {order}");
        assert_eq!(sale.database.integer(&events).await.or_fail(), 1);
        // The same key with other content is a mistake of the provider's.
        let before = sale.database.snapshot(&HOUSEKEEPING).await.or_fail();
        let answer = sale.send(&payment(&key, order, "failure")).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "payment_key_conflict"));
        assert_eq!(sale.database.snapshot(&HOUSEKEEPING).await.or_fail(), before);
    }
    sale.assert_audit_passes().await;
}

async fn a_webhook_before_its_order_leaves_no_trace(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let hold = sale.hold(product, 1).await;
    let before = sale.database.snapshot(&HOUSEKEEPING).await.or_fail();
    // Orders are numbered from 1: this is the one that will be made, if ids are given out in order, and
    // one that is not there in any case.
    let early = payment("evt_early", 1, "success");
    for answer in all(sale.client.burst(vec![early.clone(); 20]).await) {
        assert_eq!((answer.status, answer.code().as_str()), (422, "validation_failed"));
        assert!(answer.json()["errors"]["order_id"].is_array(), "{}", answer.text());
    }
    assert_eq!(sale.database.snapshot(&HOUSEKEEPING).await.or_fail(), before);
    let order = sale.order(hold).await;
    sale.pay("evt_early", order, "success").await;
    assert_eq!(sale.order_shown(order).await["status"], "paid");
    sale.assert_audit_passes().await;
}
