//! Whether what is ready is enough for a batch beside the one that set out last.
//!
//! Where many products have little to do each, every worker would take the few that came since the last one set out. What
//! a batch costs whatever is in it is as much as dozens of holds, so these wait for each other, and go together.
//!
//! What does not belong here: which lanes are ready (`queue`), and when the next batch of one product sets out (`lane`).

use std::time::Duration;

use tokio::time::Instant;

use super::super::flights::FlightId;

/// Who comes after a batch of fewer products does not wait: there is little load, or it is that of a few products.
const MANY: usize = 16;

/// How long others wait for a batch, from when it set out: it may itself wait for a lock that somebody keeps.
const PATIENCE: Duration = Duration::from_millis(20);

/// The batch that set out last, while it is under way.
#[derive(Debug, Default)]
pub(super) struct Latest(Option<Flying>);

#[derive(Debug)]
struct Flying {
    flight: FlightId,
    products: usize,
    set_out_at: Instant,
}

impl Latest {
    /// A batch of so many products sets out.
    pub(super) fn set_out(&mut self, flight: FlightId, products: usize, now: Instant) {
        self.0 = Some(Flying { flight, products, set_out_at: now });
    }

    /// A batch has ended, or a part of it.
    pub(super) fn ended(&mut self, flight: FlightId) {
        self.0.take_if(|latest| latest.flight == flight);
    }

    /// Until when a batch of `ready` products has to wait, if it has to: until more are, or the latest ends.
    pub(super) fn is_waited_for(&self, ready: usize) -> Option<Instant> {
        let latest = self.0.as_ref().filter(|latest| latest.products >= MANY && ready < latest.products)?;
        let until = latest.set_out_at + PATIENCE;
        (Instant::now() < until).then_some(until)
    }
}
