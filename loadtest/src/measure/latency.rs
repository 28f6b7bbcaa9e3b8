//! How long answers took: a histogram with what reports and thresholds ask of it.
//!
//! What does not belong here: which requests count (that is decided in [`super`]).

use hdrhistogram::Histogram;
use serde::Serialize;

/// How long answers took, in nanoseconds, with three significant digits; the longest and the mean are exact.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    longest: u64,
    sum: u128,
}

/// The figures of a [`Latency`] that reports show, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The arithmetic mean.
    pub mean: u64,
    /// Half of the answers took at most this long.
    pub p50: u64,
    /// Nine of ten took at most this long.
    pub p90: u64,
    /// All but one of a hundred took at most this long.
    pub p99: u64,
    /// All but one of a thousand took at most this long.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::with_digits(3)
    }
}

impl Latency {
    /// With `digits` significant decimal digits, from 0 to 5: fewer need less memory.
    pub(super) fn with_digits(digits: u8) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the only error is a number of digits over 5, and callers pass constants"
        )]
        let histogram = Histogram::new(digits).expect("at most five digits");
        Self { histogram, longest: 0, sum: 0 }
    }

    /// Takes down one answer.
    pub(super) fn record(&mut self, nanoseconds: u64) {
        // It resizes itself; the error is that of histograms that may not.
        let _ = self.histogram.record(nanoseconds);
        self.longest = self.longest.max(nanoseconds);
        self.sum += u128::from(nanoseconds);
    }

    /// Adds what `other` has seen.
    pub(super) fn add(&mut self, other: &Self) {
        let _ = self.histogram.add(&other.histogram);
        self.longest = self.longest.max(other.longest);
        self.sum += other.sum;
    }

    /// How many answers it has seen.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How long all but the slowest `100 - percentile` percent took at most, in nanoseconds. None without an answer.
    pub fn percentile(&self, percentile: f64) -> Option<u64> {
        // A histogram answers with the upper end of a step, which may be over the longest there was.
        (self.count() > 0).then(|| self.histogram.value_at_percentile(percentile).min(self.longest))
    }

    /// The arithmetic mean, in nanoseconds. None without an answer.
    pub fn mean(&self) -> Option<u64> {
        let count = u128::from(self.count());
        (count > 0).then(|| u64::try_from(self.sum / count).unwrap_or(u64::MAX))
    }

    /// The longest, in nanoseconds. None without an answer.
    pub fn longest(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.longest)
    }

    /// The figures that reports show. None without an answer.
    pub fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles {
            mean: self.mean()?,
            p50: self.percentile(50.0)?,
            p90: self.percentile(90.0)?,
            p99: self.percentile(99.0)?,
            p99_9: self.percentile(99.9)?,
            max: self.longest()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn nothing_was_seen() {
        let latency = Latency::default();
        assert_eq!((latency.percentiles(), latency.percentile(50.0), latency.mean()), (None, None, None));
    }

    #[test]
    fn percentiles_are_those_of_what_was_seen() {
        let mut latency = Latency::default();
        for tenths in 1..=10_000 {
            latency.record(tenths * MILLISECOND / 10);
        }
        let figures = latency.percentiles().unwrap();
        for (figure, milliseconds) in
            [(figures.p50, 500), (figures.p90, 900), (figures.p99, 990), (figures.p99_9, 999), (figures.max, 1000)]
        {
            let exact = milliseconds * MILLISECOND;
            assert!(figure.abs_diff(exact) <= exact / 1000, "{figure} is not {exact}");
        }
        assert_eq!((figures.mean, figures.max), (500_050_000, 1000 * MILLISECOND));
    }

    #[test]
    fn a_percentile_is_never_over_the_longest() {
        let mut latency = Latency::with_digits(1);
        latency.record(1_234_567);
        assert_eq!(latency.percentile(50.0), Some(1_234_567));
    }

    #[test]
    fn two_add_up_to_what_one_would_have_seen() {
        let (mut left, mut right, mut both) = (Latency::default(), Latency::default(), Latency::default());
        for value in 1..100 {
            left.record(value * MILLISECOND);
            right.record(value * 40 * MILLISECOND);
            both.record(value * MILLISECOND);
            both.record(value * 40 * MILLISECOND);
        }
        left.add(&right);
        assert_eq!((left.count(), left.percentiles()), (both.count(), both.percentiles()));
    }
}
