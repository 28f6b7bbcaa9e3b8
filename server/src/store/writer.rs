//! The transaction of a batch: lock the products and load, then write and commit.
//!
//! Two packets for nearly every batch: one that locks the products, reads the clock and loads what the
//! commands name, and one that writes and commits. A third in between only where units are short or
//! a command asks for due rows, since which rows are due depends on the clock.

use std::time::Instant;

use async_trait::async_trait;
use sale::{
    Changes, DUE_PER_COMMAND, DUE_PER_SHORTAGE, Due, Hold, HoldId, Needs, Order, OrderId, PaymentStatus, Product,
    ProductId, State, Timestamp,
};

use super::dialect::Dialect;
use super::rows::Reader;
use super::session::{BatchRow, Begun, Cells, ResultSet, Session};
use super::statements::batch::{self, BatchOutcome};
use super::statements::{self, Part, desk};
use super::{BatchId, Fault, Loaded, StoreError, Writer, Written};

/// A worker's connection.
pub(super) struct BatchWriter<S> {
    session: S,
    /// The clock of the transaction that is open.
    now: Timestamp,
    waits: bool,
}

impl<S: Session> BatchWriter<S> {
    /// On a connection of its own.
    pub(super) fn new(session: S) -> Self {
        Self { session, now: Timestamp(0), waits: true }
    }

