//! The statements that write one batch: its changes, and the row that says it was committed. How rows are added is in
//! `insert`.
//!
//! Every UPDATE carries a guard on what was loaded and must find exactly its rows, so that a row
//! that changed under the lock (a bug, or a hand in the database) undoes the batch (I4, I5, I6).

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write as _};
use std::hash::Hash;

use sale::{
    ById, Changes, Hold, HoldId, HoldStatus, Key, Movement, Order, OrderId, OrderStatus, PaymentEvent, PaymentStatus,
    Product, ProductId, ProductStatus, ReleaseReason, Timestamp,
};

use super::super::BatchId;
use super::super::dialect::{Dialect, Nullable, list};
use super::super::rows::Word;
use super::super::session::{BatchRow, Write};
use super::PRIMARY;
use super::insert::{Column, Value, insert, insert_rows};

/// Into how many groups of one value an UPDATE parts its products: a row is looked for in one after the other.
const GROUPS_MAX: usize = 16;

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
    insert(&mut writes, dialect, "holds", &HOLD_COLUMNS, &changes.new_holds);
    insert(&mut writes, dialect, "orders", &ORDER_COLUMNS, &changes.new_orders);
    changed_holds(&mut writes, dialect, &changes.changed_holds);
    changed_orders(&mut writes, dialect, &changes.changed_orders);
    // The database gives them their ids. While an INSERT computes how many that will be, MySQL has all others wait.
    if !changes.payment_events.is_empty() {
        let sql = insert_rows("payment_events", &PAYMENT_EVENT_COLUMNS, &changes.payment_events);
        writes.push(Write { sql, must_match: None });
    }
    insert(&mut writes, dialect, "movements", &MOVEMENT_COLUMNS, &changes.movements);
    changed_products(&mut writes, dialect, changes);
    writes
}

/// Rows of the ledger.
pub(in crate::store) fn insert_movements(movements: &[Movement]) -> String {
    insert_rows("movements", &MOVEMENT_COLUMNS, movements)
}

const HOLD_COLUMNS: [Column<Hold>; 9] = [
    Column { name: "id", value: |hold| hold.id.0.into() },
    Column { name: "product_id", value: |hold| hold.product_id.0.into() },
    Column { name: "quantity", value: |hold| hold.quantity.units().into() },
    Column { name: "status", value: |hold| Value::Word(hold_status(hold.status).0) },
    Column { name: "created_at", value: |hold| Value::Integer(hold.created_at.0) },
    Column { name: "expires_at", value: |hold| Value::Integer(hold.expires_at.0) },
    Column {
        name: "release_reason",
        value: |hold| hold_status(hold.status).1.map(|reason| Value::Word(reason.word())).into(),
    },
    Column { name: "released_at", value: |hold| hold_status(hold.status).2.map(|at| Value::Integer(at.0)).into() },
    Column { name: "idempotency_key", value: |hold| key(hold.key.as_ref()) },
];

const ORDER_COLUMNS: [Column<Order>; 10] = [
    Column { name: "id", value: |order| order.id.0.into() },
    Column { name: "hold_id", value: |order| order.hold_id.0.into() },
    Column { name: "product_id", value: |order| order.product_id.0.into() },
    Column { name: "quantity", value: |order| order.quantity.units().into() },
    Column { name: "total_minor", value: |order| order.total_amount.0.into() },
    Column { name: "status", value: |order| Value::Word(order.status.word()) },
    Column { name: "created_at", value: |order| Value::Integer(order.created_at.0) },
    Column { name: "updated_at", value: |order| Value::Integer(order.updated_at.0) },
    Column { name: "payment_deadline", value: |order| Value::Integer(order.payment_deadline.0) },
    Column { name: "idempotency_key", value: |order| key(order.key.as_ref()) },
];

const PAYMENT_EVENT_COLUMNS: [Column<PaymentEvent>; 6] = [
    Column { name: "payment_key", value: |event| key(Some(&event.key)) },
    Column { name: "pending_order", value: |event| pending_order(event).into() },
    Column { name: "order_id", value: |event| event.order_id.0.into() },
    Column { name: "status", value: |event| Value::Word(event.status.word()) },
    Column { name: "effect", value: |event| Value::Word(event.effect.word()) },
    Column { name: "received_at", value: |event| Value::Integer(event.received_at.0) },
];

