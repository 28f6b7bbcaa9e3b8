//! The statements that write one batch: its changes, and the row that says it was committed.
//!
//! Every UPDATE carries a guard on what was loaded and must find exactly its rows, so that a row
//! that changed under the lock (a bug, or a hand in the database) undoes the batch (I4, I5, I6).

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Write as _};

use sale::{
    Changes, Hold, HoldId, HoldStatus, Key, Movement, Order, OrderId, OrderStatus, PaymentEvent, PaymentStatus,
    Product, ProductId, ProductStatus, ReleaseReason, Timestamp,
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
    insert(&mut writes, "holds", &HOLD_COLUMNS, &changes.new_holds);
    insert(&mut writes, "orders", &ORDER_COLUMNS, &changes.new_orders);
    changed_holds(&mut writes, &changes.changed_holds);
    changed_orders(&mut writes, &changes.changed_orders);
    insert(&mut writes, "payment_events", &PAYMENT_EVENT_COLUMNS, &changes.payment_events);
    insert(&mut writes, "movements", &MOVEMENT_COLUMNS, &changes.movements);
    changed_products(&mut writes, dialect, changes);
    writes
}

/// Rows of the ledger.
pub(in crate::store) fn insert_movements(movements: &[Movement]) -> String {
    insert_rows("movements", &MOVEMENT_COLUMNS, movements)
}

/// A column of a table, and what a new row has in it.
struct Column<Row> {
    name: &'static str,
    /// Whether it is NULL in this row. A column that is so in every row is left out: what a database does
    /// for a statement of hundreds of rows is largely the reading of its words.
    is_null: fn(&Row) -> bool,
    write: fn(&Row, &mut String) -> fmt::Result,
}

/// A column that is never NULL.
const fn column<Row>(name: &'static str, write: fn(&Row, &mut String) -> fmt::Result) -> Column<Row> {
    Column { name, is_null: |_| false, write }
}

/// A column that may be NULL.
const fn nullable<Row>(
    name: &'static str,
    is_null: fn(&Row) -> bool,
    write: fn(&Row, &mut String) -> fmt::Result,
) -> Column<Row> {
    Column { name, is_null, write }
}

const HOLD_COLUMNS: [Column<Hold>; 9] = [
    column("id", |hold, sql| write!(sql, "{}", hold.id)),
    column("product_id", |hold, sql| write!(sql, "{}", hold.product_id)),
    column("quantity", |hold, sql| write!(sql, "{}", hold.quantity.get())),
    column("status", |hold, sql| sql.write_str(hold_status(hold.status).0)),
    column("created_at", |hold, sql| write!(sql, "{}", hold.created_at.0)),
    column("expires_at", |hold, sql| write!(sql, "{}", hold.expires_at.0)),
    nullable("release_reason", is_held, |hold, sql| write!(sql, "{}", hold_status(hold.status).1)),
    nullable("released_at", is_held, |hold, sql| write!(sql, "{}", hold_status(hold.status).2)),
    nullable("idempotency_key", |hold| hold.key.is_none(), |hold, sql| write_key(hold.key.as_ref(), sql)),
];

const ORDER_COLUMNS: [Column<Order>; 10] = [
    column("id", |order, sql| write!(sql, "{}", order.id)),
    column("hold_id", |order, sql| write!(sql, "{}", order.hold_id)),
    column("product_id", |order, sql| write!(sql, "{}", order.product_id)),
    column("quantity", |order, sql| write!(sql, "{}", order.quantity.get())),
    column("total_minor", |order, sql| write!(sql, "{}", order.total_amount.0)),
    column("status", |order, sql| write!(sql, "'{}'", order.status.word())),
    column("created_at", |order, sql| write!(sql, "{}", order.created_at.0)),
    column("updated_at", |order, sql| write!(sql, "{}", order.updated_at.0)),
    column("payment_deadline", |order, sql| write!(sql, "{}", order.payment_deadline.0)),
    nullable("idempotency_key", |order| order.key.is_none(), |order, sql| write_key(order.key.as_ref(), sql)),
];

