//! MySQL and MariaDB: the connection, its settings, its transactions.
//!
//! Keeps I7: a commit counts as failed only if the server says that it rolled back; anything else
//! after COMMIT was sent is an unknown outcome. What error numbers mean is in `classify`.
//!
//! A batch travels in two packets, so its writes and its COMMIT arrive together. That a write found as
//! many rows as it must is therefore checked by the server itself: see [`guarded`]. On a node of a cluster
//! each statement travels alone.

mod classify;
mod migration;

use std::str::FromStr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use sale::Timestamp;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use self::classify::{classify, classify_commit};
use super::dialect::Dialect;
use super::error::Misconfigured;
use super::rows::Reader;
use super::session::{
    Backend, BatchRow, Begun, Cells, Purpose, ResultSet, Session, Stopped, Write, all_of, collect, packet,
};
use super::statements::batch::batch_row;
use super::{Fault, StoreError, Written};
use crate::telemetry::{OpenConnection, StoreMetrics};

/// How long a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a good-bye may take: a connection that fell silent takes for ever.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The clock, in microseconds. SYSDATE is the time at which it is evaluated: NOW could be the time before
/// the wait for a lock.
const CLOCK: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

/// The clock of a single statement. NOW is constant in it, so that indexes can be used.
const STATEMENT_CLOCK: &str = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";

/// Where and how to connect.
pub(super) struct MySql {
    options: MySqlConnectOptions,
    metrics: StoreMetrics,
}

impl MySql {
    /// Of a `mysql://` or `mariadb://` URL.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        // sqlx takes the process's choice, and a build may have several to choose from. If there is one, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let misconfigured = |text: String| StoreError::new(Fault::Refused, Misconfigured(text));
        let rest = url.strip_prefix("mysql://").or_else(|| url.strip_prefix("mariadb://")).ok_or_else(|| {
            misconfigured("the database URL must be sqlite:PATH or mysql://user:password@host:port/name".to_owned())
        })?;
        // sqlx leaves out what it does not know, and a misspelt TLS parameter must not mean no TLS.
        let parameters = rest.split_once('?').map_or("", |(_, parameters)| parameters);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or(parameter);
            if !URL_PARAMETERS.contains(&name) {
                let known = URL_PARAMETERS.join(", ");
                // Behind a `?` in a password that is not escaped its rest looks like a parameter.
                let name = if parameters.contains('@') { String::new() } else { format!(" {name:?}") };
                return Err(misconfigured(format!("the database URL has an unknown parameter{name}; known: {known}")));
            }
        }
        let options = MySqlConnectOptions::from_str(&format!("mysql://{rest}"))
            .map_err(|error| misconfigured(format!("the database URL cannot be read: {error}")))?;
        if options.get_database().is_none() {
            return Err(misconfigured("the database URL names no database: mysql://user@host:port/NAME".to_owned()));
        }
        // What sqlx would set on each connection is set together with everything else, in one round trip.
        let options = options
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        Ok(Self { options, metrics: StoreMetrics::default() })
    }

    /// With its connections counted there.
    pub(super) fn counted_by(self, metrics: StoreMetrics) -> Self {
        Self { metrics, ..self }
    }
}

const URL_PARAMETERS: [&str; 9] =
    ["ssl-mode", "sslmode", "ssl-ca", "sslca", "ssl-cert", "sslcert", "ssl-key", "sslkey", "socket"];

/// The settings of every connection. A comment of the form `/*M!` is a statement for MariaDB: there a long
/// IN list would otherwise become a subquery, which would not read by the index.
const SETTINGS: &str = "\
    SET NAMES utf8mb4;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET SESSION autocommit = 1, time_zone = '+00:00', innodb_lock_wait_timeout = 1,
        sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
        /*M!100300 , in_predicate_conversion_threshold = 0 */;
    SHOW VARIABLES LIKE 'wsrep_on'";

/// Of all but migrations: who changes a table's schema keeps its metadata lock, for which the others would
/// otherwise wait for a day. A batch that waits for a table keeps its products locked, so it waits no longer than for
/// a row.
const METADATA_SETTINGS: &str = "SET SESSION lock_wait_timeout = 2";
const BATCH_METADATA_SETTINGS: &str = "SET SESSION lock_wait_timeout = 1";

