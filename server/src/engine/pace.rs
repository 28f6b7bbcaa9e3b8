//! How fast the commands of one product are served, as it is observed.
//!
//! What does not belong here: what follows from it (`admission`).

use std::time::Duration;

use tokio::time::Instant;

use super::admission::View;

/// What was observed of the batches of one product, for as long as its queue has not been empty: a product that
/// nobody waits for has no past that could be held against a newcomer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    taken_at: Option<Instant>,
    turns: Turns,
    flight: Duration,
    share: usize,
    stands_since: Option<Instant>,
    /// When commands were last carried out.
    moved_at: Option<Instant>,
}

impl Pace {
    /// Of a queue that was empty until now; `batch_max` commands go with a batch.
    pub(super) fn new(batch_max: usize) -> Self {
        Self {
            taken_at: None,
            turns: Turns::default(),
            flight: Duration::ZERO,
            share: batch_max,
            stands_since: None,
            moved_at: None,
        }
    }

    /// A batch took `taken` commands, and left `holds_left` holds behind.
    pub(super) fn taken(&mut self, now: Instant, taken: usize, holds_left: usize) {
        if let Some(before) = self.taken_at.replace(now) {
            self.turns.add(now.saturating_duration_since(before));
        }
        if holds_left == 0 {
            self.stands_since = None;
        } else {
            // What it left behind it had no room for.
            self.share = taken.max(1);
            self.stands_since.get_or_insert(now);
        }
    }

    /// A batch that began at `taken_at` came to its end; `moved`: some of its commands were carried out.
    pub(super) fn landed(&mut self, now: Instant, taken_at: Instant, moved: bool) {
        if moved {
            self.moved_at = Some(now);
        }
        self.flight = smoothed(self.flight, now.saturating_duration_since(taken_at));
    }

    /// From the beginning of a batch to its answers, lately; zero if there was none.
    pub(super) fn flight(&self) -> Duration {
        self.flight
    }

    /// What a hold finds that comes now, behind `ahead` commands of which the oldest hold came at `oldest`, where up to
    /// `at_once` batches are under way at once.
    pub(super) fn view(&self, now: Instant, ahead: usize, oldest: Option<Instant>, at_once: u32) -> View {
        let since = |moment: Option<Instant>| moment.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        View {
            ahead,
            share: self.share,
            turn: self.turns.mean().max(self.flight / at_once.max(1)),
            flight: self.flight,
            since_turn: since(self.taken_at),
            stalled: since(oldest.map(|oldest| self.moved_at.map_or(oldest, |moved_at| moved_at.max(oldest)))),
            standing: since(self.stands_since),
        }
    }
}

/// Longer than a queue that stands may be, by far: where the database is quick and slow by turns, a mean over less would
/// promise in each quick turn what the next slow one breaks. That it became slow for good shows by each batch.
const MEMORY: Duration = Duration::from_secs(5);

/// From the beginning of a batch to that of the next one: so many, in so much time. What happened [`MEMORY`] ago counts
/// a third of what happens now. A mean over time, not over batches: where a slow batch follows ten quick ones, what
/// waits moves at the mean of all, however often a quick one was the latest.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    count: f64,
    seconds: f64,
}

impl Turns {
    fn add(&mut self, turn: Duration) {
        let kept = (-turn.div_duration_f64(MEMORY)).exp();
        self.count = self.count * kept + 1.0;
        self.seconds = self.seconds * kept + turn.as_secs_f64();
    }

    /// Zero if there was none.
    fn mean(&self) -> Duration {
        if self.count == 0.0 { Duration::ZERO } else { Duration::from_secs_f64(self.seconds / self.count) }
    }
}

/// Half of what is new, and half of what was: one slow batch is not the rule, and three in a row are.
fn smoothed(before: Duration, new: Duration) -> Duration {
    if before.is_zero() { new } else { (before + new) / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine quick turns and a slow one, again and again: whenever one looks, a turn takes what it takes on average,
    /// or more for a moment, and never as little as a quick one.
    #[test]
    fn what_waits_moves_at_the_mean_of_quick_and_slow_turns() {
        let turns = [5, 5, 5, 5, 5, 5, 5, 5, 5, 500].map(Duration::from_millis);
        let mean = turns.iter().sum::<Duration>() / 10;
        let mut now = Instant::now();
        let mut pace = Pace::new(4);
        for round in 0..20 {
            for turn in turns {
                pace.taken(now, 4, 8);
                now += turn;
                pace.landed(now, now - turn, true);
                let seen = pace.view(now, 0, None, 1).turn;
                assert!(round < 3 || seen > mean / 2, "{seen:?} of {mean:?}");
            }
        }
    }

    #[test]
    fn a_pace_that_changes_is_known_after_a_few_turns() {
        let mut now = Instant::now();
        let mut pace = Pace::new(4);
        for (turn, turns) in [(1, 1000), (2000, 4), (1, 20_000)] {
            let turn = Duration::from_millis(turn);
            for _ in 0..turns {
                pace.taken(now, 4, 8);
                now += turn;
                pace.landed(now, now - turn, true);
            }
            let seen = pace.view(now, 0, None, 1).turn;
            assert!(seen > turn * 4 / 5 && seen < turn * 5 / 4, "{seen:?} of {turn:?}");
        }
    }
}
