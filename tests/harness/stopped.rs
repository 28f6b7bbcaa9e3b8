//! A harness that is stopped for a while, as by a debugger, a full machine or whoever presses Ctrl-Z, accuses nobody of
//! what it slept through.
//!
//! What does not belong here: clocks that stop with the machine, which no test can make; the checker's tests tell of them.

use std::time::Duration;

use holdfast_test_support::rig::process::Process;
use holdfast_test_support::{OrFail, Setup, for_both};

use crate::harness::{Harness, RUN_LIMIT, SERVER};

for_both!(a_harness_that_stood_still_accuses_nobody);

/// Longer than a hold lives.
const STOPPED: Duration = Duration::from_secs(4);

async fn a_harness_that_stood_still_accuses_nobody(setup: Setup) {
    let database = setup.database().await;
    let private = ["--server-bin", SERVER, "--database-url", database.url()];
    let arguments = [&private[..], &["--quick", "--scenario", "expiry,rush,duplicates"]].concat();
    let harness = Harness::run(&arguments);
    let process = Process::spawn(harness.plan()).await.or_fail();
    let began = process.log().wait_for(|line| line.text.contains("expiry begins").then_some(())).await;
    assert!(began.is_some(), "it did not begin: {}", process.log().text());
    process.freeze().or_fail();
    // How long it stands still is what is tried; nothing else can be waited for meanwhile.
    tokio::time::sleep(STOPPED).await;
    process.thaw().or_fail();
    let status = process.wait_at_most(RUN_LIMIT).await.or_fail();
    let log = process.log().text();
    // What it slept through may be missing as evidence, but nothing is broken, and the server was there all the time.
    assert!([Some(0), Some(3)].contains(&status.code()), "{status}: {log}");
    let report = harness.report().expect("a report");
    for checked in report["checks"].as_array().expect("checks") {
        assert_ne!(checked["standing"], "broken", "{checked}");
    }
    assert_eq!(report["verdict"]["troubles"], serde_json::json!([]), "{log}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("the harness stood still for"), "{notes}");
    assert!(!notes.contains("slept"), "the clocks went on: {notes}");
}
