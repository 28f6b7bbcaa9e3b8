//! The command line: what `holdfast` can be told to do, what it prints, and how it exits.
//!
//! What belongs here: arguments, exit codes, the way errors are told. What does not: the commands
//! themselves, one file a subject. Results go to standard output; all else to standard error.

mod audit;
mod database;
mod product;
mod refund;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::app::{self, StartError};
use crate::config::{
    Config, ConfigError, Given, ReaderFlags, SECRETS_HELP, ServerFlags, Sources, process_environment,
    read_log_settings, read_trace_settings,
};
use crate::telemetry::{Traces, logs};

/// A flash-sale service that cannot oversell.
#[derive(Parser)]
#[command(
    name = "holdfast",
    version,
    after_help = "Without a command: serve, with the settings of the environment; flags need the word: \
                  holdfast serve --listen-addr …\n\n\
                  Exit codes: 0 done; 1 failed, or `audit` found a breach; 2 wrong usage or settings; \
                  3 `audit` could not check."
)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API until SIGTERM or SIGINT.
    #[command(after_help = SECRETS_HELP)]
    Serve {
        #[command(flatten)]
        settings: ServerFlags,
    },
    /// Bring the database's schema up to date.
    Migrate {
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Make, list, restock, suspend and resume products.
    #[command(subcommand)]
    Product(product::Command),
    /// List the payments that must be paid back, and note that one was.
    #[command(subcommand)]
    Refund(refund::Command),
    /// Check the invariants I1 to I6 on one consistent snapshot of the database.
    #[command(after_help = "Exit codes: 0 no breach; 1 a breach; 2 wrong usage or settings; 3 could not check.")]
    Audit {
        /// Print one JSON object instead of tables.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

/// Why a command ends without success. The text says what happened and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was told something that makes no sense: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(String),
    /// What was to be checked could not be: exit code 3.
    NotChecked(String),
    /// The audit found a breach, and printed it: exit code 1.
    Breach,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Breach => 1,
            Self::Usage(_) => 2,
            Self::NotChecked(_) => 3,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::NotChecked(text) => Some(text),
            Self::Breach => None,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(format!("{error}\n`holdfast serve --help` lists all settings."))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::DatabaseUrl { .. } => Self::Usage(error.to_string()),
            StartError::Signals(_)
            | StartError::Listen { .. }
            | StartError::NoFile { .. }
            | StartError::Database { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let line = Line::parse();
    match run(line.command.unwrap_or_else(|| Command::Serve { settings: ServerFlags::default() })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                // Nobody is left to tell if standard error is gone; the exit code still says it.
                let _ = writeln!(std::io::stderr(), "holdfast: {text}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { settings } => {
            let sources = sources(settings.0);
            let log_settings = read_log_settings(&sources, "info")?;
            let (trace_settings, warnings) = read_trace_settings(&sources);
            let traces = Traces::start(trace_settings.as_ref()).map_err(|error| Failure::Usage(error.to_string()))?;
            logs::start(&log_settings, &traces);
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            let served = serve(&sources, traces);
            if let Err(failure) = &served {
                // Whoever collects the log must find there why a server is not.
                tracing::error!(reason = failure.text(), "the server did not start");
            }
            served
        }
        Command::Migrate { settings } => {
            let sources = quiet_sources(settings.0)?;
            wait(database::migrate(&sources))?
        }
        Command::Product(command) => product::run(command),
        Command::Refund(command) => refund::run(command),
        Command::Audit { json, settings } => {
            let sources = quiet_sources(settings.0)?;
            wait(audit::run(&sources, json))?
        }
        Command::Openapi => print(&crate::http::openapi()),
    }
}

fn serve(sources: &Sources<'_>, traces: Traces) -> Result<(), Failure> {
    let config = Config::read(sources)?;
    Ok(wait(app::serve(config, traces))??)
}

fn sources(given: Given) -> Sources<'static> {
    Sources::new(given, &process_environment)
}

/// The settings of a command that is not the server; it logs what degraded, and says the rest itself.
fn quiet_sources(given: Given) -> Result<Sources<'static>, Failure> {
    let sources = sources(given);
    logs::start(&read_log_settings(&sources, "warn")?, &Traces::default());
    Ok(sources)
}

/// Runs `work` to its end.
fn wait<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the system gave no threads to run on: {error}")))?;
    let result = runtime.block_on(work);
    // What still waits (a name look-up, a read of standard input) must not hold up the exit.
    runtime.shutdown_background();
    Ok(result)
}

/// Prints a result, ended with a line break.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{}", text.trim_end()).and_then(|()| output.flush()) {
        // Whoever reads has read enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Failed(format!("the result could not be printed: {error}"))),
    }
}

/// Prints a value as JSON for programs and people.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Failed(format!("the result could not be written as JSON: {error}")))?;
    print(&text)
}

/// Rows as a JSON object, as the API lists them.
#[derive(Serialize)]
struct List<T> {
    data: Vec<T>,
}

impl<T> List<T> {
    fn of(rows: impl Iterator<Item = T>) -> Self {
        Self { data: rows.collect() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_command_has_its_arguments() {
        for line in [
            "holdfast",
            "holdfast serve --listen-addr 127.0.0.1:0 --hold-ttl-seconds 5",
            "holdfast migrate --database-url sqlite:x.db",
            "holdfast product add --name Lamp --price 99.99 --stock 100 --description bright",
            "holdfast product list --json",
            "holdfast product restock 1 --qty -5",
            "holdfast product suspend 1 --reason recall",
            "holdfast product resume 1 --force",
            "holdfast refund list --json",
            "holdfast refund done evt_1",
            "holdfast refund done -evt_1",
            "holdfast refund done --database-url sqlite:x.db evt_1",
            "holdfast audit --json",
            "holdfast openapi",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "holdfast sell",
            "holdfast product add --name Lamp",
            "holdfast product restock 0 --qty 1",
            "holdfast serve --admin-token x",
        ] {
            let code = Line::try_parse_from(line.split(' ')).err().map(|error| error.exit_code());
            assert_eq!(code, Some(2), "{line}");
        }
    }
}
