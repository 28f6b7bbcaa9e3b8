//! Keeps other servers' migrations out while one migrates.
//!
//! A named lock of the server, with a time and with the answer checked: a lock that was not granted
//! is no lock. It ends with the connection, so that a server that dies lets the next one in.

use super::super::rows::Reader;
use super::super::session::{Backend, Purpose, Session};
use super::super::{Fault, StoreError};
use super::classify::is_unsupported;
use super::{MySql, MySqlSession};

/// How long to wait for somebody else's migrations, in seconds.
const LOCK_SECONDS: u32 = 60;

/// Lock names are short, database names need not be.
const LOCK_NAME: &str = "CONCAT('holdfast.migrate.', LEFT(SHA2(DATABASE(), 256), 32))";

pub(super) async fn begin(backend: &MySql) -> Result<MySqlSession, StoreError> {
    let mut session = backend.connect(Purpose::Migration).await?;
    let results = match session.run(format!("SELECT GET_LOCK({LOCK_NAME}, {LOCK_SECONDS})")).await {
        Ok(results) => results,
        Err(error) if is_unsupported(&error) => {
            // A Galera cluster has no such locks. It runs changes of the schema one after the other on all
            // nodes, and every statement can be repeated, so that the second to come changes nothing.
            tracing::info!("the database has no named locks: migrating without one");
            return Ok(session);
        }
        Err(error) => return Err(error),
    };
    let row = results.iter().find_map(|result| result.rows.first());
    let granted = row.map(|row| Reader::new(row).optional_integer()).transpose()?.flatten();
    if granted == Some(1) {
        Ok(session)
    } else {
        Err(StoreError::new(Fault::Disconnected, "another server's migrations have not ended"))
    }
}

pub(super) async fn end(session: MySqlSession) {
    session.close().await;
}
