//! Holds at 80 % of the best rate: how long the slowest in a hundred takes, in transactions.
//!
//! How long a transaction takes is what the server's own metrics say of the same seconds. What does not belong here:
//! how the load is paced.

use super::paced::Paced;
use super::parts;
use super::results::PacedSample;
use super::rounds::Hands;
use super::stage::Station;
use super::{BenchError, as_float};

/// How much of the best rate is asked for.
const SHARE: f64 = 0.8;
/// Over how many connections.
const CONNECTIONS: u32 = 256;
/// The phases of a transaction, from its lock to its end, as the metric's label names them.
const FAMILY: &str = "holdfast_commit_phase_seconds";
const COMMIT: &str = "commit";

/// Measures it once. `best` is in holds a second.
///
/// # Errors
/// If the load cannot be sent, or the server does not tell its metrics.
pub(super) async fn measure(
    hands: &Hands<'_>,
    station: &Station,
    product: u64,
    round: u32,
    best: f64,
) -> Result<PacedSample, BenchError> {
    let wanted = best * SHARE;
    let before = station.metrics().await?;
    let arguments = [
        ("address", station.url().trim_start_matches("http://").to_owned()),
        ("product", product.to_string()),
        ("rate", wanted.to_string()),
        ("connections", CONNECTIONS.to_string()),
        ("seconds", hands.settings.cell.as_secs().to_string()),
    ];
    let paced: Paced = parts::run("paced", arguments, hands.settings.cell).await?;
    let after = station.metrics().await?;
    let phases = Phases::between(&before, &after);
    let sample = PacedSample {
        round,
        wanted_per_second: wanted,
        per_second: as_float(paced.holds) * 1e6 / as_float(paced.microseconds.max(1)),
        failed: paced.failed,
        p50_microseconds: paced.p50,
        p99_microseconds: paced.p99,
        transaction_microseconds: phases.median_of_all() * 1e6,
        mean_transaction_microseconds: phases.mean_of_all() * 1e6,
        commit_phase_microseconds: phases.median_of(COMMIT) * 1e6,
    };
    (hands.say)(&format!(
        "{} round {round} of {}: paced, {:.0}/s wanted: {:.0}/s, p99 {} us, a transaction {:.0} us",
        hands.databases.kind.name(),
        hands.settings.rounds,
        wanted,
        sample.per_second,
        sample.p99_microseconds,
        sample.transaction_microseconds,
    ));
    Ok(sample)
}

/// The histograms of the phases of transactions, between two readings.
#[derive(Debug, Default)]
struct Phases {
    by_name: std::collections::BTreeMap<String, Histogram>,
}

/// How long one phase took.
#[derive(Debug, Default)]
struct Histogram {
    /// How many transactions were not above each bound, in seconds, ascending.
    up_to: Vec<(f64, f64)>,
    /// All of them together, in seconds.
    sum: f64,
}

impl Phases {
    fn between(before: &str, after: &str) -> Self {
        let before: std::collections::HashMap<&str, f64> = before.lines().filter_map(split).collect();
        let mut phases = Self::default();
        for (series, count) in after.lines().filter_map(split) {
            let count = count - before.get(series).copied().unwrap_or_default();
            if let Some((phase, bound)) = bucket(series) {
                phases.by_name.entry(phase.to_owned()).or_default().up_to.push((bound, count));
            } else if let Some(phase) = labels(series, "_sum").and_then(|labels| value(labels, "phase=")) {
                phases.by_name.entry(phase.to_owned()).or_default().sum = count;
            }
        }
        phases
    }

    /// In seconds; 0 if there was no transaction.
    fn median_of(&self, phase: &str) -> f64 {
        self.by_name.get(phase).map(Histogram::median).unwrap_or_default()
    }

    /// The medians of all phases together: the metric knows no whole.
    fn median_of_all(&self) -> f64 {
        self.by_name.values().map(Histogram::median).sum()
    }

    /// The means of all phases together, which no bound of a bucket rounds.
    fn mean_of_all(&self) -> f64 {
        self.by_name.values().map(Histogram::mean).sum()
    }
}

impl Histogram {
    fn count(&self) -> f64 {
        self.up_to.last().map(|(_, all)| *all).unwrap_or_default()
    }

    fn mean(&self) -> f64 {
        let count = self.count();
        if count > 0.0 { self.sum / count } else { 0.0 }
    }

    /// Where half of them would be, if those of one bucket were spread evenly over it.
    fn median(&self) -> f64 {
        let half = self.count() / 2.0;
        let (mut lower, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.up_to {
            if count >= half && count > below {
                return if bound.is_finite() {
                    lower + (bound - lower) * (half - below) / (count - below)
                } else {
                    lower
                };
            }
            (lower, below) = (bound, count);
        }
        0.0
    }
}

/// `series value`, as Prometheus reads it.
fn split(line: &str) -> Option<(&str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    Some((series, value.parse().ok()?))
}

/// The phase and the bound of a bucket: `…_bucket{phase="load",le="0.001"}`.
fn bucket(series: &str) -> Option<(&str, f64)> {
    let labels = labels(series, "_bucket")?;
    let bound = value(labels, "le=")?;
    Some((value(labels, "phase=")?, if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }))
}

/// What stands between the brackets of a series of the phases.
fn labels<'a>(series: &'a str, suffix: &str) -> Option<&'a str> {
    series.strip_prefix(FAMILY)?.strip_prefix(suffix)?.strip_prefix('{')?.strip_suffix('}')
}

fn value<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(name)?;
    rest.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(load: [u32; 3], commit: [u32; 3]) -> String {
        let mut text = "# HELP holdfast_commit_phase_seconds Time\nother_bucket{le=\"1\"} 5\n".to_owned();
        for (phase, counts) in [("load", load), ("commit", commit)] {
            for (bound, count) in ["0.001", "0.002", "+Inf"].iter().zip(counts) {
                let series = format!("{FAMILY}_bucket{{phase=\"{phase}\",le=\"{bound}\"}} {count}\n");
                text.push_str(&series);
            }
        }
        text
    }

    #[test]
    fn a_transaction_is_all_its_phases_between_two_readings() {
        let before = reading([100, 100, 100], [0, 100, 100]);
        let after = reading([110, 110, 110], [0, 110, 110]);
        let phases = Phases::between(&before, &after);
        assert!((phases.median_of("load") - 0.0005).abs() < 1e-9, "{phases:?}");
        assert!((phases.median_of("commit") - 0.0015).abs() < 1e-9, "{phases:?}");
        assert!((phases.median_of_all() - 0.002).abs() < 1e-9);
        let sums = |seconds: f64| format!("{FAMILY}_sum{{phase=\"load\"}} {seconds}\n");
        let phases = Phases::between(&(before + &sums(1.0)), &(after + &sums(1.04)));
        assert!((phases.mean_of_all() - 0.004).abs() < 1e-9, "{phases:?}");
        assert!(phases.median_of("decide").abs() < 1e-9);
    }

    #[test]
    fn a_median_past_the_last_bound_is_that_bound() {
        let phases = Phases::between("", &reading([0, 0, 10], [0, 0, 0]));
        assert!((phases.median_of("load") - 0.002).abs() < 1e-9);
        assert!(phases.median_of("commit").abs() < 1e-9);
    }
}
