//! All that answers say of one order, and what follows for its state.
//!
//! An order is pending, then paid or cancelled; both are for good. The first final event that is taken while it is
//! pending decides, or its payment window. What does not belong here: whether that can be (that is
//! `final_states`).

use super::seen::{Seen, Sights, keep_first_answered, keep_first_invoked, perhaps_done};
use crate::history::{Moment, News, OrderStatus, Outcome};

/// The events of one kind that came for an order.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::check) struct Events {
    /// The first that may have been taken.
    pub(in crate::check) perhaps: Option<Seen>,
    /// The first 200.
    pub(in crate::check) accepted: Option<Seen>,
}

impl Events {
    pub(super) fn take_down(&mut self, outcome: &Outcome, seen: Seen) {
        if perhaps_done(outcome) {
            keep_first_invoked(&mut self.perhaps, seen);
        }
        if matches!(outcome, Outcome::Accepted) {
            keep_first_answered(&mut self.accepted, seen);
        }
    }

    /// When the first was sent that may have been taken; never, if none was.
    pub(in crate::check) fn from(&self) -> Moment {
        self.perhaps.map_or(NEVER, |seen| seen.invoked)
    }
}

/// Later than all that happens.
pub(in crate::check) const NEVER: Moment = Moment(u64::MAX);

/// One order.
#[derive(Debug, Default)]
pub(in crate::check) struct Order {
    /// Its hold, as the first answer in the history says.
    pub(in crate::check) hold: Option<u64>,
    /// The first 201.
    pub(in crate::check) acknowledged: Option<Seen>,
    /// The first answer that says that it exists.
    pub(in crate::check) known: Option<Seen>,
    /// Before that nobody had asked for it.
    pub(in crate::check) from: Moment,
    /// Reads that showed it pending.
    pub(in crate::check) pending: Option<Sights>,
    /// Reads that showed it paid.
    pub(in crate::check) paid: Option<Sights>,
    /// Reads that showed it cancelled.
    pub(in crate::check) cancelled: Option<Sights>,
    /// Its `success` events.
    pub(in crate::check) success: Events,
    /// Its `failure` events.
    pub(in crate::check) failure: Events,
}

impl Order {
    pub(super) fn add_known(&mut self, hold: u64, seen: Seen) {
        self.hold.get_or_insert(hold);
        keep_first_answered(&mut self.known, seen);
    }

    pub(super) fn add_read(&mut self, status: OrderStatus, seen: Seen) {
        let sights = match status {
            OrderStatus::PendingPayment => &mut self.pending,
            OrderStatus::Paid => &mut self.paid,
            OrderStatus::Cancelled => &mut self.cancelled,
        };
        Sights::add(sights, seen);
    }

    pub(super) fn add_event(&mut self, news: News, outcome: &Outcome, seen: Seen) {
        match news {
            News::Success => self.success.take_down(outcome, seen),
            News::Failure => self.failure.take_down(outcome, seen),
            News::Pending => {}
        }
    }

    /// The payment window cannot have cancelled it before, if it lasts `window` nanoseconds at least.
    pub(in crate::check) fn overdue_after(&self, window: u64) -> Moment {
        self.from.later(window)
    }

    /// The first answer to a final event: it was final by then.
    pub(in crate::check) fn settled(&self) -> Option<Seen> {
        Seen::first([self.success.accepted, self.failure.accepted])
    }

    /// The answer by which it surely was paid. A `success` was taken while no `failure` had been sent, and before its window
    /// can have been over: it can only have been pending, or paid.
    pub(in crate::check) fn paid_by(&self, window: u64) -> Option<Seen> {
        let undisputed = self
            .success
            .accepted
            .filter(|seen| seen.ended < self.failure.from() && seen.ended < self.overdue_after(window));
        Seen::first([undisputed, self.paid.map(|sights| sights.first)])
    }

    /// The answer by which it surely was cancelled. A `failure` was taken while no `success` had been sent.
    pub(in crate::check) fn cancelled_by(&self) -> Option<Seen> {
        let undisputed = self.failure.accepted.filter(|seen| seen.ended < self.success.from());
        Seen::first([undisputed, self.cancelled.map(|sights| sights.first)])
    }

    /// The last question to which it was shown to be pending or paid.
    pub(in crate::check) fn alive_at(&self) -> Moment {
        let sights = [self.pending, self.paid].into_iter().flatten();
        sights.map(|sights| sights.last.invoked).max().unwrap_or_default()
    }

    /// Before that nothing can have cancelled it.
    pub(in crate::check) fn cancelled_after(&self, window: u64) -> Moment {
        if self.paid_by(window).is_some() {
            return NEVER;
        }
        self.failure.from().min(self.overdue_after(window)).max(self.alive_at())
    }
}
