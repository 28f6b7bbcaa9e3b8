//! Figures out of small histories whose figures are plain to see.

use super::*;
use crate::history::{Code, Header, Key, Limits, News, OrderStatus, OrderView, ProductUnderTest, Scope};

const SECOND: u64 = Moment::SECOND;
/// What the server's clock shows when the history's begins, in microseconds.
const SERVER_BEGAN: i64 = 1_764_640_800_000_000;

/// A history of a private server with one product of 10 units, of id 1, which `rush` sells.
pub(crate) fn history_of(records: Vec<Record>) -> History {
    let limits = Limits { hold_ttl_seconds: 2, payment_window_seconds: 5, max_qty_per_hold: 100 };
    let product = ProductUnderTest { product: 1, scenario: ScenarioName::Rush, stock: 10, made: Moment(0) };
    let header = Header { began_at: SERVER_BEGAN, products: vec![product], ..Header::bare(limits) };
    History { header, records, marks: Vec::new() }
}

fn record(invoked: u64, ended: u64, operation: Operation, outcome: Outcome) -> Record {
    let (invoked, ended) = (Moment(invoked * SECOND / 10), Moment(ended * SECOND / 10));
    Record { scenario: ScenarioName::Rush, client: 1, invoked, ended, operation, outcome }
}

/// All times are tenths of a second.
fn hold(invoked: u64, ended: u64, hold: u64, quantity: u32) -> Record {
    let deadline = SERVER_BEGAN + i64::try_from(invoked).unwrap() * 100_000 + 2_000_000;
    let outcome = Outcome::Held { hold, expires_at: deadline, replayed: false, body: 0 };
    record(invoked, ended, Operation::PlaceHold { product: 1, quantity, key: Key(hold) }, outcome)
}

fn release(invoked: u64, ended: u64, hold: u64) -> Record {
    record(invoked, ended, Operation::ReleaseHold { hold }, Outcome::Released)
}

fn order(invoked: u64, ended: u64, hold: u64, order: u64) -> Record {
    let order = OrderView { order, hold, quantity: 1, status: OrderStatus::PendingPayment };
    let operation = Operation::PlaceOrder { hold, key: Key(100 + hold) };
    record(invoked, ended, operation, Outcome::Ordered { order, replayed: false, body: 0 })
}

fn webhook(invoked: u64, ended: u64, order: u64, news: News) -> Record {
    record(invoked, ended, Operation::Webhook { key: Key(200 + order), order, news }, Outcome::Accepted)
}

/// Held and sold units at a tenth of a second. The run goes on for 10 s.
fn levels(mut records: Vec<Record>, tenths: &[u64]) -> Vec<(u64, u64)> {
    let refused = Outcome::Refused { status: 409, code: Code::InsufficientStock, available: Some(0), order: None };
    records.push(record(99, 100, Operation::PlaceHold { product: 1, quantity: 1, key: Key(999) }, refused.clone()));
    records.push(record(0, 1, Operation::PlaceHold { product: 1, quantity: 1, key: Key(998) }, refused));
    // Whoever reads a history may not rely on its order.
    records.reverse();
    let measures = Measures::of(&history_of(records));
    let stock = &measures.stocks[0];
    assert_eq!((stock.stocked, stock.products), (Some(10), 1));
    let middle = |tenth: u64| stock.levels[stock.steps.at(Moment(tenth * SECOND / 10 + SECOND / 20))];
    tenths.iter().map(|tenth| (middle(*tenth).held, middle(*tenth).sold)).collect()
}

#[test]
fn a_hold_keeps_its_units_from_its_answer_to_its_deadline() {
    assert_eq!(levels(vec![hold(10, 12, 1, 3)], &[9, 11, 12, 29, 30]), [(0, 0), (0, 0), (3, 0), (3, 0), (0, 0)]);
}

#[test]
fn a_hold_given_back_keeps_nothing_from_the_request_on() {
    let records = vec![hold(10, 11, 1, 3), hold(10, 11, 2, 4), release(15, 20, 1)];
    assert_eq!(levels(records, &[14, 15, 29, 30]), [(7, 0), (4, 0), (4, 0), (0, 0)]);
}

