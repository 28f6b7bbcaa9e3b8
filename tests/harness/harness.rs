//! How the tests run the harness: its binary, and the report that it writes for programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_test_support::OrFail;
use holdfast_test_support::rig::process::{self, Finished, Plan};
use serde_json::Value;

/// How long a run may take before it counts as hanging.
pub(crate) const RUN_LIMIT: Duration = Duration::from_mins(4);

/// The folder of goose's own reports.
const GOOSE_REPORTS: &str = "goose";

/// The server's binary.
pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_holdfast");

/// A command line of the harness, with a folder for what it writes.
#[derive(Debug)]
pub(crate) struct Harness {
    plan: Plan,
    folder: tempfile::TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    /// How it ended, and what it wrote on its streams.
    pub(crate) finished: Finished,
    /// The report for programs, if it came to that.
    pub(crate) report: Option<Value>,
    folder: tempfile::TempDir,
}

impl Harness {
    /// `holdfast-loadtest run` with a history and a JSON report.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().or_fail();
        let mut plan = Plan::new(binary());
        plan.arguments.push("run".into());
        plan.arguments.extend(arguments.iter().map(Into::into));
        plan.arguments.extend(["--history".into(), folder.path().join("history.jsonl").into()]);
        plan.arguments
            .extend(["--report".into(), format!("json={}", folder.path().join("report.json").display()).into()]);
        Self { plan, folder }
    }

    /// A quick run against a private server on this database.
    pub(crate) fn quick(database_url: &str, seed: u64) -> Self {
        Self::run(&["--quick", "--server-bin", SERVER, "--database-url", database_url, "--seed", &seed.to_string()])
    }

    /// With a report of another kind, too.
    pub(crate) fn report_as(mut self, kind: &str) -> Self {
        let path = self.folder.path().join(format!("report.{kind}"));
        self.plan.arguments.extend(["--report".into(), format!("{kind}={}", path.display()).into()]);
        self
    }

    /// With goose's own reports.
    pub(crate) fn goose_reports(mut self) -> Self {
        self.plan.arguments.extend(["--goose-reports".into(), self.folder.path().join(GOOSE_REPORTS).into()]);
        self
    }

    /// With a variable in its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.plan.environment.push((name.into(), value.into()));
        self
    }

    /// What it is started by.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs it to its end.
    pub(crate) async fn finish(self) -> Run {
        let finished = process::run(&self.plan, RUN_LIMIT).await.or_fail();
        self.ended(finished)
    }

    /// The report for programs, if there is one yet.
    pub(crate) fn report(&self) -> Option<Value> {
        let report = std::fs::read(self.folder.path().join("report.json")).ok()?;
        Some(serde_json::from_slice(&report).or_fail())
    }

    /// What it left behind.
    pub(crate) fn ended(self, finished: Finished) -> Run {
        Run { finished, report: self.report(), folder: self.folder }
    }
}

impl Run {
    /// Ends the test unless the exit code is this one.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.finished.code(), Some(code), "{}\n{}", self.finished.out, self.finished.err);
    }

    /// How a check ended.
    pub(crate) fn standing(&self, check: &str) -> &str {
        let checks = self.report()["checks"].as_array().expect("checks");
        let found = checks.iter().find(|found| found["check"] == check).expect(check);
        found["standing"].as_str().expect("a standing")
    }

    /// The report for programs.
    pub(crate) fn report(&self) -> &Value {
        self.report.as_ref().unwrap_or_else(|| panic!("no report: {}\n{}", self.finished.out, self.finished.err))
    }

    /// Has its history judged again, with more arguments.
    pub(crate) async fn judge_again(&self, arguments: &[&str]) -> Finished {
        let mut plan = Plan::new(binary());
        plan.arguments = ["check".into(), self.history().into()].into();
        plan.arguments.extend(arguments.iter().map(Into::into));
        process::run(&plan, Duration::from_mins(1)).await.or_fail()
    }

    /// The report of this kind, as text.
    pub(crate) fn report_of(&self, kind: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("report.{kind}"))).or_fail()
    }

    /// The sizes of goose's own reports.
    pub(crate) fn goose_reports(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.folder.path().join(GOOSE_REPORTS)).or_fail();
        files.map(|file| file.or_fail().metadata().or_fail().len()).collect()
    }

    /// Where the history is.
    fn history(&self) -> PathBuf {
        self.folder.path().join("history.jsonl")
    }

    /// All that it wrote, on streams and into files.
    pub(crate) fn everything(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        [&self.finished.out, &self.finished.err, &read("history.jsonl"), &read("report.json")]
            .map(String::as_str)
            .concat()
    }
}

/// The harness, built beside the server.
pub(crate) fn binary() -> PathBuf {
    let path = Path::new(SERVER).with_file_name("holdfast-loadtest");
    assert!(path.is_file(), "{} is not built: cargo build -p holdfast-loadtest", path.display());
    path
}
