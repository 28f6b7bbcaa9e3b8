//! Customers: so many at once, each coming back when it is answered, or so many a second, whatever the
//! answers; and what they saw.
//!
//! What does not belong here: what they should have seen.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_test_support::{Answer, Client, OrFail, Request};
use tokio::task::JoinSet;

/// What one request was answered, and how long that took.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) took: Duration,
}

/// The answers of a crowd.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Mutex<Vec<Seen>>>);

impl Answers {
    fn add(&self, answer: &Answer, took: Duration) {
        let retry_after = answer.header("retry-after").map(str::to_owned);
        let seen = Seen { status: answer.status, code: answer.code(), retry_after, took };
        self.0.lock().or_fail().push(seen);
    }

    /// All so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.0.lock().or_fail().clone()
    }

    /// How many have which status and code.
    pub(crate) fn counts(&self) -> BTreeMap<(u16, String), usize> {
        let mut counts = BTreeMap::new();
        for seen in self.all() {
            *counts.entry((seen.status, seen.code)).or_default() += 1;
        }
        counts
    }

    /// Sends a request and notes its answer.
    pub(crate) async fn ask(&self, client: &Client, request: &Request) -> Answer {
        let began = Instant::now();
        let answer = send(client, request).await;
        self.add(&answer, began.elapsed());
        answer
    }
}

/// Sends a request. A pool may give it a connection that was opened and never used, at the very moment at which the
/// server has waited for its first request for too long: then nothing was sent, and it is given another one.
pub(crate) async fn send(client: &Client, request: &Request) -> Answer {
    loop {
        match client.send(request).await {
            Err(error) if error.to_string().contains("(Canceled)") => {}
            answer => return answer.or_fail(),
        }
    }
}

/// The time that 99 of 100 took at most.
pub(crate) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    assert!(times.len() >= 100, "only {} answers say little of the slowest of a hundred", times.len());
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// `count` customers ask, each again when it was answered, for as long as `others` take.
pub(crate) async fn come_back<T>(
    client: &Client,
    request: &Request,
    count: usize,
    others: impl Future<Output = T>,
) -> T {
    let mut asking = JoinSet::new();
    for _ in 0..count {
        let (client, request) = (client.clone(), request.clone());
        asking.spawn(async move {
            loop {
                send(&client, &request).await;
            }
        });
    }
    let value = others.await;
    asking.shutdown().await;
    value
}

/// Asks `per_second` times a second, whether there are answers or not, for `time`, and waits for the last of them.
/// `make` makes the n-th request.
pub(crate) async fn keep_coming(
    client: &Client,
    per_second: f64,
    time: Duration,
    answers: &Answers,
    mut make: impl FnMut(usize) -> Request,
) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut asking = JoinSet::new();
    let mut asked: u32 = 0;
    while began.elapsed() < time {
        ticks.tick().await;
        while f64::from(asked) < began.elapsed().as_secs_f64() * per_second {
            let (client, answers, request) = (client.clone(), answers.clone(), make(asked as usize));
            asked += 1;
            asking.spawn(async move {
                answers.ask(&client, &request).await;
            });
        }
        while let Some(asked) = asking.try_join_next() {
            asked.or_fail();
        }
    }
    while let Some(asked) = asking.join_next().await {
        asked.or_fail();
    }
}
