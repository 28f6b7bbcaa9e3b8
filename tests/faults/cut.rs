//! The connection to the database is lost within each statement that the server sends, one after the other: in the
//! middle of it, after it, and in the middle of its answer.
//!
//! What does not belong here: each byte of the transaction of a batch (`crash`).

use holdfast_test_support::rig::proxy::{Effect, Point, Proxy};
use holdfast_test_support::{
    Answer, OrFail, Request, Sale, Setup, Stock, eventually, for_mariadb, give_back, hold, is_long, number, operator,
    order, payment, seed,
};
use serde_json::json;

use crate::endure::start_behind_proxy;

const STOCK: u64 = 100;
const RESTOCKED: u64 = 10;
/// How many of the cuts are made if not all are.
const QUICK_CUTS: usize = 12;
/// More statements than one life has.
const STATEMENTS_MAX: usize = 500;

for_mariadb!(a_cut_within_any_statement_changes_nothing_twice);

async fn a_cut_within_any_statement_changes_nothing_twice(setup: Setup) {
    // What the server remembers it does not ask for.
    let setup = setup.setting("PRODUCT_CACHE_SECONDS", "0");
    let (sale, proxy) = start_behind_proxy(&setup, setup.database().await).await;
    let mut random = seed();
    // As many as an undisturbed life has; the server's own, of every second, come and go.
    let statements = count_statements(&sale, &proxy).await;
    let mut cuts: Vec<(usize, usize)> = (0..statements).flat_map(|n| (0..3).map(move |way| (n, way))).collect();
    if !is_long() {
        random.shuffle(&mut cuts);
        cuts.truncate(QUICK_CUTS);
    }
    let mut within_lives = 0;
    for (struck_before, (others, way)) in (0..).zip(&cuts) {
        let bytes_passed = random.usize(1..100);
        let point = match way {
            0 => Point::WithinQuery { bytes_passed },
            1 => Point::AfterQuery,
            _ => Point::AfterAnswer { bytes_passed },
        };
        eprintln!("statement {others}: {point:?}");
        proxy.after_statements(*others, point, Effect::Cut);
        live(&sale, &format!("{others}-{way}")).await;
        within_lives += usize::from(proxy.struck() > struck_before);
        // Lives differ by a few statements of the server's own, so one may end before its last cut. That strikes a
        // statement of whoever looks then.
        eventually("the cut strikes", async || {
            sale.send(&Request::get("/api/products?limit=1")).await;
            if proxy.struck() > struck_before { Ok(()) } else { Err("it waits still") }
        })
        .await;
        assert_eq!(proxy.struck(), struck_before + 1, "more than one cut has struck");
    }
    eprintln!("{within_lives} of {} cuts struck a life, in lives of {statements} statements", cuts.len());
    sale.assert_audit_passes().await;
}

/// How many statements one life takes, if nothing happens.
async fn count_statements(sale: &Sale, proxy: &Proxy) -> usize {
    live(sale, "before").await;
    // A fault that is too far off to strike.
    proxy.after_statements(STATEMENTS_MAX, Point::AfterQuery, Effect::Cut);
    live(sale, "counted").await;
    STATEMENTS_MAX - proxy.statements_left().unwrap_or(0)
}

