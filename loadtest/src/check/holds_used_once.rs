//! `one_order_per_hold`: a hold becomes one order at most, and what was given back none.
//!
//! Why a right server cannot break it: a hold is redeemed by at most one order, and its units are given back at most
//! once (I4). So all answers name the same order for a hold; a hold that was given back before any order of it was
//! asked for has none; and while its order cannot have been cancelled, giving it back is refused.

use super::Check;
use super::findings::Findings;
use super::ledger::{Hold, Ledger, Seen};
use crate::history::{HoldStatus, Operation, Outcome};

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    for (id, hold) in &ledger.holds {
        if hold.redeemed().is_some() {
            findings.judged(Check::OneOrderPerHold);
        }
        let product = ledger.product_of_hold(*id);
        if let [(first, named), others @ ..] = hold.orders.as_slice()
            && !others.is_empty()
        {
            let at = others.iter().map(|(_, seen)| seen.ended).min().unwrap_or_default().max(named.ended);
            let records: Vec<u32> = hold.orders.iter().take(4).map(|(_, seen)| seen.record).collect();
            findings.breach(Check::OneOrderPerHold, product, at, &records, || {
                let others: Vec<String> = others.iter().take(3).map(|(order, _)| order.to_string()).collect();
                format!("hold {id} became {} orders: {first} and {}", hold.orders.len(), others.join(", "))
            });
        }
        judge_given_back(ledger, *id, hold, findings);
    }
    for (position, record) in ledger.records.iter().enumerate() {
        if let (Operation::ReleaseHold { hold }, Outcome::Released) = (record.operation, &record.outcome) {
            judge_release(ledger, hold, Seen::new(position, record), findings);
        }
    }
}

/// Given back, and then made an order.
fn judge_given_back(ledger: &Ledger<'_>, id: u64, hold: &Hold, findings: &mut Findings) {
    let Some(ordered) = hold.redeemed() else { return };
    let shown = hold.read_as(HoldStatus::GivenBack).map(|sights| sights.first);
    let before_it_was_asked_for = hold
        .given_back
        .filter(|back| ledger.whole && hold.perhaps_ordered.is_some_and(|asked| back.ended < asked.invoked));
    if let Some(back) = Seen::first([shown, before_it_was_asked_for]) {
        let at = back.ended.max(ordered.ended);
        findings.breach(Check::OneOrderPerHold, ledger.product_of_hold(id), at, &[back.record, ordered.record], || {
            let order = hold.orders.first().map(|(order, _)| format!(" {order}")).unwrap_or_default();
            format!(
                "hold {id} was given back (answered at {:.3} s), and yet became order{order} (answered at {:.3} s)",
                back.ended.seconds(),
                ordered.ended.seconds()
            )
        });
    }
}

/// Made an order, and then given back.
fn judge_release(ledger: &Ledger<'_>, id: u64, release: Seen, findings: &mut Findings) {
    let Some(hold) = ledger.holds.get(&id).filter(|_| ledger.whole) else { return };
    let Some(redeemed) = hold.redeemed().filter(|redeemed| redeemed.ended < release.invoked) else { return };
    let window = ledger.clock.window_at_least();
    let orders = hold.orders.iter().filter_map(|(order, _)| Some((*order, ledger.orders.get(order)?)));
    let Some((order, cancelled_after)) =
        orders.map(|(id, order)| (id, order.cancelled_after(window))).min_by_key(|(_, moment)| *moment)
    else {
        return;
    };
    if release.ended < cancelled_after {
        findings.breach(
            Check::OneOrderPerHold,
            ledger.product_of_hold(id),
            release.ended,
            &[redeemed.record, release.record],
            || {
                format!(
                    "hold {id} was given back at {:.3} s, though it had become order {order} by {:.3} s, which nothing had cancelled",
                    release.ended.seconds(),
                    redeemed.ended.seconds()
                )
            },
        );
    }
}
