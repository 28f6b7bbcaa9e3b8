//! The server as a process: what it waits for, what ends it, what it logs.
//!
//! What does not belong here: health checks and the drain (`life`), and being killed (`crash`).

use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{OrFail, Request, ServerProcess, Setup, eventually, for_both, hold};
use serde_json::Value;

for_both!(a_second_signal_ends_it_at_once, a_log_line_is_one_json_object);

async fn a_second_signal_ends_it_at_once(setup: Setup) {
    // Longer than any test: only the second signal can end it.
    let sale = setup.setting("DRAIN_DELAY_SECONDS", "600").start().await;
    sale.server.begin_to_terminate().or_fail();
    eventually("it drains", async || match sale.send(&Request::get("/readyz")).await {
        answer if answer.status == 503 => Ok(()),
        answer => Err(answer.text()),
    })
    .await;
    sale.server.begin_to_terminate().or_fail();
    assert_eq!(sale.server.wait().await.or_fail().code(), Some(128 + 15));
    assert!(sale.server.log().contains("stopping at once"));
}

async fn a_log_line_is_one_json_object(setup: Setup) {
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let sale = setup.setting("WEBHOOK_SECRET", SECRET).start().await;
    let product = sale.product(5).await;
    let hold_id = sale.hold(product, 2).await;
    let order = holdfast_test_support::order(hold_id).header("x-request-id", "the-one-to-find");
    assert_eq!(sale.send(&order).await.status, 201);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));

    let text = sale.server.log().stream(Stream::Err);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).or_fail()).collect();
    for line in &lines {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].is_string(), "{name} is missing in {line}");
        }
        assert!(
            line.as_object().is_some_and(|line| line.values().all(|value| !value.is_object())),
            "{line} is not flat"
        );
    }
    let of_order = lines.iter().find(|line| line["request_id"] == "the-one-to-find").expect("the order is logged");
    assert_eq!((&of_order["hold_id"], &of_order["product_id"]), (&hold_id.into(), &product.into()), "{of_order}");
    assert!(lines.last().is_some_and(|line| line["message"] == "stopped"), "{text}");
    for secret in [SECRET, holdfast_test_support::ADMIN_TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_later_is_waited_for() {
    let mut database = MariaDb::start().await.or_fail();
    let url = database.create_database().await.or_fail();
    database.kill().await;
    let server = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(&url).setting("ADMIN_TOKEN", "token");
    let server = server.listen().await.or_fail();
    let waits = server.log().wait_for(|line| line.text.contains("the database cannot be used yet").then_some(())).await;
    assert_eq!(waits, Some(()));
    assert_eq!(server.client().get("/healthz").await.or_fail().status, 200);
    assert_eq!(server.client().get("/readyz").await.or_fail().status, 503);
    assert_eq!(server.client().send(&hold(1, 1)).await.or_fail().status, 503);
    database.restart().await.or_fail();
    server.wait_until_ready().await.or_fail();
    assert_eq!(server.client().get("/api/products").await.or_fail().status, 200);
    assert_eq!(server.terminate().await.or_fail().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_account_ends_the_start() {
    let database = MariaDb::start().await.or_fail();
    let url = database.create_database().await.or_fail().replacen("//root@", "//nobody:swordfish@", 1);
    let server = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(&url);
    let finished = server.setting("LISTEN_ADDR", "127.0.0.1:0").run(&["serve"]).await.or_fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    assert!(finished.err.contains("//nobody:***@"), "{}", finished.err);
    assert!(finished.err.contains("Access denied"), "{}", finished.err);
    assert!(!finished.err.contains("swordfish"), "{}", finished.err);
}
