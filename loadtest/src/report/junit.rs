//! The report for CI: a test case for each check and for each threshold.
//!
//! Broken and missed are failures, unknown is an error, and what does not apply is skipped. A run that was
//! interrupted, or a scenario that did not do what it is for, is an error of its own.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Run;
use super::words::{self, Line, thousands};
use crate::check::{Breach, Checked, Standing};
use crate::measure::threshold::{Judged, Reached};

/// What `classname` begins with.
const CLASS: &str = "holdfast.loadtest";

/// The report.
pub(super) fn document(run: &Run) -> Result<String, SerializeError> {
    let mut report = Report::new("holdfast-loadtest");
    let took = Duration::from_nanos(run.measures.ended.0);
    report.set_time(took);
    let mut checks = suite(run, "checks");
    checks.set_time(took);
    checks.add_test_cases(run.verdict.checks.iter().map(|checked| check(run, checked)));
    checks.add_test_cases(run_as_a_whole(run));
    report.add_test_suite(checks);
    if !run.thresholds.is_empty() {
        let mut thresholds = suite(run, "thresholds");
        thresholds.set_time(took);
        thresholds.add_test_cases(run.thresholds.iter().map(threshold));
        report.add_test_suite(thresholds);
    }
    report.to_string()
}

/// The report of a run that came to no verdict.
pub(super) fn no_verdict(why: &str) -> Result<String, SerializeError> {
    let mut report = Report::new("holdfast-loadtest");
    let mut suite = TestSuite::new(format!("{CLASS}.checks"));
    suite.add_test_case(case("checks", "run", unwell(NonSuccessKind::Error, "no verdict", why, why)));
    report.add_test_suite(suite);
    report.to_string()
}

fn suite(run: &Run, name: &str) -> TestSuite {
    let header = &run.history.header;
    let mut suite = TestSuite::new(format!("{CLASS}.{name}"));
    if let Some(time) = words::began_for_programs(header) {
        // The crate's own field would bring a second library of times.
        suite.extra.insert("timestamp".into(), time.into());
    }
    suite.add_property(("run", header.run.as_str()));
    suite.add_property(("seed", header.seed.to_string().as_str()));
    suite.add_property(("command", header.command.as_str()));
    suite.add_property(("target", words::target(header).as_str()));
    suite.add_property(("verdict", words::verdict(run).as_str()));
    suite.add_property(("exit_code", run.exit_code.to_string().as_str()));
    if let Some(path) = run.history_path {
        suite.add_property(("history", path.to_string_lossy().as_ref()));
    }
    suite
}

/// A case that did not go well, with the first line as what lists show, and all as what is in it.
fn unwell(kind: NonSuccessKind, class: &str, message: &str, whole: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(class).set_message(message).set_description(whole);
    status
}

fn case(class: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{CLASS}.{class}")).set_time(Duration::ZERO);
    case
}

fn check(run: &Run, checked: &Checked) -> TestCase {
    let judged = format!("{} judged, {} needed", thousands(checked.judged), thousands(checked.floor));
    let promise = checked.check.promise();
    let status = match checked.standing {
        Standing::Held => TestCaseStatus::success(),
        Standing::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(checked.detail.as_str());
            status
        }
        Standing::Unknown => {
            let message = format!("{judged}: {}", checked.detail);
            unwell(NonSuccessKind::Error, "unknown", &message, &format!("{promise}.\n{message}"))
        }
        Standing::Broken => {
            let first = checked.breaches.first().map_or(checked.detail.as_str(), |breach| breach.what.as_str());
            let breaches: Vec<_> = checked.breaches.iter().map(|found| breach(run, found)).collect();
            let whole = format!(
                "{promise}.\n{} in all, {judged}.\n\n{}\n\nRepeat it: {}\n",
                words::breaches(checked.breaches_in_all),
                breaches.join("\n\n"),
                run.history.header.command,
            );
            unwell(NonSuccessKind::Failure, "broken", first, &whole)
        }
    };
    let mut case = case("checks", checked.check.name(), status);
    if checked.standing == Standing::Held {
        case.set_system_out(format!("{promise}.\n{judged}: {}", checked.detail));
    }
    case
}

fn breach(run: &Run, breach: &Breach) -> String {
    let mut lines = vec![breach.what.clone()];
    for &position in &breach.records {
        if let Some(Line { when, who, request, answer }) = words::line(run.history, position) {
            lines.push(format!("  {when}  {who}  {request} -> {answer}"));
        }
    }
    lines.join("\n")
}

fn run_as_a_whole(run: &Run) -> Option<TestCase> {
    let mut reasons = run.verdict.troubles.clone();
    if run.verdict.interrupted {
        reasons.push("the run was interrupted, or its history is cut off".to_owned());
    }
    let first = reasons.first()?;
    Some(case("checks", "run", unwell(NonSuccessKind::Error, "unknown", first, &reasons.join("\n"))))
}

fn threshold(judged: &Judged) -> TestCase {
    let saw = match judged.reached {
        Reached::Unknown => judged.seen.clone(),
        Reached::Met | Reached::Missed => {
            format!("saw {} in {}", judged.seen, words::counted(judged.samples, "sample"))
        }
    };
    let status = match judged.reached {
        Reached::Met => TestCaseStatus::success(),
        Reached::Missed => unwell(NonSuccessKind::Failure, "missed", &saw, &saw),
        Reached::Unknown => unwell(NonSuccessKind::Error, "unknown", &saw, &saw),
    };
    let mut case = case("thresholds", &format!("fail if {}", judged.threshold), status);
    if judged.reached == Reached::Met {
        case.set_system_out(saw);
    }
    case
}
