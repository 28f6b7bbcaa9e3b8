//! Two batches of one product under way: the second queues for the product's lock while the first commits.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_batch_queues_for_the_lock_while_a_commit_is_under_way_and_takes_in_who_comes_meanwhile() {
    assert_eq!(commits_of_three(Duration::from_mins(1)).await, 2, "the third goes with the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_took_long_to_load_takes_nobody_in() {
    assert_eq!(commits_of_three(Duration::ZERO).await, 3);
}

/// How many commits three holds take, of which the second comes while the first is committed, and the third while the
/// second waits for the lock.
async fn commits_of_three(fresh_max: Duration) -> u64 {
    let bench = Bench::with_writers_and(terms(), 2, fresh_max).await;
    let product_id = bench.product(10).await;
    bench.hold(product_id, 1).await.unwrap();
    let (loads, commits) = (bench.store.loads(), bench.store.commits());
    bench.store.hold_commits(true);
    let first = bench.ask(product_id, 1);
    eventually("the first commit", || async { (bench.store.commits_waiting() == 1).then_some(()) }).await;
    let second = bench.ask(product_id, 1);
    eventually("the second to queue for the lock", || async { (bench.store.loads() == loads + 2).then_some(()) }).await;
    let third = bench.ask(product_id, 1);
    let depth = bench.metrics.engine.queue_depth.of(QueueLabel::Holds);
    eventually("the third to wait", || async { (depth.get() == 1).then_some(()) }).await;
    bench.store.hold_commits(false);
    for answer in [first, second, third] {
        assert!(answer.await.unwrap().is_ok());
    }
    bench.check(product_id, 6).await;
    bench.store.commits() - commits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_commit_fails_goes_again_beside_the_one_that_follows_it() {
    let bench = Bench::with_writers(terms(), 2).await;
    let product_id = bench.product(12).await;
    for fault in [
        CommitFault::Conflict,
        CommitFault::Locked,
        CommitFault::Disconnect,
        CommitFault::LostBefore,
        CommitFault::LostAfter,
    ] {
        let (loads, waiting) = (bench.store.loads(), bench.store.commits_waiting());
        bench.store.next_commit(fault);
        bench.store.hold_commits(true);
        let first = bench.ask(product_id, 1);
        eventually("the first commit", || async { (bench.store.commits_waiting() == waiting + 1).then_some(()) }).await;
        let second = bench.ask(product_id, 1);
        eventually("the second to queue", || async { (bench.store.loads() == loads + 2).then_some(()) }).await;
        bench.store.hold_commits(false);
        for answer in [first, second] {
            assert!(answer.await.unwrap().is_ok(), "{fault:?}");
        }
    }
    assert_eq!(bench.metrics.engine.retries.of(RetryReason::LockTimeout).get(), 1);
    bench.check(product_id, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_meanwhile_gets_no_units_that_the_batch_may_take() {
    let bench = Bench::with_writers(terms(), 2).await;
    let product_id = bench.product(100).await;
    bench.store.hold_commits(true);
    let first = bench.ask(product_id, 1);
    eventually("the first commit", || async { (bench.store.commits_waiting() == 1).then_some(()) }).await;
    let engine = bench.engine.clone();
    let restock = tokio::spawn(async move { engine.restock(product_id, -50, soon()).await });
    eventually("the restock to queue", || async { (bench.store.loads() == 2).then_some(()) }).await;
    let meanwhile = bench.ask(product_id, 60);
    let depth = bench.metrics.engine.queue_depth.of(QueueLabel::Holds);
    eventually("the hold to wait", || async { (depth.get() == 1).then_some(()) }).await;
    bench.store.hold_commits(false);
    assert!(first.await.unwrap().is_ok());
    assert!(restock.await.unwrap().is_ok());
    let short = Rejection::Refused(Refusal::InsufficientStock { available: 49 });
    assert_eq!(meanwhile.await.unwrap(), Err(short));
    let carried_out = bench.metrics.engine.batch_size.get_sample_sum();
    assert!((carried_out - 2.0).abs() < 0.5, "the hold went with the restock: {carried_out} commands");
    bench.check(product_id, 49).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_queues_in_vain_behind_a_batch_of_ours_waits_for_it_to_end() {
    let bench = Bench::with_writers(terms(), 2).await;
    let product_id = bench.product(10).await;
    bench.store.hold_commits(true);
    let first = bench.ask(product_id, 1);
    eventually("the first commit", || async { (bench.store.commits_waiting() == 1).then_some(()) }).await;
    let second = bench.ask(product_id, 1);
    let timed_out = bench.metrics.engine.retries.of(RetryReason::LockTimeout);
    eventually("the lock is not granted in time", || async { (timed_out.get() == 1).then_some(()) }).await;
    let depth = bench.metrics.engine.queue_depth.of(QueueLabel::Holds);
    eventually("the second to wait again", || async { (depth.get() == 1).then_some(()) }).await;
    bench.store.hold_commits(false);
    for answer in [first, second] {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(bench.store.looks_at_locks(), 0, "nobody else is suspected");
    bench.check(product_id, 8).await;
}
