//! The life of a server as its watchers see it: starting, ready, draining, gone.

use holdfast_test_support::{
    ADMIN_TOKEN, Client, OrFail, Request, ServerProcess, Setup, eventually, for_both, hold, order, payment,
};
use serde_json::{Value, json};

use crate::contract::{Contract, check};
use crate::raw::{Raw, post_head};

for_both!(
    a_server_is_alive_and_ready,
    operations_have_a_listener_of_their_own,
    a_drain_finishes_what_is_in_flight,
    a_drain_delay_keeps_accepting,
);

async fn a_server_is_alive_and_ready(setup: Setup) {
    let sale = Contract::start(setup).await;
    assert_eq!(sale.done(&Request::get("/healthz"), 200).await.text(), r#"{"status":"alive"}"#);
    assert_eq!(sale.done(&Request::get("/readyz"), 200).await.text(), r#"{"status":"ready"}"#);
    let product = sale.product(1).await;
    sale.done(&hold(product, 1), 201).await;
    let metrics = sale.done(&Request::get("/metrics"), 200).await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let count = |method: &str, status: u16, route: &str| {
        let labels = format!(
            "{{http_request_method=\"{method}\",http_response_status_code=\"{status}\",http_route=\"{route}\"}}"
        );
        let name = format!("http_server_request_duration_seconds_count{labels} ");
        metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    assert_eq!(count("POST", 201, "/api/holds"), Some(1), "{}", metrics.text());
    // Every answer that a route may have is there from the start.
    assert_eq!(count("POST", 409, "/api/holds"), Some(0), "{}", metrics.text());
    assert_eq!(count("GET", 404, "/api/orders/{id}"), Some(0), "{}", metrics.text());
    // Nobody needs a token here.
    assert_eq!(count("POST", 401, "/api/holds"), None, "{}", metrics.text());
}

async fn operations_have_a_listener_of_their_own(setup: Setup) {
    let sale = Contract::start(setup.setting("OPS_ADDR", "127.0.0.1:0")).await;
    let ops = Client::new(&sale.server.ops_url());
    for path in ["/metrics", "/healthz", "/readyz"] {
        let missing = sale.sale.send(&Request::get(path)).await;
        assert_eq!((missing.status, missing.code()), (404, "not_found".to_owned()), "{path}");
        assert_eq!(ops.get(path).await.or_fail().status, 200, "{path}");
    }
    assert_eq!(ops.get("/api/limits").await.or_fail().status, 404);
    sale.done(&Request::get("/api/limits"), 200).await;
}

async fn a_drain_finishes_what_is_in_flight(setup: Setup) {
    let sale = Contract::start(setup.setting("OPS_ADDR", "127.0.0.1:0")).await;
    let product = sale.product(10).await;
    let ops = Client::new(&sale.server.ops_url());
    let body = format!(r#"{{"product_id":{product},"qty":3}}"#);
    let mut raw = Raw::connect(sale.server.address()).await;
    let head = post_head("/api/holds", body.len()).replace("connection: close\r\n", "");
    raw.write(head.as_bytes()).await;
    eventually("a request is in flight", async || {
        let metrics = ops.get("/metrics").await.or_fail().text();
        let line = r#"http_server_active_requests{http_request_method="POST"} 1"#;
        if metrics.lines().any(|it| it == line) { Ok(()) } else { Err(metrics) }
    })
    .await;
    sale.server.begin_to_terminate().or_fail();
    eventually("it says that it drains", async || match ops.get("/readyz").await.or_fail() {
        answer if answer.status == 503 && answer.text() == r#"{"status":"draining"}"# => Ok(()),
        answer => Err(answer.text()),
    })
    .await;
    assert_eq!(ops.get("/healthz").await.or_fail().status, 200);
    eventually("it accepts no more", async || match tokio::net::TcpStream::connect(sale.server.address()).await {
        Err(_) => Ok(()),
        Ok(_) => Err("a connection"),
    })
    .await;
    raw.write(body.as_bytes()).await;
    let answer = raw.read().await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(answer.text.contains("hold_id"), "{}", answer.text);
    let status = sale.server.wait().await.or_fail();
    assert_eq!(status.code(), Some(0));
    assert_eq!(sale.database.integer("SELECT stock_reserved FROM products").await.or_fail(), 3);
}

async fn a_drain_delay_keeps_accepting(setup: Setup) {
    // Longer than any test: it is killed at the end.
    let sale = Contract::start(setup.setting("DRAIN_DELAY_SECONDS", "600")).await;
    let product = sale.product(10).await;
    sale.server.begin_to_terminate().or_fail();
    eventually("it says that it drains", async || match sale.send(&Request::get("/readyz")).await {
        answer if answer.status == 503 => Ok(()),
        answer => Err(answer.text()),
    })
    .await;
    // On a new connection too.
    assert_eq!(sale.server.client().send(&hold(product, 3)).await.or_fail().status, 201);
    assert_eq!(sale.stock(product).await.reserved, 3);
    sale.server.kill().await;
}

#[tokio::test]
async fn a_server_without_a_database_is_alive_but_not_ready() {
    let builder = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).setting("ADMIN_TOKEN", ADMIN_TOKEN);
    // Nobody listens on port 1.
    let server = builder.database("mysql://root@127.0.0.1:1/holdfast").listen().await.or_fail();
    let client = server.client();
    let document = client.get("/openapi.json").await.or_fail().json();
    assert_eq!(client.get("/healthz").await.or_fail().status, 200);
    let answer = client.get("/readyz").await.or_fail();
    assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"status":"starting"}"#));
    for request in [
        Request::get("/api/products"),
        Request::get("/api/products/1"),
        Request::get("/api/holds/1"),
        Request::delete("/api/holds/1"),
        Request::get("/api/orders/1"),
        hold(1, 1),
        order(1),
        payment("k", 1, "success"),
    ] {
        let answer = client.send(&request).await.or_fail();
        check(&document, &request, &answer);
        let seen = (answer.status, answer.code(), answer.header("retry-after"));
        assert_eq!(
            seen,
            (503, "database_unavailable".to_owned(), Some("1")),
            "{} {}",
            request.method(),
            request.path()
        );
    }
    // An event that nobody could take is found by its key.
    let line = server.log().wait_for(|line| line.text.contains("payment event").then(|| line.text.clone())).await;
    let line: Value = serde_json::from_str(&line.unwrap_or_default()).or_fail();
    let found = (&line["payment_key"], &line["order_id"], &line["code"]);
    assert_eq!(found, (&json!("k"), &json!(1), &json!("database_unavailable")), "{line}");
    // What needs no database is answered, and so is what would be wrong with one.
    assert_eq!(client.get("/api/limits").await.or_fail().status, 200);
    for request in [hold(1, 0), Request::post("/api/orders", &json!({})), payment("k", 0, "success")] {
        assert_eq!(client.send(&request).await.or_fail().status, 422, "{}", request.path());
    }
    let status = server.terminate().await.or_fail();
    assert_eq!(status.code(), Some(0));
}
