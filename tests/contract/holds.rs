//! Holds: placed, shown, given back, refused, and asked for again.

use holdfast_test_support::{
    OrFail, Request, Setup, Stock, eventually, for_both, give_back, hold, operator, order, payment,
};
use serde_json::json;

use crate::contract::Contract;

for_both!(
    a_hold_keeps_units_until_its_deadline,
    a_hold_is_all_or_nothing,
    a_hold_is_given_back_once,
    a_released_hold_says_why,
    a_retry_gets_the_first_answer_again,
    a_key_belongs_to_one_request,
    a_lowered_limit_does_not_break_a_retry,
);

async fn a_hold_keeps_units_until_its_deadline(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(100).await;
    let answer = sale.done(&hold(product, 5), 201).await;
    let placed = answer.json();
    let (id, expires_at) = (&placed["hold_id"], placed["expires_at"].as_str().expect("a time"));
    assert_eq!(answer.text(), format!(r#"{{"hold_id":{id},"expires_at":"{expires_at}"}}"#));
    assert_eq!(expires_at.len(), "2025-12-02T01:00:00Z".len());
    assert_eq!(answer.header("idempotent-replayed"), None);

    let shown = sale.done(&Request::get(&format!("/api/holds/{id}")), 200).await;
    let created_at = shown.json()["data"]["created_at"].as_str().expect("a time").to_owned();
    let expected = format!(
        r#"{{"data":{{"id":{id},"product_id":{product},"quantity":5,"status":"active","release_reason":null,"order_id":null,"created_at":"{created_at}","expires_at":"{expires_at}","released_at":null}}}}"#
    );
    assert_eq!(shown.text(), expected);
    assert_eq!(created_at.len(), "2025-12-02T01:00:00.000000Z".len());
    // Now plus the time to live, rounded up to a whole second.
    let moment = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_microsecond();
    let (created, expires) = (moment(&created_at), moment(expires_at));
    assert_eq!(
        (created + 120_000_000).div_euclid(1_000_000) + i64::from(created % 1_000_000 != 0),
        expires / 1_000_000
    );
    assert_eq!(sale.stock(product).await, Stock { free: 95, available: 100, reserved: 5 });
}

async fn a_hold_is_all_or_nothing(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    sale.done(&hold(product, 7), 201).await;
    let refused = sale.refused(&hold(product, 4), 409, "insufficient_stock").await;
    assert_eq!(refused.json()["available"], 3);
    sale.done(&hold(product, 3), 201).await;
    assert_eq!(sale.refused(&hold(product, 1), 409, "insufficient_stock").await.json()["available"], 0);
    assert_eq!(sale.stock(product).await, Stock { free: 0, available: 10, reserved: 10 });

    sale.done(&operator(Request::new(hyper::Method::POST, &format!("/api/products/{product}/suspend"))), 200).await;
    sale.refused(&hold(product, 1), 409, "product_suspended").await;
}

async fn a_hold_is_given_back_once(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let id = sale.hold(product, 4).await;
    sale.done(&give_back(id), 204).await;
    sale.done(&give_back(id), 204).await;
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    let shown = sale.hold_shown(id).await;
    assert_eq!((&shown["status"], &shown["release_reason"]), (&json!("released"), &json!("given_back")));
    assert!(shown["released_at"].is_string());
    sale.refused(&order(id), 409, "hold_released").await;
    sale.refused(&give_back(id + 1_000_000), 404, "not_found").await;

    let id = sale.hold(product, 4).await;
    let order_id = sale.order(id).await;
    let refused = sale.refused(&give_back(id), 409, "hold_already_redeemed").await;
    assert_eq!(refused.json()["order_id"], order_id);
}

async fn a_released_hold_says_why(setup: Setup) {
    let sale = Contract::start(setup.setting("HOLD_TTL_SECONDS", "1")).await;
    let product = sale.product(10).await;
    let id = sale.hold(product, 4).await;
    let expired = eventually("the hold expires", async || {
        let shown = sale.hold_shown(id).await;
        if shown["status"] == "released" { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!(expired["release_reason"], "expired");
    let expires_at = expired["expires_at"].as_str().expect("a time").replace('Z', ".000000Z");
    assert_eq!(expired["released_at"], expires_at.as_str());
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
    sale.refused(&order(id), 409, "hold_expired").await;
    sale.done(&give_back(id), 204).await;
}

async fn a_retry_gets_the_first_answer_again(setup: Setup) {
    let sale = Contract::start(setup.setting("HOLD_TTL_SECONDS", "1")).await;
    let product = sale.product(10).await;
    let request = hold(product, 10).key("a-key ~!".trim_end_matches(" ~!"));
    let first = sale.done(&request, 201).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    // Sold out, another order of fields, an unknown field: it is the same request.
    let body = format!(r#"{{"unknown": [1], "qty": 10, "product_id": {product}}}"#);
    let again =
        Request::new(hyper::Method::POST, "/api/holds").header("content-type", "application/json; charset=utf-8");
    let again = sale.done(&again.key("a-key").body(body), 201).await;
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
    // Another case is another key.
    sale.refused(&hold(product, 10).key("A-key"), 409, "insufficient_stock").await;

    let id = first.json()["hold_id"].as_u64().expect("an id");
    eventually("the hold expires", async || match sale.hold_shown(id).await {
        shown if shown["status"] == "released" => Ok(()),
        shown => Err(shown),
    })
    .await;
    let again = sale.done(&request, 201).await;
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
    // A refusal used up no key.
    let late = sale.done(&hold(product, 10).key("A-key"), 201).await;
    assert_eq!(late.header("idempotent-replayed"), None);
    assert_eq!(sale.database.integer("SELECT COUNT(*) FROM holds").await.or_fail(), 2);
}

async fn a_key_belongs_to_one_request(setup: Setup) {
    let sale = Contract::start(setup).await;
    let (one, other) = (sale.product(10).await, sale.product(10).await);
    sale.done(&hold(one, 2).key("k"), 201).await;
    for request in [hold(one, 3), hold(other, 2)] {
        let answer = sale.refused(&request.key("k"), 422, "idempotency_key_reused").await;
        assert!(answer.json()["errors"]["Idempotency-Key"].is_array(), "{}", answer.text());
    }
    assert_eq!(sale.stock(one).await.reserved, 2);
    assert_eq!(sale.stock(other).await.reserved, 0);
    // The keys of holds, of orders and of payments are not the same keys.
    let id = sale.hold(one, 1).await;
    let order_id = sale.done(&order(id).key("k"), 201).await.json()["data"]["id"].as_u64().expect("an id");
    sale.done(&payment("k", order_id, "success"), 200).await;
    for bad in ["", "two words", &"k".repeat(256)] {
        sale.refused(&hold(one, 1).key(bad), 400, "bad_request").await;
    }
    sale.refused(&hold(one, 1).key("a").key("a"), 400, "bad_request").await;
    sale.done(&hold(one, 1).key(&"k".repeat(255)), 201).await;
}

async fn a_lowered_limit_does_not_break_a_retry(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(100).await;
    let first = sale.done(&hold(product, 50).key("k"), 201).await;
    let stricter = sale.server.builder_again().setting("MAX_QTY_PER_HOLD", "10").start().await.or_fail();
    let client = stricter.client();
    let again = client.send(&hold(product, 50).key("k")).await.or_fail();
    assert_eq!((again.status, &again.body), (201, &first.body));
    for request in [hold(product, 11), hold(product, 11).key("new")] {
        let refused = client.send(&request).await.or_fail();
        assert_eq!(
            (refused.status, refused.json()["errors"].clone()),
            (422, json!({"qty": ["must be an integer from 1 to 10"]}))
        );
    }
    assert_eq!(client.send(&hold(product, 10)).await.or_fail().status, 201);
    let limits = client.get("/api/limits").await.or_fail();
    assert_eq!(
        limits.text(),
        r#"{"data":{"hold_ttl_seconds":120,"payment_window_seconds":900,"max_qty_per_hold":10}}"#
    );
}
