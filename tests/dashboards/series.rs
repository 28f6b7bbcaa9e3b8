//! What the server exports against what is looked at: no name is asked for that does not exist, and none
//! is exported that nobody sees.
//!
//! What does not belong here: whether the figures are right.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_test_support::rig::process::{Plan, run};
use holdfast_test_support::{Kind, OrFail, Sale, Setup};

use crate::dashboards::{Dashboard, metric_names};
use crate::files::text;

const UNSHOWN: &str = "dashboards/UNSHOWN.md";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_is_seen_and_each_that_is_asked_for_exists() {
    let exported = families(&metrics(&start().await).await);
    let rules = text("dashboards/prometheus/rules.yml");
    let dashboards = Dashboard::all();
    let mut shown = BTreeSet::new();
    for dashboard in &dashboards {
        shown.extend(metric_names(&dashboard.text).into_iter().map(|name| family(name, &exported)));
    }
    let in_rules: BTreeSet<String> = metric_names(&rules).into_iter().map(|name| family(name, &exported)).collect();
    let missing: Vec<_> = shown.union(&in_rules).filter(|name| !exported.contains_key(*name)).collect();
    assert!(missing.is_empty(), "asked for, but not exported: {missing:?}");
    let unshown = unshown();
    let unseen: Vec<_> =
        exported.keys().filter(|name| !shown.contains(*name) && !unshown.contains_key(*name)).collect();
    assert!(unseen.is_empty(), "neither on a dashboard nor in {UNSHOWN}: {unseen:?}");
    for (name, why) in &unshown {
        assert!(exported.contains_key(name), "{UNSHOWN}: {name} is not exported");
        assert!(!shown.contains(name), "{UNSHOWN}: {name} is on a dashboard");
        assert!(why.len() > 10, "{UNSHOWN}: why is {name} not shown?");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_nothing_wrong_with_the_metrics() {
    let folder = tempfile::tempdir().or_fail();
    let file = folder.path().join("metrics");
    std::fs::write(&file, metrics(&start().await).await).or_fail();
    let mut plan = Plan::new("sh");
    plan.arguments = ["-c", "promtool check metrics < \"$0\""].map(Into::into).to_vec();
    plan.arguments.push(file.into());
    let finished = run(&plan, std::time::Duration::from_mins(1)).await.or_fail();
    assert_eq!((finished.code(), finished.err.as_str()), (Some(0), ""), "{}", finished.out);
}

async fn start() -> Sale {
    Setup::new(Kind::Sqlite, env!("CARGO_BIN_EXE_holdfast")).start().await
}

/// What a server exports after its first sale.
async fn metrics(sale: &Sale) -> String {
    let product = sale.product(1).await;
    sale.hold(product, 1).await;
    sale.client.get("/metrics").await.or_fail().text()
}

/// The type of each family.
fn families(metrics: &str) -> BTreeMap<String, String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The family of a name in a query: that of a histogram goes without its ending.
fn family(name: &str, exported: &BTreeMap<String, String>) -> String {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| {
        let family = name.strip_suffix(ending)?;
        (exported.get(family)? == "histogram").then_some(family)
    });
    histogram.unwrap_or(name).to_owned()
}

/// The names on the list of what is not shown, with their reasons.
fn unshown() -> BTreeMap<String, String> {
    let rows = text(UNSHOWN);
    let names = rows.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    names.map(|(name, why)| (name.to_owned(), why.trim_end_matches(" |").to_owned())).collect()
}
