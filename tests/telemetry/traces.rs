//! What a collector gets: requests in their callers' traces, transactions, payment events; what is always
//! recorded, and what the sampler decides.

use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{OrFail, Request, Setup, eventually, for_both, for_mariadb, hold, order, payment};

use crate::collector::{Collector, Manner, hex, text};
use crate::scraped::Scraped;

for_both!(
    a_payment_event_is_traced_with_sampling_at_nothing,
    a_caller_that_is_recorded_is_followed,
    what_is_recorded_is_sent_before_the_end,
    without_a_collector_nothing_is_sent,
);

/// What only one database does: SQLite has no lock of one product.
mod on_mariadb {
    use super::*;

    for_mariadb!(a_retry_is_an_event_of_its_transaction);
}

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// A request in the trace of a caller.
fn traced(request: Request, trace_id: &str, flags: &str) -> Request {
    request.header("traceparent", &format!("00-{trace_id}-b7ad6b7169203331-{flags}"))
}

const ONE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1bf7651916cd43dd8448eb211c80319d";

async fn a_payment_event_is_traced_with_sampling_at_nothing(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let sale = collector.traced(setup, "traceidratio", "0").start().await;
    let product = sale.product(5).await;
    let order_id = sale.order(sale.hold(product, 2).await).await;
    let event = traced(payment("evt_1", order_id, "success"), ONE, "00").header("x-request-id", "the-one-to-find");
    assert_eq!(sale.send(&event).await.status, 200);

    let request = collector.wait_for("the request", |seen| seen.span.name == "POST /api/payments/webhook").await;
    assert_eq!((request.trace_id().as_str(), request.span.kind), (ONE, SERVER));
    assert_eq!(hex(&request.span.parent_span_id), "b7ad6b7169203331");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/payments/webhook"),
        ("url.path", "/api/payments/webhook"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("holdfast.request.id", "the-one-to-find"),
    ] {
        assert_eq!(request.text(name).as_deref(), Some(value), "{name} in {request:?}");
    }
    assert_eq!(request.number("http.response.status_code"), Some(200));
    assert_eq!(text(&request.resource, "service.name").as_deref(), Some("holdfast"));
    let taken = request.event("payment event taken").expect("the event is in the span");
    assert_eq!(text(&taken.attributes, "payment_key").as_deref(), Some("evt_1"));
    assert_eq!(text(&taken.attributes, "outcome").as_deref(), Some("paid"));

    let transaction = collector
        .wait_for("its transaction", |seen| seen.span.name == "transaction" && seen.is_linked_to(&request))
        .await;
    assert_eq!(transaction.span.kind, CLIENT);
    assert_eq!(transaction.number("holdfast.batch.commands"), Some(1));
    assert!(transaction.number("holdfast.batch.id").is_some_and(|id| id > 0), "{transaction:?}");
    assert!(request.is_linked_to(&transaction), "{request:?}");
    for phase in ["lock_wait", "load", "decide", "write", "commit"] {
        let phase = collector.wait_for(phase, |seen| seen.span.name == phase && seen.is_child_of(&transaction)).await;
        assert!(phase.span.start_time_unix_nano <= phase.span.end_time_unix_nano, "{phase:?}");
        assert!(transaction.span.start_time_unix_nano <= phase.span.start_time_unix_nano, "{phase:?}");
    }

    // Of all else there is nothing.
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let spans = collector.spans();
    assert!(spans.iter().all(|seen| !seen.span.name.starts_with("POST /api/holds")), "{spans:?}");
    assert_eq!(spans.iter().filter(|seen| seen.span.name == "transaction").count(), 1);
}

