//! Small transactions of their own: blocks of ids, new products, refunds, old batches.
//!
//! Each is a single attempt: whether to try again is for those who ask.

use std::time::Duration;

use sale::{Key, Movement, MovementKind, ProductId, Timestamp};

use super::rows::Reader;
use super::session::Session;
use super::statements::desk;
use super::{Fault, NewProduct, Sequence, StoreError};

/// How many old batches one transaction deletes.
const BATCHES_PER_DELETE: u64 = 5_000;

/// Leaves no transaction behind when `result` is an error.
pub(super) async fn ended<S: Session, T>(session: &mut S, result: Result<T, StoreError>) -> Result<T, StoreError> {
    if result.is_err() {
        // If this fails the connection is gone, and the transaction with it.
        drop(session.rollback().await);
    }
    result
}

/// Takes a block of ids and returns its first, in one packet: all servers take theirs from this row.
pub(super) async fn reserve_ids<S: Session>(
    session: &mut S,
    sequence: Sequence,
    count: u64,
) -> Result<u64, StoreError> {
    let statements = vec![desk::take_ids(sequence, count), desk::taken_ids(sequence, count)];
    let results = session.transact(statements).await.map_err(|error| match error.fault {
        // Ids that were taken for nothing do no harm, so that it is no question whether they were.
        Fault::OutcomeUnknown => StoreError { fault: Fault::Disconnected, ..error },
        _ => error,
    })?;
    let row = results.iter().find_map(|result| result.rows.first());
    let row = row.ok_or_else(|| missing("the sequence has no row"))?;
    Reader::new(row).count()
}

/// Makes a product with its first movement.
pub(super) async fn create_product<S: Session>(session: &mut S, product: &NewProduct) -> Result<ProductId, StoreError> {
    // The table of sequences is not touched; a transaction begins with a read and the clock.
    let begun = session.begin(desk::NOTHING.to_owned(), Vec::new()).await?;
    let created = insert_product(session, product, begun.now).await;
    let (id, movement) = ended(session, created).await?;
    session.commit_with(vec![super::statements::batch::insert_movements(std::slice::from_ref(&movement))]).await?;
    Ok(id)
}

/// Inserts the row and makes the movement that belongs to it.
async fn insert_product<S: Session>(
    session: &mut S,
    product: &NewProduct,
    now: Timestamp,
) -> Result<(ProductId, Movement), StoreError> {
    let results = session.run(desk::insert_product(S::DIALECT, product, now)).await?;
    let id = results.first().map(|result| ProductId(result.inserted_id)).filter(|id| id.0 > 0);
    let product_id = id.ok_or_else(|| missing("the product was given no id"))?;
    let stock = i64::try_from(product.stock).map_err(|error| StoreError::new(Fault::Refused, error))?;
    let movement = Movement {
        product_id,
        seq: 1,
        kind: MovementKind::Stocked,
        available_change: stock,
        reserved_change: 0,
        stock_available: product.stock,
        stock_reserved: 0,
        hold_id: None,
        order_id: None,
        at: now,
    };
    Ok((product_id, movement))
}

/// Deletes old batches, some at a time, until none is left.
pub(super) async fn prune_batches<S: Session>(session: &mut S, age: Duration) -> Result<u64, StoreError> {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let mut pruned = 0;
    loop {
        let before = format!("{} - {age}", S::statement_clock());
        // Which ones is asked first, since a DELETE by range would lock the range.
        let results = session.run(desk::old_batches(&before, BATCHES_PER_DELETE)).await?;
        let rows = results.iter().flat_map(|result| &result.rows);
        let ids = rows.map(|row| Reader::new(row).count()).collect::<Result<Vec<u64>, StoreError>>()?;
        if ids.is_empty() {
            return Ok(pruned);
        }
        let deleted = session.transact(vec![desk::delete_batches(&ids)]).await?;
        pruned += deleted.iter().map(|result| result.matched).sum::<u64>();
    }
}

/// Notes that a refund was paid.
pub(super) async fn refund_done<S: Session>(session: &mut S, key: &Key) -> Result<bool, StoreError> {
    let begun = session.begin(desk::lock_refund(S::DIALECT, key), Vec::new()).await?;
    let noted = session.commit_with(vec![desk::note_refund(key, begun.now)]).await?;
    Ok(noted.iter().any(|result| result.matched > 0))
}

fn missing(what: &'static str) -> StoreError {
    StoreError::new(Fault::Refused, what)
}
