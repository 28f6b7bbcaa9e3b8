//! The command line of `bench`: what may be asked for, and what is exited with.
//!
//! What does not belong here: what is measured, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};

use super::{ExitCode, show, stop_on_interrupt};
use crate::bench::{self, Bench, BenchError, CONNECTIONS, Database, Row, Settings, Standing};
use crate::check;
use crate::measure::threshold::Reached;
use crate::scenario::Stop;

/// Holds of the row `ten-million`, and of a quick bench.
const FILLED_HOLDS: u64 = 10_000_000;
const QUICK_FILLED_HOLDS: u64 = 10_000;
/// Idle connections of the row `memory`, and of a quick bench.
const IDLE_CONNECTIONS: u32 = 10_000;
const QUICK_IDLE_CONNECTIONS: u32 = 100;

/// Measures how fast a sale goes, against what the same machine answers when there is no sale to keep.
///
/// It starts everything itself: databases, servers, a bare server as the ceiling, and the load, for which it needs wrk.
/// It prints ratios first, then rates, then the verdict of the harness's own scenarios on the same binary. Build with
/// --release, on a machine that does nothing else.
///
/// Exit codes: 0 all checks held; 1 an invariant was broken; 2 with --fail-if-missed: a ratio is less than it must be;
/// 3 the verdict is unknown, or the bench was stopped or could not go on; 4 wrong usage.
#[derive(Clone, Debug, Args)]
pub(super) struct BenchArguments {
    /// A few seconds: one round of a second, at 16 connections; 10,000 holds for ten million, 100 idle connections.
    #[arg(long)]
    quick: bool,
    /// Measure these rows only, and those that they are compared with (several, or separated by commas)
    /// [default: all but ten-million, which fills a table for minutes].
    #[arg(long, value_enum, value_name = "ROW", value_delimiter = ',')]
    only: Vec<Row>,
    /// On these databases only (several, or separated by commas) [default: both].
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    database: Vec<Database>,
    /// Loads at these connections (several, or separated by commas) [default: 1,16,64,256,1024; with --quick: 16].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Vec<u32>,
    /// How long each load goes on in each round, in seconds [default: 2; with --quick: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// How often everything is measured [default: 3; with --quick: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Write all figures here, as JSON.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
    /// The server's binary [default: beside this program, else on PATH, else built by cargo].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    server_bin: Option<PathBuf>,
    /// What the choices of the scenarios at the end are drawn from [default: at random].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Fail, with exit code 2, if a ratio is less than it must be.
    #[arg(long)]
    fail_if_missed: bool,
}

impl BenchArguments {
    fn settings(&self) -> Settings {
        let sorted = |mut numbers: Vec<u32>| {
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let rows = if self.only.is_empty() {
            Row::all().iter().copied().filter(|row| !matches!(row, Row::EmptyTable | Row::TenMillion)).collect()
        } else {
            Row::with_comparisons(&self.only)
        };
        let (connections, seconds, rounds) = if self.quick { (&[16][..], 1, 1) } else { (&CONNECTIONS[..], 2, 3) };
        Settings {
            server: self.server_bin.clone(),
            databases: if self.database.is_empty() {
                vec![Database::Sqlite, Database::MariaDb]
            } else {
                self.database.clone()
            },
            rows,
            connections: sorted(if self.connections.is_empty() {
                connections.to_vec()
            } else {
                self.connections.clone()
            }),
            cell: Duration::from_secs(self.seconds.unwrap_or(seconds)),
            rounds: self.rounds.unwrap_or(rounds),
            filled_holds: if self.quick { QUICK_FILLED_HOLDS } else { FILLED_HOLDS },
            idle_connections: if self.quick { QUICK_IDLE_CONNECTIONS } else { IDLE_CONNECTIONS },
            seed: self.seed.unwrap_or_else(|| u64::from(fastrand::u32(..))),
        }
    }
}

/// Measures, prints, writes, and says what to exit with.
pub(super) async fn bench(arguments: BenchArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(path) = &arguments.json {
        // Before minutes of load find out that it cannot be written.
        write(path, "")?;
    }
    let stop = Stop::new();
    stop_on_interrupt(&stop)?;
    let bench = match bench::run(&arguments.settings(), &stop, &|text| show::say(text)).await {
        Ok(bench) => bench,
        Err(error) => {
            show::say(&format!("holdfast-loadtest: {error}"));
            let is_usage =
                matches!(error, BenchError::Target(_) | BenchError::Rig(crate::rig::RigError::ProgramMissing { .. }));
            return Ok(if is_usage { ExitCode::Usage } else { ExitCode::Unknown });
        }
    };
    if let Some(path) = &arguments.json {
        write(path, &serde_json::to_string_pretty(&bench)?)?;
    }
    show::print(&bench::table(&bench));
    Ok(code(&bench, arguments.fail_if_missed))
}

fn code(bench: &Bench, fail_if_missed: bool) -> ExitCode {
    let worst = |standing| bench.proofs.iter().any(|proof| proof.standing() == standing);
    let standing = [check::Standing::Broken, check::Standing::Unknown, check::Standing::NotApplicable]
        .into_iter()
        .find(|standing| worst(*standing))
        .unwrap_or(check::Standing::Held);
    let missed = bench.goals.iter().filter(|judged| fail_if_missed && judged.standing == Standing::Missed);
    ExitCode::of(standing, missed.map(|_| Reached::Missed))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
