//! Bad input of every kind: a clear 4xx, and nothing changed in any table.

use holdfast_test_support::{OrFail, Request, Setup, for_both, operator};
use hyper::Method;
use serde_json::{Value, json};

use crate::contract::Contract;
use crate::raw::{Raw, exchange, post_head};

const HOLDS: &str = "/api/holds";
const ORDERS: &str = "/api/orders";
const WEBHOOK: &str = "/api/payments/webhook";
const PRODUCTS: &str = "/api/products";

for_both!(
    what_is_no_json_changes_nothing,
    fields_of_the_wrong_shape_or_range_change_nothing,
    paths_and_queries_are_checked,
    bodies_have_a_type_and_a_length,
    a_body_that_breaks_off_changes_nothing,
);

/// A sale with a row in every table.
async fn sale(setup: Setup) -> Contract {
    let sale = Contract::start(setup).await;
    let product = sale.product(1000).await;
    assert_eq!(product, 1);
    let hold_id = sale.hold(product, 5).await;
    let order_id = sale.order(hold_id).await;
    sale.pay("evt_0", order_id, "pending").await;
    sale.hold(product, 5).await;
    sale
}

fn post(path: &str, body: impl Into<bytes::Bytes>) -> Request {
    let request = Request::new(Method::POST, path).header("content-type", "application/json").body(body);
    if path.starts_with(PRODUCTS) { operator(request) } else { request }
}

const WITH_BODY: [&str; 7] =
    [HOLDS, ORDERS, WEBHOOK, PRODUCTS, "/api/products/1/restock", "/api/products/1/suspend", "/api/products/1/resume"];

