//! Wires the parts of a server together, starts them in order, and stops them in order.
//!
//! What belongs here: which part is handed which, and what happens when. What does not: what any part
//! does. Keeps I7 at the end of a server's life: it stops answering before it stops committing.
//!
//! Start: listen (health checks are answered from here on), open the database, look at its schema,
//! start the engine, let requests in, start the reconciler, which looks at the database's durability, too. Stop, at SIGTERM or SIGINT:
//! stop accepting and finish requests (`http`), the reconciler, the engine, the connections, and, last, the
//! traces that were not sent yet.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sale::{Money, ProductId, Terms};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::Reconciler;
use crate::config::{Config, DatabaseConfig, DatabaseUrl};
use crate::engine::{self, Engine};
use crate::files;
use crate::http;
use crate::store::{self, Fault, NewProduct, OpenOptions, Sequence, Store, StoreError};
use crate::telemetry::{Metrics, StoreMetrics, Traces};

/// The first and the longest pause between two attempts to reach the database.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system does not let it wait for signals.
    #[error("signals cannot be waited for: {0}")]
    Signals(std::io::Error),
    /// It cannot listen.
    #[error(
        "cannot listen on {address}: {source}\n\
         Stop whatever listens there, or choose another address with {setting}."
    )]
    Listen {
        /// Where.
        address: String,
        /// The settings that say so.
        setting: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// `DATABASE_URL` is no URL of a database.
    #[error("DATABASE_URL is {url}: {problem}")]
    DatabaseUrl {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no SQLite file, and it is not to be made.
    #[error(
        "there is no database file {}: set DATABASE_URL to the one that the sale is in, or make it with \
         `holdfast migrate`", .path.display()
    )]
    NoFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// The database is there, but not one that this server can work with.
    #[error("the database {url} cannot be used: {problem}\nPut right the database or DATABASE_URL, and start again.")]
    Database {
        /// The URL, without its password.
        url: String,
        /// What is wrong, and what to do about it.
        problem: String,
    },
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot listen, or the database is there but not one that it can work with. A database that is
/// not there yet is waited for.
pub async fn serve(config: Config, traces: Traces) -> Result<(), StartError> {
    let began = Instant::now();
    let stop = CancellationToken::new();
    stop_at_signals(stop.clone())?;
    announce_settings(&config);
    files::make_room(config.max_connections);

    let metrics = Metrics::new();
    traces.connect(Handle::current(), metrics.traces.clone());
    let server = listen(&config, &metrics, &traces)?;
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(stop.clone().cancelled_owned()));

    let opened = tokio::select! {
        opened = open_database(&config.database, &metrics) => Some(opened),
        () = stop.cancelled() => None,
    };
    let running = match opened {
        Some(Ok(store)) => {
            let settings = engine::Settings {
                terms: config.terms,
                batch_max: config.batch_max,
                product_cache: config.product_cache,
                tends_deadlines: true,
                fresh_max: engine::FRESH_MAX,
                traces: traces.clone(),
            };
            let engine = Engine::start(Arc::clone(&store), settings, metrics.engine.clone());
            handle.open(engine.clone());
            let interval = config.reconcile_interval;
            let reconciler = Reconciler::start(Arc::clone(&store), engine.suspects(), interval, &metrics);
            tracing::info!(start_ms = millis(began.elapsed()), "ready");
            Some((store, engine, reconciler))
        }
        Some(Err(error)) => {
            serving.abort();
            return Err(error);
        }
        None => None,
    };

    if let Err(error) = serving.await {
        tracing::error!(%error, "serving ended with a panic: this is a bug");
    }
    if let Some((store, engine, reconciler)) = running {
        reconciler.stop().await;
        if !engine.stop().await {
            tracing::warn!("the engine did not finish in time");
        }
        store.close().await;
    }
    traces.finish().await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the store of `url`; makes an SQLite file that is not there.
///
/// # Errors
/// If the URL is not one of a database. Whether the database is there shows with the first use.
pub async fn open_store(url: &DatabaseUrl) -> Result<Arc<dyn Store>, StartError> {
    open_counted(url, StoreMetrics::default()).await
}

