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
    turn: Duration,
    flight: Duration,
    share: usize,
    stands_since: Option<Instant>,
    /// How many commands the batch under way took, and how many of them came back.
    under_way: usize,
    came_back: usize,
    /// When commands were last carried out.
    moved_at: Option<Instant>,
}

impl Pace {
    /// Of a queue that was empty until now; `batch_max` commands go with a batch.
    pub(super) fn new(batch_max: usize) -> Self {
        Self {
            taken_at: None,
            turn: Duration::ZERO,
            flight: Duration::ZERO,
            share: batch_max,
            stands_since: None,
            under_way: 0,
            came_back: 0,
            moved_at: None,
        }
    }

    /// A batch took `taken` commands, and left `holds_left` holds behind.
    pub(super) fn taken(&mut self, now: Instant, taken: usize, holds_left: usize) {
        if let Some(before) = self.taken_at.replace(now) {
            self.turn = smoothed(self.turn, now.saturating_duration_since(before));
        }
        (self.under_way, self.came_back) = (taken, 0);
        if holds_left == 0 {
            self.stands_since = None;
        } else {
            // What it left behind it had no room for.
            self.share = taken.max(1);
            self.stands_since.get_or_insert(now);
        }
    }

    /// A command came back from its batch, and waits again.
    pub(super) fn came_back(&mut self) {
        self.came_back += 1;
    }

    /// The batch came to its end.
    pub(super) fn landed(&mut self, now: Instant) {
        if self.came_back < self.under_way {
            self.moved_at = Some(now);
        }
        if let Some(taken_at) = self.taken_at {
            self.flight = smoothed(self.flight, now.saturating_duration_since(taken_at));
            self.turn = self.turn.max(self.flight);
        }
    }

    /// From the beginning of a batch to its answers, lately; zero if there was none.
    pub(super) fn flight(&self) -> Duration {
        self.flight
    }

    /// What a hold finds that comes now, behind `ahead` commands of which the oldest hold came at `oldest`.
    pub(super) fn view(&self, now: Instant, ahead: usize, oldest: Option<Instant>) -> View {
        let since = |moment: Option<Instant>| moment.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        View {
            ahead,
            share: self.share,
            turn: self.turn,
            flight: self.flight,
            since_turn: since(self.taken_at),
            stalled: since(oldest.map(|oldest| self.moved_at.map_or(oldest, |moved_at| moved_at.max(oldest)))),
            standing: since(self.stands_since),
        }
    }
}

/// Half of what is new, and half of what was: one slow batch is not the rule, and three in a row are.
fn smoothed(before: Duration, new: Duration) -> Duration {
    if before.is_zero() { new } else { (before + new) / 2 }
}
