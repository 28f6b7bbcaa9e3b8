//! The provider's webhook, unsigned: keys, fields, order of checks, effects.

use holdfast_test_support::{OrFail, Request, Setup, Stock, for_both, order, payment};
use serde_json::{Value, json};

use crate::contract::Contract;

const WEBHOOK: &str = "/api/payments/webhook";

for_both!(
    an_event_settles_an_order_once,
    a_final_order_stays_as_it_is,
    pending_changes_nothing,
    the_first_key_there_is_counts,
    checks_come_in_order,
    an_event_before_its_order_writes_nothing,
    a_late_success_is_a_refund,
    what_nobody_foresaw_is_a_500_that_tells_nothing,
);

fn event(body: &Value) -> Request {
    Request::post(WEBHOOK, body)
}

async fn pending_order(sale: &Contract, product: u64, qty: u64) -> u64 {
    let hold_id = sale.hold(product, qty).await;
    sale.order(hold_id).await
}

async fn an_event_settles_an_order_once(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let (paid, failed) = (pending_order(&sale, product, 3).await, pending_order(&sale, product, 2).await);
    for _ in 0..2 {
        assert_eq!(sale.done(&payment("evt_1", paid, "success"), 200).await.text(), r#"{"success":true}"#);
        assert_eq!(sale.order_shown(paid).await["status"], "paid");
        assert_eq!(sale.stock(product).await, Stock { free: 5, available: 5, reserved: 0 });
    }
    for _ in 0..2 {
        let body = json!({"idempotency_key": "evt_2", "data": {"order_id": failed, "status": "failure"}});
        sale.done(&event(&body), 200).await;
        assert_eq!(sale.order_shown(failed).await["status"], "cancelled");
        assert_eq!(sale.stock(product).await, Stock { free: 7, available: 7, reserved: 0 });
    }
    let before = sale.database.snapshot(&[]).await.or_fail();
    for other in
        [payment("evt_1", paid, "failure"), payment("evt_1", failed, "success"), payment("evt_2", paid, "failure")]
    {
        sale.refused(&other, 409, "payment_key_conflict").await;
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    sale.assert_audit_passes().await;
}

async fn a_final_order_stays_as_it_is(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 3).await;
    sale.pay("evt_1", id, "success").await;
    let shown = sale.order_shown(id).await;
    sale.pay("evt_2", id, "failure").await;
    sale.pay("evt_3", id, "success").await;
    assert_eq!(sale.order_shown(id).await, shown);
    assert_eq!(sale.stock(product).await, Stock { free: 7, available: 7, reserved: 0 });
    assert_eq!(sale.database.integer("SELECT COUNT(*) FROM payment_events").await.or_fail(), 3);
    sale.assert_audit_passes().await;
}

async fn pending_changes_nothing(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 3).await;
    let shown = sale.order_shown(id).await;
    sale.pay("evt_1", id, "pending").await;
    sale.pay("evt_1", id, "pending").await;
    assert_eq!(sale.order_shown(id).await, shown);
    assert_eq!(sale.database.integer("SELECT COUNT(*) FROM payment_events").await.or_fail(), 1);
    // Its key is not used up.
    sale.pay("evt_1", id, "success").await;
    assert_eq!(sale.order_shown(id).await["status"], "paid");
}

async fn the_first_key_there_is_counts(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 1).await;
    let body = |more: Value| {
        let mut body = json!({"order_id": id, "status": "pending"});
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        body
    };
    let requests = [
        (event(&body(json!({"payment_idempotency_key": "a", "idempotency_key": "x"}))).key("x"), "a"),
        (event(&body(json!({"payment_idempotency_key": "", "idempotency_key": "b"}))).key("x"), "b"),
        (event(&body(json!({"payment_idempotency_key": null, "idempotency_key": null}))).key("c"), "c"),
        (event(&body(json!({}))).key("d").header("webhook-id", "not-signed"), "d"),
        (event(&body(json!({"idempotency_key": "ä ö"}))), "ä ö"),
    ];
    for (request, _) in &requests {
        sale.done(request, 200).await;
    }
    let sql = "SELECT payment_key FROM payment_events ORDER BY id";
    let keys: Vec<String> = sale.database.rows(sql).await.or_fail().into_iter().flatten().flatten().collect();
    assert_eq!(keys, requests.iter().map(|(_, key)| *key).collect::<Vec<_>>());
    let answer = sale.refused(&event(&body(json!({}))), 400, "missing_idempotency_key").await;
    assert_eq!(answer.json()["error"], "Missing idempotency key");
    // An unsigned webhook-id is no key.
    sale.refused(&event(&body(json!({}))).header("webhook-id", "w"), 400, "missing_idempotency_key").await;
    sale.refused(&event(&body(json!({}))).key("two words"), 400, "bad_request").await;
}

