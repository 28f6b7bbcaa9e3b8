//! Whether a hold that comes now is let into the queue of its product: a rule, as a pure function of times and
//! numbers.
//!
//! A bound by length alone (`waiting`) does not know how fast the queue moves: with a slow database a thousand
//! commands are a minute of waiting, with a fast one a tenth of a second. So a hold is also judged by age, by
//! three tests, each for a way of being late:
//!
//! - **By its deadline.** From how long a batch takes and how many go before it follows when it would be answered.
//!   If that is past its deadline it would wait in vain, so it is told at once. Who comes behind the next two batches may
//!   wait for half of what its deadline leaves: before so many are done the pace can halve, such as when another process
//!   begins to write to the same file, and then all beyond would have waited in vain.
//! - **By stalling.** If holds wait, and for half of what its deadline leaves none was carried out, the product does not
//!   move, whatever its batches promised: somebody may keep it locked. What goes in would only take the room that all
//!   products share.
//! - **By standing.** A queue that a batch empties is doing its work: it makes the next batch full. One that
//!   no batch has emptied for [`PATIENCE`] is no burst any more, and what is in it beyond the next two batches makes
//!   no batch fuller, only every answer later. From then on it may be [`TARGET`] long, in time. This is the
//!   observation of `CoDel` (RFC 8289), with group commit in mind: it refuses at the tail, where nothing has been
//!   done for a request yet, and never lets the queue be shorter than full batches need, however slow they are. So
//!   the rate stays the best there is.
//!
//! The queue stays first in, first out: last in, first out serves newcomers at the price of those who have waited,
//! and a queue that is kept short has no need of it.
//!
//! Only wishes for units are judged. Orders, payments and expiry are bounded by length alone: they take turns before
//! wishes, and to refuse one is to lose money, or stock.
//!
//! What does not belong here: what waits (`lane`), and what becomes of a refusal (`queue`, `doors`).

#[cfg(test)]
mod tests;

use std::time::Duration;

/// For how long each batch must leave holds behind before their queue is held to [`TARGET`]. The opening of a sale
/// is a burst, and is let in.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long holds may wait in a queue that stands. Longer than an ordinary batch takes, by far, and shorter than what
/// customers take for a hang.
pub(super) const TARGET: Duration = Duration::from_secs(1);
/// How many full batches may wait in a queue that stands, however long they take: the next, and one more, so that
/// callers who leave do not make it less than full.
const BATCHES_KEPT: usize = 2;

/// The queue of a product, as a hold finds it that comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// How many commands wait before it.
    pub(super) ahead: usize,
    /// How many of them a batch takes at once; at least 1.
    pub(super) share: usize,
    /// From the beginning of a batch to that of the next one, lately; zero if there was none.
    pub(super) turn: Duration,
    /// From the beginning of a batch to its answers, lately; zero if there was none.
    pub(super) flight: Duration,
    /// How long ago the last batch began; zero if there was none.
    pub(super) since_turn: Duration,
    /// For how long holds have waited and no command was carried out; zero if none waits.
    pub(super) stalled: Duration,
    /// For how long each batch has left holds behind; zero if the last one left none.
    pub(super) standing: Duration,
}

impl View {
    /// How long it would wait for its batch to begin.
    pub(super) fn wait(&self) -> Duration {
        // A batch that takes longer than usual has taken that long, at least.
        let turn = self.turn.max(self.since_turn);
        let until_next = turn.saturating_sub(self.since_turn);
        let batches_before = u32::try_from(self.ahead / self.share.max(1)).unwrap_or(u32::MAX);
        until_next.saturating_add(turn.saturating_mul(batches_before)).max(self.stalled)
    }

    /// Whether it may come in, if its answer is due in `left`; else how long it would have had to wait.
    pub(super) fn judge(&self, left: Duration) -> Result<(), Duration> {
        let wait = self.wait();
        // Of the first batch it is only known how long it has taken so far.
        let flight = if self.flight.is_zero() { self.since_turn } else { self.flight };
        let makes_no_batch_fuller = self.ahead >= self.share.saturating_mul(BATCHES_KEPT);
        let is_in_vain = wait.saturating_add(flight) > if makes_no_batch_fuller { left / 2 } else { left };
        let is_stuck = self.stalled > left / 2;
        let only_adds_delay = self.standing > PATIENCE && makes_no_batch_fuller && wait > TARGET;
        if is_in_vain || is_stuck || only_adds_delay { Err(wait) } else { Ok(()) }
    }
}
