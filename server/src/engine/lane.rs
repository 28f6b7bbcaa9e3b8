//! The commands of one product that wait: in which order they go, and how they are forgotten.
//!
//! Money comes before wishes: all that can be spared of a batch is for orders, payments, units given back, and due
//! work, however many holds wait. An eighth is kept for holds: a flood of orders slows them down, and does not stop
//! them, for without holds there would soon be no orders.
//!
//! A caller that gives up leaves its ticket behind. Such tickets are forgotten when they come to the front, when
//! there is no room for another, and before a hold is refused for them. So there are never more than a small
//! multiple of those who wait.
//!
//! What does not belong here: which lane is served when (`queue`).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::admission::View;
use super::flights::{FlightId, Flights};
use super::locked::Turn;
use super::pace::Pace;
use super::ticket::{KeyName, Ticket};
use super::waiting::Class;

/// Of a batch, what holds get that wait: one part in so many, and one of them at least.
const HOLDS_SHARE: usize = 8;

/// A product whose batches take longer than this has one under way at a time: who queues for a lock gives up after a
/// second.
const FOLLOWED_MAX: Duration = Duration::from_millis(250);

/// So many commands, or products, make a batch worth its price.
pub(super) const MANY: usize = 16;

/// The commands of one product that wait.
#[derive(Debug)]
pub(super) struct Lane {
    money: VecDeque<Ticket>,
    holds: VecDeque<Ticket>,
    /// The batches that have commands of it.
    pub(super) flights: Flights,
    /// Whether it waits for its turn.
    pub(super) is_lined_up: bool,
    /// How it is in flight, if it is as a suspect.
    pub(super) alone: Option<Turn>,
    pub(super) pace: Pace,
    /// Whether two of its batches may be under way.
    overlaps: bool,
}

impl Lane {
    /// An empty one; `batch_max` commands go with a batch, and two batches may be under way if it `overlaps`.
    pub(super) fn new(batch_max: usize, overlaps: bool) -> Self {
        Self {
            money: VecDeque::new(),
            holds: VecDeque::new(),
            flights: Flights::default(),
            is_lined_up: false,
            alone: None,
            pace: Pace::new(batch_max),
            overlaps,
        }
    }

    /// Whether it has nothing, not even of callers who left.
    pub(super) fn is_empty(&self) -> bool {
        self.money.is_empty() && self.holds.is_empty()
    }

    /// Whether a batch may take of it: if none is under way, or the only one is about to end and it is worth it. One that
    /// is slow, or alone, is not followed, and neither is any of a suspect.
    pub(super) fn may_set_out(&self, is_suspect: impl FnOnce() -> bool) -> bool {
        let is_followed = || {
            let may_be = self.flights.leave_room() && self.alone.is_none() && self.at_once() > 1;
            may_be && self.fills_a_batch() && !is_suspect()
        };
        self.flights.are_over() || is_followed()
    }

    /// Whether what waits makes a batch that is not smaller than the one under way: since small ones cost more, it is
    /// better to wait for that to end. Plain holds that come later join the batch under the lock, others do not.
    fn fills_a_batch(&self) -> bool {
        let only_plain = self.money.is_empty() && self.holds.front().is_some_and(Ticket::is_plain_hold);
        only_plain || self.len() >= self.flights.size()
    }

    /// Whether what waits is worth a batch, or should not wait, whatever other products have: it is much, or money.
    pub(super) fn is_pressing(&self) -> bool {
        self.holds.len() >= MANY || !self.money.is_empty()
    }

    /// How many of its batches may be under way at once.
    fn at_once(&self) -> u32 {
        if self.overlaps && self.pace.flight() <= FOLLOWED_MAX { 2 } else { 1 }
    }

    /// How many commands it has, with those of callers who left.
    pub(super) fn len(&self) -> usize {
        self.money.len() + self.holds.len()
    }

    /// How many holds it has, with those of callers who left.
    pub(super) fn holds(&self) -> usize {
        self.holds.len()
    }

    /// At the end. Returns the keys of tickets that were forgotten to make room.
    pub(super) fn push(&mut self, ticket: Ticket) -> Vec<KeyName> {
        let tickets = self.of(ticket.class);
        let freed = make_room(tickets);
        tickets.push_back(ticket);
        freed
    }

