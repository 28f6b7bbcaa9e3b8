//! What the engine says to those who ask it.
//!
//! A rejection says whether anything may have changed: only [`Rejection::OutcomeUnknown`] leaves that open.

use std::time::Duration;

use sale::{Breach, PaymentEvent, Refusal};

use crate::store::{Fault, StoreError};

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A rule said no; nothing changed.
    Refused(Refusal),
    /// The product breaks an invariant and is taken out of the sale; nothing changed.
    Inconsistent,
    /// More comes than can be served; nothing changed.
    Overloaded(Overload),
    /// Its deadline came before its turn; nothing changed.
    TimedOut,
    /// The server is stopping; nothing changed.
    Stopping,
    /// The database cannot be reached; nothing changed.
    DatabaseUnavailable,
    /// Perhaps it happened: only a repetition with the same key, or a read, will tell.
    OutcomeUnknown,
    /// Something unforeseen; nothing changed.
    Internal,
}

/// What more there would have to be room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// Too many commands wait.
    QueueFull,
    /// Those that wait for the product move too slowly.
    QueueSlow {
        /// How long the command would have had to wait.
        wait: Duration,
    },
    /// Too many reads wait.
    ReadsFull,
}

/// A row that a request made, or that an earlier request with the same key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The row.
    pub row: T,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

/// What became of a payment event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The event as recorded; of a repeated one, the first.
    pub event: PaymentEvent,
    /// Whether it was recorded before.
    pub repeated: bool,
}

/// Whether the server should be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// It has had no answer from the database for 5 seconds, or the database has taken no write.
    CutOff,
}

/// Why a product was not resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// It breaks these invariants.
    Inconsistent(Vec<Breach>),
    /// As for any other command.
    Rejected(Rejection),
}

impl From<Rejection> for ResumeError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<&StoreError> for Rejection {
    /// The answer to an operator whose request went past the queue.
    fn from(error: &StoreError) -> Self {
        match error.fault {
            Fault::OutcomeUnknown => Self::OutcomeUnknown,
            Fault::Disconnected | Fault::Retry(_) => Self::DatabaseUnavailable,
            Fault::BatchExists | Fault::Refused => {
                tracing::error!(error = %error.source, "the database refused an operator's request");
                Self::Internal
            }
        }
    }
}
