//! What is answered "no, nothing was changed" because it came too late has not been done, and is not done later.
//!
//! What does not belong here: how many are let in (`shedding`).

use std::time::Duration;

use holdfast_test_support::{OrFail, Setup, all, eventually, for_both, hold, rounds, statuses};

use crate::brake::Brake;
use crate::scraped::Scraped;

for_both!(who_was_told_no_is_not_in_the_database);

async fn who_was_told_no_is_not_in_the_database(setup: Setup) {
    let setup = setup.setting("REQUEST_TIMEOUT_SECONDS", "1").setting("BATCH_MAX", "4");
    let (sale, mut brake) = Brake::start(&setup).await;
    let (mut placed, mut unknown) = (0, 0);
    // Several products: some of them wait for their turn, some for their batch.
    let products = [sale.product(1_000_000).await, sale.product(1_000_000).await];
    for round in 0..rounds(2, 20) {
        brake.pull(&sale, Duration::from_millis(if round % 2 == 0 { 400 } else { 1_300 })).await;
        let requests = (0..60).map(|n| hold(products[n % 2], 1).key(&format!("{round}-{}", n / 3))).collect();
        let answers = all(sale.client.burst(requests).await);
        brake.release().await;
        for ((status, code), count) in statuses(&answers) {
            match (status, code.as_str()) {
                // Three requests share a key; of those the ones for the same product share a hold.
                (201, _) | (422, "idempotency_key_reused") | (503, "overloaded" | "database_unavailable") => {}
                (503, "outcome_unknown") => unknown += count,
                other => panic!("{other:?}: {}", statuses(&answers).len()),
            }
        }
        let mut ids: Vec<String> = answers
            .iter()
            .filter(|answer| answer.status == 201)
            .map(|answer| answer.json()["hold_id"].to_string())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        placed += ids.len();
        // What was begun is ended, so that nothing of this round is counted in the next.
        eventually("nothing waits", async || {
            let waiting = Scraped::of(&sale.client).await;
            let waiting = waiting.sum("holdfast_queue_depth") + waiting.sum("holdfast_unresolved_outcomes");
            if waiting == 0.0 { Ok(()) } else { Err(waiting) }
        })
        .await;
        for product in products {
            // While the last slow batch is under way, who comes behind it is told to come again.
            eventually("it is sold again", async || {
                let answer = sale.send(&hold(product, 1)).await;
                if answer.status == 201 { Ok(()) } else { Err(answer.status) }
            })
            .await;
            placed += 1;
        }
    }
    let stored = usize::try_from(sale.database.integer("SELECT COUNT(*) FROM holds").await.or_fail()).or_fail();
    assert!(
        (placed..=placed + unknown).contains(&stored),
        "{placed} holds were answered, {unknown} may have been placed, and {stored} are there"
    );
    sale.assert_audit_passes().await;
}