    /// Back from a batch, in front, where it was.
    pub(super) fn push_front(&mut self, flight: FlightId, ticket: Ticket) {
        self.of(ticket.class).push_front(ticket);
        self.flights.came_back(flight);
    }

    /// Back from a batch, behind those that wait.
    pub(super) fn push_behind(&mut self, flight: FlightId, ticket: Ticket) {
        self.of(ticket.class).push_back(ticket);
        self.flights.came_back(flight);
    }

    /// The tickets that go next, up to `most`, as `take` takes them: it says whether it did.
    pub(super) fn take(&mut self, most: usize, mut take: impl FnMut(&mut Flights, Ticket) -> bool) -> usize {
        let kept_for_holds = (most / HOLDS_SHARE).max(usize::from(most > 1)).min(self.holds.len());
        let (mut taken, mut money) = (0, 0);
        while taken < most {
            let next = if money < most - kept_for_holds { self.money.pop_front() } else { None };
            let is_money = next.is_some();
            let Some(ticket) = next.or_else(|| self.holds.pop_front()).or_else(|| self.money.pop_front()) else {
                break;
            };
            if take(&mut self.flights, ticket) {
                taken += 1;
                money += usize::from(is_money);
            }
        }
        taken
    }

    /// The next hold, if it names nothing but its product, and no money waits that should go before it.
    pub(super) fn take_plain_hold(&mut self, is_wanted: impl FnOnce(&mut Ticket) -> bool) -> Option<Ticket> {
        if !self.money.is_empty() {
            return None;
        }
        self.holds.pop_front_if(|ticket| ticket.is_plain_hold() && is_wanted(ticket))
    }

    /// Drops the tickets of callers who left, and returns their keys.
    pub(super) fn forget_gone(&mut self) -> Vec<KeyName> {
        let mut freed = forget_gone(&mut self.money);
        freed.extend(forget_gone(&mut self.holds));
        freed
    }

    /// What a hold finds that comes now.
    pub(super) fn view(&self, now: Instant) -> View {
        self.pace.view(now, self.len(), self.holds.front().map(|ticket| ticket.queued_at), self.at_once())
    }

    /// A batch came to its end. `false`: it has none of it.
    pub(super) fn landed(&mut self, flight: FlightId) -> bool {
        let Some(flight) = self.flights.end(flight) else { return false };
        self.pace.landed(Instant::now(), flight.taken_at, flight.moved());
        true
    }

    /// When the oldest command of this class came, of those that wait and those that are in flight. Those that wait are
    /// in the order in which they came, but for some that were put back in front.
    pub(super) fn oldest(&self, class: Class) -> Option<Instant> {
        let tickets = match class {
            Class::Hold => &self.holds,
            Class::Money | Class::Internal => &self.money,
        };
        let now = Instant::now();
        let waits = tickets.iter().find(|ticket| ticket.class == class && !ticket.is_gone(now));
        waits.map(|ticket| ticket.queued_at).into_iter().chain(self.flights.oldest(class)).min()
    }

    fn of(&mut self, class: Class) -> &mut VecDeque<Ticket> {
        match class {
            Class::Hold => &mut self.holds,
            Class::Money | Class::Internal => &mut self.money,
        }
    }
}

/// Makes room for one more: by forgetting callers who left, and, if that does not free half of it, by growing, so that
/// it need not be done for each that comes. Returns the keys of those who were forgotten.
pub(super) fn make_room(tickets: &mut VecDeque<Ticket>) -> Vec<KeyName> {
    if tickets.len() < tickets.capacity() {
        return Vec::new();
    }
    let freed = forget_gone(tickets);
    if tickets.len() > tickets.capacity() / 2 {
        tickets.reserve(tickets.len());
    }
    freed
}

fn forget_gone(tickets: &mut VecDeque<Ticket>) -> Vec<KeyName> {
    let (mut freed, now) = (Vec::new(), Instant::now());
    tickets.retain(|ticket| {
        let is_gone = ticket.is_gone(now);
        if is_gone {
            freed.extend(ticket.key_name());
        }
        !is_gone
    });
    freed
}
