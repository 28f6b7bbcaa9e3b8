//! What operators do, and who may do what.

use holdfast_test_support::{OrFail, Request, ServerProcess, Setup, Stock, for_both, hold, operator, order, payment};
use hyper::Method;
use serde_json::json;

use crate::contract::Contract;

for_both!(
    stock_is_changed,
    a_suspension_stops_new_holds_only,
    a_broken_product_is_resumed_by_force_only,
    only_operators_are_let_in,
    storefront_tokens_guard_the_storefront,
);

fn post(path: &str) -> Request {
    Request::new(Method::POST, path)
}

async fn stock_is_changed(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let path = format!("/api/products/{product}/restock");
    let restock = |qty: i64| operator(Request::post(&path, &json!({"qty": qty})));
    sale.hold(product, 4).await;
    let shown = sale.done(&restock(5), 200).await.json();
    assert_eq!(shown["data"]["stock_available"], 15);
    assert_eq!(sale.stock(product).await, Stock { free: 11, available: 15, reserved: 4 });
    // Units that holds keep stay.
    let refused = sale.refused(&restock(-12), 409, "insufficient_stock").await;
    assert_eq!(refused.json()["available"], 11);
    sale.done(&restock(-11), 200).await;
    assert_eq!(sale.stock(product).await, Stock { free: 0, available: 4, reserved: 4 });
    sale.assert_audit_passes().await;
}

async fn a_suspension_stops_new_holds_only(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let held = sale.hold(product, 2).await;
    let (other, order_id) = (sale.hold(product, 1).await, {
        let hold_id = sale.hold(product, 1).await;
        sale.order(hold_id).await
    });
    let (suspend, resume) = (format!("/api/products/{product}/suspend"), format!("/api/products/{product}/resume"));
    let shown = sale.done(&operator(Request::post(&suspend, &json!({"reason": "a wrong price"}))), 200).await;
    assert_eq!(shown.json()["data"]["status"], "suspended");
    sale.done(&operator(post(&suspend)), 200).await;
    sale.refused(&hold(product, 1), 409, "product_suspended").await;
    sale.done(&order(held), 201).await;
    sale.done(&Request::delete(&format!("/api/holds/{other}")), 204).await;
    sale.done(&payment("evt_1", order_id, "success"), 200).await;
    let shown = sale.done(&operator(post(&resume)), 200).await;
    assert_eq!(shown.json()["data"]["status"], "on_sale");
    sale.done(&operator(Request::post(&resume, &json!({"force": true, "unknown": 1}))), 200).await;
    sale.done(&hold(product, 1), 201).await;
}

async fn a_broken_product_is_resumed_by_force_only(setup: Setup) {
    // Only what the test does suspends here.
    let sale = Contract::start(setup.setting("RECONCILE_SECONDS", "3600")).await;
    let product = sale.product(10).await;
    sale.hold(product, 2).await;
    sale.done(&operator(post(&format!("/api/products/{product}/suspend"))), 200).await;
    sale.database.execute(&format!("UPDATE products SET stock_reserved = 3 WHERE id = {product}")).await.or_fail();
    let resume = format!("/api/products/{product}/resume");
    let refused = sale.refused(&operator(post(&resume)), 409, "product_suspended").await;
    let breaches = refused.json()["breaches"].clone();
    assert!(breaches.as_array().is_some_and(|breaches| !breaches.is_empty()), "{}", refused.text());
    assert!(breaches.to_string().contains("I2"), "{breaches}");
    sale.refused(&hold(product, 1), 409, "product_suspended").await;
    let shown = sale.done(&operator(Request::post(&resume, &json!({"force": true}))), 200).await;
    assert_eq!(shown.json()["data"]["status"], "on_sale");
}

const OPERATIONS: [&str; 4] =
    ["/api/products", "/api/products/1/restock", "/api/products/1/suspend", "/api/products/1/resume"];

async fn only_operators_are_let_in(setup: Setup) {
    let sale = Contract::start(setup.clone()).await;
    sale.product(10).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    for path in OPERATIONS {
        let answer = sale.refused(&Request::post(path, &json!({"qty": 1})), 401, "unauthorized").await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        for token in ["Bearer wrong", "Bearer", "Basic x", "an-operator-of-the-tests-0123456789"] {
            let request = Request::post(path, &json!({"qty": 1})).header("authorization", token);
            sale.refused(&request, 401, "unauthorized").await;
        }
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);

    // Where no token is set there is nothing.
    let program = env!("CARGO_BIN_EXE_holdfast");
    let closed = ServerProcess::builder(program).database(sale.database.url()).start().await.or_fail();
    // A server that starts has tried whether the database takes what is written.
    let before = sale.database.snapshot(&[]).await.or_fail();
    for path in OPERATIONS {
        let answer = closed.client().send(&operator(Request::post(path, &json!({"qty": 1})))).await.or_fail();
        assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{path}");
    }
    let answer = closed.client().send(&Request::new(Method::PUT, "/api/products")).await.or_fail();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
}

async fn storefront_tokens_guard_the_storefront(setup: Setup) {
    let sale = Contract::start(setup.setting("API_TOKENS", "first-token second-token")).await;
    let add = Request::post("/api/products", &json!({"name": "Lamp", "price": "1", "stock": 10}));
    let product = sale.done(&operator(add.clone()), 201).await.json()["data"]["id"].as_u64().expect("an id");
    let requests = [
        Request::get("/api/products"),
        Request::get(&format!("/api/products/{product}")),
        Request::get("/api/holds/1"),
        Request::delete("/api/holds/1"),
        Request::get("/api/orders/1"),
        Request::get("/api/limits"),
        hold(product, 1),
        order(1),
    ];
    for request in requests {
        let answer = sale.refused(&request, 401, "unauthorized").await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        sale.refused(&request.clone().header("authorization", "Bearer third-token"), 401, "unauthorized").await;
        // An operator is no storefront.
        sale.refused(&operator(request.clone()), 401, "unauthorized").await;
        for token in ["first-token", "second-token"] {
            let answer = sale.send(&request.clone().header("authorization", &format!("Bearer {token}"))).await;
            assert_ne!(answer.status, 401, "{} {}", request.method(), request.path());
        }
    }
    // A storefront is no operator, and the provider needs no token.
    sale.refused(&add.header("authorization", "Bearer first-token"), 401, "unauthorized").await;
    sale.invalid(&payment("evt_1", 999, "success"), "order_id").await;
    for path in ["/openapi.json", "/docs", "/healthz", "/readyz", "/metrics"] {
        sale.done(&Request::get(path), 200).await;
    }
}
