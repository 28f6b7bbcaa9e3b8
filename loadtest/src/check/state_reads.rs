//! What reads of holds and orders show: their part of `fresh_reads`, and the read-backs of `nothing_lost`.
//!
//! Why a right server cannot break them: a read shows a state that was committed when it began, or later; states go
//! one way only (active, then redeemed or released; redeemed, then released by its payment; pending, then paid or
//! cancelled); and what was acknowledged is committed. So a read that was sent after an answer does not
//! show a state from before it. One exception is allowed for: a hold may be shown as expired while a request
//! that was decided before the deadline is being written down, and as redeemed or given back after that.
//!
//! Where the server was killed between the answer and the read, going back means that something was lost.

use super::Check;
use super::findings::Findings;
use super::ledger::{Hold, Ledger, Seen};
use crate::history::{Code, HoldStatus, HoldView, Operation, OrderStatus, OrderView, Outcome};

/// `least` is how much of what was acknowledged before a kill must be read back after it.
pub(super) fn judge(ledger: &Ledger<'_>, least: u64, findings: &mut Findings) {
    let mut readings = Readings { ledger, findings, read_back: 0, across_kills: 0 };
    for (position, record) in ledger.records.iter().enumerate() {
        let seen = Seen::new(position, record);
        match (record.operation, &record.outcome) {
            (Operation::ReadHold { hold }, Outcome::Hold(view)) => readings.hold(hold, view, seen),
            (Operation::ReadOrder { order }, Outcome::Order(view)) => readings.order(order, view, seen),
            (operation, Outcome::Refused { code: Code::NotFound | Code::ValidationFailed, status, .. }) => {
                readings.unknown(&operation, *status, seen);
            }
            _ => {}
        }
    }
    let (read_back, across_kills) = (readings.read_back, readings.across_kills);
    findings.judged_many(Check::NothingLost, read_back);
    let kills = ledger.kills();
    if across_kills < least {
        findings.missing(
            Check::NothingLost,
            format!("{across_kills} of them, of {least} needed, were acknowledged before a kill and read after it"),
        );
    } else if kills > 0 {
        let which = if kills == 1 { "the one kill".to_owned() } else { format!("one of {kills} kills") };
        findings.note(Check::NothingLost, format!("{across_kills} of them after {which}"));
    }
}

struct Readings<'a, 'h> {
    ledger: &'a Ledger<'h>,
    findings: &'a mut Findings,
    read_back: u64,
    across_kills: u64,
}

impl Readings<'_, '_> {
    fn hold(&mut self, id: u64, view: &HoldView, seen: Seen) {
        let Some(hold) = self.ledger.holds.get(&id) else { return };
        if let Some(placed) = hold.placed
            && placed.acknowledged.ended < seen.invoked
        {
            self.read_back(placed.acknowledged, seen);
            self.findings.judged(Check::FreshReads);
        }
        if let Some((shown_before, said)) = went_back(hold, view.status) {
            self.went_back(seen, shown_before, self.ledger.product_of_hold(id), || {
                format!("hold {id} was shown as {}, after an answer that it was {said}", name(view.status))
            });
        }
    }

    fn order(&mut self, id: u64, view: &OrderView, seen: Seen) {
        let Some(order) = self.ledger.orders.get(&id) else { return };
        if let Some(acknowledged) = order.acknowledged.filter(|acknowledged| acknowledged.ended < seen.invoked) {
            self.read_back(acknowledged, seen);
            self.findings.judged(Check::FreshReads);
        }
        if view.status != OrderStatus::PendingPayment {
            return;
        }
        let product = self.ledger.product_of_order(id);
        let sights = [(order.paid, "paid"), (order.cancelled, "cancelled")];
        for (first, said) in sights.into_iter().filter_map(|(sights, said)| Some((sights?.first, said))) {
            self.went_back(seen, first, product, || {
                format!("order {id} was shown as pending, after an answer that it was {said}")
            });
        }
        // Without a kill between the two it is an order that was not settled, which is for `final_states`.
        if let Some(settled) = order.settled()
            && self.ledger.killed_between(settled, seen).is_some()
        {
            self.went_back(seen, settled, product, || {
                format!("order {id} was shown as pending, after a final event for it was acknowledged")
            });
        }
    }