async fn open_counted(url: &DatabaseUrl, metrics: StoreMetrics) -> Result<Arc<dyn Store>, StartError> {
    let options = OpenOptions { metrics, ..OpenOptions::default() };
    store::open(url.expose(), &options).await.map_err(|error| no_url(url, &error))
}

/// Checks that there is a file if `url` is of SQLite: opening it would make an empty sale.
///
/// # Errors
/// If there is none, or the URL is not one of a database.
pub fn check_file(url: &DatabaseUrl) -> Result<(), StartError> {
    match sqlite_path(url)? {
        Some(path) if !path.exists() => Err(StartError::NoFile { path }),
        Some(_) | None => Ok(()),
    }
}

fn sqlite_path(url: &DatabaseUrl) -> Result<Option<PathBuf>, StartError> {
    store::sqlite_path(url.expose()).map_err(|error| no_url(url, &error))
}

fn no_url(url: &DatabaseUrl, error: &StoreError) -> StartError {
    StartError::DatabaseUrl { url: url.to_string(), problem: error.source.to_string() }
}

/// Starts an engine for one command of an operator: nothing of it is visible to customers, so settings
/// that only concern them do not matter.
pub fn start_engine(store: Arc<dyn Store>) -> Engine {
    let terms = Terms { hold_ttl_seconds: 1, payment_window_seconds: 1, max_qty_per_hold: 1 };
    let settings = engine::Settings {
        terms,
        batch_max: 1,
        product_cache: Duration::ZERO,
        tends_deadlines: false,
        fresh_max: engine::FRESH_MAX,
        traces: Traces::default(),
    };
    Engine::start(store, settings, Metrics::new().engine)
}

fn announce_settings(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = %config.database.url,
        hold_ttl_seconds = config.terms.hold_ttl_seconds,
        payment_window_seconds = config.terms.payment_window_seconds,
        max_qty_per_hold = config.terms.max_qty_per_hold,
        batch_max = config.batch_max,
        "starting"
    );
    if config.webhook_secrets.is_none() {
        tracing::warn!(
            "WEBHOOK_SECRET is not set: payment webhooks are not checked, so whoever reaches this server can mark \
             orders as paid"
        );
    }
}

fn listen(config: &Config, metrics: &Metrics, traces: &Traces) -> Result<http::Server, StartError> {
    let shell = http::Config {
        request_timeout: config.request_timeout,
        idle_timeout: config.idle_timeout,
        max_connections: config.max_connections,
        quotas: config.quotas.clone(),
        metrics_access: config.metrics_access,
        drain_delay: config.drain_delay,
        drain: config.drain,
        webhook_secrets: config.webhook_secrets.clone(),
        admin_tokens: config.admin_tokens.clone(),
        api_tokens: config.api_tokens.clone(),
        terms: config.terms,
        metrics: metrics.clone(),
        traces: traces.clone(),
    };
    let server = http::Server::bind(config.listen_addr, config.ops_addr, shell).map_err(|source| {
        let (address, setting) = match config.ops_addr {
            None => (config.listen_addr.to_string(), "LISTEN_ADDR"),
            Some(ops_addr) => (format!("{} and {ops_addr}", config.listen_addr), "LISTEN_ADDR or OPS_ADDR"),
        };
        StartError::Listen { address, setting, source }
    })?;
    announce("listening", server.local_addr());
    if let Some(ops_addr) = server.ops_addr() {
        announce("ops", ops_addr);
    }
    Ok(server)
}

/// Says where something listens: on standard output for scripts that gave port 0, and in the log.
fn announce(what: &'static str, address: SocketAddr) {
    let mut output = std::io::stdout().lock();
    // A server whose standard output is closed serves all the same.
    let _ = writeln!(output, "{what} on http://{address}").and_then(|()| output.flush());
    tracing::info!(%address, "{what}");
}

