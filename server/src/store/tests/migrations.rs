//! Migrations: many servers at once, killed half-way, older and newer schemas.

use super::*;
use crate::store::migrate::MIGRATIONS;

on_both_databases!(
    a_schema_that_only_adds_is_served,
    a_schema_that_is_too_new_is_refused;
    on_nothing: eight_servers_start_at_once_on_nothing,
    nothing_is_there_before_the_first,
    a_migration_killed_half_way_is_run_again,
    a_sale_goes_on_through_every_migration,
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
    let sql = first_schema(&place);
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

fn first_schema(place: &Place) -> &'static str {
    if place.is_mysql() { MIGRATIONS[0].mysql } else { MIGRATIONS[0].sqlite }
}

/// From the first schema to the last, with rows in it, while somebody has the database open.
async fn a_sale_goes_on_through_every_migration(place: Place) {
    let mut by_hand = place.by_hand().await;
    by_hand.run(first_schema(&place)).await.expect("the first schema");
    let product = "INSERT INTO products (id, name, description, price_minor, status, stock_available, stock_reserved, \
         movement_seq, created_at, updated_at) VALUES (1, 'Jeton', '', 9999, 'on_sale', 9, 2, 3, 1, 1)";
    let holds = "INSERT INTO holds (id, product_id, quantity, status, created_at, expires_at) VALUES \
         (901, 1, 1, 'active', 1, 4000000000000000), (902, 1, 1, 'active', 1, 4000000000000000)";
    let movements = "INSERT INTO movements (product_id, seq, kind, available_change, reserved_change, stock_available, \
         stock_reserved, at, hold_id) VALUES (1, 1, 'stocked', 9, 0, 9, 0, 1, NULL), \
         (1, 2, 'hold_placed', 0, 1, 9, 1, 1, 901), (1, 3, 'hold_placed', 0, 1, 9, 2, 1, 902)";
    for rows in [product, holds, movements] {
        by_hand.run(rows).await.expect("the rows of a sale");
    }
    place.store.migrate().await.expect("the rest is applied");
    place.store.check_schema().await.expect("the schema is there");
    by_hand.run("UPDATE holds SET quantity = 1 WHERE id = 902").await.expect("who had it open goes on");
    for other in ["UPDATE holds SET status = 'shipped'", "UPDATE movements SET kind = 'shipped'"] {
        assert!(by_hand.run(other).await.is_err(), "{other}");
    }
    if !place.is_mysql() {
        let steps = by_hand.steps("UPDATE holds SET status = 'active'").await;
        assert!(steps.iter().all(|step| step != "OpenEphemeral"), "{steps:?}");
        let found = by_hand.session.rows("PRAGMA integrity_check").await.expect("the file is read");
        assert_eq!(found, [[Some("ok".to_owned())]]);
    }
    place.act(ProductId(1), &[Command::GiveBackHold { hold_id: HoldId(901) }]).await;
    place.hold(ProductId(1), 8, None).await;
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
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
