//! Database errors, classified by what the engine should do about them.
//!
//! What each database's own codes mean is said beside its connection; here is only the vocabulary.

/// A database error, classified by what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{fault}: {source}")]
pub struct StoreError {
    /// What to do about it.
    pub fault: Fault,
    /// What the database said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error of this fault, with what the database or the store itself has to say.
    pub fn new(fault: Fault, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { fault, source: source.into() }
    }

    /// Whether waiting cannot help: the URL, the account, the database's name or the schema is wrong.
    /// A server that starts up should stop and say so.
    pub fn is_misconfigured(&self) -> bool {
        self.source.is::<Misconfigured>()
    }
}

/// What is said where a guarded write found other rows than it must.
pub(super) const GUARD: &str =
    "a row that was loaded under the lock is not as it was, or the table `numbers` lacks some, so nothing was written";

/// Something that only a person can put right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misconfigured(pub(super) String);

/// What a database error means for the transaction it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Rolled back by a passing conflict: run it again.
    #[error("the transaction was rolled back ({})", .0.name())]
    Retry(Conflict),
    /// The connection broke, or its server cannot write: nothing was changed; run it again on another one.
    #[error("the connection is of no use")]
    Disconnected,
    /// The commit was sent and its answer never came: perhaps it happened.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown,
    /// This batch id is used up: a transaction with it was committed before, or given up for lost.
    #[error("this batch was committed before, or given up for lost")]
    BatchExists,
    /// It would fail the same way again: a constraint, a value out of range, a broken statement.
    #[error("the database refused it")]
    Refused,
}

/// A passing conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// Locks in a circle, or a certification conflict of a cluster (1213).
    Deadlock,
    /// A product, another row or a table stayed locked for longer than a lock is waited for (1205), or SQLite's file did.
    LockTimeout,
    /// A row changed since it was read (1020).
    RowChanged,
    /// Another transaction wrote the same idempotency key (1062).
    DuplicateKey,
}

impl Conflict {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::LockTimeout => "lock_timeout",
            Self::RowChanged => "row_changed",
            Self::DuplicateKey => "duplicate_key",
        }
    }
}
