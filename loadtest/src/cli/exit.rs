//! Exit codes: what CI believes.

use crate::check::Standing;
use crate::measure::threshold::Reached;

/// How the harness ends. The first that applies, in the order of [`ExitCode::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Every check held, every threshold was met.
    Held = 0,
    /// An invariant was broken.
    Broken = 1,
    /// Every check held, and a threshold was missed.
    Missed = 2,
    /// The verdict is unknown, or the run was stopped.
    Unknown = 3,
    /// Wrong usage, or no server ever answered.
    Usage = 4,
}

impl ExitCode {
    /// For a run that took place.
    pub fn of(standing: Standing, thresholds: impl Iterator<Item = Reached>) -> Self {
        let thresholds: Vec<Reached> = thresholds.collect();
        match standing {
            Standing::Broken => Self::Broken,
            Standing::Unknown | Standing::NotApplicable => Self::Unknown,
            Standing::Held if thresholds.contains(&Reached::Unknown) => Self::Unknown,
            Standing::Held if thresholds.contains(&Reached::Missed) => Self::Missed,
            Standing::Held => Self::Held,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_news_comes_first() {
        use Reached::{Met, Missed, Unknown};
        for (standing, thresholds, code) in [
            (Standing::Broken, vec![Unknown, Missed], ExitCode::Broken),
            (Standing::Broken, vec![], ExitCode::Broken),
            (Standing::Unknown, vec![Missed], ExitCode::Unknown),
            (Standing::Held, vec![Missed, Unknown], ExitCode::Unknown),
            (Standing::Held, vec![Met, Missed], ExitCode::Missed),
            (Standing::Held, vec![Met], ExitCode::Held),
            (Standing::Held, vec![], ExitCode::Held),
        ] {
            assert_eq!(ExitCode::of(standing, thresholds.iter().copied()), code, "{standing:?} {thresholds:?}");
        }
    }
}
