//! A run, from an empty hand to a verdict: target, products, scenarios, audit, clean-up, checker.
//!
//! Whatever goes wrong after the first product was made, a server that others use is cleaned up.
//!
//! What does not belong here: what a scenario does, how a history is judged, what a report looks like.

mod clocks;
mod lanes;
mod settings;
mod stock;
mod watcher;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;

pub use settings::{Aim, Products, Settings};
use watcher::Shielded;
pub use watcher::{Silent, Watcher};

use crate::api::{Requests, Secrets, SetupError};
use crate::check::{self, Verdict};
use crate::history::{
    self, Header, History, HistoryError, Limits, Mark, ProductUnderTest, Recorder, ScenarioPlan, Scope, TargetKind,
};
use crate::scenario::{self, Stop};
use crate::target::{self, AuditAnswer, Cleaned, Mess, Operator, Private, TargetError};

/// How long a server that somebody else runs may take to give its first answer.
const HOST_PATIENCE: Duration = Duration::from_secs(10);
/// The same, for a private one, which has said that it is ready.
const PRIVATE_PATIENCE: Duration = Duration::from_mins(1);

/// How long a server may fail for the moment before the run begins: long enough for one that hardly gets a processor.
const SETUP_PATIENCE: Duration = Duration::from_mins(1);

/// Why there was no run, or no verdict on it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target answered at first, and then did not do what a run needs.
    #[error(transparent)]
    Unfit(TargetError),
    /// The history could not be kept.
    #[error("the history: {0}")]
    History(#[from] HistoryError),
    /// No request can be made for this server.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Something that was asked for cannot be.
    #[error("{0}")]
    Usage(String),
    /// The harness has a defect.
    #[error("the harness failed: {0}")]
    Panicked(String),
}

impl RunError {
    /// Whether the server had answered and nothing was wrong with what was asked for: then it is the verdict that
    /// is not known. Else it is for whoever runs the harness to mend.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unfit(error) => !error.is_usage(),
            Self::History(_) | Self::Panicked(_) => true,
            Self::Target(_) | Self::Setup(_) | Self::Usage(_) => false,
        }
    }
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

/// A run that is about to begin.
struct Attempt<'a> {
    settings: &'a Settings,
    target: &'a Target,
    run: &'a str,
    began: Instant,
    stop: &'a Stop,
    watcher: &'a Arc<dyn Watcher>,
}

/// What a run has left so far, however it ends.
#[derive(Default)]
struct Behind {
    /// The products that were made.
    made: Vec<u64>,
    /// Where the history is, if it was begun.
    history: Option<PathBuf>,
}

/// Runs, and judges. When `stop` is set it ends soon, cleans up all the same, and judges what it has.
///
/// # Errors
/// If nothing could be run, no target, or nowhere to keep the history; or if something broke on the way. What was
/// made is cleaned up then too, and what is left of it told to the watcher.
pub async fn run(settings: &Settings, stop: &Stop, watcher: Arc<dyn Watcher>) -> Result<Finished, RunError> {
    let began = Instant::now();
    let watcher: Arc<dyn Watcher> = Arc::new(Shielded(watcher));
    let target = aim_at(settings, watcher.as_ref()).await?;
    let run = name_of_run();
    // For the clean-up, but made here: it shows whether requests can be made at all.
    let requests = Arc::new(Requests::new(&target.url, &format!("{run}-end"), &target.secrets)?);
    if target.kind == TargetKind::Host {
        let deadline = tokio::time::Instant::now() + SETUP_PATIENCE;
        target::retry(deadline, || target.operator.try_secrets(&requests)).await.map_err(RunError::Unfit)?;
    }
    let mut behind = Behind::default();
    let attempt = Attempt { settings, target: &target, run: &run, began, stop, watcher: &watcher };
    let sold = guarded(stop, sell(&attempt, &mut behind)).await;
    // What was made must not stay on sale, whatever went wrong.
    let history = behind.history.as_deref().map(history::read).transpose();
    let prefix = makes_products(settings).then(|| stock::prefix(&run));
    let known = history.as_ref().ok().and_then(Option::as_ref);
    let mess = Mess { history: known, made: &behind.made, prefix: prefix.as_deref() };
    let cleaned = if target.kind == TargetKind::Host && (known.is_some() || prefix.is_some()) {
        watcher.note("cleaning up");
        Some(target::clean_up(&target.operator, &requests, mess).await)
    } else {
        None
    };
    let finished = sold.and_then(|path| match history? {
        Some(history) => Ok((path, history)),
        None => Err(RunError::Panicked("there is no history".to_owned())),
    });
    match finished {
        Ok((history_path, history)) => {
            let verdict = check::judge(&history);
            Ok(Finished { history, verdict, history_path, cleaned })
        }
        Err(error) => {
            if let Some(text) = cleaned.as_ref().and_then(what_is_left) {
                watcher.note(&text);
            }
            Err(error)
        }
    }
}

