//! What the bench measured, by row, database and connections, round by round.
//!
//! What does not belong here: how it was measured, what is made of it, and any text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{ByRound, Figure};
use super::row::Row;
use super::settings::Database;
use super::usage::Usage;

/// One load in one round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// In which round.
    pub round: u32,
    /// Requests a second that were answered as they should be.
    pub per_second: f64,
    /// How many these were.
    pub requests: u64,
    /// Answers that were not as they should be, and requests without one.
    pub failed: u64,
    /// The median latency, in microseconds; of a load without requests none.
    pub p50_microseconds: Option<u64>,
    /// The 99th percentile of it.
    pub p99_microseconds: Option<u64>,
    /// What the server used for it.
    pub server: Option<Usage>,
    /// What the database used for it, if it is a process of its own.
    pub database: Option<Usage>,
}

/// One row at one number of connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// On which database.
    pub database: Database,
    /// What was measured.
    pub row: Row,
    /// At how many connections.
    pub connections: u32,
    /// Each round.
    pub samples: Vec<Sample>,
}

/// Holds at 80 % of the best rate, in one round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PacedSample {
    /// In which round.
    pub round: u32,
    /// Holds a second that were due.
    pub wanted_per_second: f64,
    /// Holds a second that were placed.
    pub per_second: f64,
    /// Requests without a hold.
    pub failed: u64,
    /// The median latency, in microseconds.
    pub p50_microseconds: u64,
    /// The 99th percentile of it.
    pub p99_microseconds: u64,
    /// The median of a transaction, from its lock to its commit, in microseconds, as the server's histograms tell.
    pub transaction_microseconds: f64,
    /// The mean of the same, which the bounds of no histogram round.
    pub mean_transaction_microseconds: f64,
    /// The median of its phase `commit` alone.
    pub commit_phase_microseconds: f64,
}

/// The server's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryReading {
    /// Of a server that is ready, and was never asked anything.
    pub idle_bytes: u64,
    /// Connections that were open and idle, each after one request.
    pub idle_connections: u32,
    /// With these.
    pub with_idle_connections_bytes: u64,
    /// The most, under load.
    pub peak_bytes: u64,
    /// Connections of that load.
    pub peak_connections: u32,
}

/// What `holdfast audit` said of the benched databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// How many databases were audited.
    pub databases: u32,
    /// What was broken there.
    pub breaches: Vec<String>,
}

/// All that was measured on one kind of database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Which.
    pub database: Database,
    /// What it calls itself.
    pub version: String,
    /// The loads.
    pub cells: Vec<Cell>,
    /// Holds by the clock.
    pub paced: Vec<PacedSample>,
    /// Holds that were in the table of [`Row::TenMillion`] before it was measured.
    pub filled_holds: u64,
    /// Memory.
    pub memory: Option<MemoryReading>,
    /// The audits.
    pub audited: Audited,
}

impl Results {
    /// Nothing yet.
    pub(super) fn new(database: Database, version: String) -> Self {
        let audited = Audited::default();
        Self { database, version, cells: Vec::new(), paced: Vec::new(), filled_holds: 0, memory: None, audited }
    }

    /// Notes one load.
    pub(super) fn add(&mut self, row: Row, connections: u32, sample: Sample) {
        let same = |cell: &&mut Cell| cell.row == row && cell.connections == connections;
        if let Some(cell) = self.cells.iter_mut().find(same) {
            cell.samples.push(sample);
        } else {
            self.cells.push(Cell { database: self.database, row, connections, samples: vec![sample] });
        }
    }