/// Of connections that write: a server that vanishes while it holds locks must not keep them for hours.
const WRITE_SETTINGS: &str = "SET SESSION wait_timeout = 30, net_read_timeout = 30, net_write_timeout = 30";

/// Of a node of a cluster. It must have applied what the others committed before it reads. And where another
/// node's transaction goes first, ours is rolled back, and we want to be told: by itself the node would run the
/// statement again that was under way, outside of a transaction.
const CLUSTER_SETTINGS: &str = "SET SESSION wsrep_sync_wait = 1, wsrep_retry_autocommit = 0";

#[async_trait]
impl Backend for MySql {
    type Session = MySqlSession;

    const MAX_WRITERS: usize = 64;

    async fn connect(&self, purpose: Purpose) -> Result<MySqlSession, StoreError> {
        let connecting = async {
            let connection = self.options.connect().await.map_err(classify::classify_connect)?;
            let mut session = MySqlSession {
                connection,
                in_transaction: false,
                of_cluster: false,
                _open: self.metrics.opened(purpose.into()),
            };
            let metadata_settings = match purpose {
                Purpose::Migration => "",
                Purpose::Batches => BATCH_METADATA_SETTINGS,
                Purpose::Reads | Purpose::Desk => METADATA_SETTINGS,
            };
            let write_settings = if purpose == Purpose::Reads { "" } else { WRITE_SETTINGS };
            let results = session.run(packet([SETTINGS, metadata_settings, write_settings])).await?;
            let mut rows = results.iter().flat_map(|result| &result.rows);
            if rows.any(|row| row.text(1).is_ok_and(|value| value == Some("ON"))) {
                session.of_cluster = true;
                session.run(CLUSTER_SETTINGS.to_owned()).await?;
            }
            Ok(session)
        };
        let timed_out = |_| StoreError::new(Fault::Disconnected, "the database did not accept a connection in time");
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(timed_out)?
    }

    async fn begin_migration(&self) -> Result<MySqlSession, StoreError> {
        migration::begin(self).await
    }

    async fn end_migration(&self, session: MySqlSession) -> Result<(), StoreError> {
        migration::end(session).await;
        Ok(())
    }

    async fn durability(&self, session: &mut MySqlSession) -> Result<Vec<String>, StoreError> {
        let names = ["innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "binlog_format", "wsrep_on"];
        let names = names.map(|name| format!("'{name}'")).join(", ");
        let results = session.run(format!("SHOW VARIABLES WHERE Variable_name IN ({names})")).await?;
        let mut settings = Vec::new();
        for row in results.iter().flat_map(|result| &result.rows) {
            let mut reader = Reader::new(row);
            settings.push((reader.text()?.to_owned(), reader.text()?.to_owned()));
        }
        Ok(in_the_way(&settings))
    }
}

/// The settings that let an acknowledged commit be lost.
fn in_the_way(settings: &[(String, String)]) -> Vec<String> {
    let is = |name: &str, value: &str| settings.iter().any(|(n, v)| n == name && v.eq_ignore_ascii_case(value));
    let value = |name: &str| settings.iter().find(|(n, _)| n == name).map_or("unknown", |(_, v)| v.as_str());
    let mut found = Vec::new();
    if !is("innodb_flush_log_at_trx_commit", "1") {
        let value = value("innodb_flush_log_at_trx_commit");
        let cluster = if is("wsrep_on", "ON") { " unless another node of the cluster survives" } else { "" };
        found.push(format!(
            "innodb_flush_log_at_trx_commit is {value}, not 1: a crash of the database's machine loses the last \
             commits{cluster}"
        ));
    }
    if is("log_bin", "ON") && !is("sync_binlog", "1") {
        let value = value("sync_binlog");
        found.push(format!("sync_binlog is {value}, not 1: a crash can lose commits from the binary log"));
    }
    if is("log_bin", "ON") && is("binlog_format", "STATEMENT") {
        found.push("binlog_format is STATEMENT: READ COMMITTED transactions cannot be written to it".to_owned());
    }
    found
}

/// A connection.
pub(super) struct MySqlSession {
    connection: MySqlConnection,
    /// START TRANSACTION commits a transaction that is open, so one that was left is rolled back first.
    in_transaction: bool,
    /// Whether the server is a node of a cluster: then the statements of a transaction are sent one by one.
    of_cluster: bool,
    _open: OpenConnection,
}

impl MySqlSession {
    async fn send(&mut self, sql: String) -> Result<Vec<ResultSet<MySqlRow>>, Stopped> {
        let stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        collect(stream.boxed(), |done| (done.rows_affected(), done.last_insert_id())).await
    }

