//! Everything that can be too long, too many, or too deep. What does not belong here: heads of HTTP/2 (`http2`).

use holdfast_test_support::{Client, OrFail, Request, Setup, for_both, hold};
use hyper::Method;

use crate::wire::Wire;

for_both!(a_head_has_a_limit, a_body_has_a_limit);

async fn a_head_has_a_limit(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    let request = |path: &str, lines: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: holdfast\r\nconnection: close\r\n{lines}\r\n").into_bytes()
    };
    let lines = |count: usize, length: usize| {
        (0..count).map(|number| format!("x-{number}: {}\r\n", "v".repeat(length))).collect::<Vec<_>>().concat()
    };
    for (what, bytes, status) in [
        ("what honest clients send", request("/api/limits", &lines(90, 100)), 200),
        ("too many lines", request("/api/limits", &lines(101, 1)), 431),
        ("a line that is too long", request("/api/limits", &lines(1, 17_000)), 431),
        ("lines that are too long together", request("/api/limits", &lines(60, 500)), 431),
        ("a path that is too long", request(&format!("/api/limits?x={}", "y".repeat(17_000)), ""), 431),
        ("a path that never ends", format!("GET /{}", "y".repeat(17_000)).into_bytes(), 431),
        ("two lengths", request("/api/limits", "content-length: 1\r\ncontent-length: 2\r\n"), 400),
        ("no name", request("/api/limits", ": x\r\n"), 400),
    ] {
        let mut wire = Wire::begin(&sale.server, &bytes).await;
        assert_eq!(wire.status().await, status, "{what}");
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    assert_eq!(sale.send(&hold(product, 1)).await.status, 201);
    sale.assert_audit_passes().await;
}

async fn a_body_has_a_limit(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    for client in [Client::new(&sale.server.url()), Client::http2(&sale.server.url())] {
        let post = |body: String| {
            Request::new(Method::POST, "/api/holds").header("content-type", "application/json").body(body)
        };
        for (body, status) in [
            (" ".repeat(16 * 1024 + 1), 413),
            (" ".repeat(1024 * 1024), 413),
            ("[".repeat(16 * 1024), 400),
            ("{\"a\":".repeat(3000), 400),
            (format!("{{\"product_id\":1,\"qty\":{}}}", "9".repeat(16_000)), 422),
            (format!("{{\"product_id\":1e{},\"qty\":1}}", "9".repeat(16_000)), 422),
        ] {
            let answer = client.send(&post(body)).await.or_fail();
            assert_eq!(answer.status, status, "{}", answer.text());
        }
        for name in ["idempotency-key", "x-request-id", "x-forwarded-for", "traceparent", "authorization"] {
            let answer = client.send(&Request::get("/api/limits").header(name, &"x".repeat(8_000))).await.or_fail();
            assert_eq!(answer.status, 200, "{name}");
        }
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    assert_eq!(sale.send(&hold(product, 1)).await.status, 201);
    sale.assert_audit_passes().await;
}
