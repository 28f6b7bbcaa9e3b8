//! Units held, sold and free over time, as far as clients were told.
//!
//! Units count as held from the answer that gave them until the earliest moment at which anything could
//! have given them back: the request that released them, or their deadline. From the answer to the order
//! they count as sold, until the earliest moment at which the order could have been cancelled, unless it
//! was seen paid. So a line never shows more than surely was out, and one above the limit is an oversell,
//! not a delay between server and client. What is neither held nor sold is shown as free.
//!
//! This is for people's eyes: whether anything was broken is the checker's to say.

use std::collections::HashMap;

use super::timeline::Steps;
use crate::history::{History, Key, Moment, News, Operation, OrderStatus, Outcome, ScenarioName, Scope, Why};

const NANOSECONDS_IN_MICROSECOND: i64 = 1_000;

/// Units out of a scenario's products at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Units of holds that live.
    pub held: u64,
    /// Units of orders that were not cancelled, paid or not.
    pub sold: u64,
}

impl Level {
    /// Held and sold units.
    pub fn out(self) -> u64 {
        self.held + self.sold
    }
}

/// The units of one scenario's products over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Whose products.
    pub scenario: ScenarioName,
    /// How many products.
    pub products: usize,
    /// The units they were stocked with; none if nobody vouches for them.
    pub stocked: Option<u64>,
    /// The steps, from the scenario's first request to its last.
    pub steps: Steps,
    /// For each step, the moment in it at which most units were out.
    pub levels: Vec<Level>,
    /// The product of which the most units were out, measured by its stock.
    pub fullest: Option<Fullest>,
}

/// A product, at the moment at which most of its units were out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullest {
    /// The product.
    pub product: u64,
    /// Its units held and sold at that moment.
    pub out: u64,
    /// The units it was stocked with.
    pub stocked: u64,
    /// When.
    pub at: Moment,
}

impl Stock {
    /// The moment at which most units were out.
    pub fn most(&self) -> Level {
        self.levels.iter().copied().max_by_key(|level| level.out()).unwrap_or_default()
    }
}

/// A hold that was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Hold {
    scenario: ScenarioName,
    product: u64,
    quantity: u32,
    key: Key,
    answered: Moment,
    expires_at: i64,
    given_back: Option<Moment>,
}

/// An order, as far as anything is known of it.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    hold: u64,
    key: Option<Key>,
    answered: Option<Moment>,
    failed: Option<Moment>,
    succeeded: Option<Moment>,
    seen_paid: bool,
}

/// All that clients were told of holds and orders.
#[derive(Debug, Default)]
struct Told {
    holds: HashMap<u64, Hold>,
    orders: HashMap<u64, Order>,
    order_of_hold: HashMap<u64, u64>,
    /// When a key was first sent: what it made was not made before.
    first_sent: HashMap<Key, Moment>,
}

/// A change of a product's units out.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Moment,
    product: u64,
    held: i64,
    sold: i64,
}

/// The units over time of each scenario that sold anything, in the order in which they run.
pub(super) fn of(history: &History, spans: &[(ScenarioName, Moment, Moment)]) -> Vec<Stock> {
    let told = Told::from(history);
    let mut changes = told.changes(history);
    let mut stocks = Vec::new();
    for &(scenario, began, ended) in spans {
        let changes = changes.remove(&scenario).unwrap_or_default();
        if changes.is_empty() {
            continue;
        }
        stocks.push(sweep(history, scenario, Steps::over(began, ended), changes));
    }
    stocks
}

fn earliest(place: &mut Option<Moment>, moment: Moment) {
    *place = Some(place.map_or(moment, |known| known.min(moment)));
}

/// Whether a request with this outcome may have been carried out.
fn may_have_happened(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Refused { .. } | Outcome::Unknown { why: Why::NotSent, .. })
}

impl Told {
    fn from(history: &History) -> Self {
        let mut told = Self::default();
        for record in &history.records {
            if let Operation::PlaceHold { key, .. } | Operation::PlaceOrder { key, .. } = record.operation {
                let first = told.first_sent.entry(key).or_insert(record.invoked);
                *first = record.invoked.min(*first);
            }
            match (&record.operation, &record.outcome) {
                (&Operation::PlaceHold { product, quantity, key }, &Outcome::Held { hold, expires_at, .. }) => {
                    let (scenario, answered) = (record.scenario, record.ended);
                    let new = Hold { scenario, product, quantity, key, answered, expires_at, given_back: None };
                    let known = told.holds.entry(hold).or_insert(new);
                    known.answered = known.answered.min(answered);
                }
                (&Operation::PlaceOrder { key, .. }, Outcome::Ordered { order, .. }) => {
                    let known = told.orders.entry(order.order).or_default();
                    known.hold = order.hold;
                    known.key = Some(key);
                    known.seen_paid |= order.status == OrderStatus::Paid;
                    earliest(&mut known.answered, record.ended);
                    told.order_of_hold.entry(order.hold).or_insert(order.order);
                }
                (&Operation::Webhook { order, news, .. }, outcome) => {
                    let known = told.orders.entry(order).or_default();
                    match news {
                        News::Failure if may_have_happened(outcome) => earliest(&mut known.failed, record.invoked),
                        News::Success if *outcome == Outcome::Accepted => earliest(&mut known.succeeded, record.ended),
                        _ => {}
                    }
                }
                (Operation::ReadOrder { .. }, Outcome::Order(view)) if view.status == OrderStatus::Paid => {
                    told.orders.entry(view.order).or_default().seen_paid = true;
                }
                _ => {}
            }
        }
        // A release may be listed before the hold that it releases.
        for record in &history.records {
            if let Operation::ReleaseHold { hold } = record.operation
                && may_have_happened(&record.outcome)
                && let Some(known) = told.holds.get_mut(&hold)
            {
                earliest(&mut known.given_back, record.invoked);
            }
        }
        told
    }

