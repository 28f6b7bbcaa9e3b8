//! What was asked with each key, and what came back.
//!
//! All requests with one key and one body are one logical operation: it took effect once at most, at or after
//! the first of them that may have been carried out, and before the first answer that says so.

use super::seen::{Seen, keep_first_answered, keep_first_invoked, perhaps_done};
use crate::history::{Code, News, Outcome};

/// One body that was sent with an idempotency key, to place a hold or an order.
#[derive(Clone, Debug)]
pub(in crate::check) struct Keyed<Body> {
    pub(in crate::check) body: Body,
    /// The first request that may have been carried out.
    pub(in crate::check) perhaps: Option<Seen>,
    /// What the first 201 in the history named.
    pub(in crate::check) made: Option<Made>,
    /// Whether an answer says that it was not carried out, and that it never will be.
    pub(in crate::check) closed: bool,
}

/// What a 201 named.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Made {
    pub(in crate::check) id: u64,
    /// A hash of the body's bytes.
    pub(in crate::check) bytes: u64,
    /// The 201 that came first in time.
    pub(in crate::check) acknowledged: Seen,
    /// The 201 whose id and bytes these are.
    pub(in crate::check) record: u32,
}

impl<Body: Copy + PartialEq> Keyed<Body> {
    /// Takes down one request of `body`.
    pub(super) fn take_down(bodies: &mut Vec<Self>, body: Body, outcome: &Outcome, seen: Seen) {
        let known = bodies.iter().position(|keyed| keyed.body == body);
        let place = known.unwrap_or_else(|| {
            bodies.push(Self { body, perhaps: None, made: None, closed: false });
            bodies.len() - 1
        });
        let Some(keyed) = bodies.get_mut(place) else { return };
        if perhaps_done(outcome) {
            keep_first_invoked(&mut keyed.perhaps, seen);
        }
        match outcome {
            Outcome::Held { hold: id, body: bytes, .. }
            | Outcome::Ordered { order: crate::history::OrderView { order: id, .. }, body: bytes, .. } => {
                match &mut keyed.made {
                    None => {
                        keyed.made = Some(Made { id: *id, bytes: *bytes, acknowledged: seen, record: seen.record });
                    }
                    Some(made) if seen.ended < made.acknowledged.ended => made.acknowledged = seen,
                    Some(_) => {}
                }
            }
            // The second of two requests with a key waits for the first, and a hold that has ended is never
            // redeemed: whatever was sent with this key and arrived before had been refused, and so will
            // be what arrives later.
            Outcome::Refused { code: Code::HoldExpired | Code::HoldReleased, .. } => keyed.closed = true,
            _ => {}
        }
    }

    /// The first request that may have been carried out, if the operation may have been.
    pub(in crate::check) fn perhaps(&self) -> Option<Seen> {
        self.perhaps.filter(|_| self.made.is_some() || !self.closed)
    }
}

/// Whether any body of the key got a 201.
pub(in crate::check) fn was_made<Body>(bodies: &[Keyed<Body>]) -> bool {
    bodies.iter().any(|keyed| keyed.made.is_some())
}

/// One content that was sent with a payment key.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Delivery {
    pub(in crate::check) order: u64,
    pub(in crate::check) news: News,
    /// The first delivery that may have been taken.
    pub(in crate::check) perhaps: Option<Seen>,
    /// The first 200.
    pub(in crate::check) accepted: Option<Seen>,
    /// The first `payment_key_conflict`.
    pub(in crate::check) conflict: Option<Seen>,
    /// The first refusal because the order is not known.
    pub(in crate::check) order_unknown: Option<Seen>,
    /// How many answers of the documented shape there were.
    pub(in crate::check) answers: u32,
}

impl Delivery {
    /// Takes down one delivery.
    pub(super) fn take_down(contents: &mut Vec<Self>, order: u64, news: News, outcome: &Outcome, seen: Seen) {
        let known = contents.iter().position(|content| content.order == order && content.news == news);
        let place = known.unwrap_or_else(|| {
            contents.push(Self {
                order,
                news,
                perhaps: None,
                accepted: None,
                conflict: None,
                order_unknown: None,
                answers: 0,
            });
            contents.len() - 1
        });
        let Some(content) = contents.get_mut(place) else { return };
        if perhaps_done(outcome) {
            keep_first_invoked(&mut content.perhaps, seen);
        }
        match outcome {
            Outcome::Accepted => {
                keep_first_answered(&mut content.accepted, seen);
                content.answers += 1;
            }
            Outcome::Refused { code: Code::PaymentKeyConflict, .. } => {
                keep_first_answered(&mut content.conflict, seen);
                content.answers += 1;
            }
            Outcome::Refused { code: Code::NotFound | Code::ValidationFailed, .. } => {
                keep_first_answered(&mut content.order_unknown, seen);
                content.answers += 1;
            }
            _ => {}
        }
    }

    /// Whether it says how the payment ended.
    pub(in crate::check) fn is_final(&self) -> bool {
        self.news != News::Pending
    }
}
