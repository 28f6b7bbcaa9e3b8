//! A run, from an empty hand to a verdict: target, products, scenarios, audit, clean-up, checker.
//!
//! What does not belong here: what a scenario does, how a history is judged, what a report looks like.

mod lanes;
mod settings;
mod stock;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use settings::{Aim, Products, Settings};
pub use watcher::{Silent, Watcher};

use crate::api::{Requests, Secrets, SetupError};
use crate::check::{self, Verdict};
use crate::history::{
    self, Header, History, HistoryError, Limits, Mark, ProductUnderTest, Recorder, ScenarioPlan, Scope, TargetKind,
};
use crate::scenario::{self, Stop};
use crate::target::{self, AuditAnswer, Cleaned, Operator, Private, TargetError};

/// How long a server that somebody else runs may take to give its first answer.
const HOST_PATIENCE: Duration = Duration::from_secs(10);
/// The same, for a private one, which has said that it is ready.
const PRIVATE_PATIENCE: Duration = Duration::from_mins(1);

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no target, or it refuses.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The history could not be kept.
    #[error("the history: {0}")]
    History(#[from] HistoryError),
    /// No request can be made for this server.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Something that was asked for cannot be.
    #[error("{0}")]
    Usage(String),
}

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    /// What was seen.
    pub history: History,
    /// What that proves.
    pub verdict: Verdict,
    /// Where the history is.
    pub history_path: PathBuf,
    /// What was cleaned up, where that was owed.
    pub cleaned: Option<Cleaned>,
}

/// The target, up and answering.
struct Target {
    kind: TargetKind,
    url: String,
    secrets: Arc<Secrets>,
    private: Option<Arc<Private>>,
    operator: Operator,
    limits: Limits,
}

/// Runs, and judges. When `stop` is set it ends soon, cleans up all the same, and judges what it has.
///
/// # Errors
/// If nothing could be run: no target, or nowhere to keep the history.
pub async fn run(settings: &Settings, stop: &Stop, watcher: Arc<dyn Watcher>) -> Result<Finished, RunError> {
    let began = Instant::now();
    let target = aim_at(settings, watcher.as_ref()).await?;
    let run = name_of_run();
    let scenarios = plan_scenarios(settings, &target);
    let mut made = Vec::new();
    let stocked = stock::stock(settings, &target.operator, &run, &scenarios, began, &mut made).await;
    let recorded = match stocked {
        Ok(products) => {
            let header = header(settings, &target, run, scenarios, products);
            record(settings, &target, &header, began, stop, &watcher).await
        }
        Err(error) => Err(error),
    };
    // What was made must not stay on sale, whatever went wrong since.
    let path = match recorded {
        Ok(path) => path,
        Err(error) => {
            if target.kind == TargetKind::Host {
                stock::withdraw(&target.operator, &made).await;
            }
            return Err(error);
        }
    };
    let history = history::read(&path)?;
    let cleaned = match target.kind {
        TargetKind::Host => {
            watcher.note("cleaning up");
            let keys = format!("{}-end", history.header.run);
            let requests = Arc::new(Requests::new(&target.url, &keys, &target.secrets)?);
            let mess = target::Mess { history: Some(&history), made: &made, prefix: None };
            Some(target::clean_up(&target.operator, &requests, mess).await)
        }
        TargetKind::Private => None,
    };
    let verdict = check::judge(&history);
    Ok(Finished { history, verdict, history_path: path, cleaned })
}

async fn aim_at(settings: &Settings, watcher: &dyn Watcher) -> Result<Target, RunError> {
    let (kind, url, secrets, private, patience) = match &settings.aim {
        Aim::Private { server, database, settings } => {
            let program = target::find_server(server.as_deref(), |text| watcher.note(text)).await?;
            let secrets = Arc::new(target::random_secrets());
            let private = Arc::new(Private::start(&program, database, &secrets, settings).await?);
            (TargetKind::Private, private.url().to_owned(), secrets, Some(private), PRIVATE_PATIENCE)
        }
        Aim::Host { url, secrets, .. } => (TargetKind::Host, url.clone(), Arc::clone(secrets), None, HOST_PATIENCE),
    };
    let operator = Operator::new(&url, Arc::clone(&secrets))?;
    let limits = operator.wait_for_limits(patience).await?;
    Ok(Target { kind, url, secrets, private, operator, limits })
}

/// Which scenarios run, and why the others do not.
fn plan_scenarios(settings: &Settings, target: &Target) -> Vec<ScenarioPlan> {
    let mut names = settings.scenarios.clone();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let left_out = scenario::left_out(name, &target.limits, target.kind, settings.max_wait, scope(settings));
            ScenarioPlan { name, left_out }
        })
        .collect()
}

/// What may be concluded from what is seen.
fn scope(settings: &Settings) -> Scope {
    match &settings.aim {
        Aim::Host { products: Products::Given { sole_stock: None, .. }, .. } => Scope::Shared,
        _ => Scope::Sole,
    }
}

fn header(
    settings: &Settings,
    target: &Target,
    run: String,
    scenarios: Vec<ScenarioPlan>,
    products: Vec<ProductUnderTest>,
) -> Header {
    Header {
        format: Header::FORMAT,
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        run,
        seed: settings.seed,
        began_at: wall_clock_microseconds(),
        command: settings.command.clone(),
        target: target.kind,
        url: target.url.clone(),
        database: target.private.as_ref().map(|private| private.database_kind().to_owned()),
        scope: scope(settings),
        limits: target.limits,
        users: settings.users,
        duration_milliseconds: milliseconds(settings.duration),
        max_wait_milliseconds: milliseconds(settings.max_wait),
        scenarios,
        products,
        audited: target.private.is_some(),
    }
}

/// Runs the scenarios and the audit, and returns where the history of it is.
async fn record(
    settings: &Settings,
    target: &Target,
    header: &Header,
    began: Instant,
    stop: &Stop,
    watcher: &Arc<dyn Watcher>,
) -> Result<PathBuf, RunError> {
    let path = match &settings.history {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("holdfast-loadtest-{}.jsonl", header.run)),
    };
    let (recorder, writing) = Recorder::begin(&path, header, began)?;
    let hands = lanes::Hands { settings, target, header, recorder: &recorder, stop, watcher };
    watcher.begun(&recorder, header, &check::plan(header), lanes::expected(&hands));
    lanes::run(&hands).await;
    if stop.is_set() {
        recorder.mark(Mark::Interrupted { at: recorder.now() });
    }
    if let Some(private) = &target.private {
        watcher.note("asking the server's own audit");
        recorder.mark(audit_mark(private.audit().await));
    }
    recorder.end();
    watcher.ended();
    tokio::task::spawn_blocking(|| writing.wait()).await.unwrap_or_else(|error| {
        std::panic::resume_unwind(error.into_panic());
    })?;
    Ok(path)
}

fn audit_mark(answer: Result<AuditAnswer, TargetError>) -> Mark {
    match answer {
        Ok(answer) => Mark::Audit { ran: true, clean: answer.clean, detail: answer.breaches },
        Err(error) => Mark::Audit { ran: false, clean: false, detail: vec![error.to_string()] },
    }
}

/// A name that no other run has: the time, and something at random.
fn name_of_run() -> String {
    let seconds = wall_clock_microseconds() / 1_000_000;
    format!("{seconds:x}-{:04x}", fastrand::u16(..))
}

fn wall_clock_microseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
