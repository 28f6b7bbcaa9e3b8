//! What becomes of the same figure measured again and again: its median, its spread, and ratios.
//!
//! What does not belong here: what the figures are of. A ratio is taken round by round, because the two figures of
//! a round were measured one after the other, on the same machine in the same mood.

use serde::Serialize;

/// A figure that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many times it was measured.
    pub rounds: usize,
}

impl Figure {
    /// Of these values; `None` if there is none, or one is no number.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        sorted.iter().all(|value| value.is_finite()).then_some(Self { median, least, most, rounds: sorted.len() })
    }

    /// How far a round was from the median at most, as a part of the median.
    pub fn deviation(&self) -> f64 {
        if self.median == 0.0 {
            return 0.0;
        }
        (self.most - self.median).max(self.median - self.least) / self.median
    }
}

/// What was measured in each round, by the number of the round.
pub(super) type ByRound = std::collections::BTreeMap<u32, f64>;

/// The ratios of the rounds in which both were measured; rounds whose divisor is 0 are left out.
pub(super) fn ratios(dividend: &ByRound, divisor: &ByRound) -> Vec<f64> {
    let pairs = dividend.iter().filter_map(|(round, above)| Some((above, divisor.get(round)?)));
    pairs.filter(|(_, below)| **below > 0.0).map(|(above, below)| above / below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(values: &[f64]) -> (f64, f64, f64) {
        let figure = Figure::of(values).expect("a figure");
        (figure.median, figure.least, figure.most)
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(figure(&[3.0]), (3.0, 3.0, 3.0));
        assert_eq!(figure(&[9.0, 1.0, 5.0]), (5.0, 1.0, 9.0));
        assert_eq!(figure(&[4.0, 1.0, 2.0, 100.0]), (3.0, 1.0, 100.0));
        assert_eq!(Figure::of(&[]), None);
        assert_eq!(Figure::of(&[1.0, f64::NAN]), None);
        assert_eq!(Figure::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn the_deviation_is_that_of_the_round_that_is_farthest_off() {
        let deviation = |values: &[f64]| Figure::of(values).expect("a figure").deviation();
        assert!((deviation(&[90.0, 100.0, 105.0]) - 0.10).abs() < 1e-9);
        assert!((deviation(&[99.0, 100.0, 120.0]) - 0.20).abs() < 1e-9);
        assert!(deviation(&[0.0, 0.0]).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let above = ByRound::from([(1, 10.0), (2, 30.0), (3, 7.0)]);
        let below = ByRound::from([(1, 20.0), (2, 10.0), (4, 1.0)]);
        assert_eq!(ratios(&above, &below), [0.5, 3.0]);
        assert_eq!(ratios(&above, &ByRound::from([(1, 0.0)])), [] as [f64; 0]);
    }
}
