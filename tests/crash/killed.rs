//! `kill -9` in the middle of the load: of the server, and of the database.
//!
//! What does not belong here: connections that are cut at a chosen moment (`commit`).

use std::time::{Duration, SystemTime};

use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::{
    OrFail, Sale, Setup, TestDatabase, clock_is, eventually, for_both, for_mariadb, rounds, seed,
};

use crate::facts::Facts;
use crate::load::Load;

/// More than all rounds can sell.
const STOCK: u64 = 10_000_000;

for_both!(a_killed_server_keeps_what_it_acknowledged);

mod on_mariadb {
    use super::*;

    for_mariadb!(a_killed_database_keeps_what_was_acknowledged, a_frozen_database_is_waited_for);

    async fn a_killed_database_keeps_what_was_acknowledged(setup: Setup) {
        let mut database = MariaDb::start().await.or_fail();
        let sale = start_on(&setup, &database).await;
        let products = [sale.product(STOCK).await, sale.product(STOCK).await];
        let mut random = seed();
        let mut known = Facts::default();
        for round in 0..rounds(5, 20) {
            let load = Load::start(&sale.client, &products, &format!("r{round}"), &mut random);
            load.acknowledged(random.u64(100..300)).await;
            database.kill().await;
            database.restart().await.or_fail();
            // The same server finds its way back by itself.
            let so_far = load.acknowledged_so_far();
            load.acknowledged(so_far + 100).await;
            let mut facts = load.stop().await;
            facts.close(&sale.client).await;
            facts.check(&sale.client).await;
            sale.assert_audit_passes().await;
            known.extend(facts);
        }
        end(&sale, &products, &known).await;
        assert_eq!(sale.server.ended(), None);
    }

    async fn a_frozen_database_is_waited_for(setup: Setup) {
        let database = MariaDb::start().await.or_fail();
        let sale = start_on(&setup, &database).await;
        let products = [sale.product(STOCK).await];
        let mut random = seed();
        let load = Load::start(&sale.client, &products, "frozen", &mut random);
        load.acknowledged(100).await;
        database.freeze().or_fail();
        eventually("the server says that it is cut off", async || {
            let answer = sale.client.get("/readyz").await.or_fail();
            if answer.status == 503 { Ok(()) } else { Err(answer.status) }
        })
        .await;
        database.thaw().or_fail();
        let so_far = load.acknowledged_so_far();
        load.acknowledged(so_far + 100).await;
        let mut facts = load.stop().await;
        facts.close(&sale.client).await;
        facts.check(&sale.client).await;
        end(&sale, &products, &facts).await;
    }

    async fn start_on(setup: &Setup, database: &MariaDb) -> Sale {
        let database = TestDatabase::mariadb(&database.url()).await.or_fail();
        setup.clone().setting("HOLD_TTL_SECONDS", "2").start_on(database).await
    }
}

async fn a_killed_server_keeps_what_it_acknowledged(setup: Setup) {
    let mut sale = setup.setting("HOLD_TTL_SECONDS", "2").start().await;
    let products = [sale.product(STOCK).await, sale.product(STOCK).await];
    let mut random = seed();
    let mut known = Facts::default();
    for round in 0..rounds(20, 100) {
        let load = Load::start(&sale.client, &products, &format!("r{round}"), &mut random);
        load.acknowledged(random.u64(50..200)).await;
        sale.server.kill().await;
        let mut facts = load.stop().await;
        sale.server.restart().await.or_fail();
        facts.close(&sale.client).await;
        facts.check(&sale.client).await;
        known.extend(facts);
    }
    end(&sale, &products, &known).await;
}

/// When the last hold's deadline is over, no unit is away but those of orders, and everything that was
/// ever acknowledged is still there, once.
async fn end(sale: &Sale, products: &[u64], known: &Facts) {
    assert!(known.holds.len() > 20, "hardly anything was acknowledged");
    known.check(&sale.client).await;
    for product in products {
        let sold = format!("SELECT SUM(quantity) FROM orders WHERE status <> 'cancelled' AND product_id = {product}");
        // No unit stays away for longer than its hold lives, swept or not.
        let last = format!("SELECT MAX(expires_at) FROM holds WHERE product_id = {product}");
        let last = u64::try_from(sale.database.integer(&last).await.or_fail()).or_fail();
        clock_is(Duration::ZERO, SystemTime::UNIX_EPOCH + Duration::from_micros(last)).await;
        assert_eq!(sale.stock(*product).await.reserved, 0);
        let sold = u64::try_from(sale.database.integer(&sold).await.or_fail()).or_fail();
        assert_eq!(sale.stock(*product).await.free, STOCK - sold);
    }
    let twice = "SELECT COUNT(*) - COUNT(DISTINCT idempotency_key) FROM holds";
    assert_eq!(sale.database.integer(twice).await.or_fail(), 0);
    sale.assert_audit_passes().await;
}
