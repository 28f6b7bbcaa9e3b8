//! The command line: `serve`, and `audit --json`, with the settings of the service, from its environment
//! variables.
//!
//! What does not belong here: anything else.

use std::process::ExitCode;

use holdfast_faulty::{Settings, audit, serve};

const WRONG_USAGE: u8 = 2;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("holdfast-faulty: {problem}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let done = match std::env::args().nth(1).as_deref() {
        None | Some("serve") => serve(settings).await,
        Some("audit") => audit(&settings),
        Some(other) => {
            eprintln!("holdfast-faulty: unknown command {other:?}: serve, or audit --json");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-faulty: {error}");
            ExitCode::FAILURE
        }
    }
}
