//! Which commands make the next batch.
//!
//! A batch takes commands round robin from all lanes that are ready, so that many lukewarm products share a transaction
//! as well as one hot one. A product that somebody else keeps locked goes alone. A hold may join a batch that is under
//! way.
//!
//! What does not belong here: which lanes are ready (`queue`), and what goes first of one of them (`lane`).

use sale::{ById, ProductId};
use tokio::time::Instant;

use super::super::flights::FlightId;
use super::super::locked::Turn;
use super::super::ticket::Ticket;
use super::{State, Taken};

impl State {
    /// The next batch, if a worker may set out at this moment.
    pub(super) fn take_batch(&mut self, batch_max: usize) -> Option<Taken> {
        let flight = FlightId(self.next_flight);
        self.next_flight += 1;
        if let Some(taken) = self.take_suspect(flight, batch_max) {
            return Some(taken);
        }
        if self.kept_back().is_some() {
            return None;
        }
        let tickets = self.take_ready(flight, batch_max);
        (!tickets.is_empty()).then_some(Taken { flight, tickets, turn: Turn::Try })
    }

    fn take_suspect(&mut self, flight: FlightId, batch_max: usize) -> Option<Taken> {
        while let Some(product_id) = self.locked.next() {
            let mut tickets = Vec::new();
            self.call_up(product_id);
            self.take_from(product_id, flight, batch_max, &mut tickets);
            if tickets.is_empty() {
                // Every caller left.
                self.go_on(product_id);
                continue;
            }
            self.note_taken(product_id, tickets.len());
            let turn = self.locked.go(product_id);
            if let Some(lane) = self.lanes.get_mut(&product_id) {
                lane.alone = Some(turn);
            }
            return Some(Taken { flight, tickets, turn });
        }
        None
    }

    fn take_ready(&mut self, flight: FlightId, batch_max: usize) -> Vec<Ticket> {
        let mut chosen: Vec<ProductId> = Vec::new();
        let mut batch = Vec::new();
        while !self.ready.is_empty() && batch.is_empty() {
            chosen.clear();
            while chosen.len() < batch_max
                && let Some(product_id) = self.ready.pop_front()
            {
                if self.call_up(product_id) {
                    chosen.push(product_id);
                }
            }
            // An even share first; then what others leave goes to those with more.
            let share = (batch_max / chosen.len().max(1)).max(1);
            for product_id in &chosen {
                self.take_from(*product_id, flight, share, &mut batch);
            }
            for product_id in &chosen {
                let rest = batch_max.saturating_sub(batch.len());
                self.take_from(*product_id, flight, rest, &mut batch);
            }
            let mut served: ById<ProductId, usize> = ById::default();
            served.reserve(chosen.len());
            for ticket in &batch {
                *served.entry(ticket.product_id).or_default() += 1;
            }
            for product_id in chosen.drain(..) {
                match served.get(&product_id) {
                    Some(taken) => self.note_taken(product_id, *taken),
                    // A lane whose every caller left has nothing in the batch.
                    None => self.go_on(product_id),
                }
            }
            if !batch.is_empty() {
                self.latest.set_out(flight, served.len(), Instant::now());
            }
        }
        if self.ready.is_empty() {
            self.latest.took_all();
        }
        batch
    }

    fn take_from(&mut self, product_id: ProductId, flight: FlightId, most: usize, batch: &mut Vec<Ticket>) {
        let Some(lane) = self.lanes.get_mut(&product_id) else { return };
        let mut freed = Vec::new();
        let (now, takes) = (Instant::now(), lane.pace.flight());
        batch.reserve(most.min(lane.len()));
        lane.take(most, |flights, ticket| {
            let taken = ticket.take(now, takes);
            if taken {
                self.waiting.go(ticket.class, ticket.queued_at, now);
                flights.note(flight, now, &ticket);
                batch.push(ticket);
            } else {
                freed.extend(ticket.key_name());
            }
            taken
        });
        for key in freed {
            self.release(&key);
        }
    }

    /// More holds of this product for a batch that is under way; see [`Queue::top_up`](super::Queue::top_up).
    pub(super) fn top_up(
        &mut self,
        flight: FlightId,
        product_id: ProductId,
        most: usize,
        mut is_wanted: impl FnMut(&mut Ticket) -> bool,
    ) -> Vec<Ticket> {
        let mut more = Vec::new();
        let Some(lane) = self.lanes.get_mut(&product_id) else { return more };
        let (now, takes) = (Instant::now(), lane.pace.flight());
        while more.len() < most
            && let Some(ticket) = lane.take_plain_hold(&mut is_wanted)
        {
            // Its caller may have left; a plain hold has no key to give back.
            if ticket.take(now, takes) {
                self.waiting.go(ticket.class, ticket.queued_at, now);
                lane.flights.note(flight, now, &ticket);
                more.push(ticket);
            }
        }
        more
    }

    /// A batch took so many commands of this product: there is room again.
    fn note_taken(&mut self, product_id: ProductId, taken: usize) {
        if let Some(lane) = self.lanes.get_mut(&product_id) {
            let holds_left = lane.holds();
            lane.pace.taken(Instant::now(), taken, holds_left);
        }
        self.doors.open(product_id);
    }
}
