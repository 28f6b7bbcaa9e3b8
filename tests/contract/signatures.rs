//! Signed payment events, as in the Standard Webhooks specification.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_test_support::{OrFail, Request, Setup, for_both};
use serde_json::json;
use sha2::Sha256;

use crate::contract::Contract;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
const NEXT_SECRET: &str = "whsec_dnV0c3JxcG9ubWxramloZ2ZlZGNiYTk4NzY1NDMyMTA=";
const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

for_both!(only_a_signed_event_counts, the_signed_id_is_a_key, a_bad_secret_refuses_to_start);

fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn seconds_from_now(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now.saturating_add_signed(seconds).to_string()
}

fn event(id: &str, timestamp: &str, signature: &str, body: &str) -> Request {
    Request::new(hyper::Method::POST, "/api/payments/webhook")
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body.to_owned())
}

async fn pending_order(sale: &Contract) -> u64 {
    let product = sale.product(10).await;
    let hold_id = sale.hold(product, 1).await;
    sale.order(hold_id).await
}

async fn only_a_signed_event_counts(setup: Setup) {
    let sale = Contract::start(setup.setting("WEBHOOK_SECRET", &format!("{SECRET} {NEXT_SECRET}"))).await;
    let order_id = pending_order(&sale).await;
    let body = json!({"payment_idempotency_key": "evt_1", "order_id": order_id, "status": "success"}).to_string();
    let (id, now) = ("msg_1", seconds_from_now(0));
    let good = signature(SECRET, id, &now, &body);
    let before = sale.database.snapshot(&[]).await.or_fail();

    let spaced = body.replace(':', ": ");
    let (old, early) = (seconds_from_now(-302), seconds_from_now(302));
    for request in [
        event(id, &now, &signature(OTHER_SECRET, id, &now, &body), &body),
        event(id, &now, &good, &spaced),
        event("msg_2", &now, &good, &body),
        event(id, &seconds_from_now(-10), &good, &body),
        event(id, &old, &signature(SECRET, id, &old, &body), &body),
        event(id, &early, &signature(SECRET, id, &early, &body), &body),
        event(id, "soon", &signature(SECRET, id, "soon", &body), &body),
        event(id, &now, good.trim_start_matches("v1,"), &body),
        event(id, &now, &good.replace("v1,", "v2,"), &body),
        event(id, &now, "", &body),
        event(id, &now, &good, &body).header("webhook-signature", &good),
        Request::new(hyper::Method::POST, "/api/payments/webhook")
            .header("content-type", "application/json")
            .body(body.clone()),
        // The signature comes before everything else that is wrong.
        event(id, &now, &good, "{"),
        Request::new(hyper::Method::POST, "/api/payments/webhook").body("{"),
    ] {
        sale.refused(&request, 401, "unauthorized").await;
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);

    // Signed, but wrong otherwise.
    sale.refused(&event(id, &now, &signature(SECRET, id, &now, "{"), "{"), 400, "invalid_json").await;
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);

    // Several signatures, either secret, both edges of the tolerance but for a moment of travel.
    sale.done(&event(id, &now, &format!("v1,AAAA v2,x {good}"), &body), 200).await;
    sale.done(&event(id, &now, &signature(NEXT_SECRET, id, &now, &body), &body), 200).await;
    for edge in [seconds_from_now(-240), seconds_from_now(240)] {
        sale.done(&event(id, &edge, &signature(SECRET, id, &edge, &body), &body), 200).await;
    }
    assert_eq!(sale.order_shown(order_id).await["status"], "paid");
    assert!(!sale.server.log().text().contains(SECRET.trim_start_matches("whsec_")), "a secret is in the log");
    assert!(!sale.server.log().text().contains(good.trim_start_matches("v1,")), "a signature is in the log");
}

async fn the_signed_id_is_a_key(setup: Setup) {
    let sale = Contract::start(setup.setting("WEBHOOK_SECRET", SECRET)).await;
    let order_id = pending_order(&sale).await;
    let signed = |id: &str, body: &str| {
        let now = seconds_from_now(0);
        event(id, &now, &signature(SECRET, id, &now, body), body)
    };
    let body = json!({"order_id": order_id, "status": "success"}).to_string();
    // The header Idempotency-Key is not signed, so it names nothing.
    sale.done(&signed("msg_1", &body).key("header"), 200).await;
    let body = json!({"idempotency_key": "evt_2", "order_id": order_id, "status": "success"}).to_string();
    sale.done(&signed("msg_2", &body), 200).await;
    let sql = "SELECT payment_key FROM payment_events ORDER BY id";
    let keys: Vec<String> = sale.database.rows(sql).await.or_fail().into_iter().flatten().flatten().collect();
    assert_eq!(keys, ["msg_1", "evt_2"]);
    let body = json!({"order_id": order_id, "status": "failure"}).to_string();
    sale.refused(&signed("msg_1", &body), 409, "payment_key_conflict").await;
    for id in ["m".repeat(256), "tab\tbed".to_owned()] {
        sale.invalid(&signed(&id, &body), "webhook-id").await;
    }
}

async fn a_bad_secret_refuses_to_start(setup: Setup) {
    let database = setup.database().await;
    for secret in ["not-even-similar", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", &format!("{SECRET} plain")] {
        let finished = setup.server(database.url()).setting("WEBHOOK_SECRET", secret).run(&["serve"]).await.or_fail();
        assert_eq!(finished.code(), Some(2), "{secret}: {}", finished.err);
        assert!(finished.err.contains("WEBHOOK_SECRET"), "{}", finished.err);
        let bare = secret.trim_start_matches("whsec_");
        assert!(bare.is_empty() || !finished.err.contains(bare), "{}", finished.err);
    }
}
