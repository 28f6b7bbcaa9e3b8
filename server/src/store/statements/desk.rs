//! The statements of the small transactions: ids, new products, refunds, old batches, suspension.

use sale::{Key, ProductId, Timestamp};

use super::super::dialect::{Bytes, Dialect, Nullable, members};
use super::super::{NewProduct, Sequence};

/// The first statement of a transaction that has nothing to lock.
pub(in crate::store) const NOTHING: &str = "SELECT 1";

const fn sequence_name(sequence: Sequence) -> &'static str {
    match sequence {
        Sequence::Holds => "holds",
        Sequence::Orders => "orders",
        Sequence::Batches => "batches",
    }
}

/// Takes ids from a sequence.
pub(in crate::store) fn take_ids(sequence: Sequence, count: u64) -> String {
    format!("UPDATE id_blocks SET next_id = next_id + {count} WHERE name = '{}'", sequence_name(sequence))
}

/// The first of the ids that the same transaction has just taken.
pub(in crate::store) fn taken_ids(sequence: Sequence, count: u64) -> String {
    format!("SELECT next_id - {count} FROM id_blocks WHERE name = '{}'", sequence_name(sequence))
}

/// A new product; the database gives it an id.
pub(in crate::store) fn insert_product(dialect: Dialect, product: &NewProduct, now: Timestamp) -> String {
    format!(
        "INSERT INTO products (name, description, price_minor, status, stock_available, stock_reserved, movement_seq, \
         created_at, updated_at) VALUES ({}, {}, {}, 'on_sale', {}, 0, 1, {now}, {now})",
        dialect.text(&product.name),
        dialect.text(&product.description),
        product.price.0,
        product.stock,
        now = now.0,
    )
}

/// Batches committed before a moment, oldest first.
pub(in crate::store) fn old_batches(before: &str, limit: u64) -> String {
    format!("SELECT id FROM batches WHERE committed_at < {before} ORDER BY committed_at LIMIT {limit}")
}

/// Deletes batches.
pub(in crate::store) fn delete_batches(ids: &[u64]) -> String {
    format!("DELETE FROM batches WHERE id IN {}", members(ids))
}

fn waiting_refund(key: &Key) -> String {
    let key = Bytes(key.as_bytes());
    format!("payment_key = {key} AND pending_order = 0 AND effect = 'refund_required' AND refunded_at IS NULL")
}

/// Locks a payment event whose refund is waiting.
pub(in crate::store) fn lock_refund(dialect: Dialect, key: &Key) -> String {
    format!("SELECT id FROM payment_events WHERE {}{}", waiting_refund(key), dialect.for_update())
}

/// Notes that it was paid back.
pub(in crate::store) fn note_refund(key: &Key, now: Timestamp) -> String {
    format!("UPDATE payment_events SET refunded_at = {} WHERE {}", now.0, waiting_refund(key))
}

/// Accepts breaches of a product by the codes of their invariants, or forgets those that were accepted.
pub(in crate::store) fn accept_breaches(dialect: Dialect, product_id: ProductId, codes: Option<&str>) -> String {
    let codes = Nullable(codes.map(|codes| dialect.text(codes)));
    format!("UPDATE products SET accepted_breaches = {codes} WHERE id = {product_id}")
}

/// Suspends a product that is on sale.
pub(in crate::store) fn suspend(dialect: Dialect, product_id: ProductId, reason: &str, now: Timestamp) -> String {
    format!(
        "UPDATE products SET status = 'suspended', suspended_reason = {}, accepted_breaches = NULL, updated_at = {} WHERE id = {product_id} \
         AND status = 'on_sale'",
        dialect.text(reason),
        dialect.larger(now.0, "updated_at")
    )
}

/// Finds a table by name.
pub(in crate::store) fn find_table(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::MySql => {
            format!("SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{name}'")
        }
        Dialect::Sqlite => format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{name}'"),
    }
}
