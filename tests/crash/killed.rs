//! `kill -9` in the middle of the load: of the server, and of the database.
//!
//! What does not belong here: connections that are cut at a chosen moment (`commit`), and databases that
//! live but cannot (`faults`).

use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::{
    Facts, Load, OrFail, Setup, TestDatabase, for_both, for_mariadb, recovers, rounds, seed, sells_and_is_ready,
};

/// More than all rounds can sell.
const STOCK: u64 = 10_000_000;

for_both!(a_killed_server_keeps_what_it_acknowledged);

mod on_mariadb {
    use super::*;

    for_mariadb!(killed_servers_and_databases_keep_what_was_acknowledged, a_frozen_database_is_waited_for);

    /// Each round kills the server, every third the database.
    async fn killed_servers_and_databases_keep_what_was_acknowledged(setup: Setup) {
        let setup = setup.setting("HOLD_TTL_SECONDS", "2");
        let mut database = MariaDb::start().await.or_fail();
        let mut sale = setup.start_on(TestDatabase::mariadb(&database.url()).await.or_fail()).await;
        let products = [sale.product(STOCK).await, sale.product(STOCK).await];
        let mut random = seed();
        let (mut known, mut killed_databases) = (Facts::default(), 0);
        let rounds = rounds(9, 200);
        for round in 0..rounds {
            let load = Load::start(&sale.client, &products, &format!("r{round}"), &mut random);
            load.acknowledged(random.u64(50..200)).await;
            let mut facts = if round % 3 == 2 {
                killed_databases += 1;
                database.kill().await;
                // Every other one is away for so long that the server says so; the others are back before it does.
                if killed_databases % 2 == 1 {
                    sale.readiness_is(503).await;
                }
                database.restart().await.or_fail();
                // The same server finds its way back by itself.
                recovers(sells_and_is_ready(&sale, &load)).await;
                load.stop().await
            } else {
                sale.server.kill().await;
                let facts = load.stop().await;
                sale.server.restart().await.or_fail();
                facts
            };
            facts.close(&sale.client).await;
            facts.check(&sale.client).await;
            sale.assert_audit_passes().await;
            known.extend(facts);
        }
        sale.assert_books(&products, STOCK, &known).await;
        assert_eq!(sale.server.ended(), None);
        let (holds, servers) = (known.holds.len(), rounds - killed_databases);
        eprintln!("{servers} servers and {killed_databases} databases killed, {holds} holds acknowledged, none lost");
    }

    async fn a_frozen_database_is_waited_for(setup: Setup) {
        let setup = setup.setting("HOLD_TTL_SECONDS", "2");
        let database = MariaDb::start().await.or_fail();
        let sale = setup.start_on(TestDatabase::mariadb(&database.url()).await.or_fail()).await;
        let products = [sale.product(STOCK).await];
        let mut random = seed();
        let load = Load::start(&sale.client, &products, "frozen", &mut random);
        load.acknowledged(100).await;
        database.freeze().or_fail();
        sale.readiness_is(503).await;
        database.thaw().or_fail();
        recovers(sells_and_is_ready(&sale, &load)).await;
        let mut facts = load.stop().await;
        facts.close(&sale.client).await;
        sale.assert_books(&products, STOCK, &facts).await;
    }
}

async fn a_killed_server_keeps_what_it_acknowledged(setup: Setup) {
    let mut sale = setup.setting("HOLD_TTL_SECONDS", "2").start().await;
    let products = [sale.product(STOCK).await, sale.product(STOCK).await];
    let mut random = seed();
    let mut known = Facts::default();
    for round in 0..rounds(10, 200) {
        let load = Load::start(&sale.client, &products, &format!("r{round}"), &mut random);
        load.acknowledged(random.u64(50..200)).await;
        sale.server.kill().await;
        let mut facts = load.stop().await;
        sale.server.restart().await.or_fail();
        facts.close(&sale.client).await;
        facts.check(&sale.client).await;
        known.extend(facts);
    }
    sale.assert_books(&products, STOCK, &known).await;
}
