//! What the figures should reach: ratios, each with what it must be at least and what is aimed for.
//!
//! The ratios hold from machine to machine, which rates do not. What does not belong here: how they are shown.

use serde::Serialize;

use super::figures::{ByRound, Figure, ratios};
use super::results::Results;
use super::row::Row;
use super::settings::Database;

/// What goals are set for: connections, holds in the table, idle connections.
const CONNECTIONS: u32 = 256;
const FILLED_HOLDS: u64 = 10_000_000;
const IDLE_CONNECTIONS: u32 = 10_000;

/// On which side of its bounds a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The more the better.
    More,
    /// The less the better.
    Less,
}

/// How far a figure got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was measured smaller than its goal is set for, so nothing is said.
    Unjudged,
    /// Not as far as it must.
    Missed,
    /// As far as it must.
    Reached,
    /// As far as is aimed for.
    Aimed,
}

/// A figure held against its goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// What the figure is.
    pub what: String,
    /// On which database.
    pub database: Database,
    /// The figure.
    pub figure: Figure,
    /// What it must be.
    pub at_least: f64,
    /// What is aimed for.
    pub aim: f64,
    /// Which way.
    pub better: Better,
    /// How far it got: its median counts.
    pub standing: Standing,
}

/// The goals whose figures were measured.
pub(super) fn judge(results: &Results) -> Vec<Judged> {
    let all = Goals { results, at: busiest(results) };
    let (ceiling, one_by_one) = match results.database {
        Database::MariaDb => ((0.50, 0.75), (15.0, 25.0)),
        Database::Sqlite => ((0.55, 0.75), (20.0, 30.0)),
    };
    [
        all.rate("one hot product / ceiling", Row::Hot, Row::Ceiling, ceiling),
        all.rate("one hot product / BATCH_MAX=1", Row::Hot, Row::BatchMax1, one_by_one),
        all.rate("funnel's requests / ceiling", Row::Funnel, Row::Ceiling, (0.35, 0.50)),
        all.rate("1,000 products evenly / one hot product", Row::Even, Row::Hot, (0.7, 0.9)),
        all.rate("GET product / ceiling", Row::Product, Row::Ceiling, (0.65, 0.95)),
        all.rate("holds when sold out / ceiling", Row::SoldOut, Row::Ceiling, (0.65, 0.95)),
        all.full_table(),
        all.latency_alone(),
        all.slowest_in_a_hundred(),
        all.memory(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The connections that are judged: those of the goals if they were measured, else the most that were.
fn busiest(results: &Results) -> u32 {
    let measured = || results.cells.iter().filter(|cell| cell.row.is_load()).map(|cell| cell.connections);
    if measured().any(|number| number == CONNECTIONS) { CONNECTIONS } else { measured().max().unwrap_or(CONNECTIONS) }
}

struct Goals<'a> {
    results: &'a Results,
    at: u32,
}

impl Goals<'_> {
    fn rate(&self, what: &str, of: Row, to: Row, bounds: (f64, f64)) -> Option<Judged> {
        let figure = Figure::of(&ratios(&self.results.rates(of, self.at), &self.results.rates(to, self.at)))?;
        let what = format!("{what}, {} connections", self.at);
        Some(self.judged(&what, self.at == CONNECTIONS, figure, bounds, Better::More))
    }

    fn full_table(&self) -> Option<Judged> {
        let rates = |row| self.results.rates(row, super::filled::CONNECTIONS);
        let figure = Figure::of(&ratios(&rates(Row::TenMillion), &rates(Row::EmptyTable)))?;
        let what = format!("after {} holds / empty table", crate::report::thousands(self.results.filled_holds));
        let is_full = self.results.filled_holds >= FILLED_HOLDS;
        Some(self.judged(&what, is_full, figure, (0.9, 1.0), Better::More))
    }

    /// No slower is enough, so 1 is reached; faster is aimed for.
    fn latency_alone(&self) -> Option<Judged> {
        let alone = |row| self.results.median_latencies(row, 1);
        let figure = Figure::of(&ratios(&alone(Row::Hot), &alone(Row::BatchMax1)))?;
        Some(self.judged("median latency / BATCH_MAX=1, 1 connection", true, figure, (1.0, 0.99), Better::Less))
    }

    fn slowest_in_a_hundred(&self) -> Option<Judged> {
        let by_round = |value: fn(&super::results::PacedSample) -> f64| -> ByRound {
            self.results.paced.iter().map(|sample| (sample.round, value(sample))).collect()
        };
        let slowest = by_round(|sample| super::as_float(sample.p99_microseconds));
        let figure = Figure::of(&ratios(&slowest, &by_round(|sample| sample.transaction_microseconds)))?;
        Some(self.judged("p99 at 80 % of the best rate / median transaction", true, figure, (8.0, 4.0), Better::Less))
    }

    fn memory(&self) -> Option<Judged> {
        let memory = self.results.memory?;
        let figure = Figure::of(&[super::as_float(memory.with_idle_connections_bytes) / 1e6])?;
        let what =
            format!("resident MB, {} idle connections", crate::report::thousands(memory.idle_connections.into()));
        let is_full = memory.idle_connections >= IDLE_CONNECTIONS;
        Some(self.judged(&what, is_full, figure, (250.0, 120.0), Better::Less))
    }

    fn judged(
        &self,
        what: &str,
        is_judged: bool,
        figure: Figure,
        (at_least, aim): (f64, f64),
        better: Better,
    ) -> Judged {
        let standing = if is_judged { standing(figure.median, at_least, aim, better) } else { Standing::Unjudged };
        Judged { what: what.to_owned(), database: self.results.database, figure, at_least, aim, better, standing }
    }
}

fn standing(value: f64, at_least: f64, aim: f64, better: Better) -> Standing {
    let is_as_good_as = |bound: f64| match better {
        Better::More => value >= bound,
        Better::Less => value <= bound,
    };
    if is_as_good_as(aim) {
        Standing::Aimed
    } else if is_as_good_as(at_least) {
        Standing::Reached
    } else {
        Standing::Missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::tests::sample;

    #[test]
    fn bounds_are_part_of_what_is_reached() {
        for (value, better, expected) in [
            (0.49, Better::More, Standing::Missed),
            (0.50, Better::More, Standing::Reached),
            (0.74, Better::More, Standing::Reached),
            (0.75, Better::More, Standing::Aimed),
            (9.0, Better::Less, Standing::Missed),
            (8.0, Better::Less, Standing::Reached),
            (4.0, Better::Less, Standing::Aimed),
        ] {
            let (at_least, aim) = if better == Better::More { (0.50, 0.75) } else { (8.0, 4.0) };
            assert_eq!(standing(value, at_least, aim, better), expected, "{value}");
        }
    }

    #[test]
    fn only_what_was_measured_is_judged_and_at_the_right_connections() {
        let mut results = Results::new(Database::MariaDb, "MariaDB".to_owned());
        assert!(judge(&results).is_empty());
        for (row, rate) in [(Row::Ceiling, 60_000.0), (Row::BatchMax1, 1_000.0), (Row::Hot, 30_000.0)] {
            results.add(row, 256, sample(1, rate, 50));
            results.add(row, 1024, sample(1, 1.0, 50));
            results.add(row, 1, sample(1, 1_000.0, if row == Row::Hot { 45 } else { 50 }));
        }
        let judged = judge(&results);
        let medians: Vec<f64> = judged.iter().map(|judged| judged.figure.median).collect();
        assert_eq!(medians, [0.5, 30.0, 0.9]);
        let standings: Vec<_> = judged.iter().map(|judged| judged.standing).collect();
        assert_eq!(standings, [Standing::Reached, Standing::Aimed, Standing::Aimed]);
        assert!(judged[0].what.ends_with("256 connections"), "{}", judged[0].what);
    }

    #[test]
    fn what_is_measured_too_small_is_shown_and_not_judged() {
        let mut results = Results::new(Database::Sqlite, "SQLite".to_owned());
        for row in [Row::Ceiling, Row::Hot] {
            results.add(row, 16, sample(1, 1_000.0, 50));
        }
        for row in [Row::EmptyTable, Row::TenMillion] {
            results.add(row, 256, sample(1, 1_000.0, 50));
        }
        results.filled_holds = FILLED_HOLDS - 1;
        let standings = |results: &Results| judge(results).iter().map(|judged| judged.standing).collect::<Vec<_>>();
        assert_eq!(standings(&results), [Standing::Unjudged, Standing::Unjudged]);
        results.filled_holds = FILLED_HOLDS;
        assert_eq!(standings(&results), [Standing::Unjudged, Standing::Aimed]);
    }
}
