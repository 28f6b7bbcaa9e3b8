//! What the result codes of SQLite mean for a transaction.
//!
//! The low byte of an extended code is the plain one. Keeps I7: [`classify_commit`] calls a commit
//! failed only where the transaction is surely still open.

use std::path::Path;

use sqlx::sqlite::SqliteError;

use super::super::error::Misconfigured;
use super::super::{Conflict, Fault, StoreError};

const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;
const CONSTRAINT_PRIMARY_KEY: i32 = 1555;
const CONSTRAINT_UNIQUE: i32 = 2067;

/// The file cannot be written or read: read-only, input or output, full, not to be opened, no database.
const USELESS: [i32; 5] = [8, 10, FULL, CANNOT_OPEN, NOT_A_DATABASE];

/// An error of any statement but COMMIT.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let fault = match code_and_message(&error) {
        Some((code, message)) => fault_of(code, message),
        None if matches!(error, sqlx::Error::WorkerCrashed | sqlx::Error::Io(_)) => Fault::Disconnected,
        None => Fault::Refused,
    };
    StoreError::new(fault, error)
}

/// An error of the statement that writes the row of a batch.
pub(super) fn classify_batch_row(error: sqlx::Error) -> StoreError {
    match code_and_message(&error) {
        Some((CONSTRAINT_PRIMARY_KEY, _)) => StoreError::new(Fault::BatchExists, error),
        _ => classify(error),
    }
}

/// An error of COMMIT.
pub(super) fn classify_commit(error: sqlx::Error) -> StoreError {
    let fault = code_and_message(&error).map_or(Fault::OutcomeUnknown, |(code, _)| commit_fault_of(code));
    StoreError::new(fault, error)
}

/// An error of a new connection.
pub(super) fn classify_connect(error: sqlx::Error, path: &Path) -> StoreError {
    match code_and_message(&error).map(|(code, _)| code & 0xff) {
        Some(CANNOT_OPEN | NOT_A_DATABASE) => {
            let text = format!("the database file {} cannot be opened: {error}", path.display());
            StoreError::new(Fault::Disconnected, Misconfigured(text))
        }
        _ => StoreError::new(Fault::Disconnected, error),
    }
}

/// Whether somebody else uses the file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    code_and_message(error).is_some_and(|(code, _)| matches!(code & 0xff, BUSY | LOCKED))
}

/// Whether the statement could not be run as things are, such as ROLLBACK where no transaction is open.
pub(super) fn is_plain_error(error: &sqlx::Error) -> bool {
    code_and_message(error).is_some_and(|(code, _)| code == ERROR)
}

fn fault_of(code: i32, message: &str) -> Fault {
    match (code, code & 0xff) {
        (CONSTRAINT_UNIQUE, _) if is_callers_key(message) => Fault::Retry(Conflict::DuplicateKey),
        (_, BUSY | LOCKED) => Fault::Retry(Conflict::LockTimeout),
        (_, plain) if USELESS.contains(&plain) => Fault::Disconnected,
        _ => Fault::Refused,
    }
}

/// A busy file or a full disk leaves the transaction open, so that it is rolled back. After a failed
/// write or synchronisation nobody knows what the log holds.
fn commit_fault_of(code: i32) -> Fault {
    match code & 0xff {
        BUSY | LOCKED | FULL => fault_of(code, ""),
        _ => Fault::OutcomeUnknown,
    }
}

/// Whether a duplicate is of a key that callers choose. The message names columns, never values.
fn is_callers_key(message: &str) -> bool {
    let keys = ["holds.idempotency_key", "orders.idempotency_key", "payment_events.payment_key"];
    keys.iter().any(|key| message.contains(key))
}

/// The extended result code and the message, where the error is one of SQLite.
fn code_and_message(error: &sqlx::Error) -> Option<(i32, &str)> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<SqliteError>()?;
    Some((error.code()?.parse().ok()?, error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_fault() {
        let callers_key = "UNIQUE constraint failed: holds.idempotency_key";
        let rows = [
            (5, "database is locked", Fault::Retry(Conflict::LockTimeout)),
            (6, "database table is locked", Fault::Retry(Conflict::LockTimeout)),
            (261, "busy, recovering", Fault::Retry(Conflict::LockTimeout)),
            (517, "busy, stale snapshot", Fault::Retry(Conflict::LockTimeout)),
            (CONSTRAINT_UNIQUE, callers_key, Fault::Retry(Conflict::DuplicateKey)),
            (
                CONSTRAINT_UNIQUE,
                "UNIQUE constraint failed: payment_events.payment_key, payment_events.pending_order",
                Fault::Retry(Conflict::DuplicateKey),
            ),
            (CONSTRAINT_UNIQUE, "UNIQUE constraint failed: orders.hold_id", Fault::Refused),
            (CONSTRAINT_UNIQUE, "UNIQUE constraint failed: index 'payment_events_settles'", Fault::Refused),
            (CONSTRAINT_PRIMARY_KEY, "UNIQUE constraint failed: holds.id", Fault::Refused),
            (275, "CHECK constraint failed", Fault::Refused),
            (787, "FOREIGN KEY constraint failed", Fault::Refused),
            (8, "attempt to write a readonly database", Fault::Disconnected),
            (778, "disk I/O error", Fault::Disconnected),
            (13, "database or disk is full", Fault::Disconnected),
            (14, "unable to open database file", Fault::Disconnected),
            (1, "no such table", Fault::Refused),
        ];
        for (code, message, fault) in rows {
            assert_eq!(fault_of(code, message), fault, "{code} {message}");
        }
    }

    #[test]
    fn a_commit_fails_surely_only_where_its_transaction_is_open() {
        for (code, fault) in [
            (5, Fault::Retry(Conflict::LockTimeout)),
            (13, Fault::Disconnected),
            (10, Fault::OutcomeUnknown),
            (1034, Fault::OutcomeUnknown),
            (11, Fault::OutcomeUnknown),
        ] {
            assert_eq!(commit_fault_of(code), fault, "{code}");
        }
        assert_eq!(classify_commit(sqlx::Error::WorkerCrashed).fault, Fault::OutcomeUnknown);
        assert_eq!(classify(sqlx::Error::WorkerCrashed).fault, Fault::Disconnected);
    }
}
