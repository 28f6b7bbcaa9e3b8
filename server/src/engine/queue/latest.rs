//! Whether what is ready is enough for a batch beside the one that set out last.
//!
//! Where many products have little to do each, every worker would take the few that came since the last one set out. What
//! a batch costs whatever is in it is as much as dozens of holds, so these wait for each other, and go together.
//!
//! What does not belong here: which lanes are ready (`queue`), and when the next batch of one product sets out (`lane`).

use std::time::Duration;

use tokio::time::Instant;

use super::super::flights::FlightId;
use super::super::lane::MANY;

/// How long others wait for a batch, from when it set out: it may itself wait for a lock that somebody keeps.
const PATIENCE: Duration = Duration::from_millis(20);

/// The batch that set out last, while it is under way, and what it keeps back.
#[derive(Debug, Default)]
pub(super) struct Latest {
    flying: Option<Flying>,
    /// Whether there is something among what is ready that waits for no other product.
    is_pressed: bool,
}

#[derive(Debug)]
struct Flying {
    flight: FlightId,
    products: usize,
    set_out_at: Instant,
}

impl Latest {
    /// A batch of so many products sets out.
    pub(super) fn set_out(&mut self, flight: FlightId, products: usize, now: Instant) {
        self.flying = Some(Flying { flight, products, set_out_at: now });
    }

    /// A batch has ended, or a part of it. Whether it was the latest.
    pub(super) fn ended(&mut self, flight: FlightId) -> bool {
        self.flying.take_if(|latest| latest.flight == flight).is_some()
    }

    /// Something is ready that waits for no other product.
    pub(super) fn press(&mut self) {
        self.is_pressed = true;
    }

    /// A batch took all that was ready.
    pub(super) fn took_all(&mut self) {
        self.is_pressed = false;
    }

    /// Until when a batch of so many products has to wait, if it has to: until there are more, or the latest ends. Beside
    /// one of few products nobody waits: there is little load, or it is that of a few products.
    pub(super) fn keeps_back(&self, products: usize) -> Option<Instant> {
        let is_larger = |latest: &&Flying| !self.is_pressed && latest.products >= MANY && products < latest.products;
        let until = self.flying.as_ref().filter(is_larger)?.set_out_at + PATIENCE;
        (Instant::now() < until).then_some(until)
    }
}
