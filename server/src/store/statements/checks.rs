//! The statements that hold rows against each other: what breaks I1 to I6.
//!
//! Each returns the breaking rows only: the product, then the figures that show it. They work on sets,
//! so that one pass over each table serves all products, and read nothing twice that is large.

use sale::{Invariant, ProductId};

use super::super::dialect::members;

/// One way to break an invariant.
pub(in crate::store) struct Check {
    /// Which.
    pub(in crate::store) invariant: Invariant,
    /// What is wrong, for people.
    pub(in crate::store) wrong: &'static str,
    /// The columns that follow the product's id.
    pub(in crate::store) figures: &'static [Figure],
    /// Selects the breaking rows.
    pub(in crate::store) sql: String,
}

/// A column that shows what is wrong.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Figure {
    /// A number of this name.
    Number(&'static str),
    /// A stored word of this name.
    Word(&'static str),
}

use Figure::{Number, Word};

/// The most rows that one check shows. Broken is broken; a report must stay readable.
const MOST_SHOWN: u32 = 100;

/// How many rows of each table there are: products, holds, orders, payment events, movements.
pub(in crate::store) fn counts(product: Option<ProductId>) -> String {
    format!(
        "SELECT (SELECT COUNT(*) FROM products p WHERE TRUE{}), (SELECT COUNT(*) FROM holds h WHERE TRUE{}), \
         (SELECT COUNT(*) FROM orders o WHERE TRUE{}), \
         (SELECT COUNT(*) FROM payment_events e JOIN orders o ON o.id = e.order_id WHERE TRUE{}), \
         (SELECT COUNT(*) FROM movements m WHERE TRUE{})",
        only("p.id", product),
        only("h.product_id", product),
        only("o.product_id", product),
        only("o.product_id", product),
        only("m.product_id", product),
    )
}

fn only(column: &str, product: Option<ProductId>) -> String {
    product.map(|id| format!(" AND {column} = {id}")).unwrap_or_default()
}

/// All checks, of one product or of all.
pub(in crate::store) fn all(product: Option<ProductId>) -> Vec<Check> {
    let mut checks = counters(product);
    checks.extend(units_of_holds(product));
    checks.extend(holds_and_orders(product));
    checks.extend(payments(product));
    checks.extend(ledger(product));
    checks
}

fn check(invariant: Invariant, wrong: &'static str, figures: &'static [Figure], sql: &str) -> Check {
    Check { invariant, wrong, figures, sql: format!("{sql} LIMIT {MOST_SHOWN}") }
}

/// I1 to I3: the counters of the products.
fn counters(product: Option<ProductId>) -> Vec<Check> {
    let (of_product, of_hold, of_order, of_movement) =
        (only("p.id", product), only("product_id", product), only("product_id", product), only("product_id", product));
    vec![
        check(
            Invariant::CountersInRange,
            "the counters are out of range",
            &[Number("stock_available"), Number("stock_reserved")],
            &format!(
                "SELECT p.id, p.stock_available, p.stock_reserved FROM products p \
                 WHERE (p.stock_reserved > p.stock_available OR p.stock_reserved < 0){of_product}"
            ),
        ),
        check(
            Invariant::ReservedIsHeld,
            "stock_reserved is not the units of active holds",
            &[Number("stock_reserved"), Number("units of active holds")],
            &format!(
                "SELECT p.id, p.stock_reserved, COALESCE(h.units, 0) FROM products p LEFT JOIN \
                 (SELECT product_id, SUM(quantity) AS units FROM holds WHERE status = 'active'{of_hold} \
                 GROUP BY product_id) h ON h.product_id = p.id \
                 WHERE p.stock_reserved <> COALESCE(h.units, 0){of_product}"
            ),
        ),
        check(
            Invariant::UnitsConserved,
            "the units are not those that were stocked",
            &[Number("stock_available"), Number("units of orders not cancelled"), Number("units ever stocked")],
            &format!(
                "SELECT p.id, p.stock_available, COALESCE(o.units, 0), COALESCE(m.units, 0) FROM products p LEFT JOIN \
                 (SELECT product_id, SUM(quantity) AS units FROM orders WHERE status <> 'cancelled'{of_order} \
                 GROUP BY product_id) o ON o.product_id = p.id LEFT JOIN \
                 (SELECT product_id, SUM(available_change) AS units FROM movements \
                 WHERE kind IN ('stocked', 'restocked'){of_movement} GROUP BY product_id) m ON m.product_id = p.id \
                 WHERE p.stock_available + COALESCE(o.units, 0) <> COALESCE(m.units, 0){of_product}"
            ),
        ),
    ]
}

/// I4, by the ledger: what each hold took and gave.
fn units_of_holds(product: Option<ProductId>) -> Vec<Check> {
    let (of_hold, of_movement) = (only("h.product_id", product), only("product_id", product));
    let moved = format!(
        "(SELECT hold_id, SUM(reserved_change) AS reserved, SUM(available_change) AS available, \
         SUM(kind = 'hold_placed') AS placed, SUM(kind IN ('hold_given_back', 'hold_expired')) AS given_back, \
         SUM(kind IN ('payment_failed', 'payment_overdue')) AS cancelled \
         FROM movements WHERE hold_id IS NOT NULL{of_movement} GROUP BY hold_id) m"
    );
    vec![
        check(
            Invariant::HoldUsedOnce,
            "the movements of a hold do not add up",
            &[
                Number("hold"),
                Word("status"),
                Number("quantity"),
                Number("change of stock_reserved"),
                Number("change of stock_available"),
                Number("times placed"),
                Number("times given back"),
                Number("times cancelled"),
            ],
            &format!(
                "SELECT h.product_id, h.id, h.status, h.quantity, COALESCE(m.reserved, 0), COALESCE(m.available, 0), \
                 COALESCE(m.placed, 0), COALESCE(m.given_back, 0), COALESCE(m.cancelled, 0) \
                 FROM holds h LEFT JOIN {moved} ON m.hold_id = h.id \
                 WHERE (COALESCE(m.reserved, 0) <> CASE h.status WHEN 'active' THEN h.quantity ELSE 0 END \
                 OR COALESCE(m.available, 0) + CASE h.status WHEN 'redeemed' THEN h.quantity ELSE 0 END <> 0 \
                 OR COALESCE(m.placed, 0) <> 1 OR COALESCE(m.given_back, 0) > 1 OR COALESCE(m.cancelled, 0) > 1)\
                 {of_hold}"
            ),
        ),
        check(
            Invariant::LedgerChained,
            "a movement names a hold that is not there",
            &[Number("movement"), Number("hold")],
            &format!(
                "SELECT m.product_id, m.seq, m.hold_id FROM movements m LEFT JOIN holds h ON h.id = m.hold_id \
                 WHERE m.hold_id IS NOT NULL AND h.id IS NULL{}",
                only("m.product_id", product)
            ),
        ),
    ]
}

/// I4, by status: a hold is redeemed exactly if one order of it lives.
fn holds_and_orders(product: Option<ProductId>) -> Vec<Check> {
    let (of_hold, of_order) = (only("h.product_id", product), only("o.product_id", product));
    vec![
        check(
            Invariant::HoldUsedOnce,
            "a hold has more than one order",
            &[Number("hold"), Number("orders")],
            &format!(
                "SELECT MIN(o.product_id), o.hold_id, COUNT(*) FROM orders o WHERE TRUE{of_order} GROUP BY o.hold_id \
                 HAVING COUNT(*) > 1"
            ),
        ),
        check(
            Invariant::HoldUsedOnce,
            "a redeemed hold has no order that is not cancelled",
            &[Number("hold")],
            &format!(
                "SELECT h.product_id, h.id FROM holds h LEFT JOIN orders o ON o.hold_id = h.id \
                 AND o.status <> 'cancelled' WHERE h.status = 'redeemed' AND o.id IS NULL{of_hold}"
            ),
        ),
        check(
            Invariant::HoldUsedOnce,
            "an order and its hold contradict each other",
            &[
                Number("order"),
                Word("order status"),
                Number("order quantity"),
                Number("hold"),
                Word("hold status"),
                Number("hold quantity"),
            ],
            &format!(
                "SELECT o.product_id, o.id, o.status, o.quantity, o.hold_id, h.status, h.quantity FROM orders o \
                 LEFT JOIN holds h ON h.id = o.hold_id WHERE (h.id IS NULL OR h.product_id <> o.product_id \
                 OR h.quantity <> o.quantity \
                 OR h.status <> CASE o.status WHEN 'cancelled' THEN 'released' ELSE 'redeemed' END){of_order}"
            ),
        ),
    ]
}

/// I5: keys, and the final states of orders.
fn payments(product: Option<ProductId>) -> Vec<Check> {
    let of_order = only("o.product_id", product);
    vec![
        check(
            Invariant::SettledOnce,
            "a payment key has more than one final event",
            &[Number("first event"), Number("events")],
            &format!(
                "SELECT MIN(o.product_id), MIN(e.id), COUNT(*) FROM payment_events e \
                 LEFT JOIN orders o ON o.id = e.order_id WHERE e.status <> 'pending'{of_order} \
                 GROUP BY e.payment_key HAVING COUNT(*) > 1"
            ),
        ),
        check(
            Invariant::SettledOnce,
            "an order's state is not what its payment events made it",
            &[
                Number("order"),
                Word("status"),
                Number("events that paid it"),
                Number("events that cancelled it"),
                Word("release reason of its hold"),
            ],
            &format!(
                "SELECT o.product_id, o.id, o.status, COALESCE(e.paid, 0), COALESCE(e.cancelled, 0), h.release_reason \
                 FROM orders o LEFT JOIN holds h ON h.id = o.hold_id LEFT JOIN \
                 (SELECT order_id, SUM(effect = 'paid') AS paid, SUM(effect = 'cancelled') AS cancelled \
                 FROM payment_events GROUP BY order_id) e ON e.order_id = o.id \
                 WHERE NOT CASE o.status \
                 WHEN 'paid' THEN COALESCE(e.paid, 0) = 1 AND COALESCE(e.cancelled, 0) = 0 \
                 WHEN 'cancelled' THEN COALESCE(e.paid, 0) = 0 AND COALESCE(e.cancelled, 0) = \
                 CASE COALESCE(h.release_reason, 'none') WHEN 'payment_failed' THEN 1 WHEN 'payment_overdue' THEN 0 \
                 ELSE -1 END \
                 ELSE COALESCE(e.paid, 0) = 0 AND COALESCE(e.cancelled, 0) = 0 END{of_order}"
            ),
        ),
        check(
            Invariant::SettledOnce,
            "a payment event had an effect that its news or its order cannot have",
            &[Number("event"), Word("status"), Word("effect"), Number("order"), Word("order status")],
            &format!(
                "SELECT o.product_id, e.id, e.status, e.effect, e.order_id, o.status FROM payment_events e \
                 LEFT JOIN orders o ON o.id = e.order_id \
                 WHERE (o.id IS NULL OR NOT CASE e.effect WHEN 'paid' THEN e.status = 'success' \
                 WHEN 'cancelled' THEN e.status = 'failure' \
                 WHEN 'refund_required' THEN e.status = 'success' AND o.status = 'cancelled' ELSE TRUE END){of_order}"
            ),
        ),
    ]
}

/// I6: the chain, and its ends.
fn ledger(product: Option<ProductId>) -> Vec<Check> {
    let (of_product, of_movement, of_m) =
        (only("p.id", product), only("product_id", product), only("m.product_id", product));
    vec![
        check(
            Invariant::LedgerChained,
            "a movement does not follow from the one before",
            &[
                Number("movement"),
                Number("stock_available before"),
                Number("change"),
                Number("after"),
                Number("stock_reserved before"),
                Number("change"),
                Number("after"),
            ],
            &format!(
                "SELECT m.product_id, m.seq, b.stock_available, m.available_change, m.stock_available, \
                 b.stock_reserved, m.reserved_change, m.stock_reserved FROM movements m \
                 LEFT JOIN movements b ON b.product_id = m.product_id AND b.seq = m.seq - 1 \
                 WHERE (m.stock_available <> COALESCE(b.stock_available, 0) + m.available_change \
                 OR m.stock_reserved <> COALESCE(b.stock_reserved, 0) + m.reserved_change \
                 OR (b.seq IS NULL AND m.seq > 1)){of_m}"
            ),
        ),
        check(
            Invariant::LedgerChained,
            "the movements are not numbered from 1 to movement_seq",
            &[Number("movement_seq"), Number("movements"), Number("first"), Number("last")],
            &format!(
                "SELECT p.id, p.movement_seq, COALESCE(m.total, 0), COALESCE(m.first, 0), COALESCE(m.last, 0) \
                 FROM products p LEFT JOIN (SELECT product_id, COUNT(*) AS total, MIN(seq) AS first, MAX(seq) AS last \
                 FROM movements WHERE TRUE{of_movement} GROUP BY product_id) m ON m.product_id = p.id \
                 WHERE (COALESCE(m.total, 0) <> p.movement_seq OR COALESCE(m.first, 0) <> 1 \
                 OR COALESCE(m.last, 0) <> p.movement_seq){of_product}"
            ),
        ),
        check(
            Invariant::LedgerChained,
            "the last movement does not end at the counters",
            &[
                Number("movement_seq"),
                Number("stock_available"),
                Number("in the ledger"),
                Number("stock_reserved"),
                Number("in the ledger"),
            ],
            &format!(
                "SELECT p.id, p.movement_seq, p.stock_available, m.stock_available, p.stock_reserved, m.stock_reserved \
                 FROM products p JOIN movements m ON m.product_id = p.id AND m.seq = p.movement_seq \
                 WHERE (m.stock_available <> p.stock_available OR m.stock_reserved <> p.stock_reserved){of_product}"
            ),
        ),
    ]
}

/// Every product, with what changes when it does, whether it is suspended, and why.
pub(in crate::store) const MARKS: &str =
    "SELECT id, movement_seq, updated_at, status = 'suspended', suspended_reason FROM products ORDER BY id";

/// The figures of the quick check, of some products: status, what an operator accepted, counters, units of active holds, the last
/// movement's number, the highest there is, and its balances.
pub(in crate::store) fn quick(products: &[ProductId]) -> String {
    format!(
        "SELECT p.id, p.status, p.accepted_breaches, p.stock_available, p.stock_reserved, COALESCE((SELECT SUM(h.quantity) FROM holds h \
         WHERE h.product_id = p.id AND h.status = 'active'), 0), p.movement_seq, \
         COALESCE((SELECT MAX(m.seq) FROM movements m WHERE m.product_id = p.id), 0), m.stock_available, \
         m.stock_reserved FROM products p LEFT JOIN movements m ON m.product_id = p.id AND m.seq = p.movement_seq \
         WHERE p.id IN {}",
        members(products)
    )
}