const MOVEMENT_COLUMNS: [Column<Movement>; 10] = [
    Column { name: "product_id", value: |movement| movement.product_id.0.into() },
    Column { name: "seq", value: |movement| movement.seq.into() },
    Column { name: "kind", value: |movement| Value::Word(movement.kind.word()) },
    Column { name: "available_change", value: |movement| Value::Integer(movement.available_change) },
    Column { name: "reserved_change", value: |movement| Value::Integer(movement.reserved_change) },
    Column { name: "stock_available", value: |movement| movement.stock_available.into() },
    Column { name: "stock_reserved", value: |movement| movement.stock_reserved.into() },
    Column { name: "at", value: |movement| Value::Integer(movement.at.0) },
    Column { name: "hold_id", value: |movement| movement.hold_id.map(|id| id.0).into() },
    Column { name: "order_id", value: |movement| movement.order_id.map(|id| id.0).into() },
];

fn key(key: Option<&Key>) -> Value<'_> {
    key.map(|key| Value::Bytes(key.as_bytes())).into()
}

/// Of an event that uses up its key, 0.
fn pending_order(event: &PaymentEvent) -> u64 {
    if event.status == PaymentStatus::Pending { event.order_id.0 } else { 0 }
}

/// `status, release_reason, released_at`.
fn hold_status(status: HoldStatus) -> (&'static str, Option<ReleaseReason>, Option<Timestamp>) {
    match status {
        HoldStatus::Active => ("active", None, None),
        HoldStatus::Redeemed { .. } => ("redeemed", None, None),
        HoldStatus::Released { at, reason, .. } => ("released", Some(reason), Some(at)),
    }
}

