//! One transaction of a worker: lock and load, decide in memory, write, commit, and only then answer (I7).
//!
//! What belongs here: the way of a batch that goes well, the name of what goes wrong, and how a commit
//! in doubt is resolved. What does not: what to do about trouble (`worker`), rules (`sale`), SQL (`store`).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sale::{Breach, Command, Decision, HoldId, Needs, OrderId, Outcome, Product, ProductId, Refusal, State};
use tokio::time::Instant;

use super::Shared;
use super::batch::Batch;
use super::calls::{ANSWER_TIMEOUT, NoAnswer, answer_of, answered, back_off, panic_message};
use super::ticket::Ticket;
use crate::store::{BatchId, Conflict, Fault, StoreError, Writer};
use crate::telemetry::labels::{Phase, RetryReason};
use crate::telemetry::traces::TransactionSpan;

/// Why an attempt did not end with answers. Nothing of it was committed, but for `Unknown`.
pub(super) enum Trouble {
    Conflict(Conflict),
    /// A product, or what else the batch wants, stayed locked for as long as a lock is waited for.
    Locked {
        wanted: Wanted,
        error: StoreError,
    },
    Disconnected(StoreError),
    /// The database took too long for a batch of this size, or is not there.
    TimedOut(StoreError),
    /// It would fail again: a constraint, a panic, a broken invariant.
    Poison(Poison),
    /// The commit may have happened.
    Unknown {
        decision: Decision,
        loaded_at: Instant,
    },
}

/// What a lock was wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To load: it is that of a product, or one that only loading wants.
    ToLoad,
    /// To write, with the products locked: it is no product's.
    ToWrite,
}

pub(super) struct Poison {
    pub(super) cause: String,
    pub(super) breach: Option<Breach>,
}

impl Trouble {
    fn from_store(error: StoreError, wanted: Wanted) -> Self {
        match error.fault {
            Fault::Retry(Conflict::LockTimeout) => Self::Locked { wanted, error },
            Fault::Retry(conflict) => Self::Conflict(conflict),
            Fault::Disconnected | Fault::OutcomeUnknown => Self::Disconnected(error),
            Fault::BatchExists | Fault::Refused => {
                Self::Poison(Poison { cause: error.source.to_string(), breach: None })
            }
        }
    }

    /// The reason to count, if it is one to run the batch again.
    pub(super) fn retry_reason(&self) -> Option<RetryReason> {
        match self {
            Self::Conflict(Conflict::Deadlock) => Some(RetryReason::Deadlock),
            Self::Conflict(Conflict::LockTimeout) | Self::Locked { .. } => Some(RetryReason::LockTimeout),
            Self::Conflict(Conflict::RowChanged) => Some(RetryReason::RowChanged),
            Self::Conflict(Conflict::DuplicateKey) => Some(RetryReason::DuplicateKey),
            Self::Disconnected(_) | Self::TimedOut(_) => Some(RetryReason::Disconnected),
            Self::Poison(_) | Self::Unknown { .. } => None,
        }
    }

    fn timed_out(what: &str) -> Self {
        let text = format!("no answer to {what} within {} s", ANSWER_TIMEOUT.as_secs());
        Self::TimedOut(StoreError::new(Fault::Disconnected, text))
    }
}

