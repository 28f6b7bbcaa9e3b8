//! What a lock that somebody else keeps looks like, while it is waited for and when that was in vain.
//!
//! Not on SQLite, whose one writer at a time waits for the file.

use holdfast_test_support::{Kind, OrFail, Setup, eventually, hold};

use crate::scraped::Scraped;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_not_granted_is_seen_in_the_figures() {
    let setup = Setup::new(Kind::MariaDb, env!("CARGO_BIN_EXE_holdfast")).setting("REQUEST_TIMEOUT_SECONDS", "60");
    let sale = setup.start().await;
    let product = sale.product(5).await;
    sale.hold(product, 1).await;
    let waits = r#"holdfast_commit_phase_seconds_count{phase="lock_wait"}"#;
    let commits = r#"holdfast_commit_phase_seconds_count{phase="commit"}"#;
    let waited = r#"holdfast_commit_phase_seconds_sum{phase="lock_wait"}"#;
    let before = Scraped::of(&sale.client).await;

    let mut stranger = sale.database.session().await.or_fail();
    let lock = format!("START TRANSACTION; SELECT id FROM products WHERE id = {product} FOR UPDATE");
    stranger.execute(&lock).await.or_fail();
    let client = sale.client.clone();
    let holding = tokio::spawn(async move { client.send(&hold(product, 1)).await.or_fail() });
    let after = eventually("a wait for the lock is over, in vain", async || {
        let now = Scraped::of(&sale.client).await;
        if now.get(waits) > before.get(waits) { Ok(now) } else { Err(format!("{:?}", now.get(waits))) }
    })
    .await;
    // Nobody else is there whose wait or commit it could be.
    assert_eq!(after.get(commits), before.get(commits));
    let time = after.get(waited).zip(before.get(waited)).map(|(after, before)| after - before);
    assert!(time.is_some_and(|seconds| seconds >= 0.5), "{time:?} s: the wait for a lock is a second");
    assert!(after.get(r#"holdfast_retries_total{reason="lock_timeout"}"#).is_some_and(|retries| retries >= 1.0));
    let age = after.get(r#"holdfast_queue_age_seconds{queue="holds"}"#);
    assert!(age.is_some_and(|seconds| seconds >= 0.5), "{age:?} s: it waits yet");

    stranger.execute("ROLLBACK").await.or_fail();
    assert_eq!(holding.await.or_fail().status, 201);
}
