//! Twenty times as many holds as the database can take: as many are placed as ever, the others are refused as fast
//! as a health check is answered, and orders, payments and expiry go on.
//!
//! What does not belong here: what a single late request is answered (`deadlines`).

use std::time::{Duration, Instant};

use holdfast_test_support::{
    Client, Kind, OrFail, Request, Sale, Setup, eventually, for_both, hold, is_long, number, order, payment,
};

use crate::brake::Brake;
use crate::crowd::{Answers, come_back, keep_coming, p99, send};
use crate::scraped::Scraped;

for_both!(holds_are_shed_and_all_else_goes_on);

/// Small, so that a twentieth of what is offered is no more than a small machine can ask for.
const BATCH_MAX: u32 = 4;
/// What a transaction takes at least.
const PAUSE: Duration = Duration::from_millis(400);
/// How many times as much as can be done is asked for.
const OVERLOAD: f64 = 20.0;
/// More than that a small machine cannot ask for without keeping the server from its work.
const ASKS_PER_SECOND_MAX: f64 = 200.0;
const PAYMENTS_PER_SECOND: f64 = 2.0;
const HEALTH_CHECKS_PER_SECOND: f64 = 40.0;
/// More than all rounds can sell.
const STOCK: u64 = 1_000_000;

/// How long the overload lasts. The short one still is longer than what waits may be old.
fn overload_time() -> Duration {
    Duration::from_secs(if is_long() { 90 } else { 10 })
}

