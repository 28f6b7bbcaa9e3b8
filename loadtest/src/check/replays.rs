//! `replays`: the same key gets the same answer, another body with it none.
//!
//! Why a right server cannot break it: the key is part of the row that it made, for as long as the row exists, so every
//! 201 for it is the first answer, byte for byte, sold out or expired since or not; a second body is refused; and once
//! the first answer is there, the same request is not refused any more for what it asks.

use super::Check;
use super::findings::Findings;
use super::ledger::{Keyed, Ledger, Seen};
use super::words::key_name;
use crate::history::{Key, Operation, Outcome};

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    for (position, record) in ledger.records.iter().enumerate() {
        let seen = Seen::new(position, record);
        let outcome = &record.outcome;
        match record.operation {
            Operation::PlaceHold { key, product, quantity } => {
                let bodies = ledger.hold_keys.get(&key).map(Vec::as_slice).unwrap_or_default();
                judge_one(Some(product), key, bodies, (product, quantity), outcome, seen, findings);
            }
            Operation::PlaceOrder { key, hold } => {
                let bodies = ledger.order_keys.get(&key).map(Vec::as_slice).unwrap_or_default();
                judge_one(ledger.product_of_hold(hold), key, bodies, hold, outcome, seen, findings);
            }
            _ => {}
        }
    }
}

fn judge_one<Body: Copy + PartialEq>(
    product: Option<u64>,
    key: Key,
    bodies: &[Keyed<Body>],
    body: Body,
    outcome: &Outcome,
    seen: Seen,
    findings: &mut Findings,
) {
    let mut breach = |first: u32, what: &dyn Fn() -> String| {
        findings.breach(Check::Replays, product, seen.ended, &[first, seen.record], what);
    };
    let key = || key_name(key);
    let made = |same: bool| bodies.iter().filter(|keyed| (keyed.body == body) == same).find_map(|keyed| keyed.made);
    let same_body = made(true);
    match outcome {
        Outcome::Held { hold: id, body: bytes, .. }
        | Outcome::Ordered { order: crate::history::OrderView { order: id, .. }, body: bytes, .. } => {
            if let Some(other) = made(false) {
                let first = other.record;
                breach(first, &|| {
                    format!("{} was answered with {} for one body, and with {id} for another", key(), other.id)
                });
            }
            let Some(first) = same_body.filter(|first| first.record != seen.record) else { return };
            if first.id != *id {
                breach(first.record, &|| {
                    format!("{} was answered with {}, and with {id} when it was sent again", key(), first.id)
                });
            } else if first.bytes != *bytes {
                breach(first.record, &|| {
                    format!("{}, which made {id}, was not answered with the same bytes when it was sent again", key())
                });
            }
            findings.judged(Check::Replays);
        }
        Outcome::Refused { status: status @ (409 | 422), code, .. } => {
            let answered_before = |made: &super::ledger::Made| made.acknowledged.ended < seen.invoked;
            if let Some(first) = same_body.filter(answered_before) {
                breach(first.acknowledged.record, &|| {
                    format!(
                        "{} made {} by {:.3} s, and was refused with {status} {code:?} when it was sent again at {:.3} s",
                        key(),
                        first.id,
                        first.acknowledged.ended.seconds(),
                        seen.invoked.seconds()
                    )
                });
                findings.judged(Check::Replays);
            } else if made(false).as_ref().is_some_and(answered_before) {
                // Another body, as it should be.
                findings.judged(Check::Replays);
            }
        }
        _ => {}
    }
}
