//! `final_states`: an order has one final state, and one that some event or its payment window asked for.
//!
//! Why a right server cannot break it: an order leaves `pending_payment` once (I5), by the first `success` or `failure` that
//! is taken, or by its window, which begins no earlier than the order was asked for. An event that was answered with 200
//! was taken, so the order is final by then; if no contradicting event had been sent and the window cannot have been over,
//! it is final in the way that the event asked for. `pending` changes nothing, so that it is never a cause.

use super::Check;
use super::findings::Findings;
use super::ledger::{Ledger, Order, Seen};
use super::words::key_name;
use crate::history::{HoldStatus, Operation};

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    let window = ledger.clock.window_at_least();
    for (id, order) in &ledger.orders {
        let product = ledger.product_of_order(*id);
        if order.paid.is_some() || order.cancelled.is_some() {
            findings.judged(Check::FinalStates);
        }
        let hold = order.hold.and_then(|hold| ledger.holds.get(&hold)).filter(|hold| hold.orders.len() == 1);
        let shown_by_hold = |status| Some(hold?.read_as(status)?.first);
        let failed = shown_by_hold(HoldStatus::PaymentFailed);
        let overdue = shown_by_hold(HoldStatus::PaymentOverdue);
        let shown_paid = order.paid.map(|sights| sights.first);
        let shown_cancelled = Seen::first([order.cancelled.map(|sights| sights.first), failed, overdue]);

        let paid = if ledger.whole { order.paid_by(window) } else { shown_paid };
        let undisputed = order.cancelled_by().filter(|_| ledger.whole);
        if let (Some(paid), Some(cancelled)) = (paid, Seen::first([shown_cancelled, undisputed])) {
            let at = paid.ended.max(cancelled.ended);
            findings.breach(Check::FinalStates, product, at, &[paid.record, cancelled.record], || {
                format!(
                    "order {id} was paid ({}) and cancelled ({})",
                    evidence(ledger, paid),
                    evidence(ledger, cancelled)
                )
            });
            continue;
        }
        judge_pending(ledger, *id, order, product, findings);
        if !ledger.whole {
            continue;
        }
        if let Some(paid) = shown_paid.filter(|paid| paid.ended < order.success.from()) {
            findings.breach(Check::FinalStates, product, paid.ended, &[paid.record], || {
                format!(
                    "order {id} was shown as paid at {:.3} s, before any success was sent for it",
                    paid.ended.seconds()
                )
            });
        }
        let overdue_after = order.overdue_after(window);
        let causes = [
            (failed, order.failure.from(), "its payment failed, before any failure was sent for it"),
            (overdue, overdue_after, "overdue, before its payment window can have been over"),
            (
                shown_cancelled,
                order.failure.from().min(overdue_after),
                "cancelled, before any failure was sent for it and before its payment window can have been over",
            ),
        ];
        if let Some((seen, what)) =
            causes.into_iter().find_map(|(seen, cause, what)| Some((seen.filter(|seen| seen.ended < cause)?, what)))
        {
            findings.breach(Check::FinalStates, product, seen.ended, &[seen.record], || {
                format!("order {id} was shown at {:.3} s as {what}", seen.ended.seconds())
            });
        }
    }
}

/// Pending after a final event was acknowledged. With a kill between the two, `state_reads` says what was lost.
fn judge_pending(ledger: &Ledger<'_>, id: u64, order: &Order, product: Option<u64>, findings: &mut Findings) {
    let (Some(settled), Some(pending)) = (order.settled(), order.pending) else { return };
    let pending = pending.last;
    if settled.ended < pending.invoked && ledger.killed_between(settled, pending).is_none() {
        findings.breach(Check::FinalStates, product, pending.ended, &[settled.record, pending.record], || {
            format!(
                "order {id} was shown as pending at {:.3} s, after a final event for it was acknowledged at {:.3} s",
                pending.ended.seconds(),
                settled.ended.seconds()
            )
        });
    }
}

/// What a request shows of an order, in words.
fn evidence(ledger: &Ledger<'_>, seen: Seen) -> String {
    let at = seen.ended.seconds();
    match ledger.records.get(seen.record as usize).map(|record| record.operation) {
        Some(Operation::Webhook { key, .. }) => {
            format!("an undisputed event, {}, acknowledged at {at:.3} s", key_name(key))
        }
        Some(Operation::ReadHold { .. }) => format!("its hold read at {at:.3} s"),
        _ => format!("read at {at:.3} s"),
    }
}