async fn holds_are_shed_and_all_else_goes_on(setup: Setup) {
    let setup = setup.setting("BATCH_MAX", &BATCH_MAX).setting("HOLD_TTL_SECONDS", "3");
    let (sale, mut brake) = Brake::start(&setup).await;
    let product = sale.product(STOCK).await;
    let orders = orders(&sale, product).await;
    brake.pull(&sale, PAUSE).await;

    let best = best_rate(&sale, product).await;
    let memory_before = memory_bytes(&sale);

    let (holds, payments, health, bought) =
        (Answers::default(), Answers::default(), Answers::default(), Answers::default());
    let time = overload_time();
    let (client, asks) = (&sale.client, (OVERLOAD * best).min(ASKS_PER_SECOND_MAX));
    let pay = |n: usize| payment(&format!("event {n}"), orders[n % orders.len()], "success");
    let (rate_shed, lag, ..) = tokio::join!(
        async {
            // What is let in as a burst is not yet a queue that stands.
            tokio::time::sleep(time / 4).await;
            rate(&sale, time / 2).await
        },
        longest_expiry_lag(&sale, time),
        keep_coming(client, asks, time, &holds, |_| hold(product, 1)),
        keep_coming(client, PAYMENTS_PER_SECOND, time, &payments, pay),
        keep_coming(client, HEALTH_CHECKS_PER_SECOND, time, &health, |_| Request::get("/healthz")),
        buy(client, product, time, &bought),
    );
    let memory_after = memory_bytes(&sale);
    // What the machine had to give changes with what else it does: the rate is held against the lower of the two.
    let best_after = best_rate(&sale, product).await;
    let (best_before, best) = (best, best.min(best_after));

    let refused: Vec<_> = holds.all().into_iter().filter(|seen| seen.status == 503).collect();
    let refused_p99 = p99(refused.iter().map(|seen| seen.took).collect());
    let health_p99 = p99(health.all().iter().map(|seen| seen.took).collect());
    let turn = f64::from(BATCH_MAX) / best;
    eprintln!(
        "best {best_before:.1}/s, and {best_after:.1}/s afterwards, asked for {asks:.0}/s, shed {rate_shed:.1}/s; p99: a refusal {refused_p99:?}, a health check \
         {health_p99:?}; expiry at most {lag:.2} s late, a batch takes {turn:.2} s; memory {} KiB, then {} KiB; holds \
         {:?}; payments {:?}; orders {:?}",
        memory_before / 1024,
        memory_after / 1024,
        holds.counts(),
        payments.counts(),
        bought.counts()
    );

    // How many transactions get the lock of an SQLite file before the brake has it again is chance: no two phases
    // get the same number.
    let least = if sale.database.kind() == Kind::MariaDb { 0.9 } else { 0.4 };
    assert!(rate_shed >= least * best, "{rate_shed:.1} commands a second are carried out, of {best:.1}");
    assert!(refused.len() > holds.all().len() / 2, "this was no overload: {:?}", holds.counts());
    assert!(refused.iter().all(|seen| seen.code == "overloaded"), "{:?}", holds.counts());
    assert!(refused.iter().all(|seen| seen.retry_after.as_deref().is_some_and(is_a_short_time)));
    assert!(refused_p99 <= 3 * health_p99, "a refusal takes {refused_p99:?}, a health check {health_p99:?}");
    assert!(payments.all().iter().all(|seen| seen.status == 200), "{:?}", payments.counts());
    assert!(health.all().iter().all(|seen| seen.status == 200), "{:?}", health.counts());
    // An order may come too late for its hold, and is told so; it is not turned away.
    assert!(!bought.all().is_empty() && bought.all().iter().all(|seen| seen.status < 500), "{:?}", bought.counts());
    // Between two pauses many transactions may get an SQLite file; one that does not waits for all of one.
    let turn = turn.max(PAUSE.as_secs_f64());
    assert!(lag <= 10.0 * turn, "expiry was {lag:.2} s late, and a batch takes up to {turn:.2} s");
    assert!(memory_after < memory_before + 64 * 1024 * 1024, "{memory_before} bytes became {memory_after}");
    let metrics = Scraped::of(client).await;
    assert!(metrics.get(r#"holdfast_turned_away_total{reason="queue_slow"}"#) > Some(0.0));
    let late = metrics.get(r#"holdfast_turned_away_total{reason="deadline"}"#).unwrap_or(f64::MAX);
    assert!(late <= 0.02 * metrics.sum("holdfast_turned_away_total"), "{late} waited in vain");

    brake.release().await;
    recovers(&sale, product).await;
    eventually("every hold that nobody ordered has expired", async || {
        let reserved = sale.stock(product).await.reserved;
        if reserved == 0 { Ok(()) } else { Err(reserved) }
    })
    .await;
    sale.assert_audit_passes().await;
}

/// The best rate there is: of as many customers as fill the batch under way and the next ones, each of them answered.
async fn best_rate(sale: &Sale, product: u64) -> f64 {
    let customers = 4 * usize::try_from(BATCH_MAX).or_fail();
    let time = Duration::from_secs(if is_long() { 20 } else { 5 });
    come_back(&sale.client, &hold(product, 1), customers, rate(sale, time)).await
}

/// As many orders as will be paid, one after the other, while the database is fast.
async fn orders(sale: &Sale, product: u64) -> Vec<u64> {
    let count = (PAYMENTS_PER_SECOND * overload_time().as_secs_f64()).ceil();
    let mut orders = Vec::new();
    while f64::from(u32::try_from(orders.len()).or_fail()) < count {
        orders.push(sale.order(sale.hold(product, 1).await).await);
    }
    orders
}

/// Work accepted in a second, over about `time`: holds, orders, payments and due work that transactions carried out.
/// From the end of a batch to that of another: a part of a batch would be counted as none, or as a whole one.
async fn rate(sale: &Sale, time: Duration) -> f64 {
    let done = async || Scraped::of(&sale.client).await.get("holdfast_batch_commands_sum").unwrap_or_default();
    let at_the_end_of_a_batch = async || {
        let before = done().await;
        eventually("a batch ends", async || {
            let now = done().await;
            if now > before { Ok((now, Instant::now())) } else { Err(now) }
        })
        .await
    };
    let (before, began) = at_the_end_of_a_batch().await;
    tokio::time::sleep(time).await;
    let (after, ended) = at_the_end_of_a_batch().await;
    (after - before) / (ended - began).as_secs_f64()
}

/// How late the latest expiry was, in seconds, as seen by whoever looks at it for `time`.
async fn longest_expiry_lag(sale: &Sale, time: Duration) -> f64 {
    let began = Instant::now();
    let mut longest = 0.0_f64;
    while began.elapsed() < time {
        let lag = Scraped::of(&sale.client).await.get("holdfast_expiry_lag_seconds").unwrap_or(f64::MAX);
        longest = longest.max(lag);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    longest
}

/// A customer who tries until there is a hold, and makes it an order, again and again.
async fn buy(client: &Client, product: u64, time: Duration, bought: &Answers) {
    let began = Instant::now();
    while began.elapsed() < time {
        let answer = send(client, &hold(product, 1)).await;
        if answer.status == 201 {
            bought.ask(client, &order(number(&answer.json()["hold_id"]))).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails unless holds are placed again, one like the other, without anybody's help.
async fn recovers(sale: &Sale, product: u64) {
    eventually("the queue is empty", async || {
        let waiting = Scraped::of(&sale.client).await.sum("holdfast_queue_depth");
        if waiting == 0.0 { Ok(()) } else { Err(waiting) }
    })
    .await;
    // A door that was shut (`engine/doors.rs`) stays shut for a moment after the callers behind it have left.
    eventually("a hold is let in", async || {
        let answer = sale.send(&hold(product, 1)).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    for _ in 0..50 {
        sale.hold(product, 1).await;
    }
}

fn is_a_short_time(seconds: &str) -> bool {
    seconds.parse().is_ok_and(|seconds: u32| (1..=10).contains(&seconds))
}

/// What the server keeps in memory.
fn memory_bytes(sale: &Sale) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sale.server.process_id())).or_fail();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    resident.trim().trim_end_matches(" kB").parse::<u64>().or_fail() * 1024
}
