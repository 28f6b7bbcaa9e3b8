//! Watches this machine's clocks while a run goes on, since all that the harness saw rests on one of them.
//!
//! Two things are told from right to wrong by no server, and are taken down as marks:
//! - the monotonic clock and the wall clock came apart: the machine slept, and one of them with it, or its time was set.
//!   How long a hold lived cannot be told from such a clock; a private server reads the wall clock of the same machine.
//! - the harness stood still: it was stopped, or got no processor. Clocks go on, but waits that ended meanwhile were
//!   seen late.
//!
//! What does not belong here: what follows from either for the verdict (that is the checker's).

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::history::{Mark, Moment, Recorder};

/// How often the clocks are looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// How far the clocks may come apart between two looks, in nanoseconds, with the share of the time below. It is what
/// the checker's margin for a span has room for besides.
const TOLERANCE: u64 = 20_000_000;
/// A clock that is being corrected runs faster or slower by a thousandth at most, which the checker allows for.
const SLEW: u64 = 1_000;
/// How late a look may be, in nanoseconds, before the harness counts as having stood still.
const LATE: u64 = 1_000_000_000;
/// How often both clocks are read for one look, at most: the reading with the least time between them counts.
const READINGS: usize = 5;

/// Both clocks at one moment: the wall clock was read between the two moments.
#[derive(Clone, Copy, Debug)]
struct Reading {
    before: Moment,
    after: Moment,
    /// Nanoseconds since 1970.
    wall: i128,
}

impl Reading {
    fn now(recorder: &Recorder) -> Self {
        let readings = (0..READINGS).map(|_| {
            let before = recorder.now();
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let after = recorder.now();
            let nanoseconds = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
            Self { before, after, wall: since.map_or_else(|error| -nanoseconds(error.duration()), nanoseconds) }
        });
        let tightest = readings.min_by_key(|reading| reading.after.0.saturating_sub(reading.before.0));
        tightest.unwrap_or(Self { before: Moment(0), after: Moment(0), wall: 0 })
    }

    /// The wall clock less the monotonic one, at least and at most.
    fn offset(self) -> (i128, i128) {
        (self.wall - i128::from(self.after.0), self.wall - i128::from(self.before.0))
    }
}

/// What two looks, one after the other, say happened between them.
fn between(last: Reading, next: Reading) -> impl Iterator<Item = Mark> {
    let (began, ended) = (last.after, next.before);
    let elapsed = ended.0.saturating_sub(began.0);
    let ((last_least, last_most), (least, most)) = (last.offset(), next.offset());
    // How far they surely came apart, and how far they may have.
    let surely = (least - last_most).max(last_least - most);
    let perhaps = (most - last_least).max(last_most - least);
    let stepped = (surely > i128::from(TOLERANCE + elapsed / SLEW)).then(|| Mark::ClockStepped {
        began,
        ended,
        nanoseconds: u64::try_from(perhaps).unwrap_or(u64::MAX),
    });
    let limit = LATE + u64::try_from(INTERVAL.as_nanos()).unwrap_or(u64::MAX);
    let stood_still = (elapsed > limit).then_some(Mark::StoodStill { began, ended });
    stepped.into_iter().chain(stood_still)
}

/// A thread that looks at the clocks.
#[derive(Debug)]
pub(super) struct Clocks {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Clocks {
    /// Begins to look. What is found is taken down by `recorder`, and told to `note`.
    pub(super) fn watch(recorder: Recorder, note: impl Fn(&str) + Send + 'static) -> Self {
        let (stop, stopped) = channel();
        // Here, since nobody knows when the thread gets to run.
        let mut last = Reading::now(&recorder);
        recorder.beat();
        let thread = std::thread::spawn(move || {
            loop {
                let is_over = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
                let next = Reading::now(&recorder);
                for mark in between(last, next) {
                    if let Some(text) = mark.of_the_machine() {
                        note(&text);
                    }
                    recorder.mark(mark);
                }
                recorder.beat();
                last = next;
                if is_over {
                    return;
                }
            }
        });
        Self { stop, thread }
    }

    /// Looks once more, and ends.
    pub(super) fn end(self) {
        drop(self.stop);
        // It only watches; a panic of it has been told, and is nothing to end a run for.
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    const SECOND: u64 = Moment::SECOND;

    /// Both clocks after so many nanoseconds on each; they were read within a millisecond.
    fn reading(monotonic: u64, wall: u64) -> Reading {
        let before = Moment(monotonic);
        Reading { before, after: before.later(MILLISECOND), wall: 1_700_000_000_000_000_000 + i128::from(wall) }
    }

    /// By how many nanoseconds the clocks came apart, and for how long the harness stood still.
    fn seen(monotonic: u64, wall: u64) -> (Option<u64>, Option<u64>) {
        let (mut stepped, mut still) = (None, None);
        for mark in between(reading(SECOND, 0), reading(SECOND + monotonic, wall)) {
            match mark {
                Mark::ClockStepped { nanoseconds, .. } => stepped = Some(nanoseconds),
                Mark::StoodStill { began, ended } => still = Some(ended.0 - began.0),
                _ => {}
            }
        }
        (stepped, still)
    }

    #[test]
    fn clocks_that_come_apart_are_told_from_a_harness_that_stands_still() {
        let tick = 100 * MILLISECOND;
        // Each reading may be off by the millisecond within which it was made.
        let may_be = |apart: u64| Some(apart + MILLISECOND);
        for (name, monotonic, wall, expected) in [
            ("all is well", tick, tick, (None, None)),
            ("a little noise", tick, tick + 15 * MILLISECOND, (None, None)),
            ("the machine slept", tick, tick + 60 * SECOND, (may_be(60 * SECOND), None)),
            ("its time was set", tick, tick + 50 * MILLISECOND, (may_be(50 * MILLISECOND), None)),
            ("its time was set back", tick, tick.saturating_sub(50 * MILLISECOND), (may_be(50 * MILLISECOND), None)),
            ("stopped, then continued", 5 * SECOND, 5 * SECOND, (None, Some(5 * SECOND - MILLISECOND))),
            ("slewed for long", 60 * SECOND, 60 * SECOND + 30 * MILLISECOND, (None, Some(60 * SECOND - MILLISECOND))),
            ("late, as threads are", 900 * MILLISECOND, 900 * MILLISECOND, (None, None)),
            (
                "the monotonic clock jumped",
                30 * SECOND,
                tick,
                (may_be(30 * SECOND - tick), Some(30 * SECOND - MILLISECOND)),
            ),
        ] {
            assert_eq!(seen(monotonic, wall), expected, "{name}");
        }
    }
}
