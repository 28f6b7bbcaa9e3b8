//! Products as the storefront sees them.

use holdfast_test_support::{Request, Setup, for_both, operator};
use serde_json::{Value, json};

use crate::contract::Contract;

for_both!(a_product_shows_its_stock, products_come_in_pages, limits_are_what_is_set);

async fn a_product_shows_its_stock(setup: Setup) {
    let sale = Contract::start(setup).await;
    let body = json!({"name": "Ünï “c”", "description": "line\nbreak", "price": "1234567.5", "stock": 100});
    let added = sale.done(&operator(Request::post("/api/products", &body)), 201).await;
    let id = added.json()["data"]["id"].as_u64().expect("an id");
    let shown = sale.done(&Request::get(&format!("/api/products/{id}")), 200).await;
    assert_eq!(shown.body, added.body);
    let product = &shown.json()["data"];
    let (created_at, updated_at) = (product["created_at"].as_str(), product["updated_at"].as_str());
    let expected = format!(
        r#"{{"data":{{"id":{id},"name":"Ünï “c”","description":"line\nbreak","price":"1234567.50","status":"on_sale","available_stock":100,"stock_available":100,"stock_reserved":0,"created_at":"{}","updated_at":"{}"}}}}"#,
        created_at.expect("a time"),
        updated_at.expect("a time"),
    );
    assert_eq!(shown.text(), expected);
    assert_eq!(created_at.map(str::len), Some("2025-12-02T19:00:26.000000Z".len()));

    sale.hold(id, 7).await;
    let product = sale.done(&Request::get(&format!("/api/products/{id}")), 200).await.json();
    let stock = ["available_stock", "stock_available", "stock_reserved"].map(|field| product["data"][field].clone());
    assert_eq!(stock, [json!(93), json!(100), json!(7)]);
    sale.refused(&Request::get("/api/products/9007199254740991"), 404, "not_found").await;
}

async fn products_come_in_pages(setup: Setup) {
    let sale = Contract::start(setup).await;
    let page = async |query: &str| {
        let page = sale.done(&Request::get(&format!("/api/products{query}")), 200).await.json();
        let ids: Vec<Value> = page["data"].as_array().expect("products").iter().map(|it| it["id"].clone()).collect();
        (ids, page["next_after"].clone())
    };
    assert_eq!(page("").await, (vec![], Value::Null));
    let mut ids = Vec::new();
    for stock in 1..=5 {
        ids.push(json!(sale.product(stock).await));
    }
    assert_eq!(page("").await, (ids.clone(), Value::Null));
    assert_eq!(page("?limit=5").await, (ids.clone(), Value::Null));
    assert_eq!(page("?limit=2").await, (ids[..2].to_vec(), ids[1].clone()));
    assert_eq!(page(&format!("?limit=2&after={}", ids[1])).await, (ids[2..4].to_vec(), ids[3].clone()));
    assert_eq!(page(&format!("?after={}&limit=2", ids[3])).await, (ids[4..].to_vec(), Value::Null));
    assert_eq!(page(&format!("?after={}", ids[4])).await, (vec![], Value::Null));
    // A suspended product is left out, but still shown by its id.
    let path = format!("/api/products/{}", ids[2]);
    sale.done(&operator(Request::new(hyper::Method::POST, &format!("{path}/suspend"))), 200).await;
    let rest: Vec<Value> = [0, 1, 3, 4].map(|place: usize| ids[place].clone()).to_vec();
    assert_eq!(page("").await, (rest.clone(), Value::Null));
    assert_eq!(page(&format!("?limit=1&after={}", ids[1])).await, (vec![ids[3].clone()], ids[3].clone()));
    assert_eq!(sale.done(&Request::get(&path), 200).await.json()["data"]["status"], "suspended");
}

async fn limits_are_what_is_set(setup: Setup) {
    let setup = setup
        .setting("HOLD_TTL_SECONDS", "77")
        .setting("PAYMENT_WINDOW_SECONDS", "88")
        .setting("MAX_QTY_PER_HOLD", "9");
    let sale = Contract::start(setup).await;
    let limits = sale.done(&Request::get("/api/limits"), 200).await;
    assert_eq!(limits.text(), r#"{"data":{"hold_ttl_seconds":77,"payment_window_seconds":88,"max_qty_per_hold":9}}"#);
}
