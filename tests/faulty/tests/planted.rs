//! The harness on every planted bug, and on the right server: the table of bugs and of the checks that catch
//! them.
//!
//! One quick run of the whole suite each, none of them repeated: it must be caught, and by a check that stands
//! for what is wrong. Every run writes the table with its seconds to `planted.md` in cargo's folder for tests;
//! the one in this package has no seconds, and must say the same. `HOLDFAST_TEST_FAULTS`, names separated by
//! commas, tries only these. What does not belong here: what a bug does, when it is met by itself (`faults.rs`).

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_faulty::Fault;
use holdfast_loadtest::check::{Check, Standing, Verdict};
use holdfast_loadtest::history::ScenarioName;
use holdfast_loadtest::run::{Aim, Settings, Silent, run};
use holdfast_loadtest::scenario::Stop;
use holdfast_loadtest::target::PrivateDatabase;
use holdfast_test_support::rig::process::{self, Plan};
use holdfast_test_support::{OrFail, seed};
use tokio::sync::Semaphore;

/// How many servers are tried at the same time.
const AT_ONCE: usize = 2;

/// The table in this package.
const TABLE: &str = include_str!("../PLANTED.md");

/// The checks that stand for what a bug breaks. Each run must name one of them; others may break with it.
fn checks_for(fault: Fault) -> &'static [Check] {
    use Check::{
        Counters, Deadlines, FinalStates, FreshReads, NoFalseSoldOut, NoOversell, NothingLost, OneOrderPerHold,
        PaymentKeys, Replays, UnitsConserved,
    };
    match fault {
        Fault::CheckThenWrite | Fault::LostUpdate | Fault::OffByOne | Fault::QuantityIgnored => &[NoOversell],
        Fault::ExpiryReturnsRedeemed
        | Fault::ReleaseTwice
        | Fault::DuplicateAppliedTwice
        | Fault::ContradictionMovesUnits => &[UnitsConserved, NoOversell, Counters],
        Fault::ReleaseRedeemed => &[UnitsConserved, NoOversell, FinalStates],
        Fault::TwoOrdersFromOneHold => &[OneOrderPerHold],
        Fault::ExpiredRedeemed | Fault::EarlyExpiry => &[Deadlines],
        Fault::OffByOneShort | Fault::SoldOutAfterRelease | Fault::SoldOutNeighbour => &[NoFalseSoldOut],
        Fault::ExpiredKeepsUnits | Fault::ExpiryBySweepOnly | Fault::CancelledStillCounted => {
            &[UnitsConserved, NoFalseSoldOut]
        }
        Fault::LastWebhookWins | Fault::LateSuccessPaysCancelled | Fault::PendingApplied | Fault::WindowCancelsPaid => {
            &[FinalStates]
        }
        Fault::PendingUsesKey | Fault::KeyOnTwoOrders | Fault::RefusedEventUsesKey => &[PaymentKeys],
        Fault::ReplayWithOtherBody
        | Fault::ReplayMakesSecondHold
        | Fault::ReplayRace
        | Fault::ReplayNotFirstAnswer
        | Fault::KeysLostOnRestart => &[Replays],
        Fault::DoneButRefused => &[Replays, UnitsConserved, FreshReads],
        Fault::AckBeforeDurable | Fault::IdsReusedAfterRestart => &[NothingLost],
        Fault::StaleReads => &[FreshReads],
    }
}

/// How a run on a server ended.
struct Tried {
    fault: Option<Fault>,
    verdict: Verdict,
    seconds: f64,
}

/// What CI believes is the exit code of the binary: a broken invariant goes before a missed threshold.
#[tokio::test]
async fn a_broken_invariant_is_one() {
    let folder = tempfile::tempdir().or_fail();
    let server = Path::new(env!("CARGO_BIN_EXE_holdfast-faulty"));
    let history = folder.path().join("history.jsonl");
    let junit = folder.path().join("junit.xml");
    let run = |arguments: &[&str]| {
        let mut plan = Plan::new(server.with_file_name("holdfast-loadtest"));
        plan.arguments = arguments.iter().map(Into::into).collect();
        async move { process::run(&plan, Duration::from_mins(2)).await.or_fail() }
    };
    let (server_bin, history) = (server.display().to_string(), history.display().to_string());
    let fault = format!("HOLDFAST_FAULT={}", Fault::OffByOne.name());
    let report = format!("junit={}", junit.display());
    let told = run(&[
        "run",
        "--quick",
        "--scenario",
        "boundary",
        "--seed",
        "7",
        "--server-bin",
        &server_bin,
        "--setting",
        &fault,
        "--fail-if",
        "p50(hold) > 0ms",
        "--history",
        &history,
        "--report",
        &report,
    ])
    .await;
    assert_eq!(told.code(), Some(1), "{}\n{}", told.out, told.err);
    for words in ["no_oversell", "--seed 7"] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    assert!(std::fs::read_to_string(&junit).or_fail().contains("<failure"));
    let again = run(&["check", &history]).await;
    assert_eq!(again.code(), Some(1), "{}\n{}", again.out, again.err);
}

