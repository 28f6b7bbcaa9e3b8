//! A collector that is slow, refuses, or is not there costs spans, not the sale.

use holdfast_test_support::{OrFail, Sale, Setup, eventually, for_both};

use crate::collector::{Collector, Manner};
use crate::scraped::Scraped;

for_both!(a_collector_that_hangs, a_collector_that_refuses, a_collector_that_is_not_there, a_full_queue_drops_spans);

/// Sells until spans have `fate`, says once what is wrong, and ends when it is told to.
async fn sells_on(sale: &Sale, fate: &str) {
    let product = sale.product(1_000_000).await;
    let series = format!("holdfast_trace_spans_total{{result=\"{fate}\"}}");
    // Several batches meet the same trouble.
    eventually("spans are lost", async || {
        sale.hold(product, 1).await;
        match Scraped::of(&sale.client).await.get(&series) {
            Some(lost) if lost >= 600.0 => Ok(()),
            lost => Err(format!("{lost:?}")),
        }
    })
    .await;
    assert_eq!(Scraped::of(&sale.client).await.get(r#"holdfast_trace_spans_total{result="exported"}"#), Some(0.0));
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    assert!(sale.server.log().count("the collector does not take traces") <= 1, "{}", sale.server.log().text());
}

async fn a_collector_that_hangs(setup: Setup) {
    let collector = Collector::start(Manner::Hangs).await;
    let sale = collector.traced(setup, "always_on", "").setting("OTEL_EXPORTER_OTLP_TIMEOUT", "100").start().await;
    sells_on(&sale, "failed").await;
    assert_eq!(sale.server.log().count("the collector does not take traces"), 1);
}

async fn a_collector_that_refuses(setup: Setup) {
    let collector = Collector::start(Manner::Refuses).await;
    let sale = collector.traced(setup, "always_on", "").start().await;
    sells_on(&sale, "failed").await;
    assert_eq!(sale.server.log().count("the collector does not take traces"), 1);
}

async fn a_collector_that_is_not_there(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let setup = collector.traced(setup, "always_on", "");
    drop(collector);
    let sale = setup.setting("OTEL_EXPORTER_OTLP_TIMEOUT", "100").start().await;
    sells_on(&sale, "failed").await;
}

async fn a_full_queue_drops_spans(setup: Setup) {
    // It hangs for longer than any test: the queue fills up, and the server ends in time all the same.
    let collector = Collector::start(Manner::Hangs).await;
    let setup = collector.traced(setup, "always_on", "").setting("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
    let sale = setup.setting("OTEL_BSP_MAX_QUEUE_SIZE", "64").start().await;
    sells_on(&sale, "dropped").await;
    assert!(sale.server.log().contains("the last spans did not get to the collector"));
}
