//! A stranger in the database who locks rows by hand, in an order of their own, so that the two wait for each other.
//!
//! What does not belong here: locks that are only kept for long (`concurrency`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_test_support::{OrFail, Sale, Session, Setup, eventually, for_mariadb, rounds};

use crate::endure::{endure, short_lived};

for_mariadb!(a_stranger_who_deadlocks_with_us_changes_nothing);

async fn a_stranger_who_deadlocks_with_us_changes_nothing(setup: Setup) {
    let wanted = rounds(5, 200);
    let sale = short_lived(&setup).start().await;
    endure(&sale, async |load, products| {
        let stop = Arc::new(AtomicBool::new(false));
        let mut strangers = Vec::new();
        for product in products {
            let session = sale.database.session().await.or_fail();
            strangers.push(tokio::spawn(get_in_the_way(session, *product, Arc::clone(&stop))));
        }
        eventually("the server has often been the one to give in", async || match deadlocks(&sale).await {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted} times")),
        })
        .await;
        load.acknowledged_more(50).await;
        stop.store(true, Ordering::Relaxed);
        for stranger in strangers {
            stranger.await.or_fail();
        }
    })
    .await;
}

/// Locks holds and then their product, which is not the server's order, again and again.
async fn get_in_the_way(mut session: Session, product: u64, stop: Arc<AtomicBool>) {
    // Whoever has changed more rows is the one whom the database lets go on.
    let change = format!(
        "START TRANSACTION; \
         UPDATE holds SET created_at = created_at + 1 WHERE product_id = {product} AND status = 'active' LIMIT 20; \
         UPDATE holds SET created_at = created_at - 1 WHERE product_id = {product} AND status = 'active' LIMIT 20"
    );
    let lock = format!("SELECT id FROM products WHERE id = {product} FOR UPDATE");
    while !stop.load(Ordering::Relaxed) {
        // Any of them may be the one that gives in.
        let _ = session.execute(&change).await;
        let _ = session.rows(&lock).await;
        session.execute("ROLLBACK").await.or_fail();
        // Customers must get a turn as well.
        tokio::task::yield_now().await;
    }
}

/// How often the server's transaction was the one that the database ended.
async fn deadlocks(sale: &Sale) -> usize {
    const NAME: &str = "holdfast_retries_total{reason=\"deadlock\"} ";
    let metrics = sale.client.get("/metrics").await.or_fail().text();
    let count = metrics.lines().find_map(|line| line.strip_prefix(NAME)?.parse().ok());
    count.unwrap_or_else(|| panic!("no {NAME} in {metrics}"))
}
