//! The command line from outside: what goes to standard output, what to standard error, exit codes.
//!
//! What does not belong here: how tables look (unit tests), and what a running server does (`life`).

use holdfast_test_support::{
    OrFail, Request, Sale, ServerProcess, Setup, Stock, TestDatabase, eventually, for_both, hold, order, payment,
};
use serde_json::{Value, json};

for_both!(
    operators_work_beside_a_server,
    an_audit_finds_a_breach_and_resume_refuses,
    a_refund_is_listed_until_it_is_done,
    a_schema_is_migrated_by_hand,
    the_reconciler_suspends_what_is_broken,
);

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).or_fail()
}

async fn listed(sale: &Sale, id: u64) -> Value {
    let products = json_of(&ok(sale, &["product", "list", "--json"]).await);
    let found =
        products["data"].as_array().and_then(|products| products.iter().find(|product| product["id"] == id).cloned());
    found.unwrap_or_else(|| panic!("product {id} is not listed in {products}"))
}

/// What a command that must succeed prints; nothing else is to be said.
async fn ok(sale: &Sale, arguments: &[&str]) -> String {
    let finished = sale.holdfast(arguments).await;
    assert_eq!((finished.code(), finished.err.as_str()), (Some(0), ""), "{arguments:?} printed {}", finished.out);
    finished.out
}

/// What a command that must fail says.
async fn fails(sale: &Sale, exit_code: i32, arguments: &[&str]) -> String {
    let finished = sale.holdfast(arguments).await;
    assert_eq!((finished.code(), finished.out.as_str()), (Some(exit_code), ""), "{arguments:?}: {}", finished.err);
    assert!(finished.err.starts_with("holdfast: ") || finished.err.starts_with("error: "), "{}", finished.err);
    assert!(!finished.err.contains("panicked") && !finished.err.contains("RUST_BACKTRACE"), "{}", finished.err);
    finished.err
}

async fn operators_work_beside_a_server(setup: Setup) {
    let sale = setup.start().await;
    let add = ["product", "add", "--name", "Lamp, blue", "--price", "99.99", "--stock", "100"];
    let printed = ok(&sale, &add).await;
    let id = printed.trim_end();
    assert_eq!(printed, format!("{id}\n"), "the id stands alone");
    let product: u64 = id.parse().or_fail();
    assert_eq!(sale.send(&hold(product, 40)).await.status, 201);

    ok(&sale, &["product", "restock", id, "--qty", "20"]).await;
    assert_eq!(sale.stock(product).await, Stock { free: 80, available: 120, reserved: 40 });
    assert!(fails(&sale, 1, &["product", "restock", id, "--qty", "-81"]).await.contains("only 80 units are free"));
    ok(&sale, &["product", "restock", id, "--qty", "-80"]).await;
    assert_eq!(sale.stock(product).await, Stock { free: 0, available: 40, reserved: 40 });

    ok(&sale, &["product", "suspend", id, "--reason", "a wrong price"]).await;
    let shown = listed(&sale, product).await;
    assert_eq!((&shown["status"], &shown["suspended_reason"]), (&json!("suspended"), &json!("a wrong price")));
    assert_eq!((&shown["name"], &shown["price"]), (&json!("Lamp, blue"), &json!("99.99")));
    assert_eq!(sale.send(&hold(product, 1)).await.code(), "product_suspended");
    ok(&sale, &["product", "resume", id]).await;
    assert_eq!(listed(&sale, product).await["status"], "on_sale");
    assert!(ok(&sale, &["product", "list"]).await.contains("Lamp, blue"));

    for (arguments, said) in [
        (["product", "restock", "999999", "--qty", "1"].as_slice(), "there is no such product"),
        (&["product", "suspend", "999999"], "there is no such product"),
        (&["product", "resume", "999999"], "there is no such product"),
    ] {
        let error = fails(&sale, 1, arguments).await;
        assert!(error.contains(said), "{error}");
    }
    for arguments in [
        ["product", "restock", id, "--qty", "0"].as_slice(),
        &["product", "restock", "0", "--qty", "1"],
        &["product", "add", "--name", "", "--price", "1", "--stock", "1"],
        &["product", "add", "--name", "Lamp", "--price", "1.999", "--stock", "1"],
        &["product", "add", "--name", "Lamp", "--price", "1", "--stock", "-1"],
        &["product", "add", "--name", "Lamp", "--price", "1"],
        &["sell"],
    ] {
        fails(&sale, 2, arguments).await;
    }
    sale.assert_audit_passes().await;
}

