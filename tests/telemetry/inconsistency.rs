//! A broken invariant is seen wherever anybody may look, within one interval of the reconciler.

use holdfast_test_support::rig::process::Stream;
use holdfast_test_support::{OrFail, Sale, Setup, eventually, for_both, hold};
use serde_json::Value;

use crate::collector::{Collector, Manner, Seen};
use crate::scraped::Scraped;

for_both!(a_planted_inconsistency_is_seen_everywhere, a_product_in_quarantine_is_told_of_once);

async fn rounds(sale: &Sale) -> f64 {
    Scraped::of(&sale.client).await.sum("holdfast_reconciler_rounds_total")
}

/// The round that is under way may have begun before; the one after it does not.
async fn one_whole_round(sale: &Sale) {
    let before = rounds(sale).await;
    eventually("one whole round", async || match rounds(sale).await {
        now if now >= before + 2.0 => Ok(()),
        now => Err(now),
    })
    .await;
}

/// How much is said of a product: lines of the log from `info` up, and looks that are recorded.
fn said_of(sale: &Sale, collector: &Collector, product: u64) -> (usize, usize) {
    let lines = lines(sale).into_iter().filter(|line| line["product_id"] == product).count();
    let of_product = |seen: &Seen| seen.number("holdfast.product.id").is_some_and(|id| id.unsigned_abs() == product);
    (lines, collector.spans().iter().filter(|seen| of_product(seen)).count())
}

fn lines(sale: &Sale) -> Vec<Value> {
    sale.server.log().stream(Stream::Err).lines().map(|line| serde_json::from_str(line).or_fail()).collect()
}

/// Its hold cannot be released: there are no units that it keeps. The timers come back to it for ever.
async fn a_product_in_quarantine_is_told_of_once(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let setup = collector.traced(setup, "always_off", "").setting("RECONCILE_SECONDS", "1");
    let sale = setup.setting("HOLD_TTL_SECONDS", "2").start().await;
    let bad = sale.product(5).await;
    sale.hold(bad, 1).await;
    let mut session = sale.database.session().await.or_fail();
    let plant = format!("UPDATE products SET stock_reserved = 0, updated_at = updated_at + 1 WHERE id = {bad}");
    session.execute(&plant).await.or_fail();
    // From here on the timers meet it, the sweeps find it, and the reconciler has found it.
    let loads = r#"holdfast_commit_phase_seconds_count{phase="load"}"#;
    let before = Scraped::of(&sale.client).await.get(loads).unwrap_or_default();
    eventually("a release is tried", async || match Scraped::of(&sale.client).await.get(loads) {
        Some(now) if now > before => Ok(()),
        now => Err(format!("{now:?}")),
    })
    .await;
    for _ in 0..2 {
        one_whole_round(&sale).await;
    }
    let told = said_of(&sale, &collector, bad);
    assert!(told.0 <= 3, "loud more than once: {}", sale.server.log().text());
    for _ in 0..3 {
        one_whole_round(&sale).await;
    }
    assert_eq!(said_of(&sale, &collector, bad), told, "it is told of again: {}", sale.server.log().text());
    let metrics = Scraped::of(&sale.client).await;
    for (series, value) in [
        (r#"holdfast_inconsistencies_total{invariant="I2"}"#, 1.0),
        (r#"holdfast_inconsistencies_total{invariant="I6"}"#, 1.0),
        ("holdfast_quarantines_total", 1.0),
        // It waits for a person, who was told; nothing else is late.
        ("holdfast_expiry_lag_seconds", 0.0),
    ] {
        assert_eq!(metrics.get(series), Some(value), "{series}");
    }
}

async fn a_planted_inconsistency_is_seen_everywhere(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let setup = collector.traced(setup, "always_off", "").setting("RECONCILE_SECONDS", "1");
    let sale = setup.start().await;
    let (good, bad) = (sale.product(5).await, sale.product(5).await);
    // Products that were sold are shown.
    sale.hold(bad, 1).await;
    let mut session = sale.database.session().await.or_fail();
    let on_sale = format!("holdfast_product_on_sale{{product_id=\"{bad}\"}}");
    assert_eq!(Scraped::of(&sale.client).await.get(&on_sale), Some(1.0));
    let plant = format!("UPDATE products SET stock_reserved = 3, updated_at = updated_at + 1 WHERE id = {bad}");
    session.execute(&plant).await.or_fail();

    one_whole_round(&sale).await;

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
        (on_sale.as_str(), 0.0),
    ] {
        assert_eq!(metrics.get(series), Some(value), "{series}");
    }
    // Suspended, and nothing else is.
    assert_eq!(sale.send(&hold(bad, 1)).await.code(), "product_suspended");
    assert_eq!(sale.send(&hold(good, 1)).await.status, 201);
    // In the log, as an error, by the name of its trace.
    let (text, lines) = (sale.server.log().stream(Stream::Err), lines(&sale));
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
