//! What happened when, in a bounded number of equal steps of time, as plots show it.
//!
//! What does not belong here: units held and sold (that is [`super::stock`]), and drawing.

use serde::Serialize;

use super::latency::Latency;
use crate::history::Moment;

/// The most steps of a timeline.
pub const STEPS_MAX: usize = 240;

/// Lengths that read well, in nanoseconds: 1, 2 and 5 of each power of ten, and of minutes.
const LENGTHS: [u64; 16] = {
    const MILLISECOND: u64 = 1_000_000;
    [
        MILLISECOND,
        2 * MILLISECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        20 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        200 * MILLISECOND,
        500 * MILLISECOND,
        1_000 * MILLISECOND,
        2_000 * MILLISECOND,
        5_000 * MILLISECOND,
        10_000 * MILLISECOND,
        20_000 * MILLISECOND,
        60_000 * MILLISECOND,
        300_000 * MILLISECOND,
    ]
};

/// A span of time, parted into equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// When the first one begins.
    pub began: Moment,
    /// How long each is, in nanoseconds.
    pub length: u64,
    /// How many there are, from 1 to [`STEPS_MAX`].
    pub count: usize,
}

impl Steps {
    /// The steps from `began` to `ended`, as short as reads well and [`STEPS_MAX`] allow.
    pub fn over(began: Moment, ended: Moment) -> Self {
        let span = ended.0.saturating_sub(began.0).max(1);
        let fewest = span.div_ceil(STEPS_MAX as u64);
        let length = LENGTHS.into_iter().find(|length| *length >= fewest).unwrap_or(fewest);
        let count = usize::try_from(span.div_ceil(length)).unwrap_or(STEPS_MAX);
        Self { began, length, count }
    }

    /// The step that `moment` is in; the first or the last if it is before or after them all.
    pub fn at(&self, moment: Moment) -> usize {
        let step = moment.0.saturating_sub(self.began.0) / self.length;
        usize::try_from(step).map_or(self.count - 1, |step| step.min(self.count - 1))
    }

    /// When step `step` begins; the one after the last begins when that ends.
    pub fn begin_of(&self, step: usize) -> Moment {
        self.began.later(self.length.saturating_mul(step as u64))
    }

    /// How long each step is, in seconds.
    pub fn seconds(&self) -> f64 {
        Moment(self.length).seconds()
    }
}

/// What ended in each step of a run.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The steps.
    pub steps: Steps,
    requests: Vec<u64>,
    errors: Vec<u64>,
    latencies: Vec<Latency>,
}

/// What ended in one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When it begins, in seconds since the run began.
    pub seconds: f64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those of them that count as errors.
    pub errors: u64,
    /// Half of the answers took at most this long, in nanoseconds, within 1 %. None without an answer.
    pub p50: Option<u64>,
    /// Nine of ten.
    pub p90: Option<u64>,
    /// All but one of a hundred.
    pub p99: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
}

impl Timeline {
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            steps,
            requests: vec![0; steps.count],
            errors: vec![0; steps.count],
            // Two digits are more than a plot shows.
            latencies: vec![Latency::with_digits(2); steps.count],
        }
    }

    pub(super) fn record(&mut self, ended: Moment, error: bool, latency: Option<u64>) {
        let step = self.steps.at(ended);
        self.requests[step] += 1;
        self.errors[step] += u64::from(error);
        if let Some(nanoseconds) = latency {
            self.latencies[step].record(nanoseconds);
        }
    }

    /// What ended in each step, in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = Step> {
        (0..self.steps.count).map(|step| {
            let latency = &self.latencies[step];
            Step {
                seconds: self.steps.begin_of(step).seconds(),
                requests: self.requests[step],
                errors: self.errors[step],
                p50: latency.percentile(50.0),
                p90: latency.percentile(90.0),
                p99: latency.percentile(99.0),
                max: latency.longest(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_few_and_cover_the_span() {
        for milliseconds in [0, 1, 7, 239, 240, 241, 9_876, 60_000, 3_600_000, 86_400_000] {
            let (began, ended) = (Moment(5), Moment(5 + milliseconds * 1_000_000));
            let steps = Steps::over(began, ended);
            assert!((1..=STEPS_MAX).contains(&steps.count), "{milliseconds} ms: {steps:?}");
            assert!(steps.begin_of(steps.count) >= ended, "{milliseconds} ms: {steps:?}");
            assert!(steps.count == 1 || steps.begin_of(steps.count - 1) < ended, "{milliseconds} ms: {steps:?}");
            assert_eq!((steps.at(Moment(0)), steps.at(ended)), (0, steps.count - 1));
        }
    }

    #[test]
    fn steps_have_lengths_that_read_well() {
        let length = |seconds: u64| Steps::over(Moment(0), Moment(seconds * Moment::SECOND)).length / 1_000_000;
        assert_eq!([length(9), length(24), length(58), length(600)], [50, 100, 500, 5_000]);
    }

    #[test]
    fn a_step_has_what_ended_in_it() {
        let mut timeline = Timeline::new(Steps { began: Moment(0), length: 10, count: 3 });
        timeline.record(Moment(0), false, Some(7));
        timeline.record(Moment(9), true, None);
        timeline.record(Moment(20), false, Some(3));
        let seen: Vec<_> = timeline.iter().map(|step| (step.requests, step.errors, step.p50, step.max)).collect();
        assert_eq!(seen, [(2, 1, Some(7), Some(7)), (0, 0, None, None), (1, 0, Some(3), Some(3))]);
    }
}
