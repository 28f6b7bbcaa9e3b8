//! A broken invariant is seen wherever anybody may look, within one interval of the reconciler.

use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{OrFail, Sale, Setup, eventually, for_both, hold};
use serde_json::Value;

use crate::collector::{Collector, Manner};
use crate::scraped::Scraped;

for_both!(a_planted_inconsistency_is_seen_everywhere);

async fn rounds(sale: &Sale) -> f64 {
    Scraped::of(&sale.client).await.sum("holdfast_reconciler_rounds_total")
}

async fn a_planted_inconsistency_is_seen_everywhere(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let setup = collector.traced(setup, "always_off", "").setting("RECONCILE_SECONDS", "1");
    let sale = setup.start().await;
    let (good, bad) = (sale.product(5).await, sale.product(5).await);
    let mut session = sale.database.session().await.or_fail();
    let plant = format!("UPDATE products SET stock_reserved = 3, updated_at = updated_at + 1 WHERE id = {bad}");
    session.execute(&plant).await.or_fail();

    // The round that was under way may have begun before; the one after it did not.
    let before = rounds(&sale).await;
    eventually("one whole round", async || match rounds(&sale).await {
        now if now >= before + 2.0 => Ok(()),
        now => Err(now),
    })
    .await;

    // In the metrics, without waiting any longer.
    let metrics = Scraped::of(&sale.client).await;
    for (series, value) in [
        (r#"holdfast_inconsistencies_total{invariant="I2"}"#, 1.0),
        // The ledger has other figures, too.
        (r#"holdfast_inconsistencies_total{invariant="I6"}"#, 1.0),
        (r#"holdfast_inconsistencies_total{invariant="I1"}"#, 0.0),
        ("holdfast_quarantines_total", 1.0),
        (r#"holdfast_suspended_products{reason="inconsistent"}"#, 1.0),
        (r#"holdfast_suspended_products{reason="operator"}"#, 0.0),
    ] {
        assert_eq!(metrics.get(series), Some(value), "{series}");
    }
    // Suspended, and nothing else is.
    assert_eq!(sale.send(&hold(bad, 1)).await.code(), "product_suspended");
    assert_eq!(sale.send(&hold(good, 1)).await.status, 201);
    // In the log, as an error, by the name of its trace.
    let text = sale.server.log().stream(Stream::Err);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).or_fail()).collect();
    let told: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR" && line["product_id"] == bad).collect();
    let [told, of_ledger] = told[..] else { panic!("it is not told of once: {text}") };
    assert_eq!((&told["invariant"], &of_ledger["invariant"]), (&"I2".into(), &"I6".into()), "{text}");
    assert_eq!(told["trace_id"], of_ledger["trace_id"], "{text}");
    // In a trace, though nothing is sampled.
    let seen = collector
        .wait_for("the inconsistency", |seen| {
            seen.number("holdfast.product.id").is_some_and(|id| id.unsigned_abs() == bad)
        })
        .await;
    assert_eq!(seen.trace_id(), told["trace_id"].as_str().unwrap_or_default());
    assert!(seen.span.status.as_ref().is_some_and(|status| status.code == 2), "{seen:?}");
    assert!(seen.event("a product breaks an invariant and is suspended").is_some(), "{seen:?}");
    assert!(
        collector
            .spans()
            .iter()
            .all(|seen| seen.number("holdfast.product.id").is_none_or(|id| id.unsigned_abs() != good))
    );
}