/// One UPDATE for all holds that change alike.
fn changed_holds(writes: &mut Vec<Write>, dialect: Dialect, holds: &[Hold]) {
    let mut groups: BTreeMap<(String, &'static str), Vec<HoldId>> = BTreeMap::new();
    for hold in holds {
        let (status, reason, released_at) = hold_status(hold.status);
        let reason = Nullable(reason.map(Word::literal));
        let released_at = Nullable(released_at.map(|at| at.0));
        let set = match hold.status {
            // The deadline is in the row already, and naming the column puts all of them in one group.
            HoldStatus::Released { at, reason: ReleaseReason::Expired, .. } if at == hold.expires_at => {
                format!("status = '{status}', release_reason = {reason}, released_at = expires_at")
            }
            _ => format!("status = '{status}', release_reason = {reason}, released_at = {released_at}"),
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
        update(writes, dialect, "holds", &set, &ids, guard);
    }
}

fn changed_orders(writes: &mut Vec<Write>, dialect: Dialect, orders: &[Order]) {
    let mut groups: BTreeMap<(&'static str, Timestamp), Vec<OrderId>> = BTreeMap::new();
    for order in orders {
        groups.entry((order.status.word(), order.updated_at)).or_default().push(order.id);
    }
    let guard = format!("status = {}", OrderStatus::PendingPayment.literal());
    for ((status, updated_at), ids) in groups {
        update(writes, dialect, "orders", &format!("status = '{status}', updated_at = {}", updated_at.0), &ids, &guard);
    }
}

/// By their key, whatever the database would rather do: of a small table it would look at all rows, and those that others
/// have locked are in its way.
fn update<Id: Copy + Display>(
    writes: &mut Vec<Write>,
    dialect: Dialect,
    table: &str,
    set: &str,
    ids: &[Id],
    guard: &str,
) {
    let by_key = dialect.by_index(PRIMARY);
    let sql = format!("UPDATE {table}{by_key} SET {set} WHERE id IN ({}) AND {guard}", list(ids));
    writes.push(Write { sql, must_match: Some(ids.len() as u64) });
}

fn changed_products(writes: &mut Vec<Write>, dialect: Dialect, changes: &Changes) {
    let products = &changes.products;
    if products.is_empty() {
        return;
    }
    let mut moved: ById<ProductId, Moved> = ById::default();
    for movement in &changes.movements {
        let moved = moved.entry(movement.product_id).or_default();
        moved.movements += 1;
        moved.available += movement.available_change;
        moved.reserved += movement.reserved_change;
    }
    let moved = |product: &Product| moved.get(&product.id).copied().unwrap_or_default();
    // The rows are locked, and what was loaded of them guarded, so what they have is known. Counters differ from product to
    // product more than what happens to them in a batch.
    let counter = |column: &str, value: &dyn Fn(&Product) -> u64, change: &dyn Fn(Moved) -> i64| {
        common(products, value).map_or_else(
            || by_value(products, |product| change(moved(product)), |change| format!("{column} + {change}")),
            |value| value.to_string(),
        )
    };
    let reason = |product: &Product| match &product.status {
        ProductStatus::OnSale => "NULL".to_owned(),
        ProductStatus::Suspended { reason } => dialect.text(reason),
    };
    let set = format!(
        "{}status = {}, suspended_reason = {}, stock_available = {}, stock_reserved = {}, movement_seq = {}, \
         updated_at = {}",
        forgotten_breaches(products),
        by_value(products, |product| product_status_word(&product.status), |word| format!("'{word}'")),
        by_value(products, reason, Clone::clone),
        counter("stock_available", &|product| product.stock_available, &|moved| moved.available),
        counter("stock_reserved", &|product| product.stock_reserved, &|moved| moved.reserved),
        by_value(products, |product| moved(product).movements, |movements| format!("movement_seq + {movements}")),
        by_value(products, |product| product.updated_at.0, i64::to_string),
    );
    let loaded_seq = |product: &Product| product.movement_seq.saturating_sub(moved(product).movements);
    // In MySQL the SET clause works from left to right, and what stands first sees the old status. WHERE
    // sees the row as it was.
    let guard = if let Some(seq) = common(products, loaded_seq) {
        format!("movement_seq = {seq}")
    } else {
        let pairs = list(products.iter().map(|product| format!("({}, {})", product.id, loaded_seq(product))));
        if dialect == Dialect::Sqlite {
            // For what follows it would make a table of the ids and one of the pairs, besides that of the rows that it
            // finds. It locks no rows, so it may go about it as it likes.
            let as_loaded = "id = loaded.column1 AND movement_seq = loaded.column2";
            let sql = format!("UPDATE products SET {set} FROM (VALUES {pairs}) loaded WHERE {as_loaded}");
            writes.push(Write { sql, must_match: Some(products.len() as u64) });
            return;
        }
        format!("(id, movement_seq) IN ({pairs})")
    };
    let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
    update(writes, dialect, "products", &set, &ids, &guard);
}

/// What the movements of a batch did to one product.
#[derive(Clone, Copy, Default)]
struct Moved {
    movements: u64,
    available: i64,
    reserved: i64,
}

/// What `value` is of each of `products`, if it is the same for all.
fn common<Value: PartialEq>(products: &[Product], value: impl Fn(&Product) -> Value) -> Option<Value> {
    let (first, rest) = products.split_first()?;
    let first = value(first);
    rest.iter().all(|product| value(product) == first).then_some(first)
}

/// What `value` is of the product of a row, as `sql` has it: without asking which row it is, if it is the same for all, as
/// nearly every column of nearly every batch is.
fn by_value<Value: Eq + Hash>(
    products: &[Product],
    value: impl Fn(&Product) -> Value,
    sql: impl Fn(&Value) -> String,
) -> String {
    if let Some(value) = common(products, &value) {
        return sql(&value);
    }
    let mut groups: HashMap<Value, Vec<ProductId>> = HashMap::new();
    for product in products {
        groups.entry(value(product)).or_default().push(product.id);
    }
    if groups.len() > GROUPS_MAX {
        return by_halves(products, &value, &sql);
    }
    let mut groups: Vec<(Value, Vec<ProductId>)> = groups.into_iter().collect();
    // The ids of the largest need not be named.
    groups.sort_by_key(|(_, ids)| (ids.len(), ids.first().copied()));
    let mut text = "CASE".to_owned();
    let last = groups.pop();
    for (value, ids) in &groups {
        // Writing to a String does not fail.
        let _ = write!(text, " WHEN id IN ({}) THEN {}", list(ids), sql(value));
    }
    if let Some((value, _)) = last {
        let _ = write!(text, " ELSE {}", sql(&value));
    }
    text + " END"
}

/// The same for products that ascend by id, of which each may have its own value: by asking in which half the row is.
fn by_halves<Value: PartialEq>(
    products: &[Product],
    value: &impl Fn(&Product) -> Value,
    sql: &impl Fn(&Value) -> String,
) -> String {
    if let Some(value) = common(products, value) {
        return sql(&value);
    }
    let (low, high) = products.split_at(products.len() / 2);
    let from = high.first().map_or(0, |product| product.id.0);
    format!("CASE WHEN id < {from} THEN {} ELSE {} END", by_halves(low, value, sql), by_halves(high, value, sql))
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