const PAYMENT_EVENT_COLUMNS: [Column<PaymentEvent>; 6] = [
    column("payment_key", |event, sql| write_key(Some(&event.key), sql)),
    column("pending_order", |event, sql| {
        let pending_order = if event.status == PaymentStatus::Pending { event.order_id.0 } else { 0 };
        write!(sql, "{pending_order}")
    }),
    column("order_id", |event, sql| write!(sql, "{}", event.order_id)),
    column("status", |event, sql| write!(sql, "'{}'", event.status.word())),
    column("effect", |event, sql| write!(sql, "'{}'", event.effect.word())),
    column("received_at", |event, sql| write!(sql, "{}", event.received_at.0)),
];

const MOVEMENT_COLUMNS: [Column<Movement>; 10] = [
    column("product_id", |movement, sql| write!(sql, "{}", movement.product_id)),
    column("seq", |movement, sql| write!(sql, "{}", movement.seq)),
    column("kind", |movement, sql| write!(sql, "'{}'", movement.kind.word())),
    column("available_change", |movement, sql| write!(sql, "{}", movement.available_change)),
    column("reserved_change", |movement, sql| write!(sql, "{}", movement.reserved_change)),
    column("stock_available", |movement, sql| write!(sql, "{}", movement.stock_available)),
    column("stock_reserved", |movement, sql| write!(sql, "{}", movement.stock_reserved)),
    column("at", |movement, sql| write!(sql, "{}", movement.at.0)),
    nullable("hold_id", |it| it.hold_id.is_none(), |it, sql| write!(sql, "{}", Nullable(it.hold_id))),
    nullable("order_id", |it| it.order_id.is_none(), |it, sql| write!(sql, "{}", Nullable(it.order_id))),
];

fn insert<Row>(writes: &mut Vec<Write>, table: &str, columns: &[Column<Row>], rows: &[Row]) {
    if !rows.is_empty() {
        writes.push(Write { sql: insert_rows(table, columns, rows), must_match: None });
    }
}

fn insert_rows<Row>(table: &str, columns: &[Column<Row>], rows: &[Row]) -> String {
    let columns: Vec<&Column<Row>> =
        columns.iter().filter(|column| !rows.iter().all(|row| (column.is_null)(row))).collect();
    let names = list(columns.iter().map(|column| column.name));
    let mut sql = String::with_capacity(128 + rows.len() * columns.len() * 10);
    let _ = write!(sql, "INSERT INTO {table} ({names}) VALUES ");
    for (i, row) in rows.iter().enumerate() {
        sql.push_str(if i == 0 { "(" } else { ",(" });
        for (j, column) in columns.iter().enumerate() {
            if j > 0 {
                sql.push(',');
            }
            // Writing to a String does not fail.
            let _ = (column.write)(row, &mut sql);
        }
        sql.push(')');
    }
    sql
}

fn is_held(hold: &Hold) -> bool {
    !matches!(hold.status, HoldStatus::Released { .. })
}

fn write_key(key: Option<&Key>, sql: &mut String) -> fmt::Result {
    write!(sql, "{}", Nullable(key.map(|key| Bytes(key.as_bytes()))))
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
        let new_movements = |product: &Product| new_movements.get(&product.id).copied().unwrap_or(0);
        let loaded_seq = |product: &Product| product.movement_seq.saturating_sub(new_movements(product)).to_string();
        let cases = |value: &dyn Fn(&Product) -> String| cases(products, value);
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
            // The guard holds the old one against what was loaded, and mostly all have as many new ones.
            cases(&|product| format!("movement_seq + {}", new_movements(product))),
            cases(&|product| product.updated_at.0.to_string()),
        );
        let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
        // In MySQL the SET clause works from left to right, and what stands first sees the old status. WHERE
        // sees the row as it was.
        update(writes, "products", &set, &ids, &format!("movement_seq = {}", cases(&loaded_seq)));
    }
}

/// What `value` is for each of `products`, by the id of the row: if it is the same for all, as nearly every column of
/// nearly every batch is, without asking which row it is.
fn cases(products: &[Product], value: &dyn Fn(&Product) -> String) -> String {
    let values: Vec<String> = products.iter().map(value).collect();
    if let Some(first) = values.first()
        && values.iter().all(|value| value == first)
    {
        return first.clone();
    }
    let mut sql = "CASE id".to_owned();
    for (product, value) in products.iter().zip(&values) {
        for part in [" WHEN ", &product.id.to_string(), " THEN ", value] {
            sql.push_str(part);
        }
    }
    sql + " END"
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
