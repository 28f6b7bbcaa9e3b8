//! Each scenario by itself: it has products of its own, its own evidence, and a verdict.

use holdfast_test_support::rig::process::{self, Plan};
use holdfast_test_support::{OrFail, Setup, for_both};

use crate::harness::{Harness, RUN_LIMIT, SERVER};

for_both!(boundary, rush, duplicates, expiry, retries, many, soldout, chaos);

async fn boundary(setup: Setup) {
    alone(setup, "boundary", &["no_false_sold_out"]).await;
}

async fn rush(setup: Setup) {
    alone(setup, "rush", &["one_order_per_hold", "final_states"]).await;
}

async fn duplicates(setup: Setup) {
    alone(setup, "duplicates", &["payment_keys", "final_states"]).await;
}

async fn expiry(setup: Setup) {
    alone(setup, "expiry", &["deadlines"]).await;
}

async fn retries(setup: Setup) {
    alone(setup, "retries", &["replays"]).await;
}

async fn many(setup: Setup) {
    alone(setup, "many", &["fresh_reads"]).await;
}

async fn soldout(setup: Setup) {
    alone(setup, "soldout", &["no_false_sold_out"]).await;
}

async fn chaos(setup: Setup) {
    let run = alone(setup, "chaos", &["nothing_lost", "replays"]).await;
    // What was broken on purpose is told, apart from all figures that a threshold looks at.
    let report = run.report();
    assert_eq!((&report["total"]["requests"], &report["endpoints"]), (&0.into(), &serde_json::json!([])));
    assert!(report["chaos"]["requests"].as_u64() > Some(0), "{}", report["chaos"]);
    assert!(run.finished.out.contains("requests in chaos"), "{}", run.finished.out);
    // So a threshold has nothing to be held against, which is not the same as being met.
    let checked = run.judge_again(&["--fail-if", "errors > 100%"]).await;
    assert_eq!(checked.code(), Some(3), "{}{}", checked.out, checked.err);
    assert!(checked.out.contains("no request was seen outside chaos"), "{}", checked.out);
}

/// Runs one scenario, small: all checks hold that apply, among them what every run shows and what this one is for.
async fn alone(setup: Setup, name: &str, there_for: &[&str]) -> crate::harness::Run {
    let database = setup.database().await;
    let arguments = ["--quick", "--scenario", name, "--server-bin", SERVER, "--database-url", database.url()];
    let run = Harness::run(&arguments).finish().await;
    run.assert_code(0);
    let ran = run.report()["scenarios"].as_array().expect("scenarios");
    let ended: Vec<_> = ran.iter().map(|ran| (ran["scenario"].as_str(), ran["finished"].as_bool())).collect();
    assert_eq!(ended, [(Some(name), Some(true))]);
    for check in ["no_oversell", "units_conserved", "counters", "audit"].iter().chain(there_for) {
        assert_eq!(run.standing(check), "held", "{name}: {check}");
    }
    run
}

/// As a person at a terminal starts it: without a server, which is beside the harness, and without a database.
#[tokio::test]
async fn it_finds_a_server_and_a_database_by_itself() {
    let mut harness = Harness::run(&["--quick", "--scenario", "rush", "--ramp", "1s"]).goose_reports();
    let kinds = [("html", "<!doctype html>"), ("junit", "<testsuites"), ("markdown", "Held")];
    for (kind, _) in kinds {
        harness = harness.report_as(kind);
    }
    let run = harness.finish().await;
    run.assert_code(0);
    for (kind, there) in kinds {
        let report = run.report_of(kind);
        assert!(report.to_lowercase().contains(&there.to_lowercase()), "{kind}: {report:.200}");
    }
    let sizes = run.goose_reports();
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size > 0), "{sizes:?}");
}

/// Its own database is killed, too.
#[tokio::test]
async fn it_kills_a_database_of_its_own() {
    let run = Harness::run(&["--quick", "--mariadb", "--scenario", "chaos", "--server-bin", SERVER]).finish().await;
    run.assert_code(0);
    assert!(run.everything().contains("database killed"), "{}", run.finished.err);
    assert_eq!(run.standing("nothing_lost"), "held");
}

/// `cargo run -p holdfast-loadtest`, as the README has it: the package has other binaries, too.
#[tokio::test]
async fn cargo_runs_the_harness() {
    let mut plan = Plan::new(env!("CARGO"));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path", manifest];
    plan.arguments = arguments.map(Into::into).into();
    let told = process::run(&plan, RUN_LIMIT).await.or_fail();
    let metadata: serde_json::Value = serde_json::from_str(&told.out).or_fail();
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "holdfast-loadtest").expect("the harness");
    assert_eq!(package["default_run"], "holdfast-loadtest");
}
