//! `deadlines`: no hold is redeemed past its deadline, or expired before it.
//!
//! Why a right server cannot break it: its clock decides once the request is there, so a hold that was placed between
//! its request and its answer, and lives so long, has expired by the answer plus its longest life, and not before the request
//! plus its shortest. Between the two, and within the margin, nothing is decided. An order that was asked for only after
//! the hold was seen as expired comes too late, too, however long the hold lives.

use super::Check;
use super::clock::Life;
use super::findings::Findings;
use super::ledger::{Hold, Ledger, Placed, Seen};
use crate::history::{HoldStatus, Moment};

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    let promised = ledger.clock.life();
    for (id, hold) in &ledger.holds {
        let Some(placed) = &hold.placed else { continue };
        if let Some(view) = hold.shown {
            judge_life(*id, placed, ledger.clock.shown(view.created_at, view.expires_at), promised, findings);
        }
        if ledger.whole {
            judge_early(*id, hold, placed, findings);
            judge_late(ledger, *id, hold, placed, findings);
        }
    }
}

/// The deadline itself is what the limits promise.
fn judge_life(id: u64, placed: &Placed, shown: Life, promised: Life, findings: &mut Findings) {
    if !shown.keeps(promised) {
        let acknowledged = placed.acknowledged;
        findings.breach(Check::Deadlines, Some(placed.product), acknowledged.ended, &[acknowledged.record], || {
            let [shown, shortest, longest] =
                [shown.shortest, promised.shortest, promised.longest].map(|span| Moment(span).seconds());
            format!(
                "hold {id} was given {shown:.3} s to live, but the server's limits say {shortest:.0} to {longest:.0} s"
            )
        });
    }
}

/// Expired before its deadline.
fn judge_early(id: u64, hold: &Hold, placed: &Placed, findings: &mut Findings) {
    let Some(expired) = hold.expired() else { return };
    findings.judged(Check::Deadlines);
    let earliest = placed.expires_after();
    if expired.ended < earliest {
        findings.breach(
            Check::Deadlines,
            Some(placed.product),
            expired.ended,
            &[placed.acknowledged.record, expired.record],
            || {
                format!(
                    "hold {id} had expired by {:.3} s, but was asked for at {:.3} s and lives {:.3} s at least",
                    expired.ended.seconds(),
                    placed.from.seconds(),
                    Moment(placed.life.shortest).seconds()
                )
            },
        );
    }
}

/// Redeemed, or active, past its deadline.
fn judge_late(ledger: &Ledger<'_>, id: u64, hold: &Hold, placed: &Placed, findings: &mut Findings) {
    let latest = placed.expires_before();
    let mut breach = |seen: Seen, before: Seen, what: &str| {
        findings.breach(
            Check::Deadlines,
            Some(placed.product),
            seen.ended,
            &[placed.acknowledged.record, before.record, seen.record],
            || {
                format!(
                    "hold {id} {what} at {:.3} s, but was placed by {:.3} s and lives {:.3} s at most",
                    seen.invoked.seconds(),
                    placed.acknowledged.ended.seconds(),
                    Moment(placed.life.longest).seconds()
                )
            },
        );
    };
    if let Some(active) = hold.read_as(HoldStatus::Active).filter(|sights| sights.last.invoked > latest) {
        breach(active.last, active.last, "was shown as active");
    }
    for key in &hold.order_keys {
        let bodies = ledger.order_keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let Some(keyed) = bodies.iter().find(|keyed| keyed.body == id) else { continue };
        let (Some(made), Some(asked)) = (keyed.made, keyed.perhaps) else { continue };
        let ordered = made.acknowledged;
        if asked.invoked > latest {
            breach(asked, ordered, "was redeemed into an order that was asked for");
        } else if let Some(expired) = hold.expired().filter(|expired| asked.invoked > expired.ended) {
            breach(asked, expired, "was seen as expired, and then redeemed into an order that was asked for");
        }
    }
}
