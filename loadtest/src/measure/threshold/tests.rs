//! What can be written as a threshold, what is said of what cannot, and how each is judged.

use super::*;
use crate::history::{Code, Key, Moment, Outcome, Record, ScenarioName, Why};
use crate::measure::tests::history_of;

fn record(milliseconds: u64, outcome: Outcome) -> Record {
    Record {
        scenario: ScenarioName::Rush,
        client: 1,
        invoked: Moment(0),
        ended: Moment(milliseconds * 1_000_000),
        operation: Operation::PlaceHold { product: 1, quantity: 1, key: Key(1) },
        outcome,
    }
}

fn held(milliseconds: u64) -> Record {
    record(milliseconds, Outcome::Held { hold: 1, expires_at: 0, replayed: false, body: 0 })
}

fn failed(milliseconds: u64) -> Record {
    record(milliseconds, Outcome::Refused { status: 500, code: Code::Internal, available: None, order: None })
}

#[test]
fn thresholds_are_read_and_shown() {
    for (text, shown) in [
        ("p99(hold) > 50ms", "p99(hold) > 50ms"),
        ("p99.9(order)>1s", "p99.9(order) > 1s"),
        (" max ( webhook )  >=  1.5 s ", "max(webhook) >= 1.5s"),
        ("mean > 250us", "mean > 250us"),
        ("p50(read_product) > 1000µs", "p50(read_product) > 1ms"),
        ("max > 2m", "max > 120s"),
        ("errors > 0.1%", "errors > 0.1%"),
        ("errors(hold) > 5", "errors(hold) > 5"),
        ("rate(hold) < 1000", "rate(hold) < 1000/s"),
        ("rate <= 10.5/s", "rate <= 10.5/s"),
    ] {
        let threshold: Threshold = text.parse().unwrap();
        assert_eq!(threshold.to_string(), shown);
        assert_eq!(threshold.to_string().parse(), Ok(threshold), "{shown} is read as it was");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_is_right() {
    for (text, what, right) in [
        ("", "it compares nothing", "write it like"),
        ("p99(hold)", "it compares nothing", "write it like"),
        ("p99(hold) 50ms", "it compares nothing", "write it like"),
        ("p99(hold) == 50ms", "'==' is no comparison", "there are >, >=, < and <="),
        ("p99(hold) => 50ms", "'=>' is no comparison", "there are >, >=, < and <="),
        ("p99(hold) != 50ms", "'!=' is no comparison", "there are >, >=, < and <="),
        ("> 50ms", "it names no figure", "there are mean, max, errors, rate"),
        ("median > 50ms", "there is no figure 'median'", "there are mean, max, errors, rate"),
        ("p(hold) > 50ms", "there is no figure 'p'", "percentiles like p50"),
        ("p100 > 50ms", "'p100' is no percentile", "there is max"),
        ("p0 > 50ms", "'p0' is no percentile", "over 0"),
        ("p9.9.9 > 50ms", "'p9.9.9' is no percentile", "over 0"),
        ("p99(holds) > 50ms", "there is no endpoint 'holds'", "there are hold, release, read_hold, order"),
        ("p99() > 50ms", "there is no endpoint ''", "there are hold"),
        ("p99(hold > 50ms", "the bracket is not closed", "write it like"),
        ("p99(hold)x > 50ms", "the bracket is not closed", "write it like"),
        ("p99(hold) > 50", "'50' has no unit", "a time has a unit: us, ms, s or m"),
        ("p99(hold) > 50h", "'h' is no unit of time", "a time has a unit"),
        ("p99(hold) > 50%", "'%' is no unit of time", "a time has a unit"),
        ("p99(hold) > ", "there is no limit", "a time has a unit"),
        ("p99(hold) > -1ms", "'-1ms' is no limit", "a time has a unit"),
        ("p99(hold) > inf", "'inf' is no limit", "a time has a unit"),
        ("errors > 50ms", "'50ms' is no limit", "a limit of errors is a count, like 5, or a share"),
        ("errors > 0.5", "'0.5' is no whole count", "a limit of errors is a count"),
        ("errors > 101%", "'101%' is more than all", "a limit of errors is a count"),
        ("rate(hold) < 10%", "'10%' is no limit", "answers a second"),
        ("rate(hold) < fast", "'fast' is no limit", "answers a second"),
    ] {
        let error = text.parse::<Threshold>().unwrap_err();
        assert_eq!(error.what, what, "{text}");
        assert!(error.right.contains(right), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("'{text}': ")), "{error}");
    }
}

#[test]
fn a_threshold_is_missed_when_what_it_says_is_so() {
    // Ten holds from 10 to 100 ms, one of which is an error, in 100 ms.
    let mut records: Vec<_> = (1..10).map(|tenth| held(tenth * 10)).collect();
    records.push(failed(100));
    let measures = Measures::of(&history_of(records));
    for (text, reached, seen) in [
        ("max(hold) > 99ms", Reached::Missed, "100ms"),
        ("max(hold) > 100ms", Reached::Met, "100ms"),
        ("max(hold) >= 100ms", Reached::Missed, "100ms"),
        ("mean(hold) > 54.9ms", Reached::Missed, "55ms"),
        ("mean > 55ms", Reached::Met, "55ms"),
        ("errors(hold) > 0", Reached::Missed, "1"),
        ("errors(hold) > 1", Reached::Met, "1"),
        ("errors > 9.9%", Reached::Missed, "10%"),
        ("errors > 10%", Reached::Met, "10%"),
        ("rate(hold) < 91", Reached::Missed, "90/s"),
        ("rate(hold) < 90", Reached::Met, "90/s"),
        ("rate(hold) <= 90", Reached::Missed, "90/s"),
    ] {
        let judged = text.parse::<Threshold>().unwrap().judge(&measures);
        assert_eq!((judged.reached, judged.seen.as_str()), (reached, seen), "{text}");
        assert!(judged.samples >= 9, "{text}: {}", judged.samples);
    }
    let missed = |text: &str| text.parse::<Threshold>().unwrap().judge(&measures).reached == Reached::Missed;
    assert!(missed("p50(hold) > 49ms") && !missed("p50(hold) > 51ms"), "half of ten took 50 ms at most");
    assert!(missed("p99(hold) > 99ms") && !missed("p99(hold) > 101ms"), "all took 100 ms at most");
}

#[test]
fn nothing_seen_proves_nothing() {
    let measures = Measures::of(&history_of(vec![record(1, Outcome::Unknown { why: Why::Cut, status: None })]));
    for (text, reached, seen) in [
        ("p99(hold) > 1s", Reached::Unknown, "no answer of hold was seen"),
        ("max > 1s", Reached::Unknown, "no answer was seen"),
        ("p99(order) > 1s", Reached::Unknown, "no answer of order was seen"),
        ("errors(order) > 5", Reached::Unknown, "no request of order was seen"),
        ("rate(order) < 5", Reached::Unknown, "no request of order was seen"),
        ("errors > 0", Reached::Missed, "1"),
        ("rate < 1", Reached::Missed, "0/s"),
    ] {
        let judged = text.parse::<Threshold>().unwrap().judge(&measures);
        assert_eq!((judged.reached, judged.seen.as_str()), (reached, seen), "{text}");
    }
}

#[test]
fn chaos_and_answers_thrown_away_do_not_count() {
    let mut broken = failed(5_000);
    broken.scenario = ScenarioName::Chaos;
    let lost = record(9_000, Outcome::Unknown { why: Why::Lost, status: None });
    let measures = Measures::of(&history_of(vec![held(10), broken, lost]));
    for (text, seen) in [("errors > 0", "0"), ("max > 1s", "10ms")] {
        let judged = text.parse::<Threshold>().unwrap().judge(&measures);
        assert_eq!((judged.reached, judged.seen.as_str()), (Reached::Met, seen), "{text}");
    }
}

#[test]
fn of_chaos_alone_no_threshold_is_met() {
    let mut in_chaos = held(10);
    in_chaos.scenario = ScenarioName::Chaos;
    let measures = Measures::of(&history_of(vec![in_chaos]));
    for (text, what) in [
        ("errors > 100%", "request"),
        ("rate < 0", "request"),
        ("max > 60m", "answer"),
        ("p99(hold) > 60m", "answer of hold"),
    ] {
        let judged = text.parse::<Threshold>().unwrap().judge(&measures);
        let seen = format!("no {what} was seen outside chaos, which breaks things on purpose");
        assert_eq!((judged.reached, judged.seen), (Reached::Unknown, seen), "{text}");
    }
}
