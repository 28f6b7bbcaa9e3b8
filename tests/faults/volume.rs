//! Very many holds on one product.
//!
//! What does not belong here: how fast that is; the figure is printed, and no more.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use holdfast_test_support::{OrFail, Setup, Stock, for_mariadb, hold, number, rounds};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;

for_mariadb!(very_many_holds_on_one_product_sell_it_once);

async fn very_many_holds_on_one_product_sell_it_once(setup: Setup) {
    let holds = rounds(10_000, 1_000_000);
    // None may expire before the last is placed.
    let sale = setup.setting("HOLD_TTL_SECONDS", "86400").start().await;
    let product = sale.product(holds as u64).await;
    let asked = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, asked) = (sale.client.clone(), Arc::clone(&asked));
        clients.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let key = asked.fetch_add(1, Ordering::Relaxed).to_string();
                let request = hold(product, 1).key(&key);
                // A machine that stalls for seconds gets a 503: the key makes it safe to ask again.
                let answer = loop {
                    let answer = client.send(&request).await.or_fail();
                    if answer.status != 503 {
                        break answer;
                    }
                };
                match (answer.status, answer.code().as_str()) {
                    (201, _) => ids.push(number(&answer.json()["hold_id"])),
                    (409, "insufficient_stock") => return ids,
                    (status, _) => panic!("{status} {}", answer.text()),
                }
            }
        });
    }
    let ids: Vec<u64> = clients.join_all().await.into_iter().flatten().collect();
    let took = began.elapsed();
    assert_eq!(ids.len(), holds, "the stock is not what was sold");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), holds, "two requests share a hold");
    let (free, units) = (0, holds as u64);
    assert_eq!(sale.stock(product).await, Stock { free, available: units, reserved: units });
    let rows = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product} AND status = 'active'");
    assert_eq!(usize::try_from(sale.database.integer(&rows).await.or_fail()).or_fail(), holds);
    sale.assert_audit_passes().await;
    let rate = f64::from(u32::try_from(holds).or_fail()) / took.as_secs_f64();
    eprintln!("{holds} holds by {CLIENTS} clients in {:.1} s: {rate:.0} a second, none too many", took.as_secs_f64());
}
