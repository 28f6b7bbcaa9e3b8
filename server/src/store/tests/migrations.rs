//! Migrations: many servers at once, killed half-way, older and newer schemas.

use super::*;
use crate::store::migrate::MIGRATIONS;

on_both_databases!(
    a_schema_that_only_adds_is_served,
    a_schema_that_is_too_new_is_refused;
    on_nothing: eight_servers_start_at_once_on_nothing,
    nothing_is_there_before_the_first,
    a_migration_killed_half_way_is_run_again,
);

async fn eight_servers_start_at_once_on_nothing(place: Place) {
    let mut servers = Vec::new();
    for _ in 0..8 {
        let store = place.another_store().await;
        servers.push(tokio::spawn(async move {
            store.migrate().await?;
            store.check_schema().await?;
            store.overdue().await
        }));
    }
    for server in servers {
        within(server).await.expect("no panic").expect("it starts");
    }
    let applied = place.by_hand().await.number("SELECT COUNT(*) FROM schema_migrations").await;
    assert_eq!(usize::try_from(applied), Ok(MIGRATIONS.len()));
    let product_id = place.product(3).await;
    place.hold(product_id, 1, None).await;
}

async fn nothing_is_there_before_the_first(place: Place) {
    let error = place.store.check_schema().await.expect_err("there is no schema");
    assert!(error.is_misconfigured() && error.to_string().contains("holdfast migrate"), "{error}");
}

async fn a_migration_killed_half_way_is_run_again(place: Place) {
    let sql = if place.is_mysql() { MIGRATIONS[0].mysql } else { MIGRATIONS[0].sqlite };
    let half = sql.find("CREATE TABLE IF NOT EXISTS payment_events").expect("it is in there");
    // A killed one leaves its tables in MySQL, and nothing in SQLite; it must not matter in either.
    let mut by_hand = place.by_hand().await;
    by_hand.run(&sql[..half]).await.expect("the first half is applied");
    place.store.migrate().await.expect("the rest is applied");
    place.store.migrate().await.expect("nothing is missing");
    place.store.check_schema().await.expect("the schema is there");
    let product_id = place.product(3).await;
    place.hold(product_id, 1, None).await;
}

async fn a_schema_that_only_adds_is_served(place: Place) {
    let newer = "INSERT INTO schema_migrations (version, name, oldest_known, applied_at) VALUES (900, 'adds', 1, 1)";
    place.by_hand().await.run(newer).await.expect("migrated by a newer server");
    place.store.check_schema().await.expect("this one goes on");
    place.store.migrate().await.expect("this one starts");
}

async fn a_schema_that_is_too_new_is_refused(place: Place) {
    let newer =
        "INSERT INTO schema_migrations (version, name, oldest_known, applied_at) VALUES (900, 'breaks', 900, 1)";
    place.by_hand().await.run(newer).await.expect("migrated by a newer server");
    for refused in [place.store.check_schema().await, place.store.migrate().await] {
        let error = refused.expect_err("it is too new");
        assert!(error.is_misconfigured() && error.to_string().contains("too new"), "{error}");
    }
}

#[test]
fn migrations_are_numbered_and_repeatable() {
    for (i, migration) in MIGRATIONS.iter().enumerate() {
        assert_eq!(migration.version, i as u64 + 1);
        for sql in [migration.mysql, migration.sqlite] {
            for line in sql.lines().filter(|line| line.starts_with("CREATE ") || line.starts_with("INSERT ")) {
                assert!(line.contains("IF NOT EXISTS") || line.contains("IGNORE INTO"), "{line}");
            }
        }
    }
}
