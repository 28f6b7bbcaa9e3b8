//! `held` needs evidence: what is said of histories that show too little, and of clocks that tell nothing.

use holdfast_loadtest::check::{Check, Checked, Standing, judge, plan};
use holdfast_loadtest::history::{Code, History, HoldStatus, Mark, Moment, ScenarioName, ScenarioPlan, Scope};

use super::story::{Story, held, hold_shown, order, place, refused, sold_out, story};

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

/// The history of a run in which only chaos ran, to its end.
fn of_chaos(told: Story) -> History {
    let mut history = told.told(true);
    let name = ScenarioName::Chaos;
    history.header.scenarios = vec![ScenarioPlan { name, left_out: None }];
    let (began, ended) = (Moment::default(), Moment::default());
    history.marks.push(Mark::Scenario { name, began, ended, finished: true, trouble: None });
    history
}

fn checked(history: &History, check: Check) -> Checked {
    judge(history).checks.into_iter().find(|checked| checked.check == check).unwrap()
}

#[test]
fn what_outlived_no_kill_is_no_evidence_that_nothing_is_lost() {
    // Ten holds, all read back, more than enough for any floor; so many of them across a kill.
    let told = |across: u64, kills: bool| {
        let holds = (1..=10).fold(story(10), |told, hold| told.line(hold, hold + 1, held(hold, 1)));
        let read =
            |told: Story, hold: u64, at: u64| told.line(at + hold, at + hold + 1, hold_shown(hold, HoldStatus::Active));
        let before = (across + 1..=10).fold(holds, |told, hold| read(told, hold, 20));
        let killed = if kills { before.killed(40) } else { before };
        (1..=across).fold(killed, |told, hold| read(told, hold, 50))
    };
    for (across, kills, standing, said) in [
        (10, false, Standing::Unknown, "0 of them, of 3 needed"),
        (0, true, Standing::Unknown, "0 of them, of 3 needed"),
        (2, true, Standing::Unknown, "2 of them, of 3 needed"),
        (3, true, Standing::Held, "3 of them after the one kill"),
        (10, true, Standing::Held, "10 of them after the one kill"),
    ] {
        let found = checked(&of_chaos(told(across, kills)), Check::NothingLost);
        assert_eq!((found.standing, found.judged), (standing, 10), "{across} across {kills}: {found:?}");
        assert!(found.detail.contains(said), "{across} across {kills}: {found:?}");
    }
    // Where nothing is killed, nothing has to outlive that.
    let mut elsewhere = of_chaos(told(10, false));
    elsewhere.header.scenarios[0].name = ScenarioName::Retries;
    assert_eq!(checked(&elsewhere, Check::NothingLost).standing, Standing::Held);
}

#[test]
fn what_is_lost_by_a_kill_is_broken_whatever_was_needed() {
    let lost = story(5).line(0, 10, held(1, 1)).killed(20).line(
        30,
        40,
        refused(hold_shown(1, HoldStatus::Active).0, 404, Code::NotFound),
    );
    assert_eq!(checked(&of_chaos(lost), Check::NothingLost).standing, Standing::Broken);
}

#[test]
fn a_clock_that_stood_still_accuses_nobody_and_proves_nothing() {
    // A second after it was placed the hold was gone: it lived its two seconds while the machine slept.
    let told = || {
        story(1).line(0, 10, held(1, 1)).line(1000, 1010, refused(order(1, 11), 409, Code::HoldExpired)).line(
            1020,
            1030,
            held(2, 1),
        )
    };
    assert_eq!(judge(&told().told(true)).standing(), Standing::Broken, "without a mark nobody knows");
    let slept = |seconds: u64| Mark::ClockStepped {
        began: Moment(500_000_000),
        ended: Moment(600_000_000),
        nanoseconds: seconds * Moment::SECOND,
    };
    let judged = |told: Story, mark: Mark| {
        let mut history = told.told(true);
        history.marks.push(mark);
        judge(&history)
    };
    let verdict = judged(told(), slept(3_600));
    assert_eq!(verdict.standing(), Standing::Unknown, "{verdict:?}");
    assert!(verdict.troubles.iter().any(|trouble| trouble.contains("slept")), "{:?}", verdict.troubles);
    // A clock that jumped ahead makes a hold look older than it is: here it lives, and its unit is not free.
    let ahead = || story(1).line(0, 10, held(1, 1)).line(8000, 8010, sold_out(2, 1, 0));
    assert_eq!(ahead().broken(), [Check::NoFalseSoldOut]);
    assert_eq!(judged(ahead(), slept(7)).standing(), Standing::Unknown);
    // What no clock can excuse is broken all the same.
    let twice = story(1).line(0, 10, held(1, 2));
    assert_eq!(judged(twice, slept(3_600)).standing(), Standing::Unknown, "a hold may have been over at once");
    let refused_with_enough = story(5).line(0, 10, sold_out(1, 2, 5));
    assert_eq!(judged(refused_with_enough, slept(3_600)).standing(), Standing::Broken);
}

#[test]
fn a_harness_that_stood_still_is_no_reason_not_to_believe_it() {
    let judged = |marks: Vec<Mark>| {
        let mut history = of_chaos(story(5).line(0, 10, held(1, 1)));
        history.marks.extend(marks);
        judge(&history)
    };
    assert_eq!(judged(vec![Mark::StoodStill { began: Moment(1), ended: Moment(u64::MAX) }]), judged(Vec::new()));
}
