//! The batches of one product that are under way: one, or two where the second queues for the product's lock while
//! the first commits.
//!
//! The row's lock puts them in order: the second reads nothing before the first has ended. So nothing is decided
//! sooner, and only the way of the second to the lock is out of the way.
//!
//! What does not belong here: what the next batch takes (`lane`), and when (`queue`).

use tokio::time::Instant;

use super::ticket::Ticket;
use super::waiting::Class;

/// Names a batch, as the queue hands it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlightId(pub(super) u64);

/// What a batch has of one product.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    id: FlightId,
    pub(super) taken_at: Instant,
    taken: usize,
    came_back: usize,
    is_committing: bool,
    /// When the oldest hold came that it has, and the oldest other command that is a request.
    oldest_hold: Option<Instant>,
    oldest_money: Option<Instant>,
}

impl Flight {
    /// Whether any of its commands was carried out, or answered.
    pub(super) fn moved(&self) -> bool {
        self.came_back < self.taken
    }
}

/// The batches of one product that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Vec<Flight>);

impl Flights {
    pub(super) fn are_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another batch may set out: if there is none, or the only one is about to end.
    pub(super) fn leave_room(&self) -> bool {
        match self.0.as_slice() {
            [] => true,
            [only] => only.is_committing,
            _ => false,
        }
    }

    /// How many commands the latest of them took.
    pub(super) fn size(&self) -> usize {
        self.0.last().map_or(0, |flight| flight.taken)
    }

    /// Whether `id` shares the product with another.
    pub(super) fn has_another(&self, id: FlightId) -> bool {
        self.0.iter().any(|flight| flight.id != id)
    }

    /// A command goes with `id`.
    pub(super) fn note(&mut self, id: FlightId, now: Instant, ticket: &Ticket) {
        let known = self.0.iter().position(|flight| flight.id == id);
        let at = known.unwrap_or_else(|| {
            self.0.push(Flight {
                id,
                taken_at: now,
                taken: 0,
                came_back: 0,
                is_committing: false,
                oldest_hold: None,
                oldest_money: None,
            });
            self.0.len() - 1
        });
        let flight = &mut self.0[at];
        flight.taken += 1;
        let oldest = match ticket.class {
            Class::Hold => &mut flight.oldest_hold,
            Class::Money => &mut flight.oldest_money,
            Class::Internal => return,
        };
        *oldest = Some(oldest.map_or(ticket.queued_at, |at| at.min(ticket.queued_at)));
    }

    /// A command came back from `id`, and waits again.
    pub(super) fn came_back(&mut self, id: FlightId) {
        if let Some(flight) = self.find(id) {
            flight.came_back += 1;
        }
    }

    /// Whether `id` is about to end, as far as can be known.
    pub(super) fn set_committing(&mut self, id: FlightId, is_committing: bool) {
        if let Some(flight) = self.find(id) {
            flight.is_committing = is_committing;
        }
    }

    /// `id` has ended, which it is said to once.
    pub(super) fn end(&mut self, id: FlightId) -> Option<Flight> {
        let at = self.0.iter().position(|flight| flight.id == id)?;
        Some(self.0.remove(at))
    }

    /// When the oldest command of this class came that is under way.
    pub(super) fn oldest(&self, class: Class) -> Option<Instant> {
        let of = |flight: &Flight| match class {
            Class::Hold => flight.oldest_hold,
            Class::Money | Class::Internal => flight.oldest_money,
        };
        self.0.iter().filter_map(of).min()
    }

    /// Which they are, the oldest first.
    #[cfg(test)]
    pub(super) fn ids(&self) -> Vec<FlightId> {
        self.0.iter().map(|flight| flight.id).collect()
    }

    fn find(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.0.iter_mut().find(|flight| flight.id == id)
    }
}
