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

use tokio::time::Instant;

use super::admission::View;
use super::locked::Turn;
use super::pace::Pace;
use super::ticket::{KeyName, Ticket};
use super::waiting::Class;

/// Of a batch, what holds get that wait: one part in so many, and one of them at least.
const HOLDS_SHARE: usize = 8;

/// The commands of one product that wait.
#[derive(Debug)]
pub(super) struct Lane {
    money: VecDeque<Ticket>,
    holds: VecDeque<Ticket>,
    /// Whether a batch has commands of it.
    pub(super) in_flight: bool,
    /// How it is in flight, if it is as a suspect.
    pub(super) alone: Option<Turn>,
    pub(super) pace: Pace,
    /// When the oldest hold came that is in flight, and the oldest other command that is a request.
    holds_taken: Option<Instant>,
    money_taken: Option<Instant>,
}

impl Lane {
    /// An empty one; `batch_max` commands go with a batch.
    pub(super) fn new(batch_max: usize) -> Self {
        Self {
            money: VecDeque::new(),
            holds: VecDeque::new(),
            in_flight: false,
            alone: None,
            pace: Pace::new(batch_max),
            holds_taken: None,
            money_taken: None,
        }
    }

    /// Whether it has nothing, not even of callers who left.
    pub(super) fn is_empty(&self) -> bool {
        self.money.is_empty() && self.holds.is_empty()
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

    /// Back in front, where it was.
    pub(super) fn push_front(&mut self, ticket: Ticket) {
        self.of(ticket.class).push_front(ticket);
        self.pace.came_back();
    }

    /// The tickets that go next, up to `most`, as `take` takes them: it says whether it did.
    pub(super) fn take(&mut self, most: usize, mut take: impl FnMut(Ticket) -> bool) -> usize {
        let kept_for_holds = (most / HOLDS_SHARE).max(usize::from(most > 1)).min(self.holds.len());
        let (mut taken, mut money) = (0, 0);
        while taken < most {
            let next = if money < most - kept_for_holds { self.money.pop_front() } else { None };
            let is_money = next.is_some();
            let Some(ticket) = next.or_else(|| self.holds.pop_front()).or_else(|| self.money.pop_front()) else {
                break;
            };
            let (class, queued_at) = (ticket.class, ticket.queued_at);
            if take(ticket) {
                taken += 1;
                money += usize::from(is_money);
                let oldest = match class {
                    Class::Hold => &mut self.holds_taken,
                    Class::Money => &mut self.money_taken,
                    Class::Internal => continue,
                };
                *oldest = Some(oldest.map_or(queued_at, |at| at.min(queued_at)));
            }
        }
        taken
    }

    /// Drops the tickets of callers who left, and returns their keys.
    pub(super) fn forget_gone(&mut self) -> Vec<KeyName> {
        let mut freed = forget_gone(&mut self.money);
        freed.extend(forget_gone(&mut self.holds));
        freed
    }

    /// What a hold finds that comes now.
    pub(super) fn view(&self, now: Instant) -> View {
        let ahead = self.money.len() + self.holds.len();
        self.pace.view(now, ahead, self.holds.front().map(|ticket| ticket.queued_at))
    }

    /// Its batch came to its end.
    pub(super) fn landed(&mut self) {
        self.in_flight = false;
        (self.holds_taken, self.money_taken) = (None, None);
        self.pace.landed(Instant::now());
    }

    /// When the oldest command of this class came, of those that wait and those that are in flight. Those that wait are
    /// in the order in which they came, but for some that were put back in front.
    pub(super) fn oldest(&self, class: Class) -> Option<Instant> {
        let (tickets, taken) = match class {
            Class::Hold => (&self.holds, self.holds_taken),
            Class::Money | Class::Internal => (&self.money, self.money_taken),
        };
        let waits = tickets.iter().find(|ticket| ticket.class == class && !ticket.is_gone());
        waits.map(|ticket| ticket.queued_at).into_iter().chain(taken).min()
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
    let mut freed = Vec::new();
    tickets.retain(|ticket| {
        let is_gone = ticket.is_gone();
        if is_gone {
            freed.extend(ticket.key_name());
        }
        !is_gone
    });
    freed
}
