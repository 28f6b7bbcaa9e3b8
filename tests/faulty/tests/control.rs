//! Without a fault it is a right server: its answers on the main paths, its retries, its signatures, its end.
//!
//! What does not belong here: what the planted bugs are about; each of them is held against the right server
//! in `faults.rs`.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_test_support::{
    Kind, OrFail, Request, Sale, Setup, Stock, give_back, hold, number, operator, order, payment,
};
use serde_json::json;
use standardwebhooks::Webhook;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn setup() -> Setup {
    Setup::new(Kind::Sqlite, env!("CARGO_BIN_EXE_holdfast-faulty"))
}

async fn refused(sale: &Sale, request: &Request, status: u16, code: &str) -> serde_json::Value {
    let answer = sale.send(request).await;
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}: {}", request.path(), answer.text());
    answer.json()
}

fn stock(available: u64, reserved: u64) -> Stock {
    Stock { free: available - reserved, available, reserved }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_move_as_they_should_and_outlive_a_crash() {
    let mut sale = setup().start().await;
    let product = sale.product(100).await;
    let placed = sale.send(&hold(product, 40).key("a-hold")).await;
    let hold_id = number(&placed.json()["hold_id"]);
    let shown = sale.hold_shown(hold_id).await;
    assert_eq!((shown["status"].as_str(), &shown["expires_at"]), (Some("active"), &placed.json()["expires_at"]));
    assert_eq!(sale.stock(product).await, stock(100, 40));

    let made = sale.send(&order(hold_id).key("an-order")).await;
    let order_id = number(&made.json()["data"]["id"]);
    assert_eq!(made.json()["data"]["total_amount"], "3,999.60");
    assert_eq!(sale.stock(product).await, stock(60, 0));
    refused(&sale, &give_back(hold_id), 409, "hold_already_redeemed").await;
    assert_eq!(refused(&sale, &order(hold_id), 409, "hold_already_redeemed").await["order_id"], order_id);
    assert_eq!(refused(&sale, &hold(product, 61), 409, "insufficient_stock").await["available"], 60);

    let given_back = sale.hold(product, 5).await;
    for _ in 0..2 {
        assert_eq!(sale.send(&give_back(given_back)).await.status, 204);
    }
    refused(&sale, &order(given_back), 409, "hold_released").await;

    let failed = sale.order(sale.hold(product, 10).await).await;
    for status in ["pending", "pending", "failure", "failure"] {
        sale.pay("no", failed, status).await;
    }
    sale.pay("late", failed, "success").await;
    sale.pay("yes", order_id, "success").await;
    sale.pay("contradiction", order_id, "failure").await;
    refused(&sale, &payment("yes", failed, "success"), 409, "payment_key_conflict").await;

    sale.server.restart().await.or_fail();
    assert_eq!(sale.order_shown(failed).await["status"], "cancelled");
    assert_eq!(sale.order_shown(order_id).await["status"], "paid");
    assert_eq!(sale.stock(product).await, stock(60, 0));
    for (request, first) in [(hold(product, 40).key("a-hold"), placed), (order(hold_id).key("an-order"), made)] {
        let again = sale.send(&request).await;
        assert_eq!((again.status, &again.body), (201, &first.body));
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    }
    refused(&sale, &hold(product, 41).key("a-hold"), 422, "idempotency_key_reused").await;
    refused(&sale, &payment("yes", failed, "success"), 409, "payment_key_conflict").await;

    assert_eq!(sale.assert_audit_passes().await["clean"], true);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_let_in() {
    let sale = setup().setting("API_TOKENS", "token-one token-two").start().await;
    let product = json!({"name": "Lamp", "price": "1.00", "stock": 1});
    refused(&sale, &Request::post("/api/products", &product), 401, "unauthorized").await;
    let made = sale.send(&operator(Request::post("/api/products", &product))).await;
    let id = number(&made.json()["data"]["id"]);
    let read = Request::get(&format!("/api/products/{id}"));
    refused(&sale, &read, 401, "unauthorized").await;
    let shop = |request: Request| request.header("authorization", "Bearer token-two");
    assert_eq!(sale.send(&shop(read)).await.json(), made.json());

    let suspend = |verb: &str| operator(Request::post(&format!("/api/products/{id}/{verb}"), &json!({})));
    assert_eq!(sale.send(&suspend("suspend")).await.json()["data"]["status"], "suspended");
    refused(&sale, &shop(hold(id, 1)), 409, "product_suspended").await;
    assert_eq!(sale.send(&shop(Request::get("/api/products"))).await.json()["data"], json!([]));
    assert_eq!(sale.send(&suspend("resume")).await.json()["data"]["status"], "on_sale");
    refused(&sale, &shop(hold(id, 0)), 422, "validation_failed").await;
    refused(&sale, &shop(hold(id, 1001)), 422, "validation_failed").await;
    refused(&sale, &shop(hold(id + 1, 1)), 422, "validation_failed").await;
    let limits = json!({"hold_ttl_seconds": 120, "payment_window_seconds": 900, "max_qty_per_hold": 1000});
    assert_eq!(sale.send(&shop(Request::get("/api/limits"))).await.json()["data"], limits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_signed_event_counts() {
    let sale = setup().setting("WEBHOOK_SECRET", SECRET).start().await;
    let product = sale.product(1).await;
    let order_id = sale.order(sale.hold(product, 1).await).await;
    let event = payment("evt_1", order_id, "success");
    refused(&sale, &event, 401, "unauthorized").await;
    let body = json!({"payment_idempotency_key": "evt_1", "order_id": order_id, "status": "success"}).to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let signature = Webhook::new(SECRET).expect("a secret");
    let signature = signature.sign("msg_1", now.cast_signed(), body.as_bytes()).expect("a signature");
    let signed = event
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", &now.to_string())
        .header("webhook-signature", &signature);
    assert_eq!(sale.send(&signed).await.status, 200);
    assert_eq!(sale.order_shown(order_id).await["status"], "paid");
}