/// Opens the database, waits until it is there, and makes it ready.
async fn open_database(config: &DatabaseConfig, metrics: &Metrics) -> Result<Arc<dyn Store>, StartError> {
    // Before it is opened, since that makes the file.
    let wants_demo = config.is_default && sqlite_path(&config.url)?.is_some_and(|path| is_new(&path));
    if !config.migrate_on_start {
        check_file(&config.url)?;
    }
    let store = open_counted(&config.url, metrics.store.clone()).await?;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match prepare(store.as_ref(), config.migrate_on_start, wants_demo).await {
            Ok(()) => return Ok(store),
            Err(error) => error,
        };
        if error.is_misconfigured() || !passes(error.fault) {
            store.close().await;
            return Err(StartError::Database { url: config.url.to_string(), problem: error.source.to_string() });
        }
        tracing::warn!(
            database = %config.url,
            error = %error.source,
            next_attempt_ms = millis(pause),
            "the database cannot be used yet"
        );
        tokio::time::sleep(pause).await;
        // Servers that start together should not knock together.
        pause = (pause * 2).min(LONGEST_PAUSE).mul_f64(fastrand::f64().mul_add(0.2, 0.9));
    }
}

/// Whether waiting may help.
fn passes(fault: Fault) -> bool {
    match fault {
        Fault::Retry(_) | Fault::Disconnected | Fault::OutcomeUnknown => true,
        Fault::BatchExists | Fault::Refused => false,
    }
}

async fn prepare(store: &dyn Store, migrate: bool, wants_demo: bool) -> Result<(), StoreError> {
    if migrate {
        store.migrate().await?;
    } else {
        store.check_schema().await?;
    }
    // One that only reads, such as a file without permission or a database that is a copy for now, is waited for.
    // An id that nobody gets does no harm.
    store.reserve_ids(Sequence::Batches, 1).await?;
    if wants_demo && store.list_products(ProductId(0), 1, true).await?.is_empty() {
        let id = store.create_product(&demo_product()).await?;
        tracing::info!(product_id = id.0, "made a demo product, since the database is new and DATABASE_URL is not set");
    }
    Ok(())
}

/// Whether there is no file at `path`, or nothing in it.
fn is_new(path: &Path) -> bool {
    path.metadata().map_or(true, |file| file.len() == 0)
}

/// What a first look at Holdfast finds: product 1, 100 units.
fn demo_product() -> NewProduct {
    NewProduct {
        name: "Demo product".to_owned(),
        description: "Made on the first start without DATABASE_URL.".to_owned(),
        price: Money(99_99),
        stock: 100,
    }
}

/// How long after the first signal another one is taken for the same: whoever stops a whole group of
/// processes often signals each of them and then the group.
const SAME_SIGNAL_TIME: Duration = Duration::from_secs(1);

/// Cancels `stop` at the first SIGTERM or SIGINT, and ends the process at the next that is meant as
/// another one.
fn stop_at_signals(stop: CancellationToken) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    tokio::spawn(async move {
        let name = next(&mut terminate, &mut interrupt).await.0;
        tracing::info!(signal = name, "stopping");
        let first = Instant::now();
        stop.cancel();
        loop {
            let (name, exit_code) = next(&mut terminate, &mut interrupt).await;
            if is_another(first.elapsed()) {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(exit_code);
            }
            tracing::debug!(signal = name, "a signal so soon after the first is taken for the same");
        }
    });
    Ok(())
}

/// Whether a signal that comes so long after the first is another one.
fn is_another(since_first: Duration) -> bool {
    since_first >= SAME_SIGNAL_TIME
}

/// The next signal, with the exit code of a process that it ends.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 128 + 15),
        _ = interrupt.recv() => ("SIGINT", 128 + 2),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_file_is_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("holdfast.db");
        assert!(is_new(&path));
        std::fs::write(&path, "").expect("written");
        assert!(is_new(&path));
        std::fs::write(&path, "SQLite format 3").expect("written");
        assert!(!is_new(&path));
    }

    #[test]
    fn signals_in_one_breath_are_one() {
        assert!(!is_another(Duration::ZERO) && !is_another(Duration::from_millis(999)));
        assert!(is_another(Duration::from_secs(1)));
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        assert!(passes(Fault::Disconnected) && passes(Fault::OutcomeUnknown));
        assert!(!passes(Fault::Refused) && !passes(Fault::BatchExists));
    }
}
