//! The text of the statements, written once for both dialects.
//!
//! Only integers and hexadecimal literals go into it. What reads a product's row, holds and orders
//! is here; `batch` writes them, `checks` holds them against each other, `desk` is for operators.

pub(super) mod batch;
pub(super) mod checks;
pub(super) mod desk;
pub(super) mod insert;

use sale::{HoldId, Key, Needs, OrderId, ProductId, Timestamp};

use super::dialect::{Bytes, Dialect, members};

/// The columns that make a product of the rules. The first six make a stock.
pub(super) const PRODUCT: &str = "p.id, p.status, p.suspended_reason, p.stock_available, p.stock_reserved, p.updated_at, p.price_minor, \
     p.movement_seq";

/// The columns of a hold and of the order that it became, if it did.
pub(super) const HOLD_AND_ORDER: &str = "h.id, h.product_id, h.quantity, h.status, h.release_reason, h.created_at, h.expires_at, h.released_at, \
     h.idempotency_key, o.id, o.product_id, o.quantity, o.total_minor, o.status, o.created_at, o.updated_at, \
     o.payment_deadline, o.idempotency_key";

/// How many columns those are.
pub(super) const HOLD_AND_ORDER_COLUMNS: usize = 18;

/// The columns of a payment event.
pub(super) const PAYMENT_EVENT: &str = "payment_key, order_id, status, effect, received_at";

/// FROM holds, found by the index `by`, with the orders that they became.
fn holds_with_orders(dialect: Dialect, by: &str) -> String {
    let (found, joined) = (dialect.by_index(by), dialect.by_index("orders_hold"));
    format!("FROM holds h{found} LEFT JOIN orders o{joined} ON o.hold_id = h.id")
}

/// FROM orders, found by the index `by`, with their holds. Every order has one; that it is joined as if it
/// need not tells the database which table to begin with.
fn orders_with_holds(dialect: Dialect, by: &str) -> String {
    let (found, joined) = (dialect.by_index(by), dialect.by_index(PRIMARY));
    format!("FROM orders o{found} LEFT JOIN holds h{joined} ON h.id = o.hold_id")
}

const PRIMARY: &str = "PRIMARY";

/// Keys as literals.
fn keys<'a>(keys: impl IntoIterator<Item = &'a Key>) -> String {
    members(keys.into_iter().map(|key| Bytes(key.as_bytes())))
}

/// Locks products, in ascending order.
pub(super) fn lock_products(dialect: Dialect, ids: impl IntoIterator<Item = ProductId>) -> String {
    format!(
        "SELECT {PRODUCT} FROM products p{} WHERE p.id IN {} ORDER BY p.id{}",
        dialect.by_index(PRIMARY),
        members(ids),
        dialect.for_update()
    )
}

/// Fails if somebody else has this product locked; `None` where no product is locked alone.
pub(super) fn look_at_lock(dialect: Dialect, id: ProductId) -> Option<String> {
    match dialect {
        Dialect::MySql => Some(format!(
            "SELECT p.id FROM products p{} WHERE p.id = {id} FOR UPDATE NOWAIT",
            dialect.by_index(PRIMARY)
        )),
        Dialect::Sqlite => None,
    }
}

/// How long what follows waits for locks: for a second, or not at all; `None` where that is not for a statement to say.
/// `MySQL` cannot wait for less than a second.
pub(super) fn patience(dialect: Dialect, waits: bool) -> Option<String> {
    let seconds = u8::from(waits);
    match dialect {
        Dialect::MySql => Some(format!(
            "SET SESSION innodb_lock_wait_timeout = 1 /*M!100300 , innodb_lock_wait_timeout = {seconds}, \
             lock_wait_timeout = {seconds} */"
        )),
        Dialect::Sqlite => None,
    }
}

/// Holds by id, with the orders that they became.
pub(super) fn holds(dialect: Dialect, ids: impl IntoIterator<Item = HoldId>) -> String {
    let from = holds_with_orders(dialect, PRIMARY);
    format!("SELECT {HOLD_AND_ORDER} {from} WHERE h.id IN {}", members(ids))
}

