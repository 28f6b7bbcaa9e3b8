//! The rig: what starts and kills servers, throw-away `MariaDBs` and the faulty proxy, once, for the
//! harness and for the tests.
//!
//! It knows binaries, ports, URLs and bytes on a wire. What does not belong here: the rules of a sale,
//! and anything of the service's code.
//!
//! Everything that it starts listens on 127.0.0.1 only, and dies with the process that started it,
//! even if that process is killed.

pub mod client;
pub mod database;
pub mod disk;
pub mod galera;
mod mariadb;
pub mod process;
pub mod proxy;
pub mod server;
mod workspace;

use std::path::PathBuf;
use std::process::ExitStatus;

/// Why the rig could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A program that the rig needs is not installed.
    #[error("{program} is not installed: {hint}")]
    ProgramMissing {
        /// Its name.
        program: &'static str,
        /// How to get it.
        hint: &'static str,
    },
    /// A program ended, when it should have served.
    #[error("{program} ended ({status}) before it was ready; it wrote:\n{log}")]
    Ended {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        log: String,
    },
    /// A program runs, but did not get as far as it should have.
    #[error("{program} did not {goal} within {seconds} s (last: {last}); it wrote:\n{log}")]
    TooSlow {
        /// Its name.
        program: String,
        /// What it should have done.
        goal: &'static str,
        /// How long the rig waited.
        seconds: u64,
        /// The last thing that was seen of it.
        last: String,
        /// What it wrote.
        log: String,
    },
    /// The process is gone, so it cannot be sent a signal.
    #[error("{program} has ended ({status})")]
    Gone {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The machine does not let this user do it.
    #[error("this user may not {doing}: {said}")]
    NotPermitted {
        /// What was tried.
        doing: &'static str,
        /// What the machine said.
        said: String,
    },
    /// A system call failed.
    #[error("could not {doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database refused a statement, or could not be reached.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A request got no answer.
    #[error("{method} {url}: {source}")]
    Http {
        /// The method of the request.
        method: String,
        /// Where it went.
        url: String,
        /// Why there is no answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A template of a data folder could not be made.
    #[error("{program} failed ({status}):\n{output}", program = program.display())]
    Install {
        /// The program that makes it.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        output: String,
    },
}

impl RigError {
    /// An I/O error, with what was tried.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
