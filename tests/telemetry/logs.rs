//! What the log says of a request, and never says.

use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{ADMIN_TOKEN, OrFail, Setup, for_both, order, payment};
use serde_json::Value;

use crate::collector::{Collector, Manner};

for_both!(a_line_names_its_request_and_its_trace);

async fn a_line_names_its_request_and_its_trace(setup: Setup) {
    const API_TOKEN: &str = "a-storefront-of-the-tests";
    let collector = Collector::start(Manner::Takes).await;
    // Nothing is sampled, and nobody sends a context.
    let setup = collector.traced(setup, "always_off", "").setting("API_TOKENS", API_TOKEN);
    let sale = setup.setting("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=a-secret-of-the-collector").start().await;
    let product = sale.product(5).await;
    let of_storefront = |request: holdfast_test_support::Request, name: &str| {
        request.header("authorization", &format!("Bearer {API_TOKEN}")).header("x-request-id", name)
    };
    let hold = sale.send(&of_storefront(holdfast_test_support::hold(product, 2), "hold")).await;
    let hold_id = hold.json()["hold_id"].as_u64().expect("placed");
    let placed = sale.send(&of_storefront(order(hold_id), "order")).await;
    let order_id = placed.json()["data"]["id"].as_u64().expect("made");
    assert_eq!(sale.send(&of_storefront(payment("evt_1", order_id, "success"), "event")).await.status, 200);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));

    let text = sale.server.log().stream(Stream::Err);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).or_fail()).collect();
    let line_of = |name: &str| {
        let of_request: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == name).collect();
        let [line] = of_request[..] else { panic!("{name} has not one line: {text}") };
        let trace_id = line["trace_id"].as_str().unwrap_or_default();
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        line
    };
    let (of_order, of_event) = (line_of("order"), line_of("event"));
    assert_eq!((&of_order["level"], &of_order["order_id"]), (&"INFO".into(), &order_id.into()), "{of_order}");
    for (name, value) in [
        ("level", Value::from("INFO")),
        ("payment_key", "evt_1".into()),
        ("order_id", order_id.into()),
        ("payment_status", "success".into()),
        ("outcome", "paid".into()),
        ("repeated", false.into()),
    ] {
        assert_eq!(of_event[name], value, "{name} in {of_event}");
    }
    // The trace of the event was recorded, so there it can be looked up.
    let request = collector.wait_for("the request", |seen| seen.span.name == "POST /api/payments/webhook").await;
    assert_eq!(of_event["trace_id"], request.trace_id());
    // A single hold is not worth a line.
    assert!(lines.iter().all(|line| line["request_id"] != "hold"), "{text}");
    let spans = format!("{:?}", collector.spans());
    for secret in [API_TOKEN, ADMIN_TOKEN, "a-secret-of-the-collector"] {
        assert!(!text.contains(secret), "{text}");
        assert!(!spans.contains(secret), "{spans}");
    }
}