    /// The cell of a row at so many connections.
    pub fn cell(&self, row: Row, connections: u32) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.row == row && cell.connections == connections)
    }

    /// The rates of a row at so many connections, in requests a second.
    pub fn rates(&self, row: Row, connections: u32) -> ByRound {
        self.by_round(row, connections, |sample| Some(sample.per_second))
    }

    /// The median latencies of it, in microseconds.
    pub fn median_latencies(&self, row: Row, connections: u32) -> ByRound {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of seconds")]
        self.by_round(row, connections, |sample| sample.p50_microseconds.map(|microseconds| microseconds as f64))
    }

    fn by_round(&self, row: Row, connections: u32, value: impl Fn(&Sample) -> Option<f64>) -> ByRound {
        let samples = self.cell(row, connections).map(|cell| cell.samples.as_slice()).unwrap_or_default();
        samples.iter().filter_map(|sample| Some((sample.round, value(sample)?))).collect()
    }

    /// The best rate of a row in one round, over all connections.
    pub(super) fn best_rate(&self, row: Row, round: u32) -> Option<f64> {
        let samples = self.cells.iter().filter(|cell| cell.row == row).flat_map(|cell| &cell.samples);
        samples.filter(|sample| sample.round == round).map(|sample| sample.per_second).max_by(f64::total_cmp)
    }

    /// What 10,000 requests of a row cost, by what it is of.
    pub fn costs(&self, row: Row, connections: u32) -> BTreeMap<&'static str, Figure> {
        let samples = self.cell(row, connections).map(|cell| cell.samples.as_slice()).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "some millions of requests, some gigabytes")]
        let per = |usage: &dyn Fn(&Sample) -> Option<f64>, requests: f64| {
            let values: Vec<f64> = samples
                .iter()
                .filter(|sample| sample.requests > 0)
                .filter_map(|sample| Some(usage(sample)? * requests / sample.requests as f64))
                .collect();
            Figure::of(&values)
        };
        #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
        let written = |sample: &Sample| {
            let all = sample.server.iter().chain(&sample.database).map(|usage| usage.written_bytes).sum::<u64>();
            sample.server.map(|_| all as f64)
        };
        let costs = [
            ("server_cpu_seconds_per_10000", per(&|sample| Some(sample.server?.cpu_seconds), 10_000.0)),
            ("database_cpu_seconds_per_10000", per(&|sample| Some(sample.database?.cpu_seconds), 10_000.0)),
            ("written_bytes_each", per(&written, 1.0)),
        ];
        costs.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sample of so many a second, with a median latency.
    pub(in crate::bench) fn sample(round: u32, per_second: f64, p50: u64) -> Sample {
        Sample {
            round,
            per_second,
            requests: 20_000,
            failed: 0,
            p50_microseconds: Some(p50),
            p99_microseconds: Some(p50 * 3),
            server: Some(Usage { cpu_seconds: 1.0, written_bytes: 1_000_000 }),
            database: Some(Usage { cpu_seconds: 0.5, written_bytes: 3_000_000 }),
        }
    }

    #[test]
    fn samples_come_together_in_their_cell() {
        let mut results = Results::new(Database::MariaDb, "MariaDB".to_owned());
        results.add(Row::Hot, 16, sample(1, 100.0, 5));
        results.add(Row::Hot, 64, sample(1, 300.0, 7));
        results.add(Row::Hot, 16, sample(2, 200.0, 6));
        results.add(Row::Even, 16, sample(2, 900.0, 6));
        assert_eq!(results.rates(Row::Hot, 16), ByRound::from([(1, 100.0), (2, 200.0)]));
        assert_eq!(results.median_latencies(Row::Hot, 64), ByRound::from([(1, 7.0)]));
        assert_eq!(results.rates(Row::Zipf, 16), ByRound::new());
        assert_eq!(results.best_rate(Row::Hot, 1), Some(300.0));
        assert_eq!(results.best_rate(Row::Hot, 2), Some(200.0));
        assert_eq!(results.best_rate(Row::Hot, 3), None);
    }

    #[test]
    fn costs_are_split_between_server_and_database() {
        let mut results = Results::new(Database::MariaDb, "MariaDB".to_owned());
        results.add(Row::Hot, 16, sample(1, 100.0, 5));
        let costs = results.costs(Row::Hot, 16);
        let median = |name: &str| costs[name].median;
        assert!((median("server_cpu_seconds_per_10000") - 0.5).abs() < 1e-9);
        assert!((median("database_cpu_seconds_per_10000") - 0.25).abs() < 1e-9);
        assert!((median("written_bytes_each") - 200.0).abs() < 1e-9);
        assert!(results.costs(Row::Zipf, 16).is_empty());
    }
}