    /// A refusal that says that something does not exist.
    fn unknown(&mut self, operation: &Operation, status: u16, seen: Seen) {
        let hold = |id: u64| (self.ledger.holds.get(&id)?.placed).map(|placed| ("hold", id, placed.acknowledged));
        let order = |id: u64| (self.ledger.orders.get(&id)?.known).map(|known| ("order", id, known));
        let known = match *operation {
            Operation::ReadHold { hold: id }
            | Operation::ReleaseHold { hold: id }
            | Operation::PlaceOrder { hold: id, .. } => hold(id),
            Operation::ReadOrder { order: id } | Operation::Webhook { order: id, .. } => order(id),
            Operation::PlaceHold { .. } | Operation::ReadProduct { .. } => None,
        };
        let Some((kind, id, known)) = known.filter(|(_, _, known)| known.ended < seen.invoked) else { return };
        self.read_back(known, seen);
        let product = match kind {
            "hold" => self.ledger.product_of_hold(id),
            _ => self.ledger.product_of_order(id),
        };
        let killed = self.killed(known, seen);
        let endpoint = operation.endpoint();
        self.findings.breach(Check::NothingLost, product, seen.ended, &[known.record, seen.record], || {
            format!(
                "{kind} {id} was acknowledged at {:.3} s, but a request ({endpoint}) at {:.3} s was told, with {status}, that there is none{killed}",
                known.ended.seconds(),
                seen.invoked.seconds()
            )
        });
    }

    fn read_back(&mut self, acknowledged: Seen, seen: Seen) {
        self.read_back += 1;
        if self.ledger.killed_between(acknowledged, seen).is_some() {
            self.across_kills += 1;
        }
    }

    /// A breach, if `before` was answered before `seen` was sent.
    fn went_back(&mut self, seen: Seen, before: Seen, product: Option<u64>, what: impl FnOnce() -> String) {
        if before.ended >= seen.invoked {
            return;
        }
        let killed = self.ledger.killed_between(before, seen).is_some();
        let check = if killed { Check::NothingLost } else { Check::FreshReads };
        let words = self.killed(before, seen);
        self.findings.breach(check, product, seen.ended, &[before.record, seen.record], || {
            let (answered, sent) = (before.ended.seconds(), seen.invoked.seconds());
            format!("{} (answered at {answered:.3} s, read from {sent:.3} s){words}", what())
        });
    }

    /// Which kill was between, in words.
    fn killed(&self, before: Seen, after: Seen) -> String {
        self.ledger
            .killed_between(before, after)
            .map(|(at, what)| format!(", after a fault ({what} at {:.3} s)", at.seconds()))
            .unwrap_or_default()
    }
}

/// The first answer after which a hold cannot be shown so, and what it said.
fn went_back(hold: &Hold, shown: HoldStatus) -> Option<(Seen, &'static str)> {
    let redeemed = hold.redeemed().map(|seen| (seen, "redeemed"));
    let released = hold.released().map(|seen| (seen, "released"));
    let expired = hold.expired().map(|seen| (seen, "expired"));
    let first_read = |status| hold.read_as(status).map(|sights| sights.first);
    // For which reason it was released is for good, too.
    let other_reason = [HoldStatus::GivenBack, HoldStatus::PaymentFailed, HoldStatus::PaymentOverdue]
        .into_iter()
        .filter(|status| *status != shown)
        .filter_map(|status| first_read(status).map(|seen| (seen, name(status))));
    let before: Vec<(Seen, &'static str)> = match shown {
        HoldStatus::Active => [redeemed, released, expired].into_iter().flatten().collect(),
        HoldStatus::Redeemed => released.into_iter().collect(),
        HoldStatus::Expired | HoldStatus::GivenBack => redeemed.into_iter().chain(other_reason).collect(),
        HoldStatus::PaymentFailed | HoldStatus::PaymentOverdue => other_reason.collect(),
    };
    before.into_iter().min_by_key(|(seen, _)| seen.ended)
}

/// A status, for people.
fn name(status: HoldStatus) -> &'static str {
    match status {
        HoldStatus::Active => "active",
        HoldStatus::Redeemed => "redeemed",
        HoldStatus::Expired => "expired",
        HoldStatus::GivenBack => "given back",
        HoldStatus::PaymentFailed => "released, its payment failed",
        HoldStatus::PaymentOverdue => "released, its payment overdue",
    }
}
