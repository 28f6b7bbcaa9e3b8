//! What can go wrong with a target, in words for whoever runs the harness.
//!
//! What does not belong here: exit codes (those are the run's), and errors under load (those are outcomes).

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitStatus;

use reqwest::StatusCode;

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
    /// Nobody answered, or only with errors of the server's.
    #[error("no server was ready at {url} within {seconds} s; at last: {last}")]
    NoAnswer {
        /// Where.
        url: String,
        /// How long was waited.
        seconds: u64,
        /// What the last try came to.
        last: String,
    },
    /// A request got no answer.
    #[error("{what}: {}", with_causes(source))]
    Http {
        /// What was asked.
        what: String,
        /// Why there is no answer.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not the one that was expected.
    #[error("{what} was answered with {status}: {body}{hint}")]
    Unexpected {
        /// What was asked.
        what: String,
        /// The status code.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
        /// What to do about it, in parentheses, or nothing.
        hint: &'static str,
    },
    /// The server does not take a secret, or wants one that was not given.
    #[error("the server refuses {what} (401): {name} {why}")]
    WrongSecret {
        /// What was refused.
        what: &'static str,
        /// The environment variable that the secret comes from.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The product that was named is not there.
    #[error("there is no product {0} on this server")]
    NoProduct(u64),
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
    /// There was no time left to ask.
    #[error("there was no time left to ask the server")]
    OutOfTime,
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

impl TargetError {
    /// Whether the same request may work a moment later. What it did the first time is not known then.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Http { source, .. } => !source.is_builder(),
            Self::Unexpected { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            _ => false,
        }
    }

    /// Whether it is for whoever runs the harness to mend: a wrong secret, product or URL.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Unexpected { status, .. } => {
                matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
            }
            Self::WrongSecret { .. } | Self::NoProduct(_) | Self::NotEmpty => true,
            _ => false,
        }
    }
}

/// An error with all that caused it. The causes have the news: a name that is not known, a certificate that is
/// not trusted, a port that nobody listens on.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some repeat what caused them.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
