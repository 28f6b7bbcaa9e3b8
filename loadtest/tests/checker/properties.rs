//! A right sale is never accused, and a wrong one is.

use holdfast_loadtest::check::{Check, Standing, Verdict, judge};
use holdfast_loadtest::history::{History, Mark, Moment};
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::proptest;

use super::model::{Bug, Crowd, run};

fn crowds() -> impl Strategy<Value = Crowd> {
    let people = (1_u32..7, 5_u32..60, 1_u64..9);
    let times = (1_u64..4, 1_u64..4);
    let troubles = (0_u32..30, 0_u32..40, 0_u32..4);
    (any::<u64>(), people, times, troubles).prop_map(
        |(seed, (clients, requests, stock), (hold_ttl_seconds, payment_window_seconds), (lost, pauses, kills))| Crowd {
            seed,
            clients,
            requests,
            stock,
            hold_ttl_seconds,
            payment_window_seconds,
            lost,
            pauses,
            kills,
            slept: None,
        },
    )
}

fn accusations(verdict: &Verdict) -> Vec<(Check, &str)> {
    let breaches = verdict.checks.iter().flat_map(|checked| checked.breaches.iter().map(|b| (checked.check, b)));
    breaches.map(|(check, breach)| (check, breach.what.as_str())).collect()
}

proptest! {
    // `PROPTEST_CASES` asks for more.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.saturating_mul(8),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_right_sale_is_never_accused(crowd in crowds()) {
        let history = run(crowd, None);
        let verdict = judge(&history);
        let accused = accusations(&verdict);
        assert!(accused.is_empty(), "{crowd:?}: {accused:#?}");
    }

    #[test]
    fn a_right_sale_is_never_accused_by_a_clock_that_stands_still_or_jumps(
        crowd in crowds(),
        at in 0_u64..6_000,
        by in 100_u64..20_000,
        is_ahead in any::<bool>()
    ) {
        let [at, by] = [at, by].map(|milliseconds| milliseconds * 1_000_000);
        let history = if is_ahead {
            jumped(run(crowd, None), at, by)
        } else {
            marked(run(Crowd { slept: Some((at, by)), ..crowd }, None), at, by)
        };
        let verdict = judge(&history);
        let accused = accusations(&verdict);
        assert!(accused.is_empty(), "{crowd:?}, at {at} by {by}, ahead {is_ahead}: {accused:#?}");
        assert_eq!(verdict.standing(), Standing::Unknown);
    }
}

/// A history as a harness takes it down whose clock jumps ahead `by` nanoseconds at `at`.
fn jumped(mut history: History, at: u64, by: u64) -> History {
    let on_its_clock = |moment: Moment| if moment.0 < at { moment } else { moment.later(by) };
    for record in &mut history.records {
        (record.invoked, record.ended) = (on_its_clock(record.invoked), on_its_clock(record.ended));
    }
    for mark in &mut history.marks {
        match mark {
            Mark::Fault { began, ended, .. } => (*began, *ended) = (on_its_clock(*began), on_its_clock(*ended)),
            Mark::End { at, .. } => *at = on_its_clock(*at),
            _ => {}
        }
    }
    marked(history, at, by)
}

/// With what whoever watches the clocks takes down of it.
fn marked(mut history: History, at: u64, by: u64) -> History {
    let (began, ended) = (Moment(at.saturating_sub(1)), Moment(at));
    history.marks.push(Mark::ClockStepped { began, ended, nanoseconds: by });
    history
}

/// How many of the crowds each bug was caught with, by the check that is there for it, and by any.
fn caught(bug: Bug, crowds: u64) -> (u64, u64) {
    let (mut named, mut at_all) = (0, 0);
    for seed in 0..crowds {
        let crowd = Crowd {
            seed,
            clients: 2 + u32::try_from(seed % 4).unwrap(),
            requests: 60,
            stock: 2 + seed % 5,
            hold_ttl_seconds: 1 + seed % 2,
            payment_window_seconds: 3 + seed % 3,
            lost: if seed % 3 == 0 { 4 } else { 0 },
            pauses: 10,
            kills: 2,
            slept: None,
        };
        let verdict = judge(&run(crowd, Some(bug)));
        let broken: Vec<Check> =
            verdict.checks.iter().filter(|checked| checked.breaches_in_all > 0).map(|checked| checked.check).collect();
        named += u64::from(broken.contains(&bug.caught_by()));
        at_all += u64::from(!broken.is_empty());
    }
    (named, at_all)
}

#[test]
fn a_planted_bug_is_caught_by_the_check_that_is_there_for_it() {
    const CROWDS: u64 = 40;
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let (named, at_all) = caught(bug, CROWDS);
        println!("{bug:?}: {named} of {CROWDS} by {}, {at_all} by any", bug.caught_by().name());
        // A crowd does not always meet the bug; a check that cannot see it never does.
        if named * 4 < CROWDS {
            missed.push((bug, named));
        }
    }
    assert!(missed.is_empty(), "of {CROWDS} crowds: {missed:?}");
}
