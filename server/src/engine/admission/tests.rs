//! The rule by a table, by properties over all views, and at work: on queues whose batches take a given time.

use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::pace::Pace;
use super::*;

const LEFT: Duration = Duration::from_secs(5);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A queue that nobody has waited in yet.
const EMPTY: View = View {
    ahead: 0,
    share: 100,
    turn: Duration::ZERO,
    flight: Duration::ZERO,
    since_turn: Duration::ZERO,
    stalled: Duration::ZERO,
    standing: Duration::ZERO,
};

#[test]
fn each_way_of_being_late_is_refused_and_nothing_else_is() {
    let slow = View { turn: ms(2_000), flight: ms(2_000), ..EMPTY };
    let quick = View { turn: ms(100), flight: ms(100), ..EMPTY };
    let stands = View { turn: ms(100), flight: ms(100), ahead: 1_100, standing: ms(1_001), ..EMPTY };
    for (case, view, expected) in [
        ("an empty queue", EMPTY, Ok(())),
        ("a long queue of which nothing is known", View { ahead: 9_000, ..EMPTY }, Ok(())),
        ("with the next batch of a slow database", View { ahead: 99, ..slow }, Ok(())),
        ("with the one after it, in vain", View { ahead: 100, ..slow }, Err(ms(4_000))),
        ("the same, when the next is about to begin", View { ahead: 100, since_turn: ms(1_500), ..slow }, Ok(())),
        ("a batch that takes longer than ever", View { ahead: 100, since_turn: ms(3_100), ..slow }, Err(ms(3_100))),
        ("while the first batch is under way", View { ahead: 199, since_turn: ms(2_500), ..EMPTY }, Ok(())),
        ("the same, in vain", View { ahead: 199, since_turn: ms(2_501), ..EMPTY }, Err(ms(2_501))),
        ("beyond the next two batches, with time to spare", View { ahead: 2_399, ..quick }, Ok(())),
        ("in time only if no batch takes longer", View { ahead: 2_400, ..quick }, Err(ms(2_500))),
        ("nothing has moved for half of the time", View { stalled: ms(2_500), ..EMPTY }, Ok(())),
        ("and for longer", View { stalled: ms(2_501), ..EMPTY }, Err(ms(2_501))),
        ("a burst", View { standing: ms(1_000), ..stands }, Ok(())),
        ("a queue that stands", stands, Err(ms(1_200))),
        ("one that stands and is short, in time", View { ahead: 900, ..stands }, Ok(())),
        (
            "one that stands and has two batches",
            View { ahead: 200, turn: ms(900), flight: ms(900), ..stands },
            Err(ms(2_700)),
        ),
        ("one that stands and has fewer", View { ahead: 199, turn: ms(900), flight: ms(900), ..stands }, Ok(())),
        ("a share of nothing, which cannot be", View { share: 0, ahead: 7, ..EMPTY }, Ok(())),
    ] {
        assert_eq!(view.judge(LEFT), expected, "{case}: {view:?}");
    }
}

#[test]
fn whose_deadline_has_come_is_refused() {
    assert_eq!(View { turn: ms(1), ..EMPTY }.judge(Duration::ZERO), Err(ms(1)));
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), (0..10_000_u64).prop_map(ms), Just(Duration::MAX)]
}