async fn checks_come_in_order(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 1).await;
    sale.pay("used", id, "pending").await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    // JSON before key, key before fields, fields before the order.
    let broken = Request::new(hyper::Method::POST, WEBHOOK).header("content-type", "application/json").body("{");
    sale.refused(&broken, 400, "invalid_json").await;
    sale.refused(&event(&json!({"order_id": 0, "status": "nonsense"})), 400, "missing_idempotency_key").await;
    sale.invalid(&event(&json!({"idempotency_key": "k", "order_id": id})), "status").await;
    sale.invalid(&event(&json!({"idempotency_key": "k", "status": "success"})), "order_id").await;
    sale.invalid(&event(&json!({"idempotency_key": "k", "status": "success", "order_id": 999_999})), "order_id").await;
    let inside = json!({"idempotency_key": "k", "data": {"status": "success", "order_id": 999_999}});
    sale.invalid(&event(&inside), "data.order_id").await;
    let inside = json!({"idempotency_key": "k", "data": {"status": "paid", "order_id": id}});
    sale.invalid(&event(&inside), "data.status").await;
    for key in [json!(1), json!(["k"]), json!({}), json!(true), json!("k".repeat(256)), json!("k\u{0}"), json!("a\nb")]
    {
        for field in ["payment_idempotency_key", "idempotency_key"] {
            sale.invalid(&event(&json!({field: key, "order_id": id, "status": "success"})), field).await;
        }
    }
    for order_id in
        [json!(0), json!(-1), json!(1.5), json!("1"), json!(9_007_199_254_740_992_u64), json!([]), json!(true)]
    {
        sale.invalid(&event(&json!({"idempotency_key": "k", "order_id": order_id, "status": "success"})), "order_id")
            .await;
    }
    for status in [json!("paid"), json!("SUCCESS"), json!(1), json!([]), json!("")] {
        sale.invalid(&event(&json!({"idempotency_key": "k", "order_id": id, "status": status})), "status").await;
    }
    sale.invalid(&event(&json!({"idempotency_key": "k", "data": [1]})), "data").await;
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
}

async fn an_event_before_its_order_writes_nothing(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 1).await;
    // The id that the order will get: learn it from an order made before.
    let known = pending_order(&sale, product, 1).await;
    let coming = known + 1;
    sale.invalid(&payment("evt_1", coming, "success"), "order_id").await;
    assert_eq!(sale.database.integer("SELECT COUNT(*) FROM payment_events").await.or_fail(), 0);
    let made = sale.done(&order(hold_id), 201).await.json()["data"]["id"].clone();
    let made = made.as_u64().expect("an id");
    sale.done(&payment("evt_1", made, "success"), 200).await;
    assert_eq!(sale.order_shown(made).await["status"], "paid");
    assert_eq!(made, coming, "the event was for this order");
}

async fn a_late_success_is_a_refund(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 2).await;
    sale.pay("evt_1", id, "failure").await;
    sale.pay("evt_2", id, "success").await;
    assert_eq!(sale.order_shown(id).await["status"], "cancelled");
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    let report = sale.assert_audit_passes().await;
    assert!(report.to_string().contains("evt_2"), "{report}");
    let done = sale.holdfast(&["refund", "done", "evt_2"]).await;
    assert_eq!(done.code(), Some(0), "{}{}", done.out, done.err);
    assert!(!sale.assert_audit_passes().await.to_string().contains("evt_2"));
}

async fn what_nobody_foresaw_is_a_500_that_tells_nothing(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = pending_order(&sale, product, 2).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    sale.database.execute("ALTER TABLE payment_events RENAME TO payment_events_away").await.or_fail();
    let answer = sale.refused(&payment("evt_1", id, "failure"), 500, "internal").await;
    assert_eq!(answer.text(), r#"{"error":"Internal Server Error","code":"internal"}"#);
    sale.database.execute("ALTER TABLE payment_events_away RENAME TO payment_events").await.or_fail();
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    // The provider sends it again, and nothing stands in its way.
    sale.pay("evt_1", id, "failure").await;
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
}
