//! Whether an id stands for one thing, the one that was acknowledged: part of `nothing_lost`.
//!
//! Why a right server cannot break it: what was acknowledged is durable (I7), so its id is never given to
//! anything else, and its product, units and deadline never change.

use super::Check;
use super::findings::Findings;
use super::ledger::{Ledger, Seen};
use super::words::key_name;
use crate::history::{HoldView, Key, Operation, OrderView, Outcome};

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    let mut order_keys = indexmap::IndexMap::<u64, (Key, u32)>::new();
    for (position, record) in ledger.records.iter().enumerate() {
        let seen = Seen::new(position, record);
        let mut breach = |product: Option<u64>, before: Option<u32>, what: &dyn Fn() -> String| {
            let records: Vec<u32> = before.into_iter().chain([seen.record]).collect();
            findings.breach(Check::NothingLost, product, seen.ended, &records, what);
        };
        match (record.operation, &record.outcome) {
            (Operation::PlaceHold { key, product, .. }, Outcome::Held { hold, .. }) => {
                let placed = ledger.holds.get(hold).and_then(|hold| hold.placed);
                if let Some(placed) = placed.filter(|placed| placed.key != key) {
                    breach(Some(product), Some(placed.acknowledged.record), &|| {
                        format!(
                            "hold {hold} was acknowledged for {} and for {}: the first of the two is lost",
                            key_name(placed.key),
                            key_name(key)
                        )
                    });
                }
            }
            (Operation::PlaceOrder { key, hold }, Outcome::Ordered { order, .. }) => {
                let product = ledger.product_of_hold(hold);
                let first = *order_keys.entry(order.order).or_insert((key, seen.record));
                if first.0 != key {
                    let id = order.order;
                    breach(product, Some(first.1), &|| {
                        format!("order {id} was acknowledged for {} and for {}", key_name(first.0), key_name(key))
                    });
                }
                if order.hold != hold {
                    let (id, other) = (order.order, order.hold);
                    breach(product, None, &|| {
                        format!("an order for hold {hold} was answered with order {id} of hold {other}")
                    });
                }
                judge_order(ledger, order, &mut breach);
            }
            (Operation::ReadHold { hold }, Outcome::Hold(view)) => judge_hold(ledger, hold, view, &mut breach),
            (Operation::ReadOrder { order }, Outcome::Order(view)) => {
                if view.order != order {
                    breach(None, None, &|| format!("a read of order {order} was answered with order {}", view.order));
                }
                judge_order(ledger, view, &mut breach);
            }
            _ => {}
        }
    }
}

type Report<'a> = dyn FnMut(Option<u64>, Option<u32>, &dyn Fn() -> String) + 'a;

fn judge_hold(ledger: &Ledger<'_>, id: u64, view: &HoldView, breach: &mut Report<'_>) {
    let Some(placed) = ledger.holds.get(&id).and_then(|hold| hold.placed) else { return };
    let acknowledged = (placed.product, i64::from(placed.quantity), placed.expires_at);
    let shown = (view.product, view.quantity, view.expires_at);
    if shown != acknowledged {
        breach(Some(placed.product), Some(placed.acknowledged.record), &|| {
            format!(
                "hold {id} was acknowledged with (product, units, deadline) {acknowledged:?}, and shown with {shown:?}"
            )
        });
    }
}

fn judge_order(ledger: &Ledger<'_>, view: &OrderView, breach: &mut Report<'_>) {
    let id = view.order;
    if let Some(hold) = ledger.orders.get(&id).and_then(|order| order.hold).filter(|hold| *hold != view.hold) {
        let product = ledger.product_of_hold(hold);
        breach(product, None, &|| {
            format!("order {id} is of hold {hold} in one answer, of hold {} in another", view.hold)
        });
    }
    let Some(placed) = ledger.holds.get(&view.hold).and_then(|hold| hold.placed) else { return };
    if i64::from(placed.quantity) != view.quantity {
        breach(Some(placed.product), Some(placed.acknowledged.record), &|| {
            let (hold, held, ordered) = (view.hold, placed.quantity, view.quantity);
            format!("order {id} was shown with {ordered} units, but its hold {hold} was acknowledged with {held}")
        });
    }
}
