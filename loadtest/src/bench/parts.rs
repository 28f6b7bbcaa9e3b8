//! The parts of the bench that are processes of their own: this program, started again with a hidden command.
//!
//! What does not belong here: what a part does. A part serves until it is killed, or works and prints one line of
//! JSON; it is a child of the bench, so it dies with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BenchError;
use crate::rig::RigError;
use crate::rig::process::{self, Plan, Process};

/// The hidden command.
pub const COMMAND: &str = "bench-part";
/// What a part may take longer than it was told to.
const END_LIMIT: Duration = Duration::from_mins(1);
/// How long the ceiling may take to listen.
const LISTEN_LIMIT: Duration = Duration::from_secs(30);

/// A part, by what its command line says.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Part {
    /// The bare server.
    Ceiling,
    /// Holds in plain SQL.
    PlainSql(super::plain_sql::Arguments),
    /// Holds by the clock.
    Paced(super::paced::Arguments),
}

impl Part {
    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Ceiling => match super::ceiling::serve().await? {},
            Self::PlainSql(arguments) => print(&super::plain_sql::run(&arguments).await?),
            Self::Paced(arguments) => {
                print(&tokio::task::spawn_blocking(move || super::paced::run(&arguments)).await??)
            }
        }
    }
}

fn print<T: Serialize>(what: &T) -> Result<(), Box<dyn std::error::Error>> {
    super::say_on_standard_output(&serde_json::to_string(what)?);
    Ok(())
}

/// The ceiling, as it runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Ceiling {
    process: Process,
    url: String,
}

impl Ceiling {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not say where it listens.
    pub(super) async fn start() -> Result<Self, BenchError> {
        let process = Process::spawn(&plan(["ceiling".into()])?).await?;
        let log = process.log().clone();
        let listening = log.wait_for(|line| line.text.strip_prefix("listening on ").map(str::to_owned));
        let url = tokio::time::timeout(LISTEN_LIMIT, listening).await.ok().flatten();
        let url = url.ok_or_else(|| BenchError::Load { program: "the ceiling", wrote: process.log().text() })?;
        Ok(Self { process, url })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The number of its process.
    pub(super) fn process_id(&self) -> i32 {
        self.process.id()
    }
}

/// Runs a part that ends by itself after `duration`, and returns what it prints.
///
/// # Errors
/// If it fails, with what it wrote.
pub(super) async fn run<T: DeserializeOwned>(
    name: &'static str,
    arguments: impl IntoIterator<Item = (&'static str, String)>,
    duration: Duration,
) -> Result<T, BenchError> {
    let words = arguments.into_iter().map(|(name, value)| OsString::from(format!("--{name}={value}")));
    let finished = process::run(&plan(std::iter::once(name.into()).chain(words))?, duration + END_LIMIT).await?;
    let said = finished.out.lines().find_map(|line| serde_json::from_str(line).ok());
    said.filter(|_| finished.status.success())
        .ok_or_else(|| BenchError::Load { program: name, wrote: format!("{}{}", finished.out, finished.err) })
}

fn plan(words: impl IntoIterator<Item = OsString>) -> Result<Plan, RigError> {
    let program: PathBuf = std::env::current_exe().map_err(RigError::system("find this program"))?;
    let mut plan = Plan::new(program);
    plan.arguments.push(COMMAND.into());
    plan.arguments.extend(words);
    Ok(plan)
}