    /// Leaves no transaction behind when `result` is an error. If that fails, too, the next packet
    /// will show that the connection is gone.
    async fn ended<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            drop(self.session.rollback().await);
        }
        result
    }

    /// What the row of `batch` says, if there is one. What was only seen need not last: another transaction's
    /// commit can be seen before it is on the disk. So the row is written once more, with a commit of our own.
    async fn found_outcome(&mut self, batch: BatchId) -> Result<Option<BatchOutcome>, StoreError> {
        let results = self.session.run(batch::find_batch(batch)).await?;
        let Some(row) = results.iter().find_map(|result| result.rows.first()) else { return Ok(None) };
        let outcome = Reader::new(row).word()?;
        self.session.transact(vec![batch::touch_batch(batch)]).await?;
        Ok(Some(outcome))
    }

    /// Makes sure that `batch` is never committed, unless it was: its row has one primary key, and either its
    /// own transaction writes it or this one. If that transaction wrote it and has not ended, this waits.
    async fn abandon(&mut self, batch: BatchId) -> Result<BatchOutcome, StoreError> {
        let at = self.session.begin(desk::NOTHING.to_owned(), Vec::new()).await?.now;
        let row = BatchRow { batch, outcome: BatchOutcome::Abandoned, at };
        match self.session.commit_batch(row, Vec::new()).await {
            Ok(_) => Ok(BatchOutcome::Abandoned),
            // It was written since we looked.
            Err(error) if error.fault == Fault::BatchExists => self.found_outcome(batch).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Loads due rows: of products that lack units, and of those that a command wants to expire or cancel.
    async fn load_due(&mut self, needs: &Needs, state: &mut State) -> Result<(), StoreError> {
        let wants = due_wants(needs, state);
        if wants.is_empty() {
            return Ok(());
        }
        let sql: Vec<String> = wants.iter().map(|want| want.sql(S::DIALECT)).collect();
        let results = self.session.run_all(sql).await?;
        for (want, result) in wants.iter().zip(results) {
            want.read(&result, state)?;
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Session> Writer for BatchWriter<S> {
    async fn load(&mut self, needs: &Needs) -> Result<Loaded, StoreError> {
        let started = Instant::now();
        let lock = statements::lock_products(S::DIALECT, needs.products.keys().copied());
        let (parts, sql): (Vec<Part>, Vec<String>) = statements::load(S::DIALECT, needs).into_iter().unzip();
        let begun = self.session.begin(lock, sql).await?;
        self.now = begun.now;
        let lock_wait = begun.lock_wait;
        let loaded = read_loaded(&parts, begun, needs);
        let mut state = self.ended(loaded).await?;
        let due = self.load_due(needs, &mut state).await;
        self.ended(due).await?;
        Ok(Loaded { state, lock_wait, load: started.elapsed().saturating_sub(lock_wait) })
    }

    async fn commit(&mut self, batch: BatchId, changes: &Changes) -> Result<Written, StoreError> {
        let writes = batch::writes(S::DIALECT, changes);
        let row = BatchRow { batch, outcome: BatchOutcome::Committed, at: self.now };
        self.session.commit_batch(row, writes).await
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        self.session.rollback().await
    }

    async fn was_committed(&mut self, batch: BatchId) -> Result<bool, StoreError> {
        // A load whose caller lost patience may have left a transaction open.
        self.session.rollback().await?;
        let outcome = match self.found_outcome(batch).await? {
            Some(outcome) => outcome,
            None => self.abandon(batch).await?,
        };
        Ok(outcome == BatchOutcome::Committed)
    }

    async fn set_patience(&mut self, waits: bool) -> Result<(), StoreError> {
        if self.waits == waits {
            return Ok(());
        }
        if let Some(sql) = statements::patience(S::DIALECT, waits)
            && let Err(error) = self.session.run(sql).await
            && error.fault != Fault::Refused
        {
            return Err(error);
        }
        // Where it is refused, such as by a proxy, all wait.
        self.waits = waits;
        Ok(())
    }

    async fn locked(&mut self, products: &[ProductId]) -> Result<Option<Vec<ProductId>>, StoreError> {
        let mut locked = Vec::new();
        for product_id in products {
            let Some(sql) = statements::look_at_lock(S::DIALECT, *product_id) else { return Ok(None) };
            // Each is a transaction of its own, over with its statement.
            match self.session.run(sql).await {
                Ok(_) => {}
                Err(error) => match error.fault {
                    Fault::Retry(_) => locked.push(*product_id),
                    // MySQL before 8.0 does not know the words.
                    Fault::Refused => return Ok(None),
                    Fault::Disconnected | Fault::OutcomeUnknown | Fault::BatchExists => return Err(error),
                },
            }
        }
        Ok(Some(locked))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.session.ping().await
    }
}

/// The rows of the first packet.
fn read_loaded<R: Cells>(parts: &[Part], begun: Begun<R>, needs: &Needs) -> Result<State, StoreError> {
    let mut state = State { now: Some(begun.now), ..State::default() };
    for row in &begun.locked {
        let product = Reader::new(row).product()?;
        state.products.insert(product.id, product);
    }
    for (part, result) in parts.iter().zip(begun.rest) {
        for row in &result.rows {
            match part {
                Part::Payments => {
                    let event = Reader::new(row).payment_event()?;
                    if event.status == PaymentStatus::Pending {
                        state.pending_payments.insert((event.key.clone(), event.order_id), event);
                    } else {
                        state.payments.insert(event.key.clone(), event);
                    }
                }
                Part::Holds => {
                    let (hold, _) = Reader::new(row).hold_and_order()?;
                    state.holds.insert(hold.id, hold);
                }
                Part::HoldKeys => {
                    let (hold, _) = Reader::new(row).hold_and_order()?;
                    if let Some(key) = hold.key.clone() {
                        state.hold_keys.insert(key, hold.id);
                    }
                    // A named hold was read under its product's lock; this reading may be older.
                    state.holds.entry(hold.id).or_insert(hold);
                }
                Part::Orders => {
                    let (hold, order) = Reader::new(row).hold_and_order()?;
                    keep(&mut state, hold, order);
                }
                Part::OrderKeys => {
                    let (hold, order) = Reader::new(row).hold_and_order()?;
                    let Some(order) = order else { continue };
                    if let Some(key) = order.key.clone() {
                        state.order_keys.insert(key, order.id);
                    }
                    state.orders.entry(order.id).or_insert(order);
                    state.holds.entry(hold.id).or_insert(hold);
                }
            }
        }
    }
    debug_assert!(state.products.keys().all(|id| needs.products.contains_key(id)), "only named products are locked");
    Ok(state)
}

fn keep(state: &mut State, hold: Hold, order: Option<Order>) {
    state.holds.insert(hold.id, hold);
    if let Some(order) = order {
        state.orders.insert(order.id, order);
    }
}

/// Due rows of one product that a batch wants.
enum DueWant {
    Holds { product_id: ProductId, now: Timestamp, limit: u64 },
    NextHold { product_id: ProductId, now: Timestamp },
    Orders { product_id: ProductId, now: Timestamp },
    NextOrder { product_id: ProductId, now: Timestamp },
}

fn due_wants(needs: &Needs, state: &State) -> Vec<DueWant> {
    let clock = state.now.unwrap_or(Timestamp(0));
    let mut wants = Vec::new();
    for Product { id, stock_available, stock_reserved, updated_at, .. } in state.products.values() {
        let (product_id, now) = (*id, clock.max(*updated_at));
        let wanted = needs.products.get(id).copied().unwrap_or(0);
        let free = stock_available.saturating_sub(*stock_reserved);
        // Every due hold frees a unit at least.
        let shortage = wanted.saturating_sub(free).min(DUE_PER_SHORTAGE);
        let expire = needs.expire.contains(id);
        let limit = if expire { shortage.max(DUE_PER_COMMAND) } else { shortage };
        if limit > 0 {
            wants.push(DueWant::Holds { product_id, now, limit });
        }
        if expire {
            wants.push(DueWant::NextHold { product_id, now });
        }
        if needs.cancel.contains(id) {
            wants.push(DueWant::Orders { product_id, now });
            wants.push(DueWant::NextOrder { product_id, now });
        }
    }
    wants
}

impl DueWant {
    fn sql(&self, dialect: Dialect) -> String {
        // One row more than is wanted tells whether there are more.
        match *self {
            Self::Holds { product_id, now, limit } => statements::due_holds(dialect, product_id, now, limit + 1),
            Self::NextHold { product_id, now } => statements::next_hold_deadline(product_id, now),
            Self::Orders { product_id, now } => statements::due_orders(dialect, product_id, now, DUE_PER_COMMAND + 1),
            Self::NextOrder { product_id, now } => statements::next_order_deadline(product_id, now),
        }
    }

    fn read<R: Cells>(&self, result: &ResultSet<R>, state: &mut State) -> Result<(), StoreError> {
        match *self {
            Self::Holds { product_id, limit, .. } => {
                let mut due: Due<HoldId> = Due::default();
                for row in &result.rows {
                    if due.ids.len() as u64 == limit {
                        due.more = true;
                        break;
                    }
                    let (hold, _) = Reader::new(row).hold_and_order()?;
                    due.ids.push_back(hold.id);
                    keep(state, hold, None);
                }
                state.due_holds.insert(product_id, due);
            }
            Self::Orders { product_id, .. } => {
                let mut due: Due<OrderId> = Due::default();
                for row in &result.rows {
                    if due.ids.len() as u64 == DUE_PER_COMMAND {
                        due.more = true;
                        break;
                    }
                    let (hold, order) = Reader::new(row).hold_and_order()?;
                    due.ids.extend(order.as_ref().map(|order| order.id));
                    keep(state, hold, order);
                }
                state.due_orders.insert(product_id, due);
            }
            Self::NextHold { product_id, .. } => {
                state.due_holds.entry(product_id).or_default().next_deadline = deadline(result)?;
            }
            Self::NextOrder { product_id, .. } => {
                state.due_orders.entry(product_id).or_default().next_deadline = deadline(result)?;
            }
        }
        Ok(())
    }
}

fn deadline<R: Cells>(result: &ResultSet<R>) -> Result<Option<Timestamp>, StoreError> {
    let Some(row) = result.rows.first() else { return Ok(None) };
    Ok(Reader::new(row).optional_integer()?.map(Timestamp))
}
