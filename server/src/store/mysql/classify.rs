//! What the error numbers of MySQL and MariaDB mean for a transaction.
//!
//! The numbers are the servers' own; both agree on those below 1900, and the others are used by one only.
//! Keeps I7: [`classify_commit`] calls a commit failed only where the server rolled it back.

use sqlx::mysql::MySqlDatabaseError;

use super::super::error::{GUARD, Misconfigured};
use super::super::{Conflict, Fault, StoreError};

/// An error of any statement but COMMIT.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let fault = match number_and_message(&error) {
        Some((number, message)) => fault_of(number, message),
        None if is_connection(&error) => Fault::Disconnected,
        None => Fault::Refused,
    };
    StoreError::new(fault, error)
}

/// An error of the statement that writes the row of a batch.
pub(super) fn classify_batch_row(error: sqlx::Error) -> StoreError {
    match number_and_message(&error) {
        Some((DUPLICATE, _)) => StoreError::new(Fault::BatchExists, error),
        _ => classify(error),
    }
}

/// An error of the statement that checks how many rows the others found.
pub(super) fn classify_guard(error: sqlx::Error) -> StoreError {
    match number_and_message(&error) {
        Some((NOT_NULL, _)) => StoreError::new(Fault::Refused, GUARD),
        _ => classify(error),
    }
}

/// An error once COMMIT was sent.
pub(super) fn classify_commit(error: sqlx::Error) -> StoreError {
    let answered = number_and_message(&error).map(|(number, message)| commit_fault_of(number, message));
    StoreError::new(answered.unwrap_or(Fault::OutcomeUnknown), error)
}

/// An error of a new connection.
pub(super) fn classify_connect(error: sqlx::Error) -> StoreError {
    match number_and_message(&error) {
        Some((number, message)) if MISCONFIGURED.contains(&number) => StoreError::new(
            Fault::Disconnected,
            Misconfigured(format!("the database refuses us: {message} ({number})")),
        ),
        _ if matches!(error, sqlx::Error::Configuration(_)) => {
            StoreError::new(Fault::Disconnected, Misconfigured(error.to_string()))
        }
        // The server speaks no TLS, or a certificate or key is none; what is said of a certificate that we
        // do not trust comes as an error of the socket.
        _ if matches!(error, sqlx::Error::Tls(_)) => StoreError::new(
            Fault::Disconnected,
            Misconfigured(format!("{error}; look at the ssl parameters of the database URL and at the server's TLS")),
        ),
        _ => StoreError::new(Fault::Disconnected, error),
    }
}

/// Whether the server does not know what it was asked for.
pub(super) fn is_unsupported(error: &StoreError) -> bool {
    let number = error.source.downcast_ref().and_then(number_and_message).map(|(number, _)| number);
    number == Some(NOT_SUPPORTED)
}

const NOT_SUPPORTED: u16 = 1235;
const NOT_NULL: u16 = 1048;
const DUPLICATE: u16 = 1062;

/// Access denied (to the database, to the account, for want of a password or a plugin); unknown database;
/// this host is blocked, or not let in; a way to log in that we do not speak; a password that has expired;
/// TLS demanded by the server.
const MISCONFIGURED: [u16; 11] = [1044, 1045, 1049, 1129, 1130, 1251, 1524, 1698, 1820, 1862, 3159];

/// --read-only, a read-only transaction or server.
const READ_ONLY: [u16; 3] = [1290, 1792, 1836];

/// The connection or the server is of no use: too many connections, shutdown, killed, a cluster node that
/// is not ready, an idle time-out, a full disk, an aborted connection, a statement that took too long.
const USELESS: [u16; 17] =
    [1021, 1040, 1047, 1053, 1080, 1114, 1152, 1159, 1160, 1161, 1203, 1226, 1317, 1927, 1969, 3024, 4031];

fn fault_of(number: u16, message: &str) -> Fault {
    match number {
        1213 | 1614 => Fault::Retry(Conflict::Deadlock),
        // The second is MySQL 8, asked not to wait.
        1205 | 3572 => Fault::Retry(Conflict::LockTimeout),
        1020 => Fault::Retry(Conflict::RowChanged),
        DUPLICATE if is_callers_key(message) => Fault::Retry(Conflict::DuplicateKey),
        number if READ_ONLY.contains(&number) || USELESS.contains(&number) => Fault::Disconnected,
        _ => Fault::Refused,
    }
}

/// A server that refuses to write or finds a conflict has rolled back, or never began. One that is going
/// away, or has lost its cluster, may have done either.
fn commit_fault_of(number: u16, message: &str) -> Fault {
    match fault_of(number, message) {
        fault @ Fault::Retry(_) => fault,
        fault if READ_ONLY.contains(&number) => fault,
        _ => Fault::OutcomeUnknown,
    }
}