    /// Sends the statements of a transaction, as one packet where that can be.
    ///
    /// Where another node's transaction goes first, a node of a cluster rolls ours back, and says so at the next
    /// command. Between the statements of one packet it may not: it runs the rest, each by itself.
    async fn send_all(&mut self, statements: &[String]) -> Result<Vec<ResultSet<MySqlRow>>, Stopped> {
        if !self.of_cluster {
            return all_of(statements, self.send(packet(statements)).await?);
        }
        let sent = Instant::now();
        let mut results = Vec::new();
        for statement in statements {
            let waited = sent.elapsed();
            match self.send(statement.clone()).await {
                Ok(more) => results.extend(more.into_iter().map(|mut result| {
                    result.elapsed += waited;
                    result
                })),
                Err(stopped) => return Err(Stopped { done: results.len() + stopped.done, error: stopped.error }),
            }
        }
        Ok(results)
    }

    /// Sends `statements` and COMMIT.
    async fn send_and_commit(&mut self, mut statements: Vec<String>) -> Result<Vec<ResultSet<MySqlRow>>, StoreError> {
        let commit = statements.len();
        statements.push("COMMIT".to_owned());
        match self.send_all(&statements).await {
            Ok(results) => {
                self.in_transaction = false;
                Ok(results)
            }
            Err(stopped) => {
                let error = classify_until_commit(stopped, commit);
                if error.fault != Fault::OutcomeUnknown {
                    drop(self.rollback().await);
                }
                Err(error)
            }
        }
    }

    async fn end(&mut self, sql: &str) -> Result<(), Stopped> {
        self.send(sql.to_owned()).await?;
        self.in_transaction = false;
        Ok(())
    }
}

#[async_trait]
impl Session for MySqlSession {
    type Row = MySqlRow;

    const DIALECT: Dialect = Dialect::MySql;

    fn statement_clock() -> String {
        STATEMENT_CLOCK.to_owned()
    }

    async fn run(&mut self, sql: String) -> Result<Vec<ResultSet<MySqlRow>>, StoreError> {
        self.send(sql).await.map_err(|stopped| classify(stopped.error))
    }