fn views() -> impl Strategy<Value = View> {
    let counts = prop_oneof![0..2_000_usize, Just(usize::MAX)];
    (counts.clone(), counts, durations(), durations(), durations(), durations(), durations()).prop_map(
        |(ahead, share, turn, flight, since_turn, stalled, standing)| View {
            ahead,
            share,
            turn,
            flight,
            since_turn,
            stalled,
            standing,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_is_let_in_has_time_for_it(view in views(), left in durations()) {
        if view.judge(left).is_ok() {
            prop_assert!(view.wait().saturating_add(view.flight) <= left);
            prop_assert!(view.stalled <= left / 2);
            let is_near = view.ahead < view.share.saturating_mul(2);
            prop_assert!(is_near || view.wait().saturating_add(view.flight) <= left / 2);
        }
    }

    #[test]
    fn nobody_is_let_in_for_being_later(view in views(), left in durations(), more in 1..1_000_usize, less in durations()) {
        if view.judge(left).is_err() {
            let longer = View { ahead: view.ahead.saturating_add(more), ..view };
            prop_assert!(longer.judge(left).is_err());
            prop_assert!(view.judge(left.saturating_sub(less)).is_err());
        }
    }

    #[test]
    fn a_batch_that_is_not_full_is_filled_while_there_is_time(mut view in views()) {
        // The deadline is far, whatever the queue does.
        view.turn = view.turn.min(ms(10_000));
        view.since_turn = view.since_turn.min(view.turn);
        view.flight = view.flight.min(ms(10_000));
        view.stalled = view.stalled.min(ms(10_000));
        view.share = view.share.clamp(1, 1_000);
        view.ahead = view.ahead.min(2 * view.share - 1);
        prop_assert_eq!(view.judge(Duration::from_mins(2)), Ok(()));
    }
}

/// A queue with one batch under way at a time, each of which takes `batch_time` and up to `batch_max` holds.
struct Queue {
    began: Instant,
    batch_max: usize,
    batch_time: Duration,
    now: Duration,
    lands_at: Option<Duration>,
    waiting: VecDeque<Duration>,
    pace: Pace,
    /// Of each batch: when it began, and how many it took.
    batches: Vec<(Duration, usize)>,
    /// From coming to being answered, by when it came.
    answered: Vec<(Duration, Duration)>,
    refused: Vec<Duration>,
}

impl Queue {
    fn new(batch_max: usize, batch_time: Duration) -> Self {
        Self {
            began: Instant::now(),
            batch_max,
            batch_time,
            now: Duration::ZERO,
            lands_at: None,
            waiting: VecDeque::new(),
            pace: Pace::new(batch_max),
            batches: Vec::new(),
            answered: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// How often holds come if they come as fast as batches can take them.
    fn best_interval(&self) -> Duration {
        self.batch_time / u32::try_from(self.batch_max).expect("small")
    }

    /// Holds come, `every` so often, until `end`.
    fn offer(&mut self, every: Duration, end: Duration) {
        while self.now < end {
            self.now += every;
            while let Some(at) = self.lands_at.filter(|at| *at <= self.now) {
                self.land(at);
            }
            let view = self.pace.view(
                self.began + self.now,
                self.waiting.len(),
                self.waiting.front().map(|came_at| self.began + *came_at),
                1,
            );
            if view.judge(LEFT).is_err() {
                self.refused.push(self.now);
                continue;
            }
            self.waiting.push_back(self.now);
            if self.lands_at.is_none() {
                self.take(self.now);
            }
        }
    }

    fn land(&mut self, at: Duration) {
        self.lands_at = None;
        if self.waiting.is_empty() {
            self.pace = Pace::new(self.batch_max);
        } else {
            self.pace.landed(self.began + at, self.began + at.saturating_sub(self.batch_time), true);
            self.take(at);
        }
    }

    fn take(&mut self, at: Duration) {
        let taken = self.waiting.len().min(self.batch_max);
        let lands_at = at + self.batch_time;
        self.answered.extend(self.waiting.drain(..taken).map(|came_at| (came_at, lands_at.saturating_sub(came_at))));
        self.pace.taken(self.began + at, taken, self.waiting.len());
        self.batches.push((at, taken));
        self.lands_at = Some(lands_at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn under_overload_batches_stay_full_and_answers_come_in_time(
        batch_max in 1..64_usize,
        batch_ms in 2..1_500_u64,
        overload in 2..20_u32,
    ) {
        let batch_time = ms(batch_ms);
        let mut queue = Queue::new(batch_max, batch_time);
        let every = queue.best_interval() / overload;
        let (settled, end) = (Duration::from_secs(12), Duration::from_secs(20));
        queue.offer(every, end);
        for (at, taken) in queue.batches.iter().skip(1) {
            prop_assert_eq!(*taken, batch_max, "the batch at {:?}", at);
        }
        // Of what is waited for, a part of the batch under way, its own, and what the steps of this test add.
        let longest = TARGET.max(batch_time * 3) + batch_time * 3;
        // Who comes before the first batch has ended comes while nothing is known; how late that makes them shows when
        // they would go with a batch.
        let known = queue.batches.get(1).map_or(end, |(at, _)| *at);
        for (came_at, took) in &queue.answered {
            prop_assert!(*came_at <= known || *took <= LEFT, "came at {:?}, was answered {:?} later", came_at, took);
            prop_assert!(*came_at < settled || *took <= longest, "came at {:?}, was answered {:?} later", came_at, took);
        }
        // And when the rush is over nobody is refused any more.
        queue.offer(every * overload * 2, Duration::from_secs(40));
        let calm = Duration::from_secs(30);
        prop_assert_eq!(queue.refused.iter().filter(|at| **at > calm).count(), 0);
    }

    #[test]
    fn a_burst_is_answered_in_time_though_the_pace_halves(
        batch_max in 1..64_usize,
        batch_ms in 2..400_u64,
        overload in 2..20_u32,
    ) {
        let batch_time = ms(batch_ms);
        let mut queue = Queue::new(batch_max, batch_time);
        let every = queue.best_interval() / overload;
        queue.offer(every, batch_time * 2);
        let known = queue.now;
        queue.offer(every, known + PATIENCE);
        queue.batch_time = batch_time * 2;
        queue.offer(every, Duration::from_secs(20));
        // Besides what the batch under way has left, which the pace of before does not tell.
        let longest = LEFT + queue.batch_time * 2;
        for (came_at, took) in &queue.answered {
            prop_assert!(*came_at <= known || *took <= longest, "came at {:?}, was answered {:?} later", came_at, took);
        }
    }

    #[test]
    fn who_asks_for_less_than_there_is_is_never_refused(
        batch_max in 1..64_usize,
        batch_ms in 2..1_600_u64,
        tenths in 2..9_u32,
    ) {
        let batch_time = ms(batch_ms);
        let mut queue = Queue::new(batch_max, batch_time);
        let every = queue.best_interval() * 10 / tenths;
        queue.offer(every, Duration::from_secs(20));
        prop_assert!(queue.refused.is_empty(), "refused at {:?}", queue.refused);
    }

    #[test]
    fn a_burst_that_can_be_served_in_half_the_time_is_let_in(batch_max in 1..64_usize, batch_ms in 2..200_u64) {
        let batch_time = ms(batch_ms);
        let mut queue = Queue::new(batch_max, batch_time);
        queue.offer(Duration::from_micros(1), Duration::from_micros(1));
        let batches = 2_000 / u32::try_from(batch_ms).expect("small");
        let burst = Duration::from_micros(u64::from(batches) * u64::try_from(batch_max).expect("small"));
        queue.offer(Duration::from_micros(1), burst.min(batch_time));
        prop_assert!(queue.refused.is_empty(), "refused at {:?}", queue.refused);
    }
}
