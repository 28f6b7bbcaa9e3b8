//! Orders: made of a hold, shown, refused, and asked for again.

use holdfast_test_support::{Request, Setup, Stock, for_both, order};
use serde_json::json;

use crate::contract::Contract;

for_both!(
    an_order_is_made_of_a_hold,
    nothing_but_the_hold_is_taken_from_an_order,
    a_hold_makes_one_order,
    a_retry_gets_the_first_answer_again,
    a_key_belongs_to_one_request
);

async fn an_order_is_made_of_a_hold(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(100).await;
    let hold_id = sale.hold(product, 40).await;
    let answer = sale.done(&order(hold_id), 201).await;
    let shown = answer.json();
    let (id, created_at) = (&shown["data"]["id"], shown["data"]["created_at"].as_str().expect("a time"));
    let expected = format!(
        r#"{{"data":{{"id":{id},"hold_id":{hold_id},"status":"pending_payment","quantity":40,"total_amount":"3,999.60","created_at":"{created_at}","updated_at":"{created_at}"}}}}"#
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(created_at.len(), "2025-12-02T19:00:26.000000Z".len());
    assert_eq!(sale.done(&Request::get(&format!("/api/orders/{id}")), 200).await.text(), expected);
    assert_eq!(sale.stock(product).await, Stock { free: 60, available: 60, reserved: 0 });
    let hold = sale.hold_shown(hold_id).await;
    assert_eq!((hold["status"].as_str(), &hold["order_id"]), (Some("redeemed"), id));
}

/// What an order costs and what state it is in is the server's to say.
async fn nothing_but_the_hold_is_taken_from_an_order(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 2).await;
    let wish = json!({
        "hold_id": hold_id, "id": 7, "status": "paid", "quantity": 1, "total_amount": "0.01",
        "created_at": "2020-01-01T00:00:00.000000Z",
    });
    let shown = sale.done(&Request::post("/api/orders", &wish), 201).await.json();
    let order = &shown["data"];
    assert_eq!((order["status"].as_str(), order["quantity"].as_u64()), (Some("pending_payment"), Some(2)));
    assert_eq!(order["total_amount"], "199.98");
    assert_ne!(order["created_at"], wish["created_at"]);
    sale.assert_audit_passes().await;
}

async fn a_hold_makes_one_order(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 1).await;
    let order_id = sale.order(hold_id).await;
    let refused = sale.refused(&order(hold_id), 409, "hold_already_redeemed").await;
    assert_eq!(refused.json()["order_id"], order_id);
    // A cancelled order's hold is no hold any more.
    sale.pay("evt_1", order_id, "failure").await;
    sale.refused(&order(hold_id), 409, "hold_released").await;
    let hold = sale.hold_shown(hold_id).await;
    assert_eq!((hold["release_reason"].as_str(), hold["order_id"].as_u64()), (Some("payment_failed"), Some(order_id)));
    assert_eq!(sale.stock(product).await, Stock { free: 10, available: 10, reserved: 0 });
}

async fn a_retry_gets_the_first_answer_again(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 1).await;
    let first = sale.done(&order(hold_id).key("k"), 201).await;
    let order_id = first.json()["data"]["id"].as_u64().expect("an id");
    sale.pay("evt_1", order_id, "success").await;
    assert_eq!(sale.order_shown(order_id).await["status"], "paid");
    let again = sale.done(&order(hold_id).key("k"), 201).await;
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
    sale.refused(&order(hold_id).key("another"), 409, "hold_already_redeemed").await;
}

async fn a_key_belongs_to_one_request(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let (one, other) = (sale.hold(product, 1).await, sale.hold(product, 1).await);
    sale.done(&order(one).key("k"), 201).await;
    sale.refused(&order(other).key("k"), 422, "idempotency_key_reused").await;
    assert_eq!(sale.hold_shown(other).await["status"], "active");
    sale.done(&order(other), 201).await;
}
