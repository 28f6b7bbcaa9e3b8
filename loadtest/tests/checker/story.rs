//! Small histories, told by hand: one product (1) of `stock` units, holds of 2 s, payment windows of 5 s.
//!
//! Moments are milliseconds: each line is sent at its first, answered at its second. What does not belong here: what is
//! expected of the checker.

use holdfast_loadtest::check::{Check, Standing, Verdict, judge};
use holdfast_loadtest::history::{
    Code, History, HoldStatus, HoldView, Key, Limits, Mark, Moment, News, Operation, OrderStatus, OrderView, Outcome,
    ProductView, Record, ScenarioName, Why,
};

use super::model::header;

/// A request that a story tells: what is asked, what comes back.
pub(crate) type Line = (Operation, Outcome);

const SECOND: i64 = 1_000_000;
/// When stories begin, on the server's clock.
const BEGINNING: i64 = 1_700_000_000 * SECOND;
/// That hold numbers are not order numbers shows what is mistaken for what.
const ORDERS: u64 = 100;

/// A history that is being told.
pub(crate) struct Story(History);

pub(crate) fn story(stock: u64) -> Story {
    let limits = Limits { hold_ttl_seconds: 2, payment_window_seconds: 5, max_qty_per_hold: 10 };
    Story(History { header: header(limits, &[stock]), records: Vec::new(), marks: Vec::new() })
}

impl Story {
    pub(crate) fn line(mut self, invoked: u64, ended: u64, (operation, outcome): Line) -> Self {
        self.0.records.push(Record {
            scenario: ScenarioName::Rush,
            client: 1,
            invoked: Moment(invoked * 1_000_000),
            ended: Moment(ended * 1_000_000),
            operation,
            outcome,
        });
        self
    }

    pub(crate) fn killed(mut self, at: u64) -> Self {
        let at = Moment(at * 1_000_000);
        self.0.marks.push(Mark::Fault { what: "server killed".to_owned(), kills: true, began: at, ended: at });
        self
    }

    /// As a history with its end, or without.
    pub(crate) fn told(mut self, whole: bool) -> History {
        if whole {
            let records = self.0.records.len() as u64;
            self.0.marks.push(Mark::End { at: Moment(u64::MAX), records });
        }
        self.0
    }

    /// Which checks are broken.
    pub(crate) fn broken(self) -> Vec<Check> {
        broken(&judge(&self.told(true)))
    }

    /// Which are broken if nobody knows what else was asked.
    pub(crate) fn broken_if_cut_off(self) -> Vec<Check> {
        broken(&judge(&self.told(false)))
    }
}

pub(crate) fn broken(verdict: &Verdict) -> Vec<Check> {
    verdict.checks.iter().filter(|checked| checked.standing == Standing::Broken).map(|checked| checked.check).collect()
}

/// The deadline of a hold that was placed so many milliseconds after the beginning.
fn deadline(placed: u64) -> i64 {
    let placed = i64::try_from(placed).unwrap() * 1000;
    BEGINNING + (placed + 2 * SECOND + SECOND - 1) / SECOND * SECOND
}

pub(crate) fn unknown(operation: Operation) -> Line {
    (operation, Outcome::Unknown { why: Why::Cut, status: None })
}

pub(crate) fn not_sent(operation: Operation) -> Line {
    (operation, Outcome::Unknown { why: Why::NotSent, status: None })
}

pub(crate) fn refused(operation: Operation, status: u16, code: Code) -> Line {
    (operation, Outcome::Refused { status, code, available: None, order: None })
}

pub(crate) const fn place(key: u64, quantity: u32) -> Operation {
    Operation::PlaceHold { product: 1, quantity, key: Key(key) }
}

/// Hold `key` is placed, at the beginning of the story.
pub(crate) fn held(key: u64, quantity: u32) -> Line {
    held_as(key, quantity, key)
}

pub(crate) fn held_as(key: u64, quantity: u32, hold: u64) -> Line {
    (place(key, quantity), Outcome::Held { hold, expires_at: deadline(0), replayed: false, body: hold })
}

pub(crate) fn sold_out(key: u64, quantity: u32, available: u64) -> Line {
    let (available, order) = (Some(available), None);
    (place(key, quantity), Outcome::Refused { status: 409, code: Code::InsufficientStock, available, order })
}

pub(crate) const fn release(hold: u64) -> Operation {
    Operation::ReleaseHold { hold }
}

pub(crate) fn released(hold: u64) -> Line {
    (release(hold), Outcome::Released)
}

pub(crate) const fn order(hold: u64, key: u64) -> Operation {
    Operation::PlaceOrder { hold, key: Key(key) }
}

fn order_view(hold: u64, quantity: i64, status: OrderStatus) -> OrderView {
    OrderView { order: ORDERS + hold, hold, quantity, status }
}

/// Hold `hold`, of one unit, becomes order 100 + `hold`.
pub(crate) fn ordered(hold: u64, key: u64) -> Line {
    let view = order_view(hold, 1, OrderStatus::PendingPayment);
    (order(hold, key), Outcome::Ordered { order: view, replayed: false, body: 7 })
}

pub(crate) fn ordered_as(hold: u64, key: u64, id: u64) -> Line {
    let view = OrderView { order: id, ..order_view(hold, 1, OrderStatus::PendingPayment) };
    (order(hold, key), Outcome::Ordered { order: view, replayed: false, body: 7 })
}

pub(crate) const fn event(key: u64, order: u64, news: News) -> Operation {
    Operation::Webhook { key: Key(key), order, news }
}

pub(crate) fn accepted(key: u64, order: u64, news: News) -> Line {
    (event(key, order, news), Outcome::Accepted)
}

/// A read of the order of `hold`, of one unit.
pub(crate) fn order_shown(hold: u64, status: OrderStatus) -> Line {
    (Operation::ReadOrder { order: ORDERS + hold }, Outcome::Order(order_view(hold, 1, status)))
}

/// A read of a hold of one unit that was placed at the beginning.
pub(crate) fn hold_shown(hold: u64, status: HoldStatus) -> Line {
    let order = matches!(status, HoldStatus::Redeemed | HoldStatus::PaymentFailed | HoldStatus::PaymentOverdue)
        .then_some(ORDERS + hold);
    let view = HoldView { product: 1, quantity: 1, status, order, created_at: BEGINNING, expires_at: deadline(0) };
    (Operation::ReadHold { hold }, Outcome::Hold(view))
}

pub(crate) fn shelf(available: i64, reserved: i64) -> Line {
    counters(available - reserved, available, reserved, false)
}

pub(crate) fn shelf_at_rest(available: i64, reserved: i64) -> Line {
    counters(available - reserved, available, reserved, true)
}

pub(crate) fn counters(free: i64, available: i64, reserved: i64, at_rest: bool) -> Line {
    let view = ProductView { free, available, reserved, suspended: false };
    (Operation::ReadProduct { product: 1, at_rest }, Outcome::Product(view))
}