/// Everything that a sale knows, once; each step is insisted on, and its effect must be there once.
async fn live(sale: &Sale, name: &str) {
    let product = new_product(sale, name).await;
    let mut holds = Vec::new();
    for n in 0..4 {
        let placed = insist(sale, hold(product, 2).key(&format!("h{n}-{name}"))).await;
        holds.push(number(&placed.json()["hold_id"]));
    }
    let mut orders = Vec::new();
    for (n, hold_id) in holds[..2].iter().enumerate() {
        let made = insist(sale, order(*hold_id).key(&format!("o{n}-{name}"))).await;
        orders.push(number(&made.json()["data"]["id"]));
    }
    insist(sale, payment(&format!("paid-{name}"), orders[0], "success")).await;
    insist(sale, payment(&format!("failed-{name}"), orders[1], "failure")).await;
    insist(sale, give_back(holds[2])).await;
    restock(sale, product).await;
    for verb in ["suspend", "resume"] {
        insist(sale, operator(Request::post(&format!("/api/products/{product}/{verb}"), &json!({})))).await;
    }
    let seen = [
        insist(sale, Request::get(&format!("/api/holds/{}", holds[0]))).await.json()["data"]["status"].clone(),
        insist(sale, Request::get(&format!("/api/holds/{}", holds[1]))).await.json()["data"]["status"].clone(),
        insist(sale, Request::get(&format!("/api/holds/{}", holds[2]))).await.json()["data"]["status"].clone(),
        insist(sale, Request::get(&format!("/api/holds/{}", holds[3]))).await.json()["data"]["status"].clone(),
        insist(sale, Request::get(&format!("/api/orders/{}", orders[0]))).await.json()["data"]["status"].clone(),
        insist(sale, Request::get(&format!("/api/orders/{}", orders[1]))).await.json()["data"]["status"].clone(),
    ];
    assert_eq!(seen, ["redeemed", "released", "released", "active", "paid", "cancelled"]);
    insist(sale, Request::get("/api/products?limit=1")).await;
    let shown = insist(sale, Request::get(&format!("/api/products/{product}"))).await.json()["data"].clone();
    let stock = Stock {
        free: number(&shown["available_stock"]),
        available: number(&shown["stock_available"]),
        reserved: number(&shown["stock_reserved"]),
    };
    let available = STOCK + RESTOCKED - 2;
    assert_eq!(stock, Stock { free: available - 2, available, reserved: 2 });
    for (table, rows) in [("holds", 4), ("orders", 2)] {
        let count = format!("SELECT COUNT(*) FROM {table} WHERE product_id = {product}");
        assert_eq!(sale.database.integer(&count).await.or_fail(), rows, "{table}");
    }
}

/// Sends a request until it is answered with a yes; everything else must be a 503.
async fn insist(sale: &Sale, request: Request) -> Answer {
    eventually("the request is answered", async || {
        let answer = sale.send(&request).await;
        match answer.status {
            200 | 201 | 204 => Ok(answer),
            503 => Err(answer.text()),
            _ => panic!("{request:?} was answered {} {}", answer.status, answer.text()),
        }
    })
    .await
}

/// A new product has no key: whoever gets no answer looks whether it is there.
async fn new_product(sale: &Sale, name: &str) -> u64 {
    let body = json!({"name": name, "price": "1.00", "stock": STOCK});
    let find = format!("SELECT id FROM products WHERE name = '{name}'");
    eventually("the product is made", async || {
        let answer = sale.send(&operator(Request::post("/api/products", &body))).await;
        let rows = sale.database.rows(&find).await.or_fail();
        match answer.status {
            201 => assert_eq!(rows.len(), 1, "{}", answer.text()),
            503 if answer.code() == "outcome_unknown" => assert!(rows.len() <= 1),
            503 => assert!(rows.is_empty(), "what certainly did not happen has happened: {}", answer.text()),
            _ => panic!("{} {}", answer.status, answer.text()),
        }
        let id = rows.first().and_then(|row| row[0].as_ref()?.parse().ok());
        id.ok_or_else(|| answer.text())
    })
    .await
}

/// Stock has no key either.
async fn restock(sale: &Sale, product: u64) {
    let request = operator(Request::post(&format!("/api/products/{product}/restock"), &json!({"qty": RESTOCKED})));
    let count = format!("SELECT stock_available FROM products WHERE id = {product}");
    let available = async || u64::try_from(sale.database.integer(&count).await.or_fail()).or_fail();
    let before = available().await;
    eventually("the stock is there", async || {
        let answer = sale.send(&request).await;
        let came = available().await - before;
        match answer.status {
            200 => assert_eq!(came, RESTOCKED, "{}", answer.text()),
            503 if answer.code() == "outcome_unknown" => assert!(came == 0 || came == RESTOCKED),
            503 => assert_eq!(came, 0, "what certainly did not happen has happened: {}", answer.text()),
            _ => panic!("{} {}", answer.status, answer.text()),
        }
        if came == RESTOCKED { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}
