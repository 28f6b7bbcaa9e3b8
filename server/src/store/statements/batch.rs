//! The statements that write one batch: its changes, and the row that says it was committed.
//!
//! Every UPDATE carries a guard on what was loaded and must find exactly its rows, so that a row
//! that changed under the lock (a bug, or a hand in the database) undoes the batch (I4, I5, I6).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use sale::{
    Changes, Hold, HoldId, HoldStatus, Movement, Order, OrderId, OrderStatus, PaymentEvent, PaymentStatus, Product,
    ProductId, ProductStatus, ReleaseReason, Timestamp,
};

use super::super::BatchId;
use super::super::dialect::{Bytes, Dialect, Nullable, list};
use super::super::rows::Word;
use super::super::session::{BatchRow, Write};

/// How many products one UPDATE writes: many rows a statement, but no long search through its cases.
const PRODUCTS_PER_UPDATE: usize = 32;

/// What became of a batch, once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum BatchOutcome {
    /// Its transaction was committed.
    Committed,
    /// It was not, and the row keeps it from ever being.
    Abandoned,
}

impl Word for BatchOutcome {
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Committed, "committed"), (Self::Abandoned, "abandoned")];
}

/// The row that says what became of a batch.
pub(in crate::store) fn batch_row(row: BatchRow) -> String {
    let BatchRow { batch, outcome, at } = row;
    format!("INSERT INTO batches (id, outcome, committed_at) VALUES ({}, {}, {})", batch.0, outcome.literal(), at.0)
}

/// Looks for the row of a batch.
pub(in crate::store) fn find_batch(batch: BatchId) -> String {
    format!("SELECT outcome FROM batches WHERE id = {}", batch.0)
}

/// Rewrites the row of a batch. The value must change: of an UPDATE that changes nothing the database
/// writes nothing, and then our own commit would not make durable what it depends on.
pub(in crate::store) fn touch_batch(batch: BatchId) -> String {
    format!("UPDATE batches SET committed_at = committed_at + 1 WHERE id = {}", batch.0)
}

/// The writes of `changes`, in an order that satisfies the foreign keys.
pub(in crate::store) fn writes(dialect: Dialect, changes: &Changes) -> Vec<Write> {
    let mut writes = Vec::new();
    insert(
        &mut writes,
        "holds (id, product_id, quantity, status, release_reason, created_at, expires_at, released_at, idempotency_key)",
        changes.new_holds.iter().map(new_hold),
    );
    insert(
        &mut writes,
        "orders (id, hold_id, product_id, quantity, total_minor, status, created_at, updated_at, payment_deadline, \
         idempotency_key)",
        changes.new_orders.iter().map(new_order),
    );
    changed_holds(&mut writes, &changes.changed_holds);
    changed_orders(&mut writes, &changes.changed_orders);
    insert(
        &mut writes,
        "payment_events (payment_key, pending_order, order_id, status, effect, received_at)",
        changes.payment_events.iter().map(payment_event),
    );
    if !changes.movements.is_empty() {
        writes.push(Write { sql: insert_movements(&changes.movements), must_match: None });
    }
    changed_products(&mut writes, dialect, changes);
    writes
}

fn insert(writes: &mut Vec<Write>, into: &str, rows: impl Iterator<Item = String>) {
    let rows = list(rows);
    if !rows.is_empty() {
        writes.push(Write { sql: format!("INSERT INTO {into} VALUES {rows}"), must_match: None });
    }
}

/// `status, release_reason, released_at` as literals.
fn hold_status(status: HoldStatus) -> (&'static str, Nullable<String>, Nullable<i64>) {
    match status {
        HoldStatus::Active => ("'active'", Nullable(None), Nullable(None)),
        HoldStatus::Redeemed { .. } => ("'redeemed'", Nullable(None), Nullable(None)),
        HoldStatus::Released { at, reason, .. } => {
            ("'released'", Nullable(Some(reason.literal())), Nullable(Some(at.0)))
        }
    }
}

fn new_hold(hold: &Hold) -> String {
    let (status, reason, released_at) = hold_status(hold.status);
    format!(
        "({}, {}, {}, {status}, {reason}, {}, {}, {released_at}, {})",
        hold.id,
        hold.product_id,
        hold.quantity.get(),
        hold.created_at.0,
        hold.expires_at.0,
        Nullable(hold.key.as_ref().map(|key| Bytes(key.as_bytes()))),
    )
}

fn new_order(order: &Order) -> String {
    format!(
        "({}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        order.id,
        order.hold_id,
        order.product_id,
        order.quantity.get(),
        order.total_amount.0,
        order.status.literal(),
        order.created_at.0,
        order.updated_at.0,
        order.payment_deadline.0,
        Nullable(order.key.as_ref().map(|key| Bytes(key.as_bytes()))),
    )
}

fn payment_event(event: &PaymentEvent) -> String {
    let pending_order = if event.status == PaymentStatus::Pending { event.order_id.0 } else { 0 };
    format!(
        "({}, {pending_order}, {}, {}, {}, {})",
        Bytes(event.key.as_bytes()),
        event.order_id,
        event.status.literal(),
        event.effect.literal(),
        event.received_at.0,
    )
}

