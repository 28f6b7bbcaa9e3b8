//! The command line of the load-test harness.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    holdfast_loadtest::cli::main().await.into()
}
