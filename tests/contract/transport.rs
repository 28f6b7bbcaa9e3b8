//! Methods, versions of HTTP, names of requests, connections.

use holdfast_test_support::{Client, OrFail, Request, Setup, for_both, hold};
use hyper::Method;

use crate::contract::Contract;
use crate::raw::exchange;

for_both!(
    head_is_get_without_a_body,
    other_methods_are_refused,
    requests_have_names,
    http_2_is_spoken_too,
    answers_keep_connections_alive
);

async fn head_is_get_without_a_body(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 1).await;
    let order_id = sale.order(sale.hold(product, 1).await).await;
    for path in [
        "/api/products".to_owned(),
        format!("/api/products/{product}"),
        format!("/api/holds/{hold_id}"),
        format!("/api/orders/{order_id}"),
        "/api/limits".to_owned(),
        "/openapi.json".to_owned(),
        "/docs".to_owned(),
        "/healthz".to_owned(),
    ] {
        let (get, head) = (sale.done(&Request::get(&path), 200).await, Request::new(Method::HEAD, &path));
        let head = sale.done(&head, 200).await;
        for name in ["content-length", "content-type"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
    let missing = sale.send(&Request::new(Method::HEAD, "/api/holds/999999")).await;
    assert_eq!((missing.status, missing.body.len()), (404, 0));
}

async fn other_methods_are_refused(setup: Setup) {
    let sale = Contract::start(setup).await;
    for (path, allowed) in [
        ("/api/products", "GET, HEAD, POST"),
        ("/api/products/1", "GET, HEAD"),
        ("/api/products/1/restock", "POST"),
        ("/api/products/1/suspend", "POST"),
        ("/api/products/1/resume", "POST"),
        ("/api/holds", "POST"),
        ("/api/holds/1", "GET, HEAD, DELETE"),
        ("/api/orders", "POST"),
        ("/api/orders/1", "GET, HEAD"),
        ("/api/payments/webhook", "POST"),
        ("/api/limits", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ] {
        let methods = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"];
        for method in methods.into_iter().filter(|method| !allowed.split(", ").any(|it| it == *method)) {
            let request = Request::new(Method::from_bytes(method.as_bytes()).expect("a method"), path);
            let answer = sale.refused(&request, 405, "method_not_allowed").await;
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    sale.refused(&Request::new(Method::PUT, "/nowhere"), 404, "not_found").await;
}

async fn requests_have_names(setup: Setup) {
    let sale = Contract::start(setup.setting("RUST_LOG", "info,holdfast=debug")).await;
    let named = async |request: Request| sale.send(&request).await.header("x-request-id").expect("a name").to_owned();
    let longest = "x".repeat(64);
    for name in ["caller-1", "~", longest.as_str()] {
        assert_eq!(named(Request::get("/api/limits").header("x-request-id", name)).await, name);
        // In refusals too.
        assert_eq!(named(Request::get("/nowhere").header("x-request-id", name)).await, name);
        assert_eq!(named(hold(999, 1).header("x-request-id", name)).await, name);
    }
    let mut names = vec![named(Request::get("/api/limits")).await];
    for bad in ["", &"x".repeat(65), "two words", "tab\tbed"] {
        names.push(named(Request::get("/api/limits").header("x-request-id", bad)).await);
    }
    names.push(named(Request::get("/api/limits").header("x-request-id", "a").header("x-request-id", "a")).await);
    for name in &names {
        assert!((1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
    }
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two requests have one name");
    // And in the log.
    let line = sale.server.log().wait_for(|line| line.text.contains(&longest).then(|| line.text.clone())).await;
    assert!(line.is_some());
}

async fn http_2_is_spoken_too(setup: Setup) {
    let sale = Contract::start(setup).await;
    let product = sale.product(10).await;
    let client = Client::http2(&sale.server.url());
    let (one, other) = (hold(product, 1).key("k"), hold(product, 2).key("k"));
    let first = client.send(&one).await.or_fail();
    assert_eq!(first.status, 201);
    // The same, whichever version it is asked in.
    assert_eq!(sale.done(&one, 201).await.body, first.body);
    assert_eq!(client.send(&other).await.or_fail().status, 422);
    let head = client.send(&Request::new(Method::HEAD, "/api/limits")).await.or_fail();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let large = Request::new(Method::POST, "/api/holds").header("content-type", "application/json");
    assert_eq!(client.send(&large.body(" ".repeat(70_000))).await.or_fail().status, 413);
    assert_eq!(client.send(&Request::new(Method::PUT, "/api/holds")).await.or_fail().status, 405);
}

async fn answers_keep_connections_alive(setup: Setup) {
    let sale = Contract::start(setup).await;
    // Three requests at once on one connection: two that are refused, with bodies nobody wants, and a last one.
    let unwanted = "POST /nowhere HTTP/1.1\r\nhost: holdfast\r\ncontent-length: 5\r\n\r\nhello";
    let last = "GET /healthz HTTP/1.1\r\nhost: holdfast\r\nconnection: close\r\n\r\n";
    let answer = exchange(sale.server.address(), format!("{unwanted}{unwanted}{last}").as_bytes()).await;
    assert_eq!(answer.text.matches("HTTP/1.1 404").count(), 2, "{}", answer.text);
    assert_eq!(answer.text.matches("HTTP/1.1 200").count(), 1, "{}", answer.text);
    // What is no HTTP is refused, and harms nobody.
    let answer = exchange(sale.server.address(), b"hello\r\n\r\n").await;
    assert!(matches!(answer.status, 0 | 400), "{}", answer.text);
    sale.done(&Request::get("/healthz"), 200).await;
}
