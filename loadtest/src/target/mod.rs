//! What a run aims at: a private server that is started and killed here, or one that somebody else runs, with
//! the products that are made there and cleaned up after.
//!
//! What does not belong here: load, and any opinion about answers to it.

mod cleanup;
mod operator;
mod private;

use std::path::PathBuf;
use std::process::ExitStatus;

use reqwest::StatusCode;

pub use cleanup::{Cleaned, clean_up};
pub use operator::{Found, Operator};
pub use private::{AuditAnswer, Private, PrivateDatabase, find_server, random_secrets};

use crate::rig::RigError;

/// Why there is nothing to aim at, or why it does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The binary that was named is not there.
    #[error("there is no server at {}", .0.display())]
    NoServer(PathBuf),
    /// There is no binary at all.
    #[error(
        "there is no server to start: name one with --server-bin, or run this where its sources are, or aim at a \
         running one with --host"
    )]
    NoServerAnywhere,
    /// Cargo could not build it.
    #[error("cargo could not build the server ({status})")]
    NotBuilt {
        /// How cargo ended.
        status: ExitStatus,
    },
    /// A program could not be started, or broke.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// Nobody answered.
    #[error("no server answered at {url} within {seconds} s: is it running, and is the URL right?")]
    NoAnswer {
        /// Where.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A request got no answer.
    #[error("{what}: {source}")]
    Http {
        /// What was asked.
        what: String,
        /// Why there is no answer.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not the one that was expected.
    #[error("{what} was answered with {status}: {body}{hint}", hint = hint(*status))]
    Unexpected {
        /// What was asked.
        what: String,
        /// The status code.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// An answer of a server that speaks something else.
    #[error("{what} was not answered as this API does ({why}): {body}")]
    NotThisApi {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        why: String,
        /// The beginning of the body.
        body: String,
    },
    /// The audit gave no verdict.
    #[error("`holdfast audit --json` gave no verdict (exit code {code:?}): {output}")]
    Audit {
        /// Its exit code.
        code: Option<i32>,
        /// What it wrote.
        output: String,
    },
    /// A database that should be empty is not.
    #[error("the database is not empty: a private server needs one of its own, such as a new one")]
    NotEmpty,
}

/// What to do about a status code.
fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => " (is ADMIN_TOKEN, or API_TOKEN, the one of this server?)",
        404 => " (has this server an ADMIN_TOKEN? does it speak this API?)",
        301..=308 => " (redirects are not followed: aim at where it leads)",
        _ => "",
    }
}