#[test]
fn a_release_that_was_refused_gives_nothing_back() {
    let refused = Outcome::Refused { status: 409, code: Code::HoldAlreadyRedeemed, available: None, order: Some(1) };
    let records = vec![hold(10, 11, 1, 3), record(15, 16, Operation::ReleaseHold { hold: 1 }, refused)];
    assert_eq!(levels(records, &[17, 29]), [(3, 0), (3, 0)]);
}

#[test]
fn an_order_sells_until_its_payment_window_is_over() {
    let records = vec![hold(10, 11, 1, 3), order(20, 21, 1, 1)];
    assert_eq!(levels(records, &[20, 21, 69, 70]), [(3, 0), (0, 3), (0, 3), (0, 0)]);
}

#[test]
fn an_order_that_is_paid_sells_for_ever() {
    let records = vec![hold(10, 11, 1, 3), order(20, 21, 1, 1), webhook(30, 31, 1, News::Success)];
    assert_eq!(levels(records.clone(), &[69, 70, 98]), [(0, 3); 3]);
    let late_failure = [records, vec![webhook(40, 41, 1, News::Failure)]].concat();
    assert_eq!(levels(late_failure, &[42, 98]), [(0, 3); 2]);
}

#[test]
fn an_order_whose_payment_failed_sells_nothing() {
    let records = vec![hold(10, 11, 1, 3), order(20, 21, 1, 1), webhook(30, 31, 1, News::Failure)];
    assert_eq!(levels(records, &[29, 30]), [(0, 3), (0, 0)]);
}

#[test]
fn of_two_contradicting_events_at_once_a_read_tells_which_counted() {
    let view = OrderView { order: 1, hold: 1, quantity: 3, status: OrderStatus::Paid };
    let racing = vec![
        hold(10, 11, 1, 3),
        order(20, 21, 1, 1),
        webhook(30, 35, 1, News::Success),
        webhook(30, 35, 1, News::Failure),
    ];
    assert_eq!(levels(racing.clone(), &[29, 36]), [(0, 3), (0, 0)]);
    let seen = [racing, vec![record(40, 41, Operation::ReadOrder { order: 1 }, Outcome::Order(view))]].concat();
    assert_eq!(levels(seen, &[29, 36, 98]), [(0, 3); 3]);
}

#[test]
fn the_same_hold_answered_twice_counts_once() {
    let mut again = hold(10, 18, 1, 3);
    again.invoked = Moment(16 * SECOND / 10);
    assert_eq!(levels(vec![hold(10, 12, 1, 3), again], &[13, 19, 30]), [(3, 0), (3, 0), (0, 0)]);
}

#[test]
fn more_than_the_stock_is_seen_in_the_step_and_at_the_product() {
    let records = vec![hold(10, 11, 1, 8), hold(20, 21, 2, 5), release(21, 22, 2)];
    let mut measures = Measures::of(&history_of(records));
    assert_eq!(measures.stocks[0].most().out(), 8, "a hold that is given back at once was never surely out");
    measures = Measures::of(&history_of(vec![hold(10, 11, 1, 8), hold(20, 21, 2, 5), release(29, 30, 2)]));
    let stock = &measures.stocks[0];
    assert_eq!(stock.most(), Level { held: 13, sold: 0 });
    let fullest = Fullest { product: 1, out: 13, stocked: 10, at: Moment(21 * SECOND / 10) };
    assert_eq!(stock.fullest, Some(fullest));
}

#[test]
fn nobody_vouches_for_a_shared_stock() {
    let mut history = history_of(vec![hold(10, 11, 1, 3)]);
    history.header.scope = Scope::Shared;
    let stock = &Measures::of(&history).stocks[0];
    assert_eq!((stock.stocked, stock.fullest, stock.most().out()), (None, None, 3));
}