/// One of those who commit batches, with a connection of its own.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    /// Its connection, while that is of use.
    pub(super) writer: Option<Box<dyn Writer>>,
    /// What is recorded of its transaction, if anything is.
    pub(super) trace: Option<TransactionSpan>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, writer: None, trace: None }
    }

    /// One transaction, from the locks to the answers.
    pub(super) async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        self.drop_gone(batch);
        if batch.tickets.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let batch_id = Self::assign_ids(&shared, batch).await?;
        let needs = Needs::of(batch.tickets.iter().map(|ticket| (ticket.product_id, &ticket.command)));
        if let Some(trace) = &self.trace {
            trace.is_batch(batch_id.0, needs.products.len());
        }
        let writer = self.connection().await?;
        let patience = answered("how long it waits", writer.set_patience(batch.waits)).await;
        patience.map_err(|error| Trouble::from_store(error, Wanted::ToLoad))?;
        let began = SystemTime::now();
        let asked_at = Instant::now();
        let answer = answer_of(writer.load(&needs)).await;
        if !matches!(answer, Ok(Ok(_))) {
            // Nearly all that fail have waited for a lock, mostly the first.
            self.is_over(Phase::LockWait, began, asked_at.elapsed());
        }
        let loaded = match answer {
            Ok(loaded) => loaded.map_err(|error| Trouble::from_store(error, Wanted::ToLoad))?,
            Err(NoAnswer::TimedOut) => return Err(Trouble::timed_out("locking and loading")),
            Err(NoAnswer::Panicked(cause)) => {
                self.writer = None;
                return Err(Trouble::Poison(Poison { cause, breach: None }));
            }
        };
        let loaded_at = Instant::now();
        shared.health.answered();
        if batch.is_whole {
            shared.queue.trust(needs.products.keys());
        }
        self.is_over(Phase::LockWait, began, loaded.lock_wait);
        self.is_over(Phase::Load, began + loaded.lock_wait, loaded.load);
        let deciding = SystemTime::now();

        if batch.is_whole && asked_at.elapsed() <= shared.settings.fresh_max {
            self.top_up(batch, &needs, &loaded.state);
        }
        // Who gave up while we waited for the lock is out; from here on callers have to wait.
        shared.claim(&mut batch.tickets);
        let broken: BTreeSet<ProductId> = loaded
            .state
            .products
            .values()
            .filter(|product| product.stock_reserved > product.stock_available)
            .map(|product| product.id)
            .collect();
        shared.refuse_inconsistent(&mut batch.tickets, &broken, &loaded.state);
        let products: Vec<Product> = loaded.state.products.values().cloned().collect();
        let commands: Vec<Command> = batch.tickets.iter().map(|ticket| ticket.command.clone()).collect();
        let terms = shared.settings.terms;
        let decided = catch_unwind(AssertUnwindSafe(|| sale::decide(loaded.state, &commands, &terms)));
        let decision = match decided {
            Ok(Ok(decision)) => decision,
            Ok(Err(breach)) => {
                self.roll_back(batch).await;
                return Err(Trouble::Poison(Poison { cause: breach.to_string(), breach: Some(breach) }));
            }
            Err(panic) => {
                self.roll_back(batch).await;
                return Err(Trouble::Poison(Poison { cause: panic_message(panic.as_ref()), breach: None }));
            }
        };
        // A yes must be durable before it is sent, also one that only repeats what an earlier commit
        // decided: that commit may be visible before it is on disk, and ours carries it there.
        if decision.changes.is_empty() && !decision.outcomes.iter().any(says_yes) {
            self.end_transaction().await;
            // What was remembered of them led here, and may be older.
            for product in &products {
                shared.learn_product(product);
            }
            self.answer(batch, decision, loaded_at);
            return Ok(());
        }
        self.is_over(Phase::Decide, deciding, loaded_at.elapsed());
        let writer = self.connection().await?;
        let (writing, asked_at) = (SystemTime::now(), Instant::now());
        // The next batch may queue for the locks: it gets them when this one has ended.
        if batch.is_whole {
            shared.queue.set_committing(batch.flight, needs.products.keys(), true);
        }
        let answer = answer_of(writer.commit(batch_id, &decision.changes)).await;
        if !matches!(answer, Ok(Ok(_))) {
            shared.queue.set_committing(batch.flight, needs.products.keys(), false);
            self.is_over(Phase::Commit, writing, asked_at.elapsed());
        }
        match answer {
            Ok(Ok(written)) => {
                shared.health.wrote();
                shared.metrics.batch_size.observe(f64::from(u32::try_from(commands.len()).unwrap_or(u32::MAX)));
                self.is_over(Phase::Write, writing, written.write);
                self.is_over(Phase::Commit, writing + written.write, written.commit);
                self.answer(batch, decision, loaded_at);
                Ok(())
            }
            Ok(Err(error)) => match error.fault {
                Fault::OutcomeUnknown => {
                    tracing::warn!(batch_id = batch_id.0, error = %error.source, "the outcome of a commit is unknown");
                    self.writer = None;
                    Err(Trouble::Unknown { decision, loaded_at })
                }
                Fault::Retry(_) | Fault::Disconnected | Fault::Refused | Fault::BatchExists => {
                    self.unclaim(batch);
                    Err(Trouble::from_store(error, Wanted::ToWrite))
                }
            },
            Err(no_answer) => {
                tracing::warn!(batch_id = batch_id.0, error = %no_answer, "the outcome of a commit is unknown");
                self.writer = None;
                Err(Trouble::Unknown { decision, loaded_at })
            }
        }
    }

    /// Takes in the holds that have come while the locks were waited for, as far as nothing need be loaded for them:
    /// they name no row but their product's, and there are units for them beside all that `needs` may take.
    fn top_up(&self, batch: &mut Batch, needs: &Needs, state: &State) {
        for (&product_id, &wanted) in &needs.products {
            let room = self.shared.settings.batch_max.saturating_sub(batch.tickets.len());
            let Some(product) = state.products.get(&product_id) else { continue };
            let mut free = product.free().saturating_sub(wanted);
            let more = self.shared.queue.top_up(batch.flight, product_id, room, |ticket| {
                let Command::PlaceHold { hold_id, quantity, .. } = &mut ticket.command else { return false };
                if quantity.units() > free {
                    return false;
                }
                let Some(id) = self.shared.hold_ids.at_hand() else { return false };
                *hold_id = HoldId(id);
                ticket.has_ids = true;
                free -= quantity.units();
                true
            });
            batch.tickets.extend(more);
        }
    }

    fn is_over(&self, phase: Phase, began: SystemTime, took: Duration) {
        self.shared.metrics.phases.of(phase).observe(took.as_secs_f64());
        if let Some(trace) = &self.trace {
            trace.phase(phase, began, took);
        }
    }

    pub(super) async fn connection(&mut self) -> Result<&mut Box<dyn Writer>, Trouble> {
        if self.writer.is_none() {
            match answer_of(self.shared.store.writer()).await {
                Ok(Ok(writer)) => self.writer = Some(writer),
                Ok(Err(error)) => {
                    return Err(Trouble::Disconnected(error));
                }
                Err(_) => return Err(Trouble::timed_out("connecting")),
            }
        }
        self.writer.as_mut().ok_or_else(|| Trouble::timed_out("connecting"))
    }

    /// Sets the ids of the rows that the batch may make, and its own; they stay through all retries.
    async fn assign_ids(shared: &Shared, batch: &mut Batch) -> Result<BatchId, Trouble> {
        let reserved = |error: StoreError| match error.fault {
            Fault::Retry(conflict) => Trouble::Conflict(conflict),
            Fault::Disconnected | Fault::OutcomeUnknown | Fault::BatchExists | Fault::Refused => {
                Trouble::Disconnected(error)
            }
        };
        let wants = |ticket: &&Ticket| !ticket.has_ids;
        let holds =
            batch.tickets.iter().filter(wants).filter(|t| matches!(t.command, Command::PlaceHold { .. })).count();
        let orders =
            batch.tickets.iter().filter(wants).filter(|t| matches!(t.command, Command::RedeemHold { .. })).count();
        let mut hold_ids = shared.hold_ids.take(holds).await.map_err(reserved)?.into_iter();
        let mut order_ids = shared.order_ids.take(orders).await.map_err(reserved)?.into_iter();
        for ticket in batch.tickets.iter_mut().filter(|ticket| !ticket.has_ids) {
            match &mut ticket.command {
                Command::PlaceHold { hold_id, .. } => *hold_id = HoldId(hold_ids.next().unwrap_or_default()),
                Command::RedeemHold { order_id, .. } => *order_id = OrderId(order_ids.next().unwrap_or_default()),
                Command::GiveBackHold { .. }
                | Command::SettlePayment { .. }
                | Command::ExpireHolds { .. }
                | Command::CancelUnpaidOrders { .. }
                | Command::Restock { .. }
                | Command::Suspend { .. }
                | Command::Resume { .. } => {}
            }
            ticket.has_ids = true;
        }
        if let Some(id) = batch.id {
            return Ok(id);
        }
        let id = BatchId(shared.batch_ids.take(1).await.map_err(reserved)?.first().copied().unwrap_or_default());
        batch.id = Some(id);
        Ok(id)
    }

    /// Finds out whether the batch was committed; asks until it is told. No other batch of
    /// its products sets out meanwhile, and its callers get `OutcomeUnknown` at their deadlines.
    pub(super) async fn resolve(&mut self, batch: &Batch) -> bool {
        let Some(id) = batch.id else { return false };
        let mut tries = 0;
        loop {
            let answer = match self.connection().await {
                Ok(writer) => match answer_of(writer.was_committed(id)).await {
                    Ok(Ok(committed)) => Ok(committed),
                    Ok(Err(error)) => Err(error.source.to_string()),
                    Err(no_answer) => Err(no_answer.to_string()),
                },
                Err(_) => Err("no connection".to_owned()),
            };
            match answer {
                Ok(committed) => {
                    self.shared.health.wrote();
                    tracing::info!(batch_id = id.0, committed, tries, "the outcome of a commit is known");
                    return committed;
                }
                Err(error) => {
                    tries += 1;
                    tracing::debug!(batch_id = id.0, tries, error, "the outcome of a commit is still unknown");
                    self.writer = None;
                    back_off(tries, Duration::from_millis(10), Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// The transaction is committed, or had nothing to commit: tell what became of it.
    pub(super) fn answer(&mut self, batch: &mut Batch, decision: Decision, loaded_at: Instant) {
        let shared = &self.shared;
        shared.publish(&decision, loaded_at);
        let mut keys = Vec::new();
        let mut deferred = Vec::new();
        for (ticket, outcome) in batch.tickets.drain(..).zip(decision.outcomes) {
            if outcome == Outcome::Deferred {
                if ticket.unclaim() {
                    deferred.push(ticket);
                } else {
                    keys.extend(ticket.key_name());
                }
                continue;
            }
            keys.extend(ticket.key_name());
            ticket.answer(Ok(outcome));
        }
        shared.queue.put_back(batch.flight, deferred);
        shared.queue.release_keys(keys);
    }

    /// Ends a transaction that changed nothing.
    async fn end_transaction(&mut self) {
        if let Some(writer) = &mut self.writer
            && !matches!(answer_of(writer.rollback()).await, Ok(Ok(())))
        {
            self.writer = None;
        }
    }

    async fn roll_back(&mut self, batch: &mut Batch) {
        self.end_transaction().await;
        self.unclaim(batch);
    }

    /// Its transaction is surely rolled back: callers may withdraw again, and those who left are out.
    pub(super) fn unclaim(&self, batch: &mut Batch) {
        self.shared.keep(&mut batch.tickets, Ticket::unclaim);
    }

    fn drop_gone(&self, batch: &mut Batch) {
        let now = Instant::now();
        self.shared.keep(&mut batch.tickets, |ticket| !ticket.is_gone(now));
    }
}

fn says_yes(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::HoldPlaced { .. }
        // It names the order.
        | Outcome::Refused(Refusal::HoldAlreadyRedeemed { .. })
        | Outcome::HoldGivenBack { .. }
        | Outcome::OrderPlaced { .. }
        | Outcome::PaymentTaken { .. }
        | Outcome::ProductChanged(_) => true,
        Outcome::HoldsExpired { .. } | Outcome::OrdersCancelled { .. } | Outcome::Refused(_) | Outcome::Deferred => {
            false
        }
    }
}
