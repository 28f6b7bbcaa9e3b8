//! A database that is far away.
//!
//! What does not belong here: one that does not answer at all (`crash`).

use std::time::Duration;

use holdfast_test_support::{Setup, for_mariadb, recovers};

use crate::endure::{endure, short_lived, start_behind_proxy};

/// Each way.
const DELAY: Duration = Duration::from_millis(200);

for_mariadb!(a_slow_database_is_slow_and_nothing_else);

async fn a_slow_database_is_slow_and_nothing_else(setup: Setup) {
    let (sale, proxy) = start_behind_proxy(&short_lived(&setup), setup.database().await).await;
    endure(&sale, async |load, _| {
        proxy.delay(DELAY);
        let not_served = load.not_served_so_far();
        load.acknowledged_more(50).await;
        sale.readiness_is(200).await;
        assert_eq!(load.not_served_so_far(), not_served, "customers were turned away");
        // A way back must be found at this distance, too.
        proxy.cut();
        recovers(async {
            load.acknowledged_more(50).await;
            sale.readiness_is(200).await;
        })
        .await;
        proxy.delay(Duration::ZERO);
    })
    .await;
}