async fn a_caller_that_is_recorded_is_followed(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let sale = collector.traced(setup, "parentbased_traceidratio", "0").start().await;
    let product = sale.product(5).await;
    assert_eq!(sale.send(&traced(hold(product, 1), ONE, "00")).await.status, 201);
    assert_eq!(sale.send(&traced(hold(product, 9), OTHER, "01")).await.status, 409);
    assert_eq!(sale.send(&traced(hold(product, 2), OTHER, "01").header("tracestate", "a=b")).await.status, 201);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let requests: Vec<_> = collector.spans().into_iter().filter(|seen| seen.span.kind == SERVER).collect();
    let statuses: Vec<_> = requests.iter().map(|it| (it.trace_id(), it.number("http.response.status_code"))).collect();
    assert_eq!(statuses, [(OTHER.to_owned(), Some(409)), (OTHER.to_owned(), Some(201))]);
    // A refusal is nobody's failure.
    assert!(requests.iter().all(|it| it.span.status.as_ref().is_none_or(|status| status.code != ERROR)));
    assert_eq!(requests[1].span.trace_state, "a=b");
}

async fn what_is_recorded_is_sent_before_the_end(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let setup = collector.traced(setup, "always_on", "").setting("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let sale = setup.setting("OTEL_SERVICE_NAME", "lamps").start().await;
    sale.hold(sale.product(5).await, 1).await;
    assert!(collector.spans().is_empty());
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let spans = collector.spans();
    let request = spans.iter().find(|seen| seen.span.name == "POST /api/holds").expect("the request is sent");
    assert_eq!(text(&request.resource, "service.name").as_deref(), Some("lamps"));
    assert!(spans.iter().any(|seen| seen.span.name == "transaction" && seen.is_linked_to(request)), "{spans:?}");
}

async fn without_a_collector_nothing_is_sent(setup: Setup) {
    let sale = setup.setting("OTEL_TRACES_SAMPLER", "always_on").start().await;
    let hold_id = sale.hold(sale.product(5).await, 1).await;
    // The caller's trace is in the log all the same.
    assert_eq!(sale.send(&traced(order(hold_id), ONE, "01")).await.status, 201);
    assert_eq!(sale.send(&order(hold_id)).await.status, 409);
    let metrics = Scraped::of(&sale.client).await;
    assert!(metrics.sum("holdfast_trace_spans_total").abs() < f64::EPSILON);
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let text = sale.server.log().stream(Stream::Err);
    assert_eq!(text.lines().filter(|line| line.contains(&format!("\"trace_id\":\"{ONE}\""))).count(), 1, "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("trace_id")).count(), 1, "{text}");
}

async fn a_retry_is_an_event_of_its_transaction(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let sale = collector.traced(setup, "always_on", "").start().await;
    let product = sale.product(5).await;
    let mut session = sale.database.session().await.or_fail();
    session.execute("START TRANSACTION").await.or_fail();
    session.rows(&format!("SELECT id FROM products WHERE id = {product} FOR UPDATE")).await.or_fail();
    let client = sale.client.clone();
    let holding = tokio::spawn(async move { client.send(&traced(hold(product, 1), ONE, "01")).await });
    eventually("it is tried again", async || {
        let retries = Scraped::of(&sale.client).await.sum("holdfast_retries_total");
        if retries > 0.0 { Ok(()) } else { Err("no retry") }
    })
    .await;
    session.execute("ROLLBACK").await.or_fail();
    let answer = holding.await.or_fail().or_fail();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let transaction = collector
        .wait_for("the transaction that waited", |seen| {
            seen.span.name == "transaction" && seen.event("retry").is_some()
        })
        .await;
    let retry = transaction.event("retry").expect("it was looked for");
    assert_eq!(text(&retry.attributes, "holdfast.retry.reason").as_deref(), Some("lock_timeout"));
    let request = collector.wait_for("the request", |seen| seen.trace_id() == ONE && seen.span.kind == SERVER).await;
    assert!(transaction.is_linked_to(&request), "{transaction:?}");
    // The one that waited, and the one that did it.
    assert!(request.span.links.len() >= 2, "{request:?}");
}
