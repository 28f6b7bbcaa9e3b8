//! The server as a process: what it waits for, what ends it, what it logs.
//!
//! What does not belong here: health checks and the drain (`life`), and being killed (`crash`).

use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{
    ADMIN_TOKEN, OrFail, Request, Sale, ServerProcess, Setup, eventually, for_both, hold, order, payment,
};
use serde_json::{Value, json};

for_both!(
    a_second_signal_ends_it_at_once,
    a_log_line_is_one_json_object,
    a_payment_event_is_one_log_line,
    a_key_cannot_forge_a_log_line,
);

async fn a_second_signal_ends_it_at_once(setup: Setup) {
    // Longer than any test: only the second signal can end it.
    let sale = setup.setting("DRAIN_DELAY_SECONDS", "600").setting("RUST_LOG", "info,holdfast=debug").start().await;
    // Who stops a group of processes may signal each of them twice: that is one wish.
    for _ in 0..2 {
        sale.server.begin_to_terminate().or_fail();
    }
    eventually("it drains", async || match sale.send(&Request::get("/readyz")).await {
        answer if answer.status == 503 => Ok(()),
        answer => Err(answer.text()),
    })
    .await;
    assert!(!sale.server.log().contains("stopping at once"));
    // Whoever insists is obeyed.
    eventually("it ends", async || {
        if sale.server.ended().is_none() {
            let _ = sale.server.begin_to_terminate();
            return Err("it drains");
        }
        Ok(())
    })
    .await;
    assert_eq!(sale.server.wait().await.or_fail().code(), Some(128 + 15));
    assert!(sale.server.log().contains("stopping at once"));
}

async fn a_log_line_is_one_json_object(setup: Setup) {
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let sale = setup.setting("WEBHOOK_SECRET", SECRET).start().await;
    let product = sale.product(5).await;
    let hold_id = sale.hold(product, 2).await;
    assert_eq!(sale.send(&order(hold_id).header("x-request-id", "the-one-to-find")).await.status, 201);
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
    for secret in [SECRET, ADMIN_TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The lines about payment events, once the server has ended.
async fn event_lines(sale: &Sale) -> Vec<Value> {
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let text = sale.server.log().stream(Stream::Err);
    let lines = text.lines().map(|line| serde_json::from_str(line).or_fail());
    lines.filter(|line: &Value| line["message"].as_str().is_some_and(|it| it.starts_with("payment event"))).collect()
}

async fn a_payment_event_is_one_log_line(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let order_id = sale.order(sale.hold(product, 1).await).await;
    let unknown = order_id + 1000;
    for (name, request, status) in [
        ("wrong", payment("evt_0", 0, "paid"), 422),
        ("unknown", payment("evt_1", unknown, "success"), 422),
        ("nameless", Request::post("/api/payments/webhook", &json!({"order_id": order_id, "status": "failure"})), 400),
        ("failed", payment("evt_2", order_id, "failure"), 200),
        ("again", payment("evt_2", order_id, "failure"), 200),
        ("other", payment("evt_2", order_id, "success"), 409),
        ("late", payment("evt_3", order_id, "success"), 200),
    ] {
        assert_eq!(sale.send(&request.header("x-request-id", name)).await.status, status, "{name}");
    }
    let lines = event_lines(&sale).await;
    let seen: Vec<Value> = lines
        .iter()
        .map(|line| {
            let names = ["request_id", "payment_key", "order_id", "payment_status", "outcome", "repeated", "code"];
            Value::from(names.map(|name| line[name].clone()).to_vec())
        })
        .collect();
    let expected = [
        json!(["wrong", "evt_0", null, null, "refused", null, "validation_failed"]),
        json!(["unknown", "evt_1", unknown, "success", "refused", null, "validation_failed"]),
        json!(["nameless", null, order_id, "failure", "refused", null, "missing_idempotency_key"]),
        json!(["failed", "evt_2", order_id, "failure", "cancelled", false, null]),
        json!(["again", "evt_2", order_id, "failure", "cancelled", true, null]),
        json!(["other", "evt_2", order_id, "success", "refused", null, "payment_key_conflict"]),
        json!(["late", "evt_3", order_id, "success", "refund_required", false, null]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(lines[1]["reason"], "order_id is unknown");
    let wrong = lines[0]["reason"].as_str().unwrap_or_default();
    assert!(wrong.starts_with("order_id must be an integer") && wrong.contains("; status must be"), "{wrong}");
    assert_eq!(lines[6]["level"], "ERROR");
}

async fn a_key_cannot_forge_a_log_line(setup: Setup) {
    let sale = setup.setting("LOG_FORMAT", "text").setting("RUST_LOG", "debug").start().await;
    let product = sale.product(10).await;
    let order_id = sale.order(sale.hold(product, 1).await).await;
    for key in ["evt\n2025 ERROR forged", "evt\u{1b}[31mred", "evt\u{0}"] {
        assert_eq!(sale.send(&payment(key, order_id, "success")).await.status, 422, "{key:?}");
    }
    // Seen, not obeyed: this one is a key.
    assert_eq!(sale.send(&payment("evt_\u{202e}\"quoted\"", order_id, "success")).await.status, 200);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let text = sale.server.log().stream(Stream::Err);
    assert!(text.contains("payment event taken"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{0}', '\u{202e}']) && !text.contains("\n2025 ERROR forged"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_later_is_waited_for() {
    let mut database = MariaDb::start().await.or_fail();
    let url = database.create_database().await.or_fail();
    database.kill().await;
    let server =
        ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(&url).setting("ADMIN_TOKEN", ADMIN_TOKEN);
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
    // For those who read the log, too.
    let line = finished
        .err
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|it| it["level"] == "ERROR"));
    let reason = line.as_ref().and_then(|line| line["reason"].as_str()).unwrap_or_default();
    assert!(reason.contains("Access denied"), "{}", finished.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_tls_that_is_asked_for_ends_the_start() {
    let database = MariaDb::start().await.or_fail();
    let url = format!("{}?ssl-mode=REQUIRED", database.create_database().await.or_fail());
    let server = ServerProcess::builder(env!("CARGO_BIN_EXE_holdfast")).database(&url);
    let finished = server.run(&["serve"]).await.or_fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.err);
    assert!(finished.err.contains("does not support TLS"), "{}", finished.err);
}
