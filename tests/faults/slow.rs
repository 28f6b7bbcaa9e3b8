//! A database that is far away.
//!
//! What does not belong here: one that does not answer at all (`crash`).

use std::time::Duration;

use holdfast_test_support::{Setup, for_mariadb, recovers};

use crate::endure::{endure, short_lived, start_behind_proxy};

/// Each way.
const DELAY: Duration = Duration::from_millis(200);

/// So many answers may be on their way to customers already when the connections are cut: one for each.
const UNDER_WAY_MAX: u64 = 16;

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
        recovers(load.acknowledged_more(UNDER_WAY_MAX + 1)).await;
        load.acknowledged_more(50).await;
        sale.readiness_is(200).await;
        proxy.delay(Duration::ZERO);
    })
    .await;
}
