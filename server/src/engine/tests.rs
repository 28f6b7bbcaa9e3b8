//! The engine on a real database whose answers are disturbed on purpose: lost connections, commits
//! that are not answered, commands that break their batch.

mod disturbed;
mod followed;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sale::{
    Hold, HoldStatus, Key, Money, OrderStatus, PaymentEffect, PaymentStatus, ProductId, Quantity, Refusal,
    ReleaseReason, Terms,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::disturbed::{CommitFault, Disturbed, POISONED_UNITS};
use super::{Engine, NewProduct, Placed, Rejection, Settings};
use crate::store::{OpenOptions, Store};
use crate::telemetry::labels::{Ending, Label, Queue as QueueLabel, Resolution, RetryReason, TurnedAway};
use crate::telemetry::{Metrics, Traces};

/// An engine on a fresh SQLite file.
struct Bench {
    engine: Engine,
    store: Arc<Disturbed>,
    metrics: Metrics,
    _directory: TempDir,
}

fn terms() -> Terms {
    Terms { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 1000 }
}

impl Bench {
    async fn new() -> Self {
        Self::with(terms()).await
    }

    async fn with(terms: Terms) -> Self {
        Self::with_writers(terms, 1).await
    }

    async fn with_writers(terms: Terms, writers: usize) -> Self {
        Self::with_writers_and(terms, writers, Duration::from_mins(1)).await
    }

    async fn with_writers_and(terms: Terms, writers: usize, fresh_max: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("sale.db").display());
        let store = crate::store::open(&url, &OpenOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        let store = Arc::new(Disturbed::new(store, writers));
        let metrics = Metrics::new();
        let settings = Settings {
            terms,
            batch_max: 1000,
            product_cache: Duration::from_mins(5),
            tends_deadlines: true,
            fresh_max,
            traces: Traces::default(),
        };
        let engine = Engine::start(Arc::clone(&store) as Arc<dyn Store>, settings, metrics.engine.clone());
        Self { engine, store, metrics, _directory: directory }
    }

    async fn product(&self, stock: u64) -> ProductId {
        let product = NewProduct { name: "lamp".to_owned(), description: String::new(), price: Money(9_999), stock };
        self.engine.add_product(product, soon()).await.unwrap().id
    }

    /// `count` requests for a hold, all at once; request i asks for `units(i)`.
    async fn burst(
        &self,
        product_id: ProductId,
        count: u32,
        units: impl Fn(u32) -> u32,
    ) -> Vec<Result<Placed<Hold>, Rejection>> {
        let requests = (0..count).map(|i| {
            let (engine, quantity) = (self.engine.clone(), quantity(units(i)));
            async move { engine.place_hold(product_id, quantity, None, soon()).await }
        });
        together(requests).await
    }

    async fn hold(&self, product_id: ProductId, units: u32) -> Result<Placed<Hold>, Rejection> {
        self.engine.place_hold(product_id, quantity(units), None, soon()).await
    }

    /// Asks for a hold, and does not wait for the answer.
    fn ask(&self, product_id: ProductId, units: u32) -> JoinHandle<Result<Placed<Hold>, Rejection>> {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.place_hold(product_id, quantity(units), None, soon()).await })
    }

    /// Every invariant holds, and the product has as many free units as it should.
    async fn check(&self, product_id: ProductId, free: u64) {
        let product = self.engine.product(product_id, soon()).await.unwrap().unwrap();
        assert_eq!(product.stock.free(), free);
        assert_eq!(self.store.audit(None).await.unwrap().breaches, []);
    }
}

/// A deadline that no test should reach.
fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