/// What a clean-up left, where there is no report to say it; `None` if that is nothing.
fn what_is_left(cleaned: &Cleaned) -> Option<String> {
    let left = &cleaned.left;
    let why = left.why.as_deref().unwrap_or_default();
    (cleaned.failed > 0).then(|| {
        format!(
            "the clean-up left products {:?}, orders {:?}, holds {:?}{} ({why})",
            left.products,
            left.orders,
            left.holds,
            left.unlisted.as_ref().map(|prefix| format!(", and products named \"{prefix}…\"")).unwrap_or_default(),
        )
    })
}

/// Makes an error of a panic, and stops what else goes on.
async fn guarded<T>(stop: &Stop, part: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    AssertUnwindSafe(part).catch_unwind().await.unwrap_or_else(|panic| {
        stop.set();
        Err(panicked(panic.as_ref()))
    })
}

/// The words of a panic.
fn panicked(panic: &(dyn Any + Send)) -> RunError {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    RunError::Panicked(words.unwrap_or("no words").to_owned())
}

/// Makes the products and runs the scenarios. `behind` has what there is of that at any time. Returns where the
/// history is.
async fn sell(attempt: &Attempt<'_>, behind: &mut Behind) -> Result<PathBuf, RunError> {
    let Attempt { settings, target, run, began, .. } = attempt;
    let scenarios = plan_scenarios(settings, target);
    let products = stock::stock(settings, &target.operator, run, &scenarios, *began, &mut behind.made).await?;
    let header = header(settings, target, (*run).to_owned(), scenarios, products);
    record(attempt, &header, &mut behind.history).await
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
            let left_out = scenario::left_out(name, &target.limits, target.kind, settings.max_wait);
            ScenarioPlan { name, left_out }
        })
        .collect()
}

/// Whether the run makes products of its own.
fn makes_products(settings: &Settings) -> bool {
    !matches!(&settings.aim, Aim::Host { products: Products::Given { .. }, .. })
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

/// Runs the scenarios and the audit, and returns where the history of it is. `place` is set as soon as there is
/// one.
async fn record(attempt: &Attempt<'_>, header: &Header, place: &mut Option<PathBuf>) -> Result<PathBuf, RunError> {
    let Attempt { settings, target, began, stop, watcher, .. } = attempt;
    let path = match &settings.history {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("holdfast-loadtest-{}.jsonl", header.run)),
    };
    let (recorder, writing) = Recorder::begin(&path, header, *began)?;
    *place = Some(path.clone());
    let hands = lanes::Hands { settings, target, header, recorder: &recorder, stop, watcher };
    let shown = Arc::clone(watcher);
    let clocks = clocks::Clocks::watch(recorder.clone(), move |text| shown.note(text));
    let ran = guarded(stop, async {
        watcher.begun(&recorder, header, &check::plan(header), lanes::expected(&hands));
        lanes::run(&hands).await;
        if stop.is_set() {
            recorder.mark(Mark::Interrupted { at: recorder.now() });
        }
        if let Some(private) = &target.private {
            watcher.note("asking the server's own audit");
            recorder.mark(audit_mark(private.audit().await));
        }
        Ok(())
    });
    let ran = ran.await;
    // After a panic too: the clean-up goes by what is written.
    clocks.end();
    recorder.end();
    watcher.ended();
    let written = tokio::task::spawn_blocking(|| writing.wait()).await;
    ran?;
    match written {
        Ok(written) => written?,
        Err(error) => return Err(RunError::Panicked(error.to_string())),
    }
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