    /// When units came and went, of each scenario.
    fn changes(&self, history: &History) -> HashMap<ScenarioName, Vec<Change>> {
        let limits = &history.header.limits;
        let to_live = limits.hold_ttl_seconds.saturating_mul(Moment::SECOND);
        let window = limits.payment_window_seconds.saturating_mul(Moment::SECOND);
        let clock = self.server_clock(to_live);
        let mut changes: HashMap<ScenarioName, Vec<Change>> = HashMap::new();
        for (id, hold) in &self.holds {
            let units = i64::from(hold.quantity);
            let order = self.order_of_hold.get(id).and_then(|order| self.orders.get(order));
            let ordered = order.and_then(|order| order.answered);
            let sent = self.first_sent.get(&hold.key).copied().unwrap_or(hold.answered);
            // By the server's clock as well as it is known, but never outside of what the limits promise.
            let deadline = Moment(u64::try_from(nanoseconds(hold.expires_at).saturating_sub(clock)).unwrap_or(0))
                .max(sent.later(to_live))
                .min(hold.answered.later(to_live.saturating_add(Moment::SECOND)));
            let held_until = ordered.unwrap_or_else(|| hold.given_back.map_or(deadline, |back| back.min(deadline)));
            let changes = changes.entry(hold.scenario).or_default();
            let mut change = |at, held, sold| changes.push(Change { at, product: hold.product, held, sold });
            if hold.answered < held_until {
                change(hold.answered, units, 0);
                change(held_until, -units, 0);
            }
            if let (Some(order), Some(ordered)) = (order, ordered) {
                let sent = order.key.and_then(|key| self.first_sent.get(&key).copied()).unwrap_or(ordered);
                let cancelled = order.may_be_cancelled_from(sent.later(window));
                if cancelled.is_none_or(|cancelled| ordered < cancelled) {
                    change(ordered, 0, units);
                    if let Some(cancelled) = cancelled {
                        change(cancelled, 0, -units);
                    }
                }
            }
        }
        changes
    }

    /// How many nanoseconds the server's clock, since 1970, is ahead of the history's, at most, and to a few hundredths of a second: no hold was
    /// placed before its request was sent, so the one that came through fastest tells it best.
    fn server_clock(&self, to_live: u64) -> i64 {
        let to_live = i64::try_from(to_live).unwrap_or(i64::MAX);
        let ahead = |hold: &Hold| {
            let sent = self.first_sent.get(&hold.key).copied().unwrap_or(hold.answered);
            let sent = i64::try_from(sent.0).unwrap_or(i64::MAX);
            nanoseconds(hold.expires_at).saturating_sub(to_live).saturating_sub(sent)
        };
        self.holds.values().map(ahead).min().unwrap_or(0)
    }
}

impl Order {
    /// The earliest moment at which it could have been cancelled, if it could.
    fn may_be_cancelled_from(&self, window_over: Moment) -> Option<Moment> {
        let failed = self.failed.unwrap_or(window_over).min(window_over);
        let paid_before = self.succeeded.is_some_and(|succeeded| succeeded < failed);
        (!self.seen_paid && !paid_before).then_some(failed)
    }
}

fn nanoseconds(microseconds: i64) -> i64 {
    microseconds.saturating_mul(NANOSECONDS_IN_MICROSECOND)
}

/// Adds up the changes of one scenario.
fn sweep(history: &History, scenario: ScenarioName, steps: Steps, mut changes: Vec<Change>) -> Stock {
    // At one moment, what goes goes first.
    changes.sort_by_key(|change| (change.at, change.held + change.sold));
    let header = &history.header;
    let products = || header.products.iter().filter(move |product| product.scenario == scenario);
    let stocked: HashMap<u64, u64> = match header.scope {
        Scope::Sole => products().map(|product| (product.product, product.stock)).collect(),
        Scope::Shared => HashMap::new(),
    };
    let last = steps.begin_of(steps.count);
    let mut levels = vec![Level::default(); steps.count];
    let (mut held, mut sold, mut now, mut reached) = (0_i64, 0_i64, Level::default(), 0);
    let mut out_of: HashMap<u64, u64> = HashMap::new();
    let mut fullest: Option<Fullest> = None;
    for change in changes.iter().take_while(|change| change.at <= last) {
        let step = steps.at(change.at);
        for level in levels.iter_mut().take(step + 1).skip(reached + 1) {
            *level = now;
        }
        reached = step;
        held += change.held;
        sold += change.sold;
        now = Level { held: held.unsigned_abs(), sold: sold.unsigned_abs() };
        if now.out() > levels[step].out() {
            levels[step] = now;
        }
        let out = out_of.entry(change.product).or_default();
        *out = out.saturating_add_signed(change.held + change.sold);
        if let Some(&stocked) = stocked.get(&change.product)
            && fullest.is_none_or(|most| fuller(*out, stocked, most))
        {
            fullest = Some(Fullest { product: change.product, out: *out, stocked, at: change.at });
        }
    }
    for level in levels.iter_mut().skip(reached + 1) {
        *level = now;
    }
    let total = (header.scope == Scope::Sole).then(|| stocked.values().sum());
    Stock { scenario, products: products().count(), stocked: total, steps, levels, fullest }
}

/// Whether `out` of `stocked` is a greater part than `most` has.
fn fuller(out: u64, stocked: u64, most: Fullest) -> bool {
    u128::from(out) * u128::from(most.stocked.max(1)) > u128::from(most.out) * u128::from(stocked.max(1))
}
