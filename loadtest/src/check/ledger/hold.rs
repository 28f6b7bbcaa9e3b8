//! All that answers say of one hold.
//!
//! A hold is active, then redeemed or released; released is for good. What does not belong here: its units (that
//! is `spans`), and whether what is said can be (that is each check's).

use super::seen::{Seen, Sights, keep_first_answered};
use crate::check::clock::Life;
use crate::history::{HoldStatus, HoldView, Key, Moment};

/// One hold.
#[derive(Debug, Default)]
pub(in crate::check) struct Hold {
    /// How it was placed, if a 201 named it.
    pub(in crate::check) placed: Option<Placed>,
    /// What the first read of it showed.
    pub(in crate::check) shown: Option<HoldView>,
    /// The first release that may have been carried out.
    pub(in crate::check) perhaps_given_back: Option<Seen>,
    /// The first 204.
    pub(in crate::check) given_back: Option<Seen>,
    /// Reads, by what they showed.
    pub(in crate::check) reads: Vec<(HoldStatus, Sights)>,
    /// Refusals `hold_already_redeemed`.
    pub(in crate::check) refused_redeemed: Option<Sights>,
    /// The first refusal `hold_released`.
    pub(in crate::check) refused_released: Option<Seen>,
    /// The first refusal `hold_expired`.
    pub(in crate::check) refused_expired: Option<Seen>,
    /// The keys of orders for it.
    pub(in crate::check) order_keys: Vec<Key>,
    /// The orders that answers name for it, each with the answer that did first in the history.
    pub(in crate::check) orders: Vec<(u64, Seen)>,
    /// The first request for an order of it that may have been carried out.
    pub(in crate::check) perhaps_ordered: Option<Seen>,
    /// The first 201 to an order of it.
    pub(in crate::check) ordered: Option<Seen>,
}

/// How a hold was placed.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Placed {
    pub(in crate::check) key: Key,
    pub(in crate::check) product: u64,
    pub(in crate::check) quantity: u32,
    pub(in crate::check) expires_at: i64,
    /// Before that nobody had asked for it.
    pub(in crate::check) from: Moment,
    /// The first 201.
    pub(in crate::check) acknowledged: Seen,
    /// How long it lives.
    pub(in crate::check) life: Life,
}

impl Placed {
    /// It cannot have expired before.
    pub(in crate::check) fn expires_after(&self) -> Moment {
        self.from.later(self.life.at_least())
    }

    /// It has expired by then, if it was not redeemed.
    pub(in crate::check) fn expires_before(&self) -> Moment {
        self.acknowledged.ended.later(self.life.at_most())
    }
}

impl Hold {
    pub(super) fn add_read(&mut self, status: HoldStatus, seen: Seen) {
        let place = self.reads.iter().position(|(known, _)| *known == status);
        match place.and_then(|place| self.reads.get_mut(place)) {
            Some((_, sights)) => {
                let mut kept = Some(*sights);
                Sights::add(&mut kept, seen);
                *sights = kept.unwrap_or(*sights);
            }
            None => self.reads.push((status, Sights { first: seen, last: seen })),
        }
    }

    pub(super) fn add_order(&mut self, order: u64, seen: Seen) {
        if !self.orders.iter().any(|(known, _)| *known == order) {
            self.orders.push((order, seen));
        }
    }

    pub(super) fn add_given_back(&mut self, seen: Seen) {
        keep_first_answered(&mut self.given_back, seen);
    }

    /// The reads that showed it so.
    pub(in crate::check) fn read_as(&self, status: HoldStatus) -> Option<Sights> {
        self.reads.iter().find(|(known, _)| *known == status).map(|(_, sights)| *sights)
    }

    fn first_read_as(&self, status: HoldStatus) -> Option<Seen> {
        self.read_as(status).map(|sights| sights.first)
    }

    /// An early answer that says that it was redeemed, whatever became of its order.
    pub(in crate::check) fn redeemed(&self) -> Option<Seen> {
        let said =
            [self.ordered, self.first_read_as(HoldStatus::Redeemed), self.refused_redeemed.map(|sights| sights.first)];
        Seen::first(said.into_iter().chain(self.orders.iter().map(|(_, seen)| Some(*seen))))
    }

    /// The first answer that says that it was released other than by its deadline, or surely for good.
    ///
    /// A read that shows `expired` is not among them: a request that was decided before the deadline may be
    /// written down after the read.
    pub(in crate::check) fn released(&self) -> Option<Seen> {
        Seen::first([
            self.given_back,
            self.refused_released,
            self.first_read_as(HoldStatus::GivenBack),
            self.first_read_as(HoldStatus::PaymentFailed),
            self.first_read_as(HoldStatus::PaymentOverdue),
        ])
    }

    /// The first answer that says that its deadline is over.
    pub(in crate::check) fn expired(&self) -> Option<Seen> {
        Seen::first([self.refused_expired, self.first_read_as(HoldStatus::Expired)])
    }

    /// The last question to which it was shown to be active.
    pub(in crate::check) fn active_at(&self) -> Moment {
        self.read_as(HoldStatus::Active).map_or(Moment(0), |sights| sights.last.invoked)
    }

    /// The last question to which it was shown to be redeemed.
    pub(in crate::check) fn redeemed_at(&self) -> Moment {
        let read = self.read_as(HoldStatus::Redeemed);
        [read, self.refused_redeemed].into_iter().flatten().map(|sights| sights.last.invoked).max().unwrap_or_default()
    }
}