/// Whether a duplicate is of a key that callers choose. The message ends in `for key 'NAME'`, or
/// `'TABLE.NAME'`; before that it repeats the value, so only its end can be trusted.
fn is_callers_key(message: &str) -> bool {
    let Some((_, name)) = message.rsplit_once("for key ") else { return false };
    let name = name.trim_matches('\'');
    let name = name.rsplit('.').next().unwrap_or(name);
    ["holds_idempotency_key", "orders_idempotency_key", "payment_events_key"].contains(&name)
}

fn is_connection(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
}

fn number_and_message(error: &sqlx::Error) -> Option<(u16, &str)> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some((error.number(), error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_fault() {
        let duplicate = Fault::Retry(Conflict::DuplicateKey);
        let rows = [
            (1213, "Deadlock found", Fault::Retry(Conflict::Deadlock)),
            (1205, "Lock wait timeout exceeded", Fault::Retry(Conflict::LockTimeout)),
            (1020, "Record has changed since last read", Fault::Retry(Conflict::RowChanged)),
            (1062, "Duplicate entry 'k' for key 'holds_idempotency_key'", duplicate),
            (1062, "Duplicate entry 'k' for key 'orders.orders_idempotency_key'", duplicate),
            (1062, "Duplicate entry 'evt-0' for key 'payment_events.payment_events_key'", duplicate),
            (1062, "Duplicate entry '7' for key 'PRIMARY'", Fault::Refused),
            (1062, "Duplicate entry '7' for key 'orders.orders_hold'", Fault::Refused),
            (1062, "Duplicate entry '7' for key 'payment_events_settles'", Fault::Refused),
            // The value is the caller's, and may look like anything.
            (1062, "Duplicate entry 'x for key 'holds_idempotency_key'' for key 'PRIMARY'", Fault::Refused),
            (1062, "Duplicate entry 'x for key 'PRIMARY'' for key 'holds_idempotency_key'", duplicate),
            (1047, "WSREP has not yet prepared node for application use", Fault::Disconnected),
            (1290, "running with the --read-only option", Fault::Disconnected),
            (1836, "Running in read-only mode", Fault::Disconnected),
            (1053, "Server shutdown in progress", Fault::Disconnected),
            (1040, "Too many connections", Fault::Disconnected),
            (1203, "has more than max_user_connections", Fault::Disconnected),
            (1080, "Forcing close of thread", Fault::Disconnected),
            (1927, "Connection was killed", Fault::Disconnected),
            (4031, "disconnected because of inactivity", Fault::Disconnected),
            (1048, "Column cannot be null", Fault::Refused),
            (1264, "Out of range value", Fault::Refused),
            (1452, "a foreign key constraint fails", Fault::Refused),
            (4025, "CONSTRAINT failed", Fault::Refused),
            (3819, "Check constraint is violated", Fault::Refused),
            (1064, "syntax", Fault::Refused),
        ];
        for (number, message, fault) in rows {
            assert_eq!(fault_of(number, message), fault, "{number} {message}");
        }
    }

    #[test]
    fn a_commit_fails_surely_only_where_the_server_rolled_back() {
        for (number, fault) in [
            (1213, Fault::Retry(Conflict::Deadlock)),
            (1205, Fault::Retry(Conflict::LockTimeout)),
            (1020, Fault::Retry(Conflict::RowChanged)),
            (1290, Fault::Disconnected),
            (1836, Fault::Disconnected),
            (1047, Fault::OutcomeUnknown),
            (1053, Fault::OutcomeUnknown),
            (1180, Fault::OutcomeUnknown),
            (1927, Fault::OutcomeUnknown),
        ] {
            assert_eq!(commit_fault_of(number, ""), fault, "{number}");
        }
        let broken = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(classify_commit(broken()).fault, Fault::OutcomeUnknown);
        assert_eq!(classify(broken()).fault, Fault::Disconnected);
        assert_eq!(classify_connect(broken()).fault, Fault::Disconnected);
        assert!(!classify_connect(broken()).is_misconfigured());
    }

    #[test]
    fn a_connection_without_the_tls_that_is_asked_for_is_not_waited_for() {
        let error = classify_connect(sqlx::Error::Tls("server does not support TLS".into()));
        assert!(error.is_misconfigured() && error.fault == Fault::Disconnected);
        let text = error.source.to_string();
        assert!(text.contains("server does not support TLS") && text.contains("ssl parameters"), "{text}");
    }
}
