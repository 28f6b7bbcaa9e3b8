//! The command line of the load-test harness.
//!
//! What does not belong here: anything that a test would want to call; that is in the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holdfast_loadtest::rig::database::MariaDb;

/// Proves, from outside, that a sale did not oversell.
#[derive(Debug, Parser)]
#[command(name = "holdfast-loadtest", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a throw-away MariaDB with full durability, prints its URL, and removes it on Ctrl-C.
    ///
    /// It is installed in a temporary folder, and needs Debian's mariadb-server-core or its like.
    Mariadb,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Mariadb => run_mariadb().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_mariadb() -> Result<(), Box<dyn std::error::Error>> {
    let database = MariaDb::start().await?;
    println!("{}", database.create_database().await?);
    tokio::signal::ctrl_c().await?;
    database.terminate().await?;
    Ok(())
}
