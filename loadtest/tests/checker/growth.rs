//! That the work grows with the history, not with its square; and what is said of histories that show nothing.

use std::time::{Duration, Instant};

use holdfast_loadtest::check::{Check, Standing, judge, plan};
use holdfast_loadtest::history::{Code, HoldStatus, Mark, Moment, OrderStatus, ScenarioName, ScenarioPlan, Scope};

use super::story::{Story, held, hold_shown, order_shown, ordered, place, refused, released, shelf, sold_out, story};

/// Holds that come and go, some ordered, some refused, with reads, on one product.
fn long(holds: u64) -> Story {
    let mut told = story(3);
    for hold in 1..=holds {
        let at = hold * 10;
        told =
            told.line(at, at + 5, held(hold, 1)).line(at + 6, at + 7, shelf(3, 1)).line(at, at + 9, sold_out(0, 4, 2));
        told = match hold % 3 {
            0 => told.line(at + 7, at + 8, ordered(hold, hold)).line(
                at + 8,
                at + 9,
                order_shown(hold, OrderStatus::Paid),
            ),
            _ => told.line(at + 7, at + 8, hold_shown(hold, HoldStatus::Active)).line(at + 8, at + 9, released(hold)),
        };
    }
    told
}

#[test]
fn eight_times_the_history_takes_about_eight_times_the_work() {
    let [short, long] = [4_000, 32_000].map(|holds| long(holds).told(true));
    let fastest = |history| {
        let times = (0..4).map(|_| {
            let began = Instant::now();
            let verdict = judge(history);
            assert!(verdict.checks.iter().any(|checked| checked.breaches_in_all > 1000), "it had much to say");
            began.elapsed()
        });
        times.min().unwrap_or(Duration::MAX)
    };
    let ratio = fastest(&long).as_secs_f64() / fastest(&short).as_secs_f64();
    assert!(ratio < 28.0, "8 times the history took {ratio:.1} times the work; 64 would be its square");
}

#[test]
fn a_server_that_did_nothing_has_not_passed() {
    let empty = story(5);
    let busy = (0..500)
        .fold(story(5), |told, key| told.line(key, key + 1, refused(place(key, 1), 503, Code::DatabaseUnavailable)));
    for (name, told) in [("nothing was asked", empty), ("all was refused", busy)] {
        let mut history = told.told(true);
        history.header.scenarios =
            ScenarioName::ALL.into_iter().map(|name| ScenarioPlan { name, left_out: None }).collect();
        history.marks.extend(ScenarioName::ALL.into_iter().map(|name| Mark::Scenario {
            name,
            began: Moment::default(),
            ended: Moment::default(),
            finished: true,
            trouble: None,
        }));
        let verdict = judge(&history);
        assert_eq!(verdict.standing(), Standing::Unknown, "{name}");
        assert!(verdict.troubles.is_empty() && !verdict.interrupted, "{name}: {verdict:?}");
        for checked in verdict.checks {
            let expected = if checked.check == Check::Audit { Standing::NotApplicable } else { Standing::Unknown };
            assert_eq!(checked.standing, expected, "{name}: {:?}", checked.check);
        }
    }
}

#[test]
fn what_cannot_be_judged_is_said_before_the_start() {
    let mut header = story(5).told(true).header;
    header.scenarios = vec![ScenarioPlan { name: ScenarioName::Duplicates, left_out: None }];
    let left_out = |header: &_| {
        let planned = plan(header).into_iter();
        planned.filter(|planned| planned.left_out.is_some()).map(|planned| planned.check).collect::<Vec<_>>()
    };
    let not_fed = [Check::NoFalseSoldOut, Check::Deadlines, Check::Replays, Check::Audit];
    assert_eq!(left_out(&header), not_fed);
    header.audited = true;
    assert_eq!(left_out(&header), not_fed[..3]);
    header.scope = Scope::Shared;
    let unsound = [
        Check::NoOversell,
        Check::UnitsConserved,
        Check::NoFalseSoldOut,
        Check::Deadlines,
        Check::Replays,
        Check::FreshReads,
    ];
    assert_eq!(left_out(&header), unsound);
    header.scenarios[0].left_out = Some("it takes too long".to_owned());
    assert_eq!(left_out(&header).len(), Check::ALL.len() - 1, "nothing runs");
}

#[test]
fn the_audit_is_believed_only_if_it_ran() {
    let standing = |mark: Option<Mark>| {
        let mut history = story(5).told(true);
        history.header.audited = true;
        history.marks.extend(mark);
        let verdict = judge(&history);
        verdict.checks.into_iter().find(|checked| checked.check == Check::Audit).map(|checked| checked.standing)
    };
    let audit = |ran, clean| Some(Mark::Audit { ran, clean, detail: vec!["I2: 3 instead of 2".to_owned()] });
    assert_eq!(standing(audit(true, true)), Some(Standing::Held));
    assert_eq!(standing(audit(true, false)), Some(Standing::Broken));
    assert_eq!(standing(audit(false, false)), Some(Standing::Unknown));
    assert_eq!(standing(None), Some(Standing::Unknown));
}