async fn what_is_no_json_changes_nothing(setup: Setup) {
    let sale = sale(setup).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    let bodies: [&[u8]; 16] = [
        b"{",
        b"{\"product_id\":1,\"qty\":5",
        b"{\"product_id\":1,\"qty\":5}}",
        b"{\"product_id\":1,\"qty\":05}",
        b"{\"product_id\":1,\"qty\":5,}",
        b"{'product_id':1}",
        b"product_id=1&qty=5",
        b"   ",
        b"\x00",
        b"{\"product_id\":1,\"qty\":5,\"note\":\"\xff\xfe\"}",
        b"{\"product_id\":1,\"qty\":5,\"note\":\"\\ud800\"}",
        b"\xef\xbb\xbf{}",
        b"{\"product_id\":1,\"product_id\":1,\"qty\":5}",
        b"{\"product_id\":1,\"qty\":5,\"qty\":5}",
        b"{\"product_id\":1,\"qty\":5,\"unknown\":{\"a\":1,\"a\":1}}",
        b"{\"product_id\":1,\"qty\":5,\"q\\u0074y\":5}",
    ];
    for path in WITH_BODY {
        for body in bodies {
            sale.refused(&post(path, body), 400, "invalid_json").await;
        }
        // Deep enough to overflow the stack of a parser that recurses for ever.
        sale.refused(&post(path, "[".repeat(16_000)), 400, "invalid_json").await;
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        sale.refused(&post(path, deep), 400, "invalid_json").await;
    }
    for path in [HOLDS, ORDERS, WEBHOOK, PRODUCTS, "/api/products/1/restock"] {
        sale.refused(&post(path, ""), 400, "invalid_json").await;
    }
    for path in [HOLDS, ORDERS] {
        // A body that is none is told of before a key that is none, and that before a field.
        for (body, status, code) in
            [("{", 400, "invalid_json"), ("[]", 422, "validation_failed"), ("{}", 400, "bad_request")]
        {
            sale.refused(&post(path, body).key("two words"), status, code).await;
        }
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
}

async fn fields_of_the_wrong_shape_or_range_change_nothing(setup: Setup) {
    let sale = sale(setup).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    for path in WITH_BODY {
        for body in ["[]", "5", "null", "true", "\"text\"", "[{}]", "1e400"] {
            sale.invalid(&post(path, body), "body").await;
        }
    }
    let numbers = [
        "0",
        "-1",
        "1.5",
        "5.01",
        "5e-1",
        "\"5\"",
        "\"\"",
        "null",
        "true",
        "[]",
        "[5]",
        "{}",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "1e400",
        "-1e400",
    ];
    for number in numbers.iter().chain(&["1001", "1000001"]) {
        sale.invalid(&post(HOLDS, format!(r#"{{"product_id":1,"qty":{number}}}"#)), "qty").await;
        let keyed = post(HOLDS, format!(r#"{{"product_id":1,"qty":{number}}}"#)).key("k");
        sale.invalid(&keyed, "qty").await;
    }
    for number in numbers.iter().chain(&["9007199254740992", "9007199254740991"]) {
        sale.invalid(&post(HOLDS, format!(r#"{{"product_id":{number},"qty":5}}"#)), "product_id").await;
        sale.invalid(&post(ORDERS, format!(r#"{{"hold_id":{number}}}"#)), "hold_id").await;
        let event = format!(r#"{{"idempotency_key":"k","status":"success","order_id":{number}}}"#);
        sale.invalid(&post(WEBHOOK, event), "order_id").await;
    }
    for number in numbers.iter().filter(|number| **number != "-1") {
        sale.invalid(&post("/api/products/1/restock", format!(r#"{{"qty":{number}}}"#)), "qty").await;
    }
    sale.invalid(&post(HOLDS, r#"{"qty":5}"#), "product_id").await;
    sale.invalid(&post(HOLDS, r#"{"product_id":1}"#), "qty").await;
    sale.invalid(&post(ORDERS, "{}"), "hold_id").await;
    sale.invalid(&post("/api/products/1/restock", "{}"), "qty").await;
    sale.invalid(&post("/api/products/1/restock", r#"{"qty":1000000000000}"#), "qty").await;
    sale.invalid(&post("/api/products/1/suspend", r#"{"reason":5}"#), "reason").await;
    sale.invalid(&post("/api/products/1/suspend", r#"{"reason":""}"#), "reason").await;
    sale.invalid(&post("/api/products/1/resume", r#"{"force":"yes"}"#), "force").await;
    let product = json!({"name": "Lamp", "price": "99.99", "stock": 100});
    for (field, bad) in [
        ("name", vec![json!(""), json!(5), Value::Null, json!("x".repeat(256))]),
        ("description", vec![json!(5), json!(["x"]), json!("x".repeat(2001))]),
        ("price", vec![json!(99.99), json!("99.999"), json!("-1"), json!("1,000"), json!(""), json!("12345678901")]),
        ("stock", vec![json!(-1), json!(1.5), json!("100"), json!(1_000_000_000_001_u64), json!(u64::MAX)]),
    ] {
        for value in bad {
            let mut body = product.clone();
            body[field] = value;
            sale.invalid(&post(PRODUCTS, body.to_string()), field).await;
        }
    }
    for missing in ["name", "price", "stock"] {
        let mut body = product.clone();
        body.as_object_mut().expect("an object").remove(missing);
        sale.invalid(&post(PRODUCTS, body.to_string()), missing).await;
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
}

async fn paths_and_queries_are_checked(setup: Setup) {
    let sale = sale(setup).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    let ids = [
        "0",
        "-1",
        "1.5",
        "01",
        "+1",
        "abc",
        "1e3",
        "%31",
        "9007199254740992",
        "18446744073709551617",
        "1%20",
        "999999",
    ];
    for id in ids {
        for path in [PRODUCTS, HOLDS, ORDERS] {
            sale.refused(&Request::get(&format!("{path}/{id}")), 404, "not_found").await;
        }
        sale.refused(&Request::delete(&format!("{HOLDS}/{id}")), 404, "not_found").await;
        for (action, body) in [("restock", r#"{"qty":1}"#), ("suspend", "{}"), ("resume", "")] {
            sale.refused(&post(&format!("{PRODUCTS}/{id}/{action}"), body), 404, "not_found").await;
        }
    }
    for path in
        ["/", "/api", "/api/", "/api/products/", "/api/holds/1/", "/API/holds", "/api/../api/limits", "/favicon.ico"]
    {
        sale.refused(&Request::get(path), 404, "not_found").await;
    }
    for value in ["0", "201", "abc", "", "-1", "1.0", "1e1", "%20", "18446744073709551617"] {
        sale.invalid(&Request::get(&format!("{PRODUCTS}?limit={value}")), "limit").await;
    }
    for value in ["-1", "abc", "", "1.0", "9007199254740992"] {
        sale.invalid(&Request::get(&format!("{PRODUCTS}?after={value}")), "after").await;
    }
    sale.invalid(&Request::get(&format!("{PRODUCTS}?limit=1&limit=1")), "limit").await;
    sale.invalid(&Request::get(&format!("{PRODUCTS}?after=1&after=2")), "after").await;
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
}

async fn bodies_have_a_type_and_a_length(setup: Setup) {
    let sale = sale(setup).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    let good = r#"{"product_id":1,"qty":5}"#;
    for path in WITH_BODY {
        for media_type in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonl", "multipart/form-data; boundary=x"]
        {
            let request = Request::new(Method::POST, path).header("content-type", media_type).body(good);
            let request = if path.starts_with(PRODUCTS) { operator(request) } else { request };
            sale.refused(&request, 415, "unsupported_media_type").await;
        }
        let request = Request::new(Method::POST, path).body(good);
        let request = if path.starts_with(PRODUCTS) { operator(request) } else { request };
        sale.refused(&request, 415, "unsupported_media_type").await;
        // 70 kB, whole, and one byte too many.
        for length in [70_000, 16 * 1024 + 1] {
            let body = format!("{}{}", good, " ".repeat(length - good.len()));
            sale.refused(&post(path, body), 413, "body_too_large").await;
        }
    }
    // The same without its length said before.
    let mut chunked = format!(
        "POST {HOLDS} HTTP/1.1\r\nhost: holdfast\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1000));
    chunked.push_str(&chunk.repeat(70));
    chunked.push_str("0\r\n\r\n");
    let answer = exchange(sale.server.address(), chunked.as_bytes()).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    // And one that is promised, but never sent: nobody waits for it.
    let mut raw = Raw::connect(sale.server.address()).await;
    raw.write(post_head(HOLDS, 70_000).as_bytes()).await;
    assert_eq!(raw.read_status().await, 413);
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    // Exactly the limit is fine.
    let body = format!("{}{}", good, " ".repeat(16 * 1024 - good.len()));
    sale.done(&post(HOLDS, body), 201).await;
}

async fn a_body_that_breaks_off_changes_nothing(setup: Setup) {
    let sale = sale(setup).await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    let good = r#"{"product_id":1,"qty":5}"#;
    let mut raw = Raw::connect(sale.server.address()).await;
    raw.write(post_head(HOLDS, good.len() + 1).as_bytes()).await;
    raw.write(good.as_bytes()).await;
    raw.end().await;
    // If there is an answer at all, it is a no.
    let answer = raw.read().await;
    assert!(matches!(answer.status, 0 | 400), "{}", answer.text);
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    sale.done(&post(HOLDS, good), 201).await;
}
