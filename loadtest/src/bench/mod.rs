//! The bench: how fast a sale goes, against what the same machine answers when there is no sale to keep.
//!
//! Databases, servers, the ceiling and the load are each a process of its own, started here and gone with this one.
//! `rounds` measures loads in turn, `latency`, `memory` and `filled` the rest; `results` keeps what was measured,
//! `goals` holds it against what it should reach, `table` and the JSON of [`Bench`] show it. At its end the harness's
//! own scenarios run on the same binary and kind of database, and what was sold is audited: speed that costs an
//! invariant is none. What does not belong here: anything of the service's code.

mod ceiling;
mod figures;
mod filled;
mod goals;
mod latency;
mod machine;
mod memory;
mod paced;
pub mod parts;
mod plain_sql;
mod results;
mod rounds;
mod row;
mod settings;
mod stage;
mod table;
mod usage;
mod verdict;
mod wrk;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

pub use figures::Figure;
pub use goals::{Better, Judged, Standing};
pub use machine::Machine;
pub use results::Results;
pub use row::{CONNECTIONS, Row};
pub use settings::{Database, Settings};
pub use table::table;
pub use verdict::Proof;

use crate::rig::RigError;
use crate::run::RunError;
use crate::scenario::Stop;
use crate::target::{TargetError, find_server};
use parts::Ceiling;
use rounds::Hands;
use stage::{Databases, Servers};
use wrk::Wrk;

/// A load before the first that counts: caches fill, tables grow from nothing.
const WARM_UP: Duration = Duration::from_secs(1);

/// Is told how far the bench is.
pub type Say<'a> = dyn Fn(&str) + Sync + 'a;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program could not be started, or broke.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// There is no server, or it does not do what it should.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The scenarios could not run.
    #[error("the checks at the end of the bench: {0}")]
    Run(#[from] RunError),
    /// A load generator failed.
    #[error("{program} failed; it wrote:\n{wrote}")]
    Load {
        /// Which.
        program: &'static str,
        /// All that it wrote.
        wrote: String,
    },
    /// Products that were made one after the other have gaps between their numbers.
    #[error("the products of the bench have gaps between their ids: does somebody else use its database?")]
    Gap,
    /// A connection could not be opened, or its request was not answered.
    #[error("a connection to the server: {what}")]
    Connection {
        /// What is wrong with it.
        what: String,
    },
    /// A figure is not where it should be.
    #[error("could not read {what}")]
    Unreadable {
        /// Which.
        what: &'static str,
    },
    /// Somebody stopped it.
    #[error("the bench was stopped")]
    Stopped,
}

/// All that a bench found.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// The version of the harness.
    pub version: &'static str,
    /// Whether the server or the harness is a debug build, whose figures mean nothing.
    pub is_debug_build: bool,
    /// What it was measured on.
    pub machine: Machine,
    /// Settings of the servers that are not as shipped.
    pub server_settings: Vec<String>,
    /// Settings of the MariaDB besides those of the rig.
    pub mariadb_settings: Vec<String>,
    /// How often each load was measured.
    pub rounds: u32,
    /// How long each time, in seconds.
    pub cell_seconds: u64,
    /// The figures that matter, held against their goals.
    pub goals: Vec<Judged>,
    /// All figures, by database.
    pub results: Vec<Results>,
    /// What the checks at the end say, by database.
    pub proofs: Vec<Proof>,
}

/// Measures, and proves that what was measured keeps its promises.
///
/// # Errors
/// If something cannot be measured.
pub async fn run(settings: &Settings, stop: &Stop, say: &Say<'_>) -> Result<Bench, BenchError> {
    let wrk = Wrk::find()?;
    let program = find_server(settings.server.as_deref(), say).await?;
    let is_debug_build = cfg!(debug_assertions) || is_debug(&program);
    if is_debug_build {
        say("this is a debug build: its figures mean nothing; build with --release");
    }
    let servers = Servers::new(&program);
    let mut results = Vec::new();
    let mut proofs = Vec::new();
    for kind in &settings.databases {
        let databases = Databases::start(*kind).await?;
        let mut measured = Results::new(*kind, databases.version().await?);
        {
            let ceiling = Ceiling::start().await?;
            let hands =
                Hands { settings, databases: &databases, servers: &servers, ceiling: &ceiling, wrk: &wrk, stop, say };
            measure(&hands, &mut measured).await?;
        }
        // Before the scenarios start their own.
        drop(databases);
        proofs.push(verdict::prove(*kind, &program, settings.seed, &measured.audited, stop, say).await?);
        results.push(measured);
    }
    Ok(Bench {
        version: env!("CARGO_PKG_VERSION"),
        is_debug_build,
        machine: Machine::this(),
        server_settings: stage::SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        mariadb_settings: stage::MARIADB.iter().map(|argument| (*argument).to_owned()).collect(),
        rounds: settings.rounds,
        cell_seconds: settings.cell.as_secs(),
        goals: results.iter().flat_map(goals::judge).collect(),
        results,
        proofs,
    })
}

async fn measure(hands: &Hands<'_>, results: &mut Results) -> Result<(), BenchError> {
    let is_of_rounds = |row: &Row| row.is_load() || *row == Row::PlainSql;
    if hands.settings.rows.iter().any(is_of_rounds) {
        for round in 1..=hands.settings.rounds {
            rounds::measure(hands, round, results).await?;
        }
    }
    if hands.wants(Row::Memory) {
        memory::measure(hands, results).await?;
    }
    if hands.wants(Row::TenMillion) || hands.wants(Row::EmptyTable) {
        filled::measure(hands, results).await?;
    }
    Ok(())
}

/// Whether a binary is where cargo puts debug builds.
fn is_debug(program: &Path) -> bool {
    program.parent().is_some_and(|folder| folder.ends_with("debug") || folder.ends_with("debug/deps"))
}

/// A stream that nobody reads is no reason to fail.
fn say_on_standard_output(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds, far below what a float holds")]
fn as_float(count: u64) -> f64 {
    count as f64
}
