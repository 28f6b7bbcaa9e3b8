//! What a run shows: what it is about to do, how far it is, what came of it.
//!
//! What does not belong here: the form of a report.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ExitCode;
use super::arguments::Results;
use crate::check::{Planned, Verdict};
use crate::history::{Header, History, Recorder, ScenarioName, TargetKind};
use crate::measure::Measures;
use crate::report::annotate::{AnnotateError, Grafana};
use crate::report::progress::Progress;
use crate::report::{self, Run};
use crate::run::{Settings, Watcher};
use crate::target::Cleaned;

/// Says something to people. A stream that nobody reads is no reason to end a run.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints what was asked for. A stream that nobody reads is no reason to end a run.
pub(super) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Makes sure that what is to be written can be, before an hour of load finds out that it cannot. What an
/// earlier run left there goes: it would be taken for this one's, if this one does not get that far.
///
/// # Errors
/// If a file or folder cannot be made, with its name.
pub(super) fn prepare(results: &Results, settings: &Settings) -> Result<(), String> {
    let files = results.reports.iter().map(|wanted| wanted.path.as_path()).chain(settings.history.as_deref());
    for path in files {
        let made = match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => std::fs::create_dir_all(folder),
            None => Ok(()),
        };
        made.and_then(|()| File::create(path))
            .and_then(|_| std::fs::remove_file(path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if let Some(folder) = &settings.goose_reports {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot write in {}: {error}", folder.display()))?;
    }
    if let Some(grafana) = &results.annotate {
        Grafana::new(grafana, None).map_err(|error| format!("--annotate: {error}"))?;
    }
    Ok(())
}

/// Tells CI that there was no run, in the reports that it reads.
pub(super) fn no_verdict(results: &Results, why: &str, code: ExitCode) {
    for wanted in &results.reports {
        if let Err(error) = report::write_no_verdict(wanted.kind, &wanted.path, why, code as u8) {
            say(&format!("holdfast-loadtest: {error}"));
        }
    }
}

/// The screen, while a run goes on: the list of checks, then a bar, or lines where there is no terminal.
pub(super) struct Screen {
    progress: Mutex<Option<Progress>>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { progress: Mutex::new(None) }
    }

    /// Ends the bar, whatever came of the run.
    pub(super) fn close(&self) {
        if let Some(progress) = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take() {
            progress.finish();
        }
    }

    fn with(&self, show: impl FnOnce(&Progress), otherwise: impl FnOnce()) {
        match self.progress.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(progress) => show(progress),
            None => otherwise(),
        }
    }
}

impl Watcher for Screen {
    fn begun(&self, recorder: &Recorder, header: &Header, plan: &[Planned], expected: Duration) {
        say(announcement(header, plan).trim_end());
        let progress = Progress::start(recorder.clone(), expected);
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    fn scenario(&self, name: ScenarioName, expected: Duration) {
        self.with(|progress| progress.scenario(name, expected), || ());
    }

    fn scenario_ended(&self, name: ScenarioName) {
        self.with(|progress| progress.scenario_ended(name), || ());
    }

    fn note(&self, text: &str) {
        self.with(|progress| progress.note(text), || say(text));
    }

    fn ended(&self) {
        self.close();
    }
}

/// What will be done and judged, and what will not, and why.
fn announcement(header: &Header, plan: &[Planned]) -> String {
    let server = match (header.target, &header.database) {
        (TargetKind::Private, Some(database)) => format!("a private server on {database}"),
        (TargetKind::Private, None) => "a private server".to_owned(),
        (TargetKind::Host, _) => header.url.clone(),
    };
    let running = header.scenarios.iter().filter(|plan| plan.left_out.is_none());
    let running: Vec<&str> = running.map(|plan| plan.name.name()).collect();
    let mut lines = vec![
        format!("run {} against {server}, seed {}", header.run, header.seed),
        format!("scenarios: {}", running.join(", ")),
    ];
    lines.extend(header.scenarios.iter().filter_map(|plan| {
        let why = plan.left_out.as_ref()?;
        Some(format!("  not applicable: scenario {}: {why}", plan.name))
    }));
    let judged = plan.iter().filter(|planned| planned.left_out.is_none());
    let judged: Vec<&str> = judged.map(|planned| planned.check.name()).collect();
    lines.push(format!("checks: {}", judged.join(", ")));
    lines.extend(plan.iter().filter_map(|planned| {
        let why = planned.left_out.as_ref()?;
        Some(format!("  not applicable: check {}: {why}", planned.check.name()))
    }));
    lines.push(String::new());
    lines.join("\n")
}

/// A run that has ended, with where its files are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// What was seen.
    pub(super) history: &'a History,
    /// What that proves.
    pub(super) verdict: &'a Verdict,
    /// Where the history is.
    pub(super) path: &'a Path,
    /// Where goose's reports are.
    pub(super) goose_reports: Option<&'a Path>,
}

/// Prints the verdict, writes the reports, tells Grafana, and says what to exit with. A report that cannot be
/// written does not change the verdict; it is told.
pub(super) async fn show(shown: &Shown<'_>, results: &Results) -> ExitCode {
    let measures = Measures::of(shown.history);
    let thresholds: Vec<_> = results.thresholds.iter().map(|threshold| threshold.judge(&measures)).collect();
    let code = ExitCode::of(shown.verdict.standing(), thresholds.iter().map(|judged| judged.reached));
    let goose_reports = shown.goose_reports.map(files_in).unwrap_or_default();
    let is_kept = results.keep_history || code != ExitCode::Held;
    let run = Run {
        history: shown.history,
        verdict: shown.verdict,
        measures: &measures,
        thresholds: &thresholds,
        exit_code: code as u8,
        history_path: is_kept.then_some(shown.path),
        goose_reports: &goose_reports,
    };
    for wanted in &results.reports {
        if let Err(error) = report::write(wanted.kind, &wanted.path, &run) {
            say(&format!("holdfast-loadtest: {error}"));
        }
    }
    if let Some(grafana) = &results.annotate
        && let Err(error) = annotate(grafana, &run).await
    {
        say(&format!("holdfast-loadtest: Grafana was not told of the run: {error}"));
    }
    print(&report::terminal(&run));
    code
}

async fn annotate(grafana: &str, run: &Run<'_>) -> Result<usize, AnnotateError> {
    Grafana::new(grafana, std::env::var("GRAFANA_TOKEN").ok().as_deref())?.annotate(run).await
}

/// Says what was cleaned up, and what could not be, by id, so that a person can end it.
pub(super) fn cleaned(cleaned: &Cleaned) {
    let Cleaned { holds, orders, products, failed, left } = cleaned;
    say(&format!("cleaned up: {holds} holds given back, {orders} orders failed, {products} products suspended"));
    if *failed == 0 && left.unlisted.is_none() {
        return;
    }
    say(&format!("holdfast-loadtest: {failed} of these could not be ended; end them by hand:"));
    for (what, ids) in [
        ("products that may be on sale", &left.products),
        ("orders that may be unpaid", &left.orders),
        ("holds that may be active", &left.holds),
    ] {
        if !ids.is_empty() {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            say(&format!("  {what}: {}", ids.join(", ")));
        }
    }
    if let Some(prefix) = &left.unlisted {
        say(&format!("  products whose names begin with '{prefix}'"));
    }
    if let Some(why) = &left.why {
        say(&format!("  the last thing that was seen: {why}"));
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(Iterator::flatten);
    let mut files: Vec<PathBuf> = entries.into_iter().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}
