//! The history, by what it is about: keys, holds, orders, payment keys, products, and what was killed.
//!
//! Built in one pass, with memory in proportion to the history; the checks read it and decide. It believes every
//! answer, contradicting ones too, keeps what comes first in the history, and refuses nothing: histories come from faulty
//! servers. What does not belong here: whether something can be.

mod hold;
mod keys;
mod order;
mod seen;
mod spans;

use indexmap::IndexMap;

pub(super) use hold::{Hold, Placed};
pub(super) use keys::{Delivery, Keyed, Made, was_made};
pub(super) use order::{NEVER, Order};
pub(super) use seen::{Seen, Sights, perhaps_done};
pub(super) use spans::{Span, Spans};

use super::clock::Clock;
use crate::history::{Code, History, Key, Mark, Moment, Operation, OrderView, Outcome, Record};

/// What a hold is placed with: product and units.
pub(super) type HoldBody = (u64, u32);

/// The history, by what it is about, in the order of first mention.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) records: &'a [Record],
    pub(super) clock: Clock,
    /// Whether every request that was sent is in the history. Where one may be missing, nothing can be concluded
    /// from what was not asked for.
    pub(super) whole: bool,
    /// The units that each product was stocked with, if nobody else takes any.
    pub(super) stock: IndexMap<u64, i64>,
    pub(super) hold_keys: IndexMap<Key, Vec<Keyed<HoldBody>>>,
    pub(super) order_keys: IndexMap<Key, Vec<Keyed<u64>>>,
    pub(super) payment_keys: IndexMap<Key, Vec<Delivery>>,
    pub(super) holds: IndexMap<u64, Hold>,
    pub(super) orders: IndexMap<u64, Order>,
    /// When what ran as the server was killed, ascending, and how it was.
    kills: Vec<(Moment, &'a str)>,
    /// The first request that may have ordered a hold that no 201 named.
    orphan_ordered: Moment,
    /// The first `failure` that may have been taken for an order that no answer tied to a hold.
    orphan_failed: Moment,
}

