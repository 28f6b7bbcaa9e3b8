//! How many reads wait, and which of them the database sees.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures_util::future::join_all;
use futures_util::{FutureExt, poll};
use tokio::sync::watch;

use super::*;
use crate::telemetry::Metrics;

/// A store that answers nothing while it is shut, and every key with itself then; and what it was asked.
struct Slow {
    open: watch::Sender<bool>,
    asked: Arc<Mutex<Vec<BTreeSet<usize>>>>,
    reads: Coalescer<usize, usize>,
}

impl Slow {
    fn start(round_max: usize) -> Self {
        let (open, asked) = (watch::Sender::new(false), Arc::new(Mutex::new(Vec::new())));
        let (opening, asking) = (open.clone(), Arc::clone(&asked));
        let figures = ReadFigures::new(&Metrics::new().engine, ReadKind::Hold);
        let reads = Coalescer::start(Arc::new(Health::new()), figures, round_max, move |keys: Vec<usize>| {
            asking.lock().unwrap().push(keys.iter().copied().collect());
            let mut opening = opening.subscribe();
            async move {
                opening.wait_for(|open| *open).await.unwrap();
                Ok(keys.into_iter().map(|key| (key, key)).collect())
            }
        });
        Self { open, asked, reads }
    }
}

#[tokio::test]
async fn readers_are_bounded_and_half_of_the_room_is_for_money() {
    let slow = Slow::start(10);
    let mut readers: Vec<_> = Vec::new();
    // As many as wait, and those of the rounds that are under way.
    let refused = loop {
        assert!(readers.len() <= CALLERS_MAX, "nobody was refused");
        let mut reader = slow.reads.get(readers.len()).boxed();
        match poll!(&mut reader) {
            std::task::Poll::Pending => readers.push(reader),
            std::task::Poll::Ready(answer) => break answer,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused, Err(ReadFailed::TooMany));
    assert!(readers.len() > CALLERS_MAX / 2, "{} were let in", readers.len());
    let mut money = slow.reads.get_for_money(7).boxed();
    assert!(poll!(&mut money).is_pending(), "what is for money waits");
    slow.open.send_replace(true);
    let answers = join_all(readers).await;
    assert!(answers.iter().enumerate().all(|(key, answer)| *answer == Ok(Some(key))));
    assert_eq!(money.await, Ok(Some(7)));
    assert_eq!(slow.reads.get(8).await, Ok(Some(8)), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_round_waits_for_the_one_under_way_with_all_who_come_meanwhile_but_not_for_long() {
    let slow = Slow::start(10);
    let mut under_way = slow.reads.get(1).boxed();
    assert!(poll!(&mut under_way).is_pending());
    tokio::task::yield_now().await;
    assert_eq!(*slow.asked.lock().unwrap(), [BTreeSet::from([1])], "who finds no round under way waits for nobody");
    let (mut early, mut late) = (slow.reads.get(2).boxed(), slow.reads.get(3).boxed());
    assert!(poll!(&mut early).is_pending());
    tokio::time::advance(PATIENCE / 2).await;
    assert!(poll!(&mut late).is_pending());
    tokio::task::yield_now().await;
    assert_eq!(slow.asked.lock().unwrap().len(), 1, "the first round may end any moment");
    tokio::time::advance(PATIENCE).await;
    tokio::task::yield_now().await;
    assert_eq!(*slow.asked.lock().unwrap(), [BTreeSet::from([1]), BTreeSet::from([2, 3])]);
    slow.open.send_replace(true);
    assert_eq!((under_way.await, early.await, late.await), (Ok(Some(1)), Ok(Some(2)), Ok(Some(3))));
}

#[tokio::test(start_paused = true)]
async fn who_left_before_its_round_is_not_asked_for() {
    let slow = Slow::start(10);
    let mut first: Vec<_> = Vec::new();
    while slow.asked.lock().unwrap().len() < ROUNDS_IN_FLIGHT {
        let mut reader = slow.reads.get(first.len()).boxed();
        assert!(poll!(&mut reader).is_pending());
        first.push(reader);
        tokio::time::advance(PATIENCE).await;
        tokio::task::yield_now().await;
    }
    let (mut stays, mut leaves) = (slow.reads.get(100).boxed(), slow.reads.get(200).boxed());
    assert!(poll!(&mut stays).is_pending() && poll!(&mut leaves).is_pending());
    drop(leaves);
    slow.open.send_replace(true);
    assert_eq!(stays.await, Ok(Some(100)));
    let asked: BTreeSet<usize> = slow.asked.lock().unwrap().iter().flatten().copied().collect();
    assert!(asked.contains(&100) && !asked.contains(&200), "{asked:?}");
    assert!(slow.asked.lock().unwrap().iter().all(|keys| keys.len() <= 10));
}