async fn together<T: Send + 'static>(
    requests: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = requests.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Asks until the answer is there: the tests wait for conditions, not for times.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let until = soon();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_sells_what_is_there_in_few_transactions() {
    let bench = Bench::new().await;
    let product_id = bench.product(10).await;
    let answers = bench.burst(product_id, 200, |_| 1).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(refused, Rejection::Refused(Refusal::InsufficientStock { available: 0 }));
    }
    let batches = bench.store.commits();
    assert!(batches < 10, "10 holds took {batches} commits: they did not share them");
    bench.check(product_id, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_command_is_answered_alone_and_its_neighbours_do_not_notice() {
    let bench = Bench::new().await;
    let product_id = bench.product(100_000).await;
    let answers = bench.burst(product_id, 501, |i| if i == 250 { POISONED_UNITS } else { 1 }).await;
    for (i, answer) in answers.iter().enumerate() {
        if i == 250 {
            assert_eq!(answer, &Err(Rejection::Internal));
        } else {
            assert!(answer.is_ok(), "neighbour {i}: {answer:?}");
        }
    }
    assert!(bench.metrics.engine.halvings.get() > 0);
    bench.check(product_id, 100_000 - 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_store_is_answered_alone_and_the_product_sells_on() {
    let bench = Bench::new().await;
    let (sick, well) = (bench.product(10).await, bench.product(10).await);
    bench.store.panic_on(sick);
    let (sick_answer, well_answer) = tokio::join!(bench.hold(sick, 1), bench.hold(well, 1));
    assert_eq!(sick_answer, Err(Rejection::Internal));
    assert!(well_answer.is_ok(), "{well_answer:?}");
    bench.store.panic_on(ProductId(0));
    assert!(bench.hold(sick, 1).await.is_ok(), "its lane is free again");
    bench.check(well, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_resolved_without_a_duplicate_or_a_loss() {
    for fault in [CommitFault::LostBefore, CommitFault::LostAfter] {
        let bench = Bench::new().await;
        let product_id = bench.product(10).await;
        bench.store.next_commit(fault);
        let placed = bench.hold(product_id, 3).await.unwrap();
        let stored = bench.engine.hold(placed.row.id, soon()).await.unwrap().unwrap();
        assert_eq!(stored, placed.row, "{fault:?}");
        let resolution = match fault {
            CommitFault::LostBefore => Resolution::NotCommitted,
            CommitFault::LostAfter | CommitFault::Conflict | CommitFault::Locked | CommitFault::Disconnect => {
                Resolution::Committed
            }
        };
        assert_eq!(bench.metrics.engine.unknown_outcomes.of(resolution).get(), 1, "{fault:?}");
        bench.check(product_id, 7).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_deadline_the_outcome_is_unknown_and_the_key_tells_it_later() {
    for fault in [CommitFault::LostBefore, CommitFault::LostAfter] {
        let bench = Bench::new().await;
        let product_id = bench.product(10).await;
        bench.store.next_commit(fault);
        bench.store.block_resolution(true);
        let deadline = Instant::now() + Duration::from_secs(1);
        let first = bench.engine.place_hold(product_id, quantity(3), Some(key("k")), deadline).await;
        assert_eq!(first, Err(Rejection::OutcomeUnknown), "{fault:?}");
        assert_eq!(bench.metrics.engine.turned_away.of(TurnedAway::OutcomeUnknown).get(), 1);
        bench.store.block_resolution(false);
        let again = bench.engine.place_hold(product_id, quantity(3), Some(key("k")), soon()).await.unwrap();
        assert_eq!(again.replayed, fault == CommitFault::LostAfter, "{fault:?}");
        bench.check(product_id, 7).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_whose_commit_is_in_doubt_takes_no_other_batch() {
    let bench = Bench::new().await;
    let (doubtful, other) = (bench.product(10).await, bench.product(10).await);
    bench.store.next_commit(CommitFault::LostAfter);
    bench.store.block_resolution(true);
    let first = bench.ask(doubtful, 1);
    eventually("the commit in doubt", || async { (bench.store.resolutions_asked() > 0).then_some(()) }).await;
    let loads = bench.store.loads();
    let second = bench.ask(doubtful, 1);
    let asked = bench.store.resolutions_asked();
    eventually("more tries", || async { (bench.store.resolutions_asked() > asked + 1).then_some(()) }).await;
    assert_eq!(bench.store.loads(), loads, "nothing was loaded while the outcome was in doubt");
    bench.store.block_resolution(false);
    assert!(first.await.unwrap().is_ok());
    assert!(second.await.unwrap().is_ok());
    assert!(bench.hold(other, 1).await.is_ok());
    bench.check(doubtful, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_troubles_are_run_again() {
    for (fault, reason) in
        [(CommitFault::Conflict, RetryReason::Deadlock), (CommitFault::Disconnect, RetryReason::Disconnected)]
    {
        let bench = Bench::new().await;
        let product_id = bench.product(10).await;
        bench.store.next_commit(fault);
        assert!(bench.hold(product_id, 1).await.is_ok(), "{fault:?}");
        assert_eq!(bench.metrics.engine.retries.of(reason).get(), 1, "{fault:?}");
        bench.check(product_id, 9).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_before_the_batch_began_asked_for_nothing() {
    let bench = Bench::new().await;
    let product_id = bench.product(10).await;
    bench.hold(product_id, 1).await.unwrap();
    bench.store.hold_loads(true);
    let busy = bench.ask(product_id, 1);
    eventually("a batch in flight", || async { (bench.store.loads_waiting() > 0).then_some(()) }).await;
    let hung_up = bench.engine.place_hold(product_id, quantity(5), None, soon());
    assert!(tokio::time::timeout(Duration::from_millis(1), hung_up).await.is_err());
    assert_eq!(bench.metrics.engine.turned_away.of(TurnedAway::HungUp).get(), 1);
    assert_eq!(bench.metrics.engine.holds.of(Ending::TurnedAway(TurnedAway::HungUp)).get(), 1);
    bench.store.hold_loads(false);
    assert!(busy.await.unwrap().is_ok());
    assert!(bench.hold(product_id, 1).await.is_ok());
    bench.check(product_id, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_the_queue_is_a_sure_no() {
    let bench = Bench::new().await;
    let product_id = bench.product(10).await;
    bench.hold(product_id, 1).await.unwrap();
    bench.store.hold_loads(true);
    let deadline = Instant::now() + Duration::from_millis(50);
    let answer = bench.engine.place_hold(product_id, quantity(5), None, deadline).await;
    assert_eq!(answer, Err(Rejection::TimedOut));
    bench.store.hold_loads(false);
    bench.hold(product_id, 1).await.unwrap();
    bench.check(product_id, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_out_is_answered_without_a_transaction_and_a_key_still_replays() {
    let bench = Bench::new().await;
    let product_id = bench.product(2).await;
    let first = bench.engine.place_hold(product_id, quantity(2), Some(key("k")), soon()).await.unwrap();
    let loads = bench.store.loads();
    let answers = bench.burst(product_id, 100, |_| 1).await;
    assert!(
        answers.iter().all(|answer| *answer == Err(Rejection::Refused(Refusal::InsufficientStock { available: 0 })))
    );
    assert_eq!(bench.store.loads(), loads, "sold out took no lock");
    let again = bench.engine.place_hold(product_id, quantity(2), Some(key("k")), soon()).await.unwrap();
    assert_eq!((again.row, again.replayed), (first.row, true));
    let other = bench.engine.place_hold(product_id, quantity(1), Some(key("k")), soon()).await;
    assert_eq!(other, Err(Rejection::Refused(Refusal::KeyReused)));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reads_share_queries() {
    let bench = Bench::new().await;
    let product_id = bench.product(2).await;
    let before = bench.store.stock_reads();
    let requests = (0..200).map(|_| {
        let engine = bench.engine.clone();
        async move { engine.product(product_id, soon()).await }
    });
    for answer in together(requests).await {
        assert_eq!(answer.unwrap().unwrap().stock.free(), 2);
    }
    let queries = bench.store.stock_reads() - before;
    assert!(queries < 100, "200 reads took {queries} queries");
    assert_eq!(bench.engine.product(ProductId(99), soon()).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_with_one_key_make_one_hold() {
    let bench = Bench::new().await;
    let (one, two) = (bench.product(100).await, bench.product(100).await);
    let requests = (0..50).map(|i| {
        let (engine, product_id) = (bench.engine.clone(), if i % 2 == 0 { one } else { two });
        async move { engine.place_hold(product_id, quantity(1), Some(key("k")), soon()).await }
    });
    let answers = together(requests).await;
    let made: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(made.iter().filter(|placed| !placed.replayed).count(), 1);
    assert_eq!(made.len(), 25, "the product that came first answers, the other key is another body");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused, &Rejection::Refused(Refusal::KeyReused));
    }
    assert_eq!(bench.store.audit(None).await.unwrap().holds, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_hold_is_swept_at_its_deadline_and_its_units_sell_again() {
    let bench = Bench::with(Terms { hold_ttl_seconds: 1, ..terms() }).await;
    let product_id = bench.product(5).await;
    let placed = bench.hold(product_id, 5).await.unwrap();
    assert!(bench.hold(product_id, 1).await.is_err());
    let stored = eventually("the expiry", || async {
        let found = bench.store.holds(&[placed.row.id]).await.unwrap();
        found.into_values().map(|(hold, _)| hold).find(|hold| hold.status != HoldStatus::Active)
    })
    .await;
    let expired = HoldStatus::Released { at: placed.row.expires_at, reason: ReleaseReason::Expired, order_id: None };
    assert_eq!(stored.status, expired);
    // Others see a commit before the one who made it counts it.
    let units_expired = || async { Some(bench.metrics.engine.units_expired.get()).filter(|units| *units > 0) };
    assert_eq!(eventually("the count of the expiry", units_expired).await, 5);
    assert!(bench.hold(product_id, 5).await.is_ok());
    let redeemed = bench.engine.redeem_hold(placed.row.id, None, soon()).await;
    assert_eq!(redeemed, Err(Rejection::Refused(Refusal::HoldExpired)));
    bench.check(product_id, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_is_cancelled_when_its_window_is_over_and_a_late_payment_is_a_refund() {
    let bench = Bench::with(Terms { payment_window_seconds: 1, ..terms() }).await;
    let product_id = bench.product(5).await;
    let hold = bench.hold(product_id, 2).await.unwrap().row;
    let order = bench.engine.redeem_hold(hold.id, None, soon()).await.unwrap().row;
    eventually("the cancellation", || async {
        let order = bench.engine.order(order.id, soon()).await.unwrap().unwrap();
        (order.status == OrderStatus::Cancelled).then_some(())
    })
    .await;
    bench.check(product_id, 5).await;
    let late = bench.engine.settle_payment(key("evt"), order.id, PaymentStatus::Success, soon()).await.unwrap();
    assert_eq!(late.event.effect, PaymentEffect::RefundRequired);
    assert_eq!(bench.metrics.engine.refunds_required.get(), 1);
    bench.check(product_id, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_is_counted_whatever_it_wanted() {
    let bench = Bench::new().await;
    let product_id = bench.product(10).await;
    let hold = bench.hold(product_id, 1).await.unwrap().row.id;
    let turned_away = |reason| bench.metrics.engine.turned_away.of(reason).get();
    // The deadline of reads is put down to the database.
    let passed = Instant::now();
    assert_eq!(bench.engine.order(sale::OrderId(7), passed).await, Err(Rejection::DatabaseUnavailable));
    assert_eq!(bench.engine.products(ProductId(0), 5, passed).await, Err(Rejection::DatabaseUnavailable));
    assert_eq!(turned_away(TurnedAway::DatabaseUnavailable), 2);
    bench.engine.stop().await;
    assert_eq!(bench.engine.give_back_hold(hold, soon()).await, Err(Rejection::Stopping));
    assert_eq!(bench.engine.restock(product_id, 1, soon()).await, Err(Rejection::Stopping));
    assert_eq!(bench.engine.redeem_hold(hold, None, soon()).await, Err(Rejection::Stopping));
    assert_eq!(turned_away(TurnedAway::Stopping), 3);
    assert_eq!(bench.metrics.engine.orders.of(Ending::TurnedAway(TurnedAway::Stopping)).get(), 1);
    // A refusal is an answer.
    let refused = bench.engine.give_back_hold(sale::HoldId(99), soon()).await;
    assert_eq!(refused, Err(Rejection::Refused(Refusal::HoldUnknown)));
    assert_eq!(TurnedAway::all().map(turned_away).sum::<u64>(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_engine_finishes_what_waits_and_refuses_the_rest() {
    let bench = Bench::new().await;
    let product_id = bench.product(1000).await;
    bench.hold(product_id, 1).await.unwrap();
    bench.store.hold_loads(true);
    let mut waiting = vec![bench.ask(product_id, 1)];
    eventually("a batch in flight", || async { (bench.store.loads_waiting() > 0).then_some(()) }).await;
    waiting.extend((0..19).map(|_| bench.ask(product_id, 1)));
    let depth = bench.metrics.engine.queue_depth.of(QueueLabel::Holds);
    eventually("the others to wait", || async { (depth.get() == 19).then_some(()) }).await;
    let engine = bench.engine.clone();
    let stopping = tokio::spawn(async move { engine.stop().await });
    // One that came before the stop waits with the others: it is given up, and asked anew.
    eventually("the refusal", || async {
        let answer = tokio::time::timeout(Duration::from_millis(50), bench.hold(product_id, 1)).await;
        (answer == Ok(Err(Rejection::Stopping))).then_some(())
    })
    .await;
    bench.store.hold_loads(false);
    stopping.await.unwrap();
    for answer in waiting {
        assert!(answer.await.unwrap().is_ok());
    }
}