impl<'a> Ledger<'a> {
    /// Reads a history. `stock` is what is known of the units of its products.
    pub(super) fn new(history: &'a History, stock: IndexMap<u64, i64>) -> Self {
        let mut kills: Vec<_> = history
            .marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Fault { what, kills: true, began, .. } => Some((*began, what.as_str())),
                _ => None,
            })
            .collect();
        kills.sort_unstable();
        let mut ledger = Self {
            records: &history.records,
            clock: Clock::new(&history.header.limits, &history.marks),
            whole: is_whole(history),
            stock,
            hold_keys: IndexMap::new(),
            order_keys: IndexMap::new(),
            payment_keys: IndexMap::new(),
            holds: IndexMap::new(),
            orders: IndexMap::new(),
            kills,
            orphan_ordered: NEVER,
            orphan_failed: NEVER,
        };
        for (position, record) in history.records.iter().enumerate() {
            ledger.take_down(record, Seen::new(position, record));
        }
        ledger.conclude_holds();
        ledger.conclude_orders();
        ledger
    }

    fn take_down(&mut self, record: &Record, seen: Seen) {
        let outcome = &record.outcome;
        match record.operation {
            Operation::PlaceHold { product, quantity, key } => {
                Keyed::take_down(self.hold_keys.entry(key).or_default(), (product, quantity), outcome, seen);
                if let Outcome::Held { hold, expires_at, .. } = *outcome {
                    let life = self.clock.life();
                    // The first key counts; that another one got the same hold is for a check to say.
                    self.holds.entry(hold).or_default().placed.get_or_insert(Placed {
                        key,
                        product,
                        quantity,
                        expires_at,
                        from: seen.invoked,
                        acknowledged: seen,
                        life,
                    });
                }
            }
            Operation::ReleaseHold { hold: id } => {
                let hold = self.holds.entry(id).or_default();
                if perhaps_done(outcome) {
                    seen::keep_first_invoked(&mut hold.perhaps_given_back, seen);
                }
                if matches!(outcome, Outcome::Released) {
                    hold.add_given_back(seen);
                }
                self.take_down_refusal(id, outcome, seen);
            }
            Operation::ReadHold { hold: id } => {
                if let Outcome::Hold(view) = *outcome {
                    let hold = self.holds.entry(id).or_default();
                    hold.add_read(view.status, seen);
                    hold.shown.get_or_insert(view);
                    if let Some(order) = view.order {
                        self.name_order(id, order, seen);
                    }
                }
            }
            Operation::PlaceOrder { hold: id, key } => {
                let bodies = self.order_keys.entry(key).or_default();
                Keyed::take_down(bodies, id, outcome, seen);
                let hold = self.holds.entry(id).or_default();
                if hold.order_keys.last() != Some(&key) && !hold.order_keys.contains(&key) {
                    hold.order_keys.push(key);
                }
                if let Outcome::Ordered { order: OrderView { order, .. }, .. } = *outcome {
                    seen::keep_first_answered(&mut hold.ordered, seen);
                    seen::keep_first_answered(&mut self.orders.entry(order).or_default().acknowledged, seen);
                    self.name_order(id, order, seen);
                }
                self.take_down_refusal(id, outcome, seen);
            }
            Operation::ReadOrder { order: id } => {
                if let Outcome::Order(view) = *outcome {
                    self.orders.entry(id).or_default().add_read(view.status, seen);
                    self.name_order(view.hold, id, seen);
                }
            }
            Operation::Webhook { key, order, news } => {
                Delivery::take_down(self.payment_keys.entry(key).or_default(), order, news, outcome, seen);
                self.orders.entry(order).or_default().add_event(news, outcome, seen);
            }
            Operation::ReadProduct { .. } => {}
        }
    }

    fn name_order(&mut self, hold: u64, order: u64, seen: Seen) {
        self.holds.entry(hold).or_default().add_order(order, seen);
        self.orders.entry(order).or_default().add_known(hold, seen);
    }

    /// What a refusal says of the hold that was named.
    fn take_down_refusal(&mut self, id: u64, outcome: &Outcome, seen: Seen) {
        let Outcome::Refused { code, order, .. } = *outcome else { return };
        let hold = self.holds.entry(id).or_default();
        match code {
            Code::HoldAlreadyRedeemed => Sights::add(&mut hold.refused_redeemed, seen),
            Code::HoldReleased => seen::keep_first_answered(&mut hold.refused_released, seen),
            Code::HoldExpired => seen::keep_first_answered(&mut hold.refused_expired, seen),
            _ => {}
        }
        if let (Code::HoldAlreadyRedeemed, Some(order)) = (code, order) {
            self.name_order(id, order, seen);
        }
    }

    /// Holds, from all that was asked with their keys.
    fn conclude_holds(&mut self) {
        for (id, hold) in &mut self.holds {
            if let Some(placed) = &mut hold.placed {
                let bodies = self.hold_keys.get(&placed.key).map(Vec::as_slice).unwrap_or_default();
                let keyed = bodies.iter().find(|keyed| keyed.body == (placed.product, placed.quantity));
                if let Some(keyed) = keyed {
                    placed.from = keyed.perhaps.map_or(placed.from, |seen| seen.invoked);
                    placed.acknowledged = keyed.made.map_or(placed.acknowledged, |made| made.acknowledged);
                }
                if let Some(view) = hold.shown {
                    placed.life = self.clock.shown(view.created_at, view.expires_at);
                }
            }
            for key in &hold.order_keys {
                let bodies = self.order_keys.get(key).map(Vec::as_slice).unwrap_or_default();
                let keyed = bodies.iter().find(|keyed| keyed.body == *id);
                if let Some(seen) = keyed.and_then(Keyed::perhaps) {
                    seen::keep_first_invoked(&mut hold.perhaps_ordered, seen);
                }
            }
            if hold.placed.is_none()
                && let Some(seen) = hold.perhaps_ordered
            {
                self.orphan_ordered = self.orphan_ordered.min(seen.invoked);
            }
        }
    }

    /// Orders, from all that was asked with the keys that made them.
    fn conclude_orders(&mut self) {
        for order in self.orders.values_mut() {
            let hold = order.hold.and_then(|id| self.holds.get(&id));
            match hold {
                Some(hold) => {
                    let asked = hold.perhaps_ordered.map_or(Moment(0), |seen| seen.invoked);
                    order.from = asked.max(hold.placed.map_or(Moment(0), |placed| placed.from));
                }
                None => self.orphan_failed = self.orphan_failed.min(order.failure.from()),
            }
        }
    }

    /// The last kill after `before` was answered and no later than `after` was sent, in words; what was acknowledged
    /// by `before` must have outlived it.
    pub(super) fn killed_between(&self, before: Seen, after: Seen) -> Option<(Moment, &'a str)> {
        let until = self.kills.partition_point(|(began, _)| *began <= after.invoked);
        let last = *self.kills.get(until.checked_sub(1)?)?;
        (last.0 >= before.ended).then_some(last)
    }

    /// How often what ran as the server was killed.
    pub(super) fn kills(&self) -> usize {
        self.kills.len()
    }

    /// The product of a hold, if a 201 named the hold.
    pub(super) fn product_of_hold(&self, hold: u64) -> Option<u64> {
        self.holds.get(&hold)?.placed.map(|placed| placed.product)
    }

    /// The product of an order, if its hold is known.
    pub(super) fn product_of_order(&self, order: u64) -> Option<u64> {
        self.product_of_hold(self.orders.get(&order)?.hold?)
    }
}

/// Whether a history has its end, all of its requests, and was not stopped while some were under way.
fn is_whole(history: &History) -> bool {
    let ends = |mark: &Mark| matches!(mark, Mark::End { records, .. } if *records == history.records.len() as u64);
    history.marks.iter().any(ends) && !history.marks.iter().any(|mark| matches!(mark, Mark::Interrupted { .. }))
}