/// Orders by id, with their holds.
pub(super) fn orders(dialect: Dialect, ids: impl IntoIterator<Item = OrderId>) -> String {
    let from = orders_with_holds(dialect, PRIMARY);
    format!("SELECT {HOLD_AND_ORDER} {from} WHERE o.id IN {}", members(ids))
}

/// What a statement of [`load`] loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Named holds.
    Holds,
    /// Named orders, with their holds.
    Orders,
    /// Holds by key.
    HoldKeys,
    /// Orders by key, with their holds.
    OrderKeys,
    /// Events by payment key.
    Payments,
}

/// The statements that load what `needs` names, besides the products.
///
/// They lock nothing. The lock of the product's row is the lock of its holds and orders; a statement that
/// is run once it is granted sees what was committed before, and the guards of the writes find out whoever
/// changed a row without it. A locking read would also lock what it passes in an index on its way, which
/// may be a row of the next product, and then two products would wait for each other.
pub(super) fn load(dialect: Dialect, needs: &Needs) -> Vec<(Part, String)> {
    let mut parts = Vec::new();
    if !needs.holds.is_empty() {
        parts.push((Part::Holds, holds(dialect, needs.holds.iter().copied())));
    }
    if !needs.orders.is_empty() {
        parts.push((Part::Orders, orders(dialect, needs.orders.iter().copied())));
    }
    if !needs.hold_keys.is_empty() {
        let keys = keys(&needs.hold_keys);
        let from = holds_with_orders(dialect, "holds_idempotency_key");
        let sql = format!("SELECT {HOLD_AND_ORDER} {from} WHERE h.idempotency_key IN {keys}");
        parts.push((Part::HoldKeys, sql));
    }
    if !needs.order_keys.is_empty() {
        let keys = keys(&needs.order_keys);
        let from = orders_with_holds(dialect, "orders_idempotency_key");
        let sql = format!("SELECT {HOLD_AND_ORDER} {from} WHERE o.idempotency_key IN {keys}");
        parts.push((Part::OrderKeys, sql));
    }
    if !needs.payment_keys.is_empty() {
        let keys = keys(&needs.payment_keys);
        parts.push((Part::Payments, format!("SELECT {PAYMENT_EVENT} FROM payment_events WHERE payment_key IN {keys}")));
    }
    parts
}

/// Up to `limit` due holds of a product, oldest deadline first.
pub(super) fn due_holds(dialect: Dialect, product_id: ProductId, now: Timestamp, limit: u64) -> String {
    format!(
        "SELECT {HOLD_AND_ORDER} {} WHERE h.product_id = {product_id} AND h.status = 'active' \
         AND h.expires_at <= {} ORDER BY h.expires_at LIMIT {limit}",
        holds_with_orders(dialect, "holds_due"),
        now.0,
    )
}

/// The earliest deadline of a product's holds that has not come.
pub(super) fn next_hold_deadline(product_id: ProductId, now: Timestamp) -> String {
    format!(
        "SELECT MIN(expires_at) FROM holds WHERE product_id = {product_id} AND status = 'active' AND expires_at > {}",
        now.0
    )
}

/// Up to `limit` orders of a product past their payment window, oldest deadline first.
pub(super) fn due_orders(dialect: Dialect, product_id: ProductId, now: Timestamp, limit: u64) -> String {
    format!(
        "SELECT {HOLD_AND_ORDER} {} WHERE o.product_id = {product_id} \
         AND o.status = 'pending_payment' AND o.payment_deadline <= {} ORDER BY o.payment_deadline LIMIT {limit}",
        orders_with_holds(dialect, "orders_due"),
        now.0,
    )
}

/// The earliest payment deadline of a product's orders that has not come.
pub(super) fn next_order_deadline(product_id: ProductId, now: Timestamp) -> String {
    format!(
        "SELECT MIN(payment_deadline) FROM orders WHERE product_id = {product_id} AND status = 'pending_payment' \
         AND payment_deadline > {}",
        now.0
    )
}

/// The columns of a [`stock_rows`] row.
const STOCK: &str = "p.id, p.status, p.suspended_reason, p.stock_available, p.stock_reserved, p.updated_at";

