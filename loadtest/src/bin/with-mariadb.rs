//! `with-mariadb COMMAND…`: runs a command with a throw-away MariaDB that its tests share, and ends
//! with the command's exit code.
//!
//! What does not belong here: anything about the command. It finds the server's URL in
//! `HOLDFAST_TEST_MYSQL_URL`; a URL that is there already is left as it is, and no server is started.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use holdfast_loadtest::rig::RigError;
use holdfast_loadtest::rig::database::{MariaDb, SHARED_MARIADB};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("with-mariadb: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        return Err("usage: with-mariadb COMMAND [ARGUMENTS…]".into());
    };
    let mut command = tokio::process::Command::new(&program);
    command.args(arguments);
    let database = match std::env::var_os(SHARED_MARIADB) {
        Some(url) if !url.is_empty() => None,
        _ => Some(MariaDb::start().await?),
    };
    if let Some(database) = &database {
        command.env(SHARED_MARIADB, database.url());
    }
    let running = command.spawn().map_err(|error| format!("{}: {error}", program.display()));
    // An interrupt at the terminal reaches the command too; it decides what to do about it, and we end after it.
    let status = match running {
        Ok(mut child) => loop {
            tokio::select! {
                status = child.wait() => break status.map_err(|error| error.to_string()),
                _ = tokio::signal::ctrl_c() => {}
            }
        },
        Err(error) => Err(error),
    };
    if let Some(database) = &database {
        match database.terminate().await {
            Ok(_) | Err(RigError::Gone { .. }) => {}
            Err(error) => eprintln!("with-mariadb: {error}"),
        }
    }
    Ok(code_of(status?))
}

/// As a shell does: 128 and the signal's number for a command that a signal ended.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