/// Rows of the ledger.
pub(in crate::store) fn insert_movements<'a>(movements: impl IntoIterator<Item = &'a Movement>) -> String {
    format!(
        "INSERT INTO movements (product_id, seq, kind, available_change, reserved_change, stock_available, \
         stock_reserved, hold_id, order_id, at) VALUES {}",
        list(movements.into_iter().map(movement))
    )
}

fn movement(movement: &Movement) -> String {
    format!(
        "({}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        movement.product_id,
        movement.seq,
        movement.kind.literal(),
        movement.available_change,
        movement.reserved_change,
        movement.stock_available,
        movement.stock_reserved,
        Nullable(movement.hold_id),
        Nullable(movement.order_id),
        movement.at.0,
    )
}

/// One UPDATE for all holds that change alike.
fn changed_holds(writes: &mut Vec<Write>, holds: &[Hold]) {
    let mut groups: BTreeMap<(String, &'static str), Vec<HoldId>> = BTreeMap::new();
    for hold in holds {
        let (status, reason, released_at) = hold_status(hold.status);
        let set = match hold.status {
            // The deadline is in the row already, and naming the column puts all of them in one group.
            HoldStatus::Released { at, reason: ReleaseReason::Expired, .. } if at == hold.expires_at => {
                format!("status = {status}, release_reason = {reason}, released_at = expires_at")
            }
            _ => format!("status = {status}, release_reason = {reason}, released_at = {released_at}"),
        };
        // Redeemed is not final: the order can be cancelled, and then the hold is released.
        let guard = match hold.status {
            HoldStatus::Released { order_id: Some(_), .. } => "status <> 'released'",
            HoldStatus::Active | HoldStatus::Redeemed { .. } | HoldStatus::Released { order_id: None, .. } => {
                "status = 'active'"
            }
        };
        groups.entry((set, guard)).or_default().push(hold.id);
    }
    for ((set, guard), ids) in groups {
        update(writes, "holds", &set, &ids, guard);
    }
}

fn changed_orders(writes: &mut Vec<Write>, orders: &[Order]) {
    let mut groups: BTreeMap<(&'static str, Timestamp), Vec<OrderId>> = BTreeMap::new();
    for order in orders {
        groups.entry((order.status.word(), order.updated_at)).or_default().push(order.id);
    }
    let guard = format!("status = {}", OrderStatus::PendingPayment.literal());
    for ((status, updated_at), ids) in groups {
        update(writes, "orders", &format!("status = '{status}', updated_at = {}", updated_at.0), &ids, &guard);
    }
}

fn update<Id: Copy + Display>(writes: &mut Vec<Write>, table: &str, set: &str, ids: &[Id], guard: &str) {
    let sql = format!("UPDATE {table} SET {set} WHERE id IN ({}) AND {guard}", list(ids));
    writes.push(Write { sql, must_match: Some(ids.len() as u64) });
}

fn changed_products(writes: &mut Vec<Write>, dialect: Dialect, changes: &Changes) {
    let mut new_movements: HashMap<ProductId, u64> = HashMap::new();
    for movement in &changes.movements {
        *new_movements.entry(movement.product_id).or_default() += 1;
    }
    for products in changes.products.chunks(PRODUCTS_PER_UPDATE) {
        let cases = |value: &dyn Fn(&Product) -> String| {
            let mut sql = "CASE id".to_owned();
            for product in products {
                for part in [" WHEN ", &product.id.to_string(), " THEN ", &value(product)] {
                    sql.push_str(part);
                }
            }
            sql + " END"
        };
        let loaded_seq = |product: &Product| {
            let new = new_movements.get(&product.id).copied().unwrap_or(0);
            product.movement_seq.saturating_sub(new).to_string()
        };
        let reason = |product: &Product| match &product.status {
            ProductStatus::OnSale => "NULL".to_owned(),
            ProductStatus::Suspended { reason } => dialect.text(reason),
        };
        let set = format!(
            "{}status = {}, suspended_reason = {}, stock_available = {}, stock_reserved = {}, movement_seq = {}, \
             updated_at = {}",
            forgotten_breaches(products),
            cases(&|product| format!("'{}'", product_status_word(&product.status))),
            cases(&reason),
            cases(&|product| product.stock_available.to_string()),
            cases(&|product| product.stock_reserved.to_string()),
            cases(&|product| product.movement_seq.to_string()),
            cases(&|product| product.updated_at.0.to_string()),
        );
        let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
        // In MySQL the SET clause works from left to right, and what stands first sees the old status. WHERE
        // sees the row as it was.
        update(writes, "products", &set, &ids, &format!("movement_seq = {}", cases(&loaded_seq)));
    }
}

/// Forgets the breaches that an operator accepted, of products that are suspended now and were not. A row
/// of a product that stays suspended is left as it is: it may be about to be resumed in spite of them.
fn forgotten_breaches(products: &[Product]) -> String {
    let suspended = list(products.iter().filter(|product| product.status != ProductStatus::OnSale).map(|p| p.id));
    if suspended.is_empty() {
        return String::new();
    }
    format!(
        "accepted_breaches = CASE WHEN status = 'on_sale' AND id IN ({suspended}) THEN NULL ELSE accepted_breaches \
         END, "
    )
}

/// The word of a product's status.
const fn product_status_word(status: &ProductStatus) -> &'static str {
    match status {
        ProductStatus::OnSale => "on_sale",
        ProductStatus::Suspended { .. } => "suspended",
    }
}