async fn an_audit_finds_a_breach_and_resume_refuses(setup: Setup) {
    // Only what the test does suspends here.
    let sale = setup.setting("RECONCILE_SECONDS", "3600").start().await;
    let (good, bad) = (sale.product(5).await, sale.product(5).await);
    let hold_id = sale.hold(bad, 2).await;
    let order_id = sale.order(hold_id).await;
    sale.pay("evt_1", order_id, "success").await;

    let clean = sale.assert_audit_passes().await;
    assert_eq!(clean["clean"], true);
    let codes: Vec<&Value> = clean["checks"].as_array().expect("an array").iter().map(|check| &check["code"]).collect();
    assert_eq!(codes, ["I1", "I2", "I3", "I4", "I5", "I6"]);
    assert_eq!(clean["checked"], json!({"products": 2, "holds": 1, "orders": 1, "payment_events": 1, "movements": 4}));
    assert!(ok(&sale, &["audit"]).await.contains("no breach"));

    sale.database.execute(&format!("UPDATE products SET stock_available = 4 WHERE id = {bad}")).await.or_fail();
    let finished = sale.holdfast(&["audit", "--json"]).await;
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    let report = json_of(&finished.out);
    assert_eq!(report["clean"], false);
    let breaches = report["breaches"].as_array().expect("an array");
    assert!(breaches.iter().all(|breach| breach["product_id"] == bad), "{report}");
    let broken = |code: &str| breaches.iter().any(|breach| breach["code"] == code);
    assert!(broken("I3") && broken("I6") && !broken("I2"), "{report}");
    assert_eq!(report["checks"][2]["held"], false);
    assert_eq!(report["checks"][0]["held"], true);
    let finished = sale.holdfast(&["audit"]).await;
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    assert!(finished.out.contains("BREACH"), "{}", finished.out);

    let id = bad.to_string();
    ok(&sale, &["product", "suspend", &id]).await;
    let error = fails(&sale, 1, &["product", "resume", &id]).await;
    assert!(error.contains("I3") && error.contains("--force"), "{error}");
    let forced = sale.holdfast(&["product", "resume", &id, "--force"]).await;
    assert_eq!(forced.code(), Some(0), "{}", forced.err);
    assert!(forced.err.contains("in spite of an invariant that it breaks"), "{}", forced.err);
    assert_eq!(listed(&sale, bad).await["status"], "on_sale");
    ok(&sale, &["product", "suspend", &good.to_string()]).await;
    ok(&sale, &["product", "resume", &good.to_string()]).await;
}

async fn a_refund_is_listed_until_it_is_done(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(50).await;
    let hold_id = sale.hold(product, 40).await;
    let order_id = sale.order(hold_id).await;
    sale.pay("evt_failed", order_id, "failure").await;
    assert_eq!(json_of(&ok(&sale, &["refund", "list", "--json"]).await), json!({"data": []}));
    sale.pay("evt_late", order_id, "success").await;

    let listed = json_of(&ok(&sale, &["refund", "list", "--json"]).await);
    let refund = &listed["data"][0];
    assert_eq!(refund["payment_idempotency_key"], "evt_late");
    assert_eq!((&refund["order_id"], &refund["amount"]), (&json!(order_id), &json!("3,999.60")));
    // No breach, but to be seen.
    assert_eq!(sale.assert_audit_passes().await["refunds_required"], listed["data"]);
    assert!(ok(&sale, &["refund", "list"]).await.contains("evt_late"));

    // A key that a shell would take apart is shown so that it does not.
    sale.pay("-an 'odd' key ", order_id, "success").await;
    assert!(ok(&sale, &["refund", "list"]).await.contains(r"$'-an \'odd\' key '"));
    ok(&sale, &["refund", "done", "-an 'odd' key "]).await;

    fails(&sale, 1, &["refund", "done", "evt_failed"]).await;
    fails(&sale, 2, &["refund", "done", ""]).await;
    ok(&sale, &["refund", "done", "evt_late"]).await;
    assert_eq!(json_of(&ok(&sale, &["refund", "list", "--json"]).await), json!({"data": []}));
    fails(&sale, 1, &["refund", "done", "evt_late"]).await;
    // The provider may still send it again.
    assert_eq!(sale.send(&payment("evt_late", order_id, "success")).await.status, 200);
    assert_eq!(json_of(&ok(&sale, &["refund", "list", "--json"]).await), json!({"data": []}));
}