    async fn run_all(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<MySqlRow>>, StoreError> {
        self.send_all(&statements).await.map_err(|stopped| classify(stopped.error))
    }

    async fn begin(&mut self, lock: String, rest: Vec<String>) -> Result<Begun<MySqlRow>, StoreError> {
        self.rollback().await?;
        self.in_transaction = true;
        let mut statements = vec!["START TRANSACTION".to_owned(), lock, CLOCK.to_owned()];
        statements.extend(rest);
        let results = match self.send_all(&statements).await {
            Ok(results) => results,
            Err(stopped) => {
                drop(self.rollback().await);
                return Err(classify(stopped.error));
            }
        };
        let mut results = results.into_iter();
        let (locked, clock) = (results.nth(1), results.next());
        let now = clock.as_ref().and_then(|clock| clock.rows.first()).map(|row| Reader::new(row).timestamp());
        let (Some(locked), Some(Ok(now))) = (locked, now) else {
            drop(self.rollback().await);
            return Err(clock_missing());
        };
        Ok(Begun { locked: locked.rows, now, rest: results.collect(), lock_wait: locked.elapsed })
    }

    async fn begin_snapshot(&mut self) -> Result<Timestamp, StoreError> {
        self.rollback().await?;
        self.in_transaction = true;
        let sql = [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            CLOCK,
        ];
        let results = self.run(packet(sql)).await?;
        let row = results.iter().find_map(|result| result.rows.first());
        let row = row.ok_or_else(clock_missing)?;
        Reader::new(row).timestamp()
    }

    async fn commit_batch(&mut self, row: BatchRow, writes: Vec<Write>) -> Result<Written, StoreError> {
        let started = Instant::now();
        let (statements, guard) = guarded(row, writes);
        let commit = statements.len() - 1;
        match self.send_all(&statements).await {
            Ok(results) => {
                self.in_transaction = false;
                // The guard has found the batch's own row, unless what was begun had ended before: then it must be
                // looked for.
                if guard.and_then(|guard| results.get(guard)).is_some_and(|result| result.matched != 1) {
                    return Err(StoreError::new(Fault::OutcomeUnknown, "the transaction ended before its COMMIT"));
                }
                // The answers come one by one, so the last before that of COMMIT says when all was written.
                let written = commit.checked_sub(1).and_then(|last| results.get(last));
                let write = written.map_or(Duration::ZERO, |result| result.elapsed);
                Ok(Written { write, commit: started.elapsed().saturating_sub(write) })
            }
            Err(stopped) => {
                let is_answer = stopped.error.as_database_error().is_some();
                let error = match stopped.done {
                    0 if is_answer => classify::classify_batch_row(stopped.error),
                    done if is_answer && Some(done) == guard => classify::classify_guard(stopped.error),
                    _ => classify_until_commit(stopped, commit),
                };
                if error.fault != Fault::OutcomeUnknown {
                    drop(self.rollback().await);
                }
                Err(error)
            }
        }
    }

    async fn commit_with(&mut self, statements: Vec<String>) -> Result<Vec<ResultSet<MySqlRow>>, StoreError> {
        self.send_and_commit(statements).await
    }

    async fn transact(&mut self, mut statements: Vec<String>) -> Result<Vec<ResultSet<MySqlRow>>, StoreError> {
        self.rollback().await?;
        self.in_transaction = true;
        statements.insert(0, "START TRANSACTION".to_owned());
        let mut results = self.send_and_commit(statements).await?;
        results.remove(0);
        Ok(results)
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.end("COMMIT").await.map_err(|stopped| classify_commit(stopped.error))
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.in_transaction {
            self.end("ROLLBACK").await.map_err(|stopped| classify(stopped.error))?;
        }
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.connection.ping().await.map_err(classify)
    }

    async fn close(self) {
        drop(tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await);
    }
}

/// An error of statements of which COMMIT is at position `commit`. The server answers them in order and
/// stops at an error, so that COMMIT never ran. Only a server can say so: without its answer, nobody knows
/// how far it got.
fn classify_until_commit(stopped: Stopped, commit: usize) -> StoreError {
    if stopped.done < commit && stopped.error.as_database_error().is_some() {
        classify(stopped.error)
    } else {
        classify_commit(stopped.error)
    }
}

fn clock_missing() -> StoreError {
    StoreError::new(Fault::Disconnected, "the database did not say what time it is")
}

/// The statements of a commit, and the position of its guard. The guard sums up how many rows the
/// UPDATEs found. If that is not what it must be it sets a column to NULL that cannot be NULL, which
/// strict mode refuses: the packet stops there, before COMMIT. It names the batch's own row, which
/// nobody else has locked.
fn guarded(row: BatchRow, writes: Vec<Write>) -> (Vec<String>, Option<usize>) {
    let mut statements = vec![batch_row(row)];
    // What the statements so far have found and must have found, where that is to be looked at.
    let mut counted: Option<(&str, u64)> = None;
    let last = writes.len().saturating_sub(1);
    for (i, Write { sql, must_match }) in writes.into_iter().enumerate() {
        statements.push(sql);
        let Some(rows) = must_match else { continue };
        // ROW_COUNT() counts the rows that were found, changed or not: sqlx sets CLIENT_FOUND_ROWS. It is of
        // the statement before; the guard itself follows the last.
        let (found, before) = match counted {
            None => ("ROW_COUNT()", 0),
            Some((_, before)) => ("@matched + ROW_COUNT()", before),
        };
        if i == last {
            counted = Some((found, before + rows));
        } else {
            statements.push(format!("SET @matched = {found}"));
            counted = Some(("@matched", before + rows));
        }
    }
    let guard = counted.map(|(found, rows)| {
        statements.push(format!(
            "UPDATE batches SET committed_at = IF({found} = {rows}, committed_at, NULL) WHERE id = {}",
            row.batch.0
        ));
        statements.len() - 1
    });
    statements.push("COMMIT".to_owned());
    (statements, guard)
}