#[test]
fn an_empty_history_has_no_figures() {
    let measures = Measures::of(&history_of(Vec::new()));
    assert_eq!((measures.total.requests, measures.total.error_share(), measures.total.rate()), (0, 0.0, 0.0));
    assert!(measures.endpoints.is_empty() && measures.stocks.is_empty() && measures.scenarios.is_empty());
    assert!(measures.chaos.is_none());
}

#[test]
fn absurd_histories_are_borne() {
    let last = Moment(u64::MAX);
    let mut absurd = hold(10, 11, 1, u32::MAX);
    (absurd.invoked, absurd.ended) = (last, Moment(0));
    absurd.outcome = Outcome::Held { hold: u64::MAX, expires_at: i64::MIN, replayed: true, body: 0 };
    let mut history = history_of(vec![absurd, hold(1, 2, 2, 1), order(5, 6, 77, 7), webhook(1, 2, 9, News::Success)]);
    history.header.limits.hold_ttl_seconds = u64::MAX;
    history.marks = vec![
        Mark::Fault { what: String::new(), kills: true, began: last, ended: Moment(0) },
        Mark::Scenario { name: ScenarioName::Many, began: last, ended: Moment(0), finished: true, trouble: None },
    ];
    assert_eq!(Measures::of(&history).total.requests, 4);
}

#[test]
fn endpoints_scenarios_and_faults_are_told_apart() {
    let mut history = history_of(vec![hold(10, 11, 1, 1), hold(12, 14, 2, 1), order(20, 21, 1, 1)]);
    history.records[2].scenario = ScenarioName::Chaos;
    history.marks = vec![
        Mark::Fault { what: "server killed".to_owned(), kills: true, began: Moment(5), ended: Moment(9) },
        Mark::Scenario {
            name: ScenarioName::Rush,
            began: Moment(0),
            ended: Moment(3 * SECOND),
            finished: true,
            trouble: None,
        },
    ];
    let measures = Measures::of(&history);
    let counts = |endpoints: &[Endpoint]| endpoints.iter().map(|one| (one.name, one.requests)).collect::<Vec<_>>();
    assert_eq!(counts(&measures.endpoints), [("hold", 2)]);
    assert_eq!((measures.total.requests, measures.ended), (2, Moment(3 * SECOND)));
    assert_eq!(measures.chaos.as_ref().map(|chaos| (chaos.name, chaos.requests)), Some(("chaos", 1)));
    assert_eq!(measures.endpoints[0].latency.longest(), Some(SECOND / 5));
    let names: Vec<_> = measures.scenarios.iter().map(|one| (one.name, one.requests, one.finished)).collect();
    assert_eq!(names, [(ScenarioName::Rush, 2, true), (ScenarioName::Chaos, 1, false)]);
    assert_eq!(measures.faults.len(), 1);
    assert_eq!(measures.timeline.iter().map(|step| step.requests).sum::<u64>(), 3);
}

#[test]
fn what_was_under_way_while_the_harness_stood_still_has_no_latency() {
    let timed_out = |invoked, ended| {
        let outcome = Outcome::Unknown { why: Why::TimedOut, status: None };
        record(invoked, ended, Operation::ReleaseHold { hold: 1 }, outcome)
    };
    let mut history = history_of(vec![
        hold(10, 11, 1, 1),
        hold(12, 52, 2, 1),
        hold(20, 30, 3, 1),
        hold(60, 61, 4, 1),
        timed_out(24, 51),
        timed_out(51, 52),
    ]);
    let tenths = |tenths: u64| Moment(tenths * SECOND / 10);
    history.marks = vec![
        Mark::StoodStill { began: tenths(70), ended: tenths(90) },
        Mark::StoodStill { began: tenths(25), ended: tenths(50) },
    ];
    let measures = Measures::of(&history);
    assert_eq!((measures.total.requests, measures.total.latency.count()), (6, 3));
    assert_eq!(measures.total.errors, 1, "nobody was there to hear the answer of the other");
    assert_eq!(measures.total.latency.longest(), Some(SECOND / 10));
    assert!(
        measures.notes.iter().any(|note| note.contains("stood still for 2.5 s from 2.5 s on")),
        "{:?}",
        measures.notes
    );
}