async fn a_schema_is_migrated_by_hand(setup: Setup) {
    let database = setup.database().await;
    let server = setup.setting("MIGRATE_ON_START", "false").server(database.url());
    let refused = server.run(&["serve", "--listen-addr", "127.0.0.1:0"]).await.or_fail();
    assert_eq!(refused.code(), Some(1), "{}", refused.err);
    assert!(refused.err.contains("holdfast migrate"), "{}", refused.err);
    let refused = server.run(&["audit"]).await.or_fail();
    assert_eq!((refused.code(), refused.out.as_str()), (Some(3), ""), "{}", refused.err);
    for _ in 0..2 {
        let migrated = server.run(&["migrate"]).await.or_fail();
        assert_eq!(migrated.code(), Some(0), "{}", migrated.err);
    }
    let server = server.start().await.or_fail();
    assert_eq!(server.client().get("/api/products").await.or_fail().json(), json!({"data": [], "next_after": null}));
}

async fn the_reconciler_suspends_what_is_broken(setup: Setup) {
    let sale = setup.setting("RECONCILE_SECONDS", "1").start().await;
    let (good, bad) = (sale.product(5).await, sale.product(5).await);
    let hold_id = sale.hold(bad, 2).await;
    sale.hold(good, 2).await;
    let hand = format!("UPDATE products SET stock_reserved = 3, updated_at = updated_at + 1 WHERE id = {bad}");
    sale.database.execute(&hand).await.or_fail();
    eventually("the product is suspended", async || match listed(&sale, bad).await {
        product if product["suspended_reason"] == "inconsistent" => Ok(()),
        product => Err(product),
    })
    .await;
    assert_eq!(sale.send(&hold(bad, 1)).await.code(), "product_suspended");
    // What was promised is kept, and others sell on.
    assert_eq!(sale.send(&order(hold_id)).await.status, 201);
    assert_eq!(sale.send(&hold(good, 1)).await.status, 201);
    eventually("it is counted", async || {
        let metrics = sale.client.get("/metrics").await.or_fail().text();
        let is_there = |line: &str| metrics.lines().any(|it| it == line);
        let counted = is_there(r#"holdfast_suspended_products{reason="inconsistent"} 1"#)
            && is_there(r#"holdfast_inconsistencies_total{invariant="I2"} 1"#)
            && is_there(r#"holdfast_inconsistencies_total{invariant="I1"} 0"#);
        if counted { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert!(sale.server.log().contains("breaks an invariant"));
}

#[tokio::test]
async fn the_first_start_without_settings_has_a_demo_product() {
    let folder = tempfile::tempdir().or_fail();
    let program = env!("CARGO_BIN_EXE_holdfast");
    let builder = ServerProcess::builder(program).directory(folder.path()).setting("LISTEN_ADDR", "127.0.0.1:0");
    let server = builder.start().await.or_fail();
    let shown = server.client().get("/api/products/1").await.or_fail().json();
    assert_eq!((&shown["data"]["price"], &shown["data"]["available_stock"]), (&json!("99.99"), &json!(100)));
    assert!(server.log().contains("WEBHOOK_SECRET is not set"));
    assert_eq!(server.client().send(&hold(1, 100)).await.or_fail().status, 201);
    assert_eq!(server.terminate().await.or_fail().code(), Some(0));
    // Once: a file that is there is nobody's demo.
    let again = builder.start().await.or_fail();
    let listed = again.client().send(&Request::get("/api/products")).await.or_fail().json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["data"][0]["available_stock"], 0);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_those_who_only_look() {
    let folder = tempfile::tempdir().or_fail();
    let path = folder.path().join("none.db");
    let builder =
        ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(&format!("sqlite:{}", path.display()));
    for (exit_code, arguments) in [
        (3, ["audit"].as_slice()),
        (1, &["product", "list"]),
        (1, &["product", "suspend", "1"]),
        (1, &["refund", "list"]),
        (1, &["refund", "done", "evt_1"]),
    ] {
        let finished = builder.run(arguments).await.or_fail();
        assert_eq!((finished.code(), finished.out.as_str()), (Some(exit_code), ""), "{arguments:?}: {}", finished.err);
        assert!(finished.err.contains("there is no database file"), "{}", finished.err);
        assert!(!path.exists(), "{arguments:?} made a file");
    }
    // Nor by a server that is to find a schema.
    let finished = builder.clone().setting("MIGRATE_ON_START", "false").run(&["serve"]).await.or_fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    assert!(finished.err.contains("there is no database file") && !path.exists(), "{}", finished.err);
    let made = builder.run(&["product", "add", "--name", "Lamp", "--price", "1", "--stock", "1"]).await.or_fail();
    assert_eq!((made.code(), made.out.as_str()), (Some(0), "1\n"), "{}", made.err);
}

#[tokio::test]
async fn wrong_settings_are_told_and_secrets_are_not() {
    let builder = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).setting("LISTEN_ADDR", "127.0.0.1:0");
    for (name, value, said) in [
        ("HOLD_TTL_SECONDS", "0", "HOLD_TTL_SECONDS is \"0\", but must be a whole number from 1 to 86400"),
        ("DATABASE_URL", "postgres://app:swordfish@db/shop", "DATABASE_URL is \"postgres://app:***@db/shop\""),
        (
            "DATABASE_URL",
            "mysql://app:swordfish@db",
            "DATABASE_URL is \"mysql://app:***@db\": the database URL names no database",
        ),
        ("DATABASE_URL", "root:swordfish@h/x", "DATABASE_URL must be sqlite:PATH or mysql://"),
        ("ADMIN_TOKEN", "x,Zk9", "ADMIN_TOKEN cannot be used: token 1 has fewer than 8 characters"),
        ("WEBHOOK_SECRET", "whsec_swordfish", "WEBHOOK_SECRET cannot be used: "),
        ("WEBHOOK_SECRET_FILE", "/no/such/file", "WEBHOOK_SECRET_FILE names \"/no/such/file\", which cannot be read: "),
        ("REQUIRE_DATABASE_URL", "true", "DATABASE_URL is not set, and REQUIRE_DATABASE_URL is"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is \"xml\", but must be text or json"),
    ] {
        let finished = builder.clone().setting(name, value).run(&["serve"]).await.or_fail();
        assert_eq!(finished.code(), Some(2), "{name}={value}: {}", finished.err);
        assert!(finished.err.contains(said), "{}", finished.err);
        assert!(!finished.err.contains("swordfish"), "{}", finished.err);
        // A script that waits for the address must not go on.
        assert!(!finished.out.contains("listening"), "{}", finished.out);
    }
    let help = builder.run(&["serve", "--help"]).await.or_fail();
    assert_eq!(help.code(), Some(0), "{}", help.err);
    for name in ["DATABASE_URL", "DRAIN_SECONDS", "WEBHOOK_SECRET", "ADMIN_TOKEN", "API_TOKENS", "RUST_LOG"] {
        assert!(help.out.contains(name), "{name} is missing in {}", help.out);
    }
    assert!(!help.out.contains("--admin-token") && !help.out.contains("--webhook-secret"), "{}", help.out);
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.or_fail();
    let address = taken.local_addr().or_fail().to_string();
    let database = TestDatabase::sqlite().or_fail();
    let builder = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(database.url());
    let finished = builder.setting("LISTEN_ADDR", &address).run(&["serve"]).await.or_fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    assert!(finished.err.contains(&format!("cannot listen on {address}")), "{}", finished.err);
}

#[tokio::test]
async fn the_description_of_the_api_is_printed() {
    let database = TestDatabase::sqlite().or_fail();
    let builder = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast"));
    let printed = builder.run(&["openapi"]).await.or_fail();
    assert_eq!((printed.code(), printed.err.as_str()), (Some(0), ""));
    let server = builder.database(database.url()).setting("LISTEN_ADDR", "127.0.0.1:0").start().await.or_fail();
    assert_eq!(json_of(&printed.out), server.client().get("/openapi.json").await.or_fail().json());
}
