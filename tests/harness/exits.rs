//! Exit codes, which CI believes, and what is said with them.

use holdfast_test_support::{ADMIN_TOKEN, OrFail, Setup, for_both};

use crate::harness::{Harness, SERVER};

for_both!(a_missed_threshold_is_two, a_history_is_judged_again_alone);

async fn a_missed_threshold_is_two(setup: Setup) {
    let database = setup.database().await;
    let arguments = ["--quick", "--scenario", "boundary", "--server-bin", SERVER, "--database-url", database.url()];
    let conditions = ["--fail-if", "p50(hold) > 0ms", "--fail-if", "p50(hold) > 60m"];
    let run = Harness::run(&[&arguments[..], &conditions[..]].concat()).finish().await;
    run.assert_code(2);
    assert!(run.finished.out.contains("p50(hold) > 0ms"), "{}", run.finished.out);
}

async fn a_history_is_judged_again_alone(setup: Setup) {
    let database = setup.database().await;
    let run = Harness::quick(database.url(), 7).finish().await;
    run.assert_code(0);
    let checked = run.judge_again(&["--fail-if", "errors > 100%"]).await;
    assert_eq!(checked.code(), Some(0), "{}{}", checked.out, checked.err);
}

#[tokio::test]
async fn wrong_usage_is_four() {
    for (arguments, told) in [
        (vec!["--frobnicate"], "--frobnicate"),
        (vec!["--scenario", "bargain"], "bargain"),
        (vec!["--fail-if", "p99(hold) is slow"], "p99(hold) is slow"),
        (vec!["--scenario", "chaos", "--fail-if", "errors > 0.1%"], "chaos breaks things on purpose"),
        (vec!["--report", "pdf=x.pdf"], "pdf"),
        (vec!["--sole-user", "--product", "1", "--host", "http://127.0.0.1:1"], "--stocked"),
        (vec!["--host", "http://127.0.0.1:1", "--server-bin", "x"], "--server-bin"),
        (vec!["--host", "http://127.0.0.1:1"], "ADMIN_TOKEN"),
        (vec!["--server-bin", "/does/not/exist"], "/does/not/exist"),
    ] {
        let run = Harness::run(&arguments).finish().await;
        run.assert_code(4);
        assert!(run.finished.err.contains(told), "{arguments:?}: {}", run.finished.err);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_four() {
    // A port that was ours a moment ago, so nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").or_fail().local_addr().or_fail().port();
    let url = format!("http://127.0.0.1:{port}");
    let harness = Harness::run(&["--host", &url]).report_as("junit").variable("ADMIN_TOKEN", ADMIN_TOKEN);
    let run = harness.finish().await;
    run.assert_code(4);
    assert!(run.finished.err.contains(&url), "{}", run.finished.err);
    // CI sees an error, and not that nothing went wrong.
    assert!(run.report_of("junit").contains("<error"), "{}", run.report_of("junit"));
}