impl Tried {
    async fn on(fault: Option<Fault>, seed: u64) -> Self {
        let folder = tempfile::tempdir().or_fail();
        let settings = Settings {
            aim: Aim::Private {
                server: Some(env!("CARGO_BIN_EXE_holdfast-faulty").into()),
                database: PrivateDatabase::Temporary,
                settings: vec![("HOLDFAST_FAULT".to_owned(), fault.map_or("", Fault::name).to_owned())],
            },
            scenarios: ScenarioName::ALL.to_vec(),
            quick: true,
            users: 16,
            duration: Duration::from_secs(1),
            ramp: Duration::ZERO,
            stock: None,
            seed,
            max_wait: Duration::from_mins(3),
            request_timeout: Duration::from_secs(10),
            history: Some(folder.path().join("history.jsonl")),
            goose_reports: None,
            command: "a test".to_owned(),
        };
        let began = Instant::now();
        let finished = run(&settings, &Stop::new(), Arc::new(Silent)).await.or_fail();
        keep(fault, &finished.history_path);
        Self { fault, verdict: finished.verdict, seconds: began.elapsed().as_secs_f64() }
    }

    fn name(&self) -> &'static str {
        self.fault.map_or("none", Fault::name)
    }

    /// The checks that it broke.
    fn broken(&self) -> Vec<Check> {
        let broken = self.verdict.checks.iter().filter(|checked| checked.standing == Standing::Broken);
        broken.map(|checked| checked.check).collect()
    }

    /// Whether a check that stands for the bug named it; for the right server, whether all held.
    fn is_right(&self) -> bool {
        match self.fault {
            Some(fault) => self.broken().iter().any(|check| checks_for(fault).contains(check)),
            None => self.verdict.standing() == Standing::Held,
        }
    }

    /// All that the checker said, for whoever must find out why.
    fn story(&self) -> String {
        let mut story = format!("{} in {:.1} s, broken: {:?}\n", self.name(), self.seconds, self.broken());
        for checked in &self.verdict.checks {
            if checked.standing == Standing::Held || checked.standing == Standing::NotApplicable {
                continue;
            }
            let (standing, judged, floor) = (checked.standing, checked.judged, checked.floor);
            let _ = writeln!(story, "    {:?} {standing:?}, {judged} of {floor}: {}", checked.check, checked.detail);
            for breach in checked.breaches.iter().take(2) {
                let _ = writeln!(story, "        {:.3} s: {}", breach.at.seconds(), breach.what);
            }
        }
        for trouble in &self.verdict.troubles {
            let _ = writeln!(story, "    trouble: {trouble}");
        }
        story
    }
}

/// Leaves the history of a run where somebody may look at it, until the next one.
fn keep(fault: Option<Fault>, history: &Path) {
    let name = format!("planted-{}.jsonl", fault.map_or("none", Fault::name));
    std::fs::copy(history, Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).or_fail();
}

/// The faults that are asked for.
fn asked_for() -> Vec<Fault> {
    match std::env::var("HOLDFAST_TEST_FAULTS") {
        Ok(names) if !names.is_empty() => names.split(',').map(|name| name.parse().or_fail()).collect(),
        _ => Fault::ALL.to_vec(),
    }
}

/// The table without seconds.
fn table() -> String {
    let mut table = String::from(
        "# The planted bugs\n\nWhat the harness is tried on: `tests/planted.rs` runs it on a server with each of \
         these bugs, and fails unless one\nof the checks beside it is broken. It writes this table again, with \
         the seconds of that run.\n\n| bug | what is wrong | checks, one of which must break |\n|---|---|---|\n",
    );
    for fault in Fault::ALL {
        let checks: Vec<String> = checks_for(*fault).iter().map(|check| format!("`{}`", check.name())).collect();
        let _ = writeln!(table, "| `{fault}` | {} | {} |", fault.bug(), checks.join(", "));
    }
    table
}

#[test]
fn the_table_in_this_package_is_this_one() {
    if TABLE != table() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("PLANTED.md");
        std::fs::write(&path, table()).or_fail();
        panic!("tests/faulty/PLANTED.md is not what this test makes: copy {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_server_passes() {
    let tried = Tried::on(None, seed().u64(..1 << 53)).await;
    assert!(tried.is_right(), "{}", tried.story());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_bug_is_caught() {
    let mut random = seed();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let runs: Vec<_> = asked_for()
        .into_iter()
        .map(|fault| {
            let (turns, seed) = (Arc::clone(&turns), random.u64(..1 << 53));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.or_fail();
                Tried::on(Some(fault), seed).await
            })
        })
        .collect();
    let (mut timed, mut missed) = (String::from("| bug | caught by | seconds |\n|---|---|---|\n"), String::new());
    for run in runs {
        let tried = run.await.or_fail();
        let broken: Vec<String> = tried.broken().iter().map(|check| format!("`{}`", check.name())).collect();
        let _ = writeln!(timed, "| `{}` | {} | {:.1} |", tried.name(), broken.join(", "), tried.seconds);
        eprintln!("{}", tried.story());
        if !tried.is_right() {
            missed.push_str(&tried.story());
        }
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted.md");
    std::fs::write(&path, &timed).or_fail();
    println!("{timed}\nalso in {}", path.display());
    assert!(missed.is_empty(), "not caught:\n{missed}");
}
