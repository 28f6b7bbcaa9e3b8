//! The command line: what was asked for, what comes out, and the exit code.
//!
//! What does not belong here: anything that a test would want to call.

mod arguments;
mod bench;
mod exit;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueHint};

pub use arguments::{Results, RunArguments};
pub use exit::ExitCode;

use crate::bench::parts::{COMMAND, Part};
use crate::check;
use crate::history;
use crate::measure::threshold::Threshold;
use crate::report::Wanted;
use crate::rig::database::MariaDb;
use crate::run::{self, RunError};
use crate::scenario::Stop;

/// Proves, from outside, that a sale did not oversell.
#[derive(Debug, Parser)]
#[command(name = "holdfast-loadtest", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<RunArguments>),
    Check(CheckArguments),
    Bench(bench::BenchArguments),
    /// A process of the bench.
    #[command(hide = true, name = COMMAND)]
    BenchPart {
        #[command(subcommand)]
        part: Part,
    },
    /// Runs a throw-away MariaDB with full durability, prints its URL, and removes it on Ctrl-C.
    ///
    /// It is installed in a temporary folder, and needs Debian's mariadb-server-core or its like.
    Mariadb,
}

/// Judges a history again, alone.
///
/// Exit codes are those of `run`.
#[derive(Debug, Args)]
struct CheckArguments {
    /// What `run` kept.
    #[arg(value_hint = ValueHint::FilePath)]
    history: PathBuf,
    /// Fail, with exit code 2, if this is so: 'p99(hold) > 50ms', 'errors > 0.1%' (several).
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<Threshold>,
    /// Write a report: html, json, junit or markdown, such as html=report.html (several).
    #[arg(long, value_name = "KIND=PATH")]
    report: Vec<Wanted>,
}

/// Does what the command line asks for.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // It has nowhere else to go.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Held };
        }
    };
    let done = match arguments.command {
        Command::Run(arguments) => run(*arguments).await,
        Command::Check(arguments) => check(&arguments).await,
        Command::Bench(arguments) => bench::bench(arguments).await,
        Command::BenchPart { part } => part.run().await.map(|()| ExitCode::Held),
        Command::Mariadb => mariadb().await.map(|()| ExitCode::Held),
    };
    done.unwrap_or_else(|error| {
        show::say(&format!("holdfast-loadtest: {error}"));
        ExitCode::Usage
    })
}

async fn run(arguments: RunArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let command: Vec<String> = std::env::args().collect();
    let (settings, results) = arguments.settings(|name| std::env::var(name).ok(), &command)?;
    show::prepare(&results, &settings)?;
    let stop = Stop::new();
    stop_on_interrupt(&stop)?;
    let watcher = Arc::new(show::Screen::new());
    let finished = run::run(&settings, &stop, Arc::clone(&watcher) as Arc<dyn run::Watcher>).await;
    watcher.close();
    let finished = match finished {
        Ok(finished) => finished,
        Err(error) => {
            let code = if error.is_unknown() { ExitCode::Unknown } else { ExitCode::Usage };
            show::say(&format!("holdfast-loadtest: {error}"));
            show::no_verdict(&results, &error.to_string(), code);
            return Ok(code);
        }
    };
    let shown = show::Shown {
        history: &finished.history,
        verdict: &finished.verdict,
        path: &finished.history_path,
        goose_reports: settings.goose_reports.as_deref(),
    };
    if let Some(cleaned) = &finished.cleaned {
        show::cleaned(cleaned);
    }
    let code = show::show(&shown, &results).await;
    if code == ExitCode::Held && !results.keep_history {
        // Nobody asked for it, and there is nothing to look at.
        let _ = std::fs::remove_file(&finished.history_path);
    }
    Ok(code)
}

async fn check(arguments: &CheckArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let path = arguments.history.clone();
    let judged = tokio::task::spawn_blocking(move || {
        let history = history::read(&path)?;
        let verdict = check::judge(&history);
        Ok::<_, RunError>((history, verdict))
    });
    let (history, verdict) = judged.await??;
    let results = Results {
        thresholds: arguments.fail_if.clone(),
        reports: arguments.report.clone(),
        annotate: None,
        keep_history: true,
    };
    let shown = show::Shown { history: &history, verdict: &verdict, path: &arguments.history, goose_reports: None };
    Ok(show::show(&shown, &results).await)
}

/// The first interrupt ends the run and cleans up; the second ends it at once.
fn stop_on_interrupt(stop: &Stop) -> Result<(), ctrlc::Error> {
    let stop = stop.clone();
    // Set before goose sets its own, which then does not count.
    ctrlc::set_handler(move || {
        if stop.is_set() {
            std::process::exit(ExitCode::Unknown as i32);
        }
        // Before anything is said: whoever listens may be gone.
        stop.set();
        show::say("stopping, and cleaning up; once more ends it at once");
    })
}

async fn mariadb() -> Result<(), Box<dyn std::error::Error>> {
    let database = MariaDb::start().await?;
    show::print(&format!("{}\n", database.create_database().await?));
    tokio::signal::ctrl_c().await?;
    database.terminate().await?;
    Ok(())
}
