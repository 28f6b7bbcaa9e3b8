//! The requests of the API that several suites send.
//!
//! What does not belong here: what comes back.

use holdfast_loadtest::rig::client::Request;
use serde_json::json;

/// Asks for units of a product.
pub fn hold(product_id: u64, qty: u64) -> Request {
    Request::post("/api/holds", &json!({"product_id": product_id, "qty": qty}))
}

/// Gives a hold back.
pub fn give_back(hold_id: u64) -> Request {
    Request::delete(&format!("/api/holds/{hold_id}"))
}

/// Makes a hold an order.
pub fn order(hold_id: u64) -> Request {
    Request::post("/api/orders", &json!({"hold_id": hold_id}))
}

/// News of a payment, unsigned: `status` is `success`, `failure` or `pending`.
pub fn payment(key: &str, order_id: u64, status: &str) -> Request {
    let body = json!({"payment_idempotency_key": key, "order_id": order_id, "status": status});
    Request::post("/api/payments/webhook", &body)
}
