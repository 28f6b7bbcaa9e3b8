//! A server that is killed in the middle of its first migration: the next one starts clean.
//!
//! What does not belong here: migrations side by side (`concurrency`).

use std::time::Duration;

use holdfast_test_support::rig::proxy::{Effect, Point, Proxy};
use holdfast_test_support::{OrFail, Setup, for_both, for_mariadb, rounds, seed};

for_both!(a_first_migration_killed_at_any_moment_is_run_again);

mod on_mariadb {
    use super::*;

    for_mariadb!(a_first_migration_killed_at_each_table_is_run_again);

    async fn a_first_migration_killed_at_each_table_is_run_again(setup: Setup) {
        let whole = setup.start().await;
        let tables = whole.database.session().await.or_fail().tables().await.or_fail();
        drop(whole);
        assert!(tables.len() > 5, "{tables:?}");
        for table in tables {
            for point in [Point::BeforeQuery, Point::AfterAnswer { bytes_passed: 0 }] {
                let database = setup.database().await;
                let proxy = Proxy::mysql(&database.address()).await.or_fail();
                // The first statement that names a table makes it.
                proxy.on_query(&table, point, Effect::Silence);
                let server = setup.server(&database.url_through(&proxy.address())).spawn().await.or_fail();
                proxy.wait_until_struck(1).await;
                server.kill().await;
                // What the kernel does for a process that is gone.
                proxy.cut();
                let sale = setup.start_on(database).await;
                sale.hold(sale.product(1).await, 1).await;
                sale.assert_audit_passes().await;
            }
        }
    }
}

async fn a_first_migration_killed_at_any_moment_is_run_again(setup: Setup) {
    let mut random = seed();
    // How long a start takes here, so that the kills fall into it.
    let database = setup.database().await;
    let begin = std::time::Instant::now();
    let server = setup.server(database.url()).start().await.or_fail();
    let whole = begin.elapsed();
    drop(server);
    for _ in 0..rounds(20, 200) {
        let database = setup.database().await;
        for _ in 0..3 {
            let server = setup.server(database.url()).spawn().await.or_fail();
            // Not to wait for anything: any moment is a good one to be killed at.
            tokio::time::sleep(whole.mul_f64(random.f64()).max(Duration::from_micros(1))).await;
            server.kill().await;
        }
        let sale = setup.start_on(database).await;
        sale.hold(sale.product(1).await, 1).await;
        sale.assert_audit_passes().await;
    }
}