/// The stock of products and the keys that have made a hold, in one statement. `clock` is an expression.
///
/// One SELECT a product, with its id as a constant: only then does MySQL know `updated_at` before it
/// plans how to read the holds, and reads no more of them than are due.
pub(super) fn stocks(dialect: Dialect, clock: &str, products: &[ProductId], hold_keys: &[Key]) -> String {
    let product = |id: &ProductId| {
        format!(
            "SELECT {STOCK}, COALESCE(SUM(h.quantity), 0), NULL FROM products p LEFT JOIN holds h \
             ON h.product_id = {id} AND h.status = 'active' AND h.expires_at <= {} WHERE p.id = {id} GROUP BY p.id",
            dialect.larger(clock, "p.updated_at")
        )
    };
    let mut selects: Vec<String> = products.iter().map(product).collect();
    if !hold_keys.is_empty() {
        let keys = keys(hold_keys);
        selects.push(format!(
            "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, idempotency_key FROM holds \
             WHERE idempotency_key IN {keys}"
        ));
    }
    selects.join(" UNION ALL ")
}

/// What describes products.
pub(super) fn descriptions(products: &[ProductId]) -> String {
    format!(
        "SELECT p.id, p.name, p.description, p.price_minor, p.created_at FROM products p WHERE p.id IN {}",
        members(products)
    )
}

/// A page of products: their stock, then what describes them.
///
/// Due units are summed only where the earliest deadline has come: a product may have very many
/// active holds, and mostly none is due.
pub(super) fn list_products(
    dialect: Dialect,
    clock: &str,
    after: ProductId,
    limit: u32,
    include_suspended: bool,
) -> String {
    let now = dialect.larger(clock, "p.updated_at");
    let of_product = "FROM holds h WHERE h.product_id = p.id AND h.status = 'active'";
    let on_sale = if include_suspended { "" } else { " AND p.status = 'on_sale'" };
    format!(
        "SELECT {STOCK}, CASE WHEN (SELECT h.expires_at {of_product} ORDER BY h.expires_at LIMIT 1) <= {now} \
         THEN (SELECT SUM(h.quantity) {of_product} AND h.expires_at <= {now}) ELSE 0 END, \
         p.id, p.name, p.description, p.price_minor, p.created_at \
         FROM products p WHERE p.id > {after}{on_sale} ORDER BY p.id LIMIT {limit}"
    )
}

/// Holds by id, each with the clock of its product.
pub(super) fn holds_with_clock(dialect: Dialect, clock: &str, ids: &[HoldId]) -> String {
    format!(
        "SELECT {HOLD_AND_ORDER}, {} {} JOIN products p ON p.id = h.product_id WHERE h.id IN {}",
        dialect.larger(clock, "p.updated_at"),
        holds_with_orders(dialect, PRIMARY),
        members(ids)
    )
}

/// Products with holds past their deadline.
pub(super) fn products_with_due_holds(dialect: Dialect, clock: &str) -> String {
    format!(
        "SELECT p.id FROM products p WHERE p.stock_reserved > 0 AND (SELECT h.expires_at FROM holds h \
         WHERE h.product_id = p.id AND h.status = 'active' ORDER BY h.expires_at LIMIT 1) <= {} ORDER BY p.id",
        dialect.larger(clock, "p.updated_at")
    )
}

/// Products with orders past their payment window.
pub(super) fn products_with_due_orders(dialect: Dialect, clock: &str) -> String {
    format!(
        "SELECT p.id FROM products p WHERE (SELECT o.payment_deadline FROM orders o WHERE o.product_id = p.id \
         AND o.status = 'pending_payment' ORDER BY o.payment_deadline LIMIT 1) <= {} ORDER BY p.id",
        dialect.larger(clock, "p.updated_at")
    )
}

/// Payments that must be paid back, of one product or of all.
pub(super) fn refunds(product: Option<ProductId>) -> String {
    let only = product.map(|id| format!(" AND o.product_id = {id}")).unwrap_or_default();
    format!(
        "SELECT e.payment_key, e.order_id, o.total_minor, e.received_at FROM payment_events e \
         JOIN orders o ON o.id = e.order_id WHERE e.effect = 'refund_required' AND e.refunded_at IS NULL{only} \
         ORDER BY e.id"
    )
}
