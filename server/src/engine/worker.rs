//! A worker: one connection, one transaction at a time, each carrying a batch of commands.
//!
//! Load under the locks, decide in memory, write, commit, and only then answer (I7). What goes wrong
//! is sorted here: a passing conflict is run again, a lock that somebody else keeps is isolated, a
//! command that breaks its batch is found by halving and answered alone, and a commit whose outcome
//! is unknown is resolved before its products take another batch.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sale::{Breach, Command, Decision, HoldId, Needs, OrderId, Outcome, ProductId};
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::calls::{ANSWER_TIMEOUT, NoAnswer, answer_of, back_off, panic_message};
use super::queue::{Taken, Turn};
use super::ticket::Ticket;
use super::waiting::Class;
use super::{Rejection, Shared};
use crate::store::{BatchId, Conflict, Fault, StoreError, Writer};
use crate::telemetry::labels::{Phase, Resolution, RetryReason};

/// An idle connection is used at least this often: the database ends it after 30 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// After so many passing conflicts in a row a batch is halved: a smaller one meets fewer.
const CONFLICTS_MAX: u32 = 20;
/// Into how many parts a batch is split when one of its products is locked and nobody can say which: each
/// part that has a locked product costs a lock wait, so many small parts beat halves.
const LOCKED_PARTS: usize = 16;
/// After so many time-outs in a row a batch is parted: a smaller one needs less time.
const TIME_OUTS_MAX: u32 = 2;
/// How often due work is tried without a connection; the sweep comes back to it.
const INTERNAL_TRIES: u32 = 3;

/// Why an attempt did not end with answers. Nothing of it was committed, but for `Unknown`.
enum Trouble {
    Conflict(Conflict),
    /// A product stayed locked by somebody else for as long as a lock is waited for.
    Locked,
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

struct Poison {
    cause: String,
    breach: Option<Breach>,
}

enum Settled {
    Done,
    /// To be run in parts.
    Split(Vec<Batch>),
    /// One of its products is locked by somebody else.
    Locked(Batch),
}

/// What a look at locks told.
enum Look {
    /// These products are locked by somebody else.
    Locked(BTreeSet<ProductId>),
    /// The database cannot tell without waiting.
    CannotTell,
    NoConnection,
}

/// The lanes that a worker has in flight. They land when it is done with them, whatever happens.
struct Flight {
    shared: Arc<Shared>,
    products: BTreeSet<ProductId>,
}

impl Flight {
    /// Lands the lanes that none of `pending` needs.
    fn land(&mut self, pending: &[Batch]) {
        let needed: BTreeSet<ProductId> = pending.iter().flat_map(Batch::products).collect();
        let done = self.products.difference(&needed).copied().collect::<Vec<_>>();
        self.products.retain(|product_id| needed.contains(product_id));
        self.shared.queue.finish(done);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The commands are gone with the panic, and cannot free their keys any more.
            self.shared.queue.forget_keys(&self.products);
        }
        self.land(&[]);
    }
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    writer: Option<Box<dyn Writer>>,
}

impl Trouble {
    /// An error of loading, whose only waiting is for the locks of the products.
    fn from_load(error: StoreError) -> Self {
        match error.fault {
            Fault::Retry(Conflict::LockTimeout) => Self::Locked,
            _ => Self::from_store(error),
        }
    }

    fn from_store(error: StoreError) -> Self {
        match error.fault {
            Fault::Retry(conflict) => Self::Conflict(conflict),
            Fault::Disconnected | Fault::OutcomeUnknown => Self::Disconnected(error),
            Fault::BatchExists | Fault::Refused => {
                Self::Poison(Poison { cause: error.source.to_string(), breach: None })
            }
        }
    }

    fn retry_reason(&self) -> Option<RetryReason> {
        match self {
            Self::Conflict(Conflict::Deadlock) => Some(RetryReason::Deadlock),
            Self::Conflict(Conflict::LockTimeout) | Self::Locked => Some(RetryReason::LockTimeout),
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

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, writer: None }
    }

    /// Settles batches until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let batch = tokio::select! {
                batch = self.shared.queue.next_batch() => batch,
                () = sleep(KEEP_ALIVE) => {
                    self.keep_alive().await;
                    continue;
                }
            };
            let Some(taken) = batch else { return };
            if AssertUnwindSafe(self.settle(taken)).catch_unwind().await.is_err() {
                // Its callers see that nobody answers; the panic was reported where it happened.
                tracing::error!("a worker panicked: this is a bug; it goes on with a new connection");
                self.writer = None;
            }
        }
    }

    async fn keep_alive(&mut self) {
        if let Some(writer) = &mut self.writer
            && !matches!(answer_of(writer.ping()).await, Ok(Ok(())))
        {
            self.writer = None;
        }
    }

    async fn settle(&mut self, taken: Taken) {
        let batch = Batch::new(taken.tickets);
        let mut flight = Flight { shared: Arc::clone(&self.shared), products: batch.products() };
        let mut pending = Vec::new();
        match taken.turn {
            Turn::Look => match self.find_locked(&flight.products).await {
                Look::Locked(locked) => self.put_back_locked(&locked, batch, &mut pending),
                // Then it must be tried; what is wrong with the connection shows there.
                Look::CannotTell | Look::NoConnection => pending.push(batch),
            },
            Turn::Try => pending.push(batch),
        }
        while let Some(batch) = pending.pop() {
            match self.settle_batch(batch).await {
                Settled::Done => {}
                Settled::Split(parts) => pending.extend(parts.into_iter().rev()),
                Settled::Locked(batch) => self.part_locked(batch, &mut pending).await,
            }
            flight.land(&pending);
        }
    }

    /// A lock that `batch` wanted was not granted in time: puts the products that somebody else keeps locked
    /// back into their lanes, and the rest into `pending`.
    async fn part_locked(&mut self, batch: Batch, pending: &mut Vec<Batch>) {
        let products = batch.products();
        match self.find_locked(&products).await {
            Look::Locked(locked) if !locked.is_empty() => self.put_back_locked(&locked, batch, pending),
            // It was locked until a moment ago, or something else is: a whole table, or a row that only one
            // command wants. Wishes want the least, so they go first, and apart.
            Look::Locked(_) | Look::CannotTell => {
                let (wishes, rest) = batch.part_wishes();
                if !wishes.tickets.is_empty() && !rest.tickets.is_empty() {
                    pending.extend([rest, wishes]);
                    return;
                }
                let mut batch = if rest.tickets.is_empty() { wishes } else { rest };
                if products.len() > 1 {
                    pending.extend(batch.split_by_product(LOCKED_PARTS));
                } else if batch.tickets.len() > 1 {
                    pending.extend(batch.halve());
                } else {
                    answer_internal(&mut batch);
                    self.put_back_locked(&products, batch, pending);
                }
            }
            // The next attempt shows what is wrong with it.
            Look::NoConnection => pending.push(batch),
        }
    }

    /// Puts the commands of locked products back into their lanes, also what `pending` has of them, and the
    /// rest of `batch` into `pending`.
    fn put_back_locked(&self, locked: &BTreeSet<ProductId>, mut batch: Batch, pending: &mut Vec<Batch>) {
        for product_id in locked {
            tracing::debug!(
                product_id = product_id.0,
                "the product is locked by another transaction; it is tried again"
            );
            self.shared.queue.suspect(*product_id);
        }
        for part in pending.iter_mut().chain([&mut batch]) {
            self.shared.queue.put_back(part.take_products(locked));
        }
        pending.retain(|part| !part.tickets.is_empty());
        if !batch.tickets.is_empty() {
            pending.push(batch);
        }
    }

    /// Looks which of `products` are locked by somebody else at this moment.
    async fn find_locked(&mut self, products: &BTreeSet<ProductId>) -> Look {
        let products: Vec<ProductId> = products.iter().copied().collect();
        let Ok(writer) = self.connection().await else { return Look::NoConnection };
        match answer_of(writer.locked(&products)).await {
            Ok(Ok(Some(locked))) => Look::Locked(locked.into_iter().collect()),
            Ok(Ok(None)) => Look::CannotTell,
            Ok(Err(_)) | Err(_) => {
                self.writer = None;
                Look::NoConnection
            }
        }
    }

    async fn settle_batch(&mut self, mut batch: Batch) -> Settled {
        let mut conflicts = 0;
        let mut disconnects = 0;
        let mut time_outs = 0;
        loop {
            let trouble = match self.attempt(&mut batch).await {
                Ok(()) => return Settled::Done,
                Err(trouble) => trouble,
            };
            if let Some(reason) = trouble.retry_reason() {
                self.shared.metrics.retries.of(reason).inc();
            }
            match trouble {
                Trouble::Locked if self.shared.store.max_writers() > 1 => return Settled::Locked(batch),
                // One writer at a time: another process has the file.
                Trouble::Locked => Self::meet_conflict(Conflict::LockTimeout, &mut conflicts, &mut batch).await,
                Trouble::Conflict(conflict) => Self::meet_conflict(conflict, &mut conflicts, &mut batch).await,
                Trouble::Disconnected(error) => {
                    self.writer = None;
                    disconnects += 1;
                    self.shared.health.failed(&error);
                    if disconnects >= INTERNAL_TRIES {
                        answer_internal(&mut batch);
                    }
                    back_off(disconnects, Duration::from_millis(10), Duration::from_secs(1)).await;
                }
                Trouble::TimedOut(error) => {
                    self.writer = None;
                    time_outs += 1;
                    self.shared.health.failed(&error);
                    if time_outs >= TIME_OUTS_MAX {
                        answer_internal(&mut batch);
                        if batch.products().len() > 1 {
                            return Settled::Split(batch.split_by_product(LOCKED_PARTS));
                        }
                        if batch.tickets.len() > 1 {
                            return Settled::Split(batch.halve());
                        }
                    }
                }
                Trouble::Poison(poison) => match self.isolate_poison(batch, poison) {
                    Some(parts) => return Settled::Split(parts),
                    None => return Settled::Done,
                },
                Trouble::Unknown { decision, loaded_at } => {
                    let committed = self.resolve(&batch).await;
                    let resolution = if committed { Resolution::Committed } else { Resolution::NotCommitted };
                    self.shared.metrics.unknown_outcomes.of(resolution).inc();
                    if committed {
                        self.answer(&mut batch, decision, loaded_at);
                        return Settled::Done;
                    }
                    // Its id is used up, so that the transaction in doubt can never be committed late.
                    batch.id = None;
                    self.unclaim(&mut batch);
                }
            }
            if conflicts >= CONFLICTS_MAX && batch.tickets.len() > 1 {
                return Settled::Split(batch.halve());
            }
        }
    }

    /// Waits before a batch is run again; who does not want to wait any longer leaves it.
    async fn meet_conflict(conflict: Conflict, conflicts: &mut u32, batch: &mut Batch) {
        *conflicts += 1;
        tracing::debug!(reason = conflict.name(), tries = *conflicts, "a batch is run again");
        if *conflicts >= CONFLICTS_MAX {
            answer_internal(batch);
        }
        back_off(*conflicts, Duration::from_millis(1), Duration::from_millis(200)).await;
    }

    /// One transaction, from the locks to the answers.
    async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        self.drop_gone(batch);
        if batch.tickets.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let batch_id = Self::assign_ids(&shared, batch).await?;
        let needs = Needs::of(batch.tickets.iter().map(|ticket| (ticket.product_id, &ticket.command)));
        let writer = self.connection().await?;
        let loaded = match answer_of(writer.load(&needs)).await {
            Ok(loaded) => loaded.map_err(Trouble::from_load)?,
            Err(NoAnswer::TimedOut) => return Err(Trouble::timed_out("locking and loading")),
            Err(NoAnswer::Panicked(cause)) => {
                self.writer = None;
                return Err(Trouble::Poison(Poison { cause, breach: None }));
            }
        };
        let loaded_at = Instant::now();
        shared.health.answered();
        shared.queue.trust(needs.products.keys());
        let phases = &shared.metrics.phases;
        phases.of(Phase::LockWait).observe(loaded.lock_wait.as_secs_f64());
        phases.of(Phase::Load).observe(loaded.load.as_secs_f64());

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
            self.answer(batch, decision, loaded_at);
            return Ok(());
        }
        phases.of(Phase::Decide).observe(loaded_at.elapsed().as_secs_f64());
        shared.metrics.batch_size.observe(f64::from(u32::try_from(commands.len()).unwrap_or(u32::MAX)));
        let writer = self.connection().await?;
        match answer_of(writer.commit(batch_id, &decision.changes)).await {
            Ok(Ok(written)) => {
                shared.health.answered();
                phases.of(Phase::Write).observe(written.write.as_secs_f64());
                phases.of(Phase::Commit).observe(written.commit.as_secs_f64());
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
                    Err(Trouble::from_store(error))
                }
            },
            Err(no_answer) => {
                tracing::warn!(batch_id = batch_id.0, error = %no_answer, "the outcome of a commit is unknown");
                self.writer = None;
                Err(Trouble::Unknown { decision, loaded_at })
            }
        }
    }

    async fn connection(&mut self) -> Result<&mut Box<dyn Writer>, Trouble> {
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

    /// Finds out whether the batch was committed; asks until it is told. Its products take no other
    /// batch meanwhile, and its callers get `OutcomeUnknown` at their deadlines.
    async fn resolve(&mut self, batch: &Batch) -> bool {
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
                    self.shared.health.answered();
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
    fn answer(&mut self, batch: &mut Batch, decision: Decision, loaded_at: Instant) {
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
        shared.queue.put_back(deferred);
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
    fn unclaim(&self, batch: &mut Batch) {
        self.shared.keep(&mut batch.tickets, Ticket::unclaim);
    }

    fn drop_gone(&self, batch: &mut Batch) {
        self.shared.keep(&mut batch.tickets, |ticket| !ticket.is_gone());
    }

    /// Something in the batch breaks it: halve it, until the culprit is alone and gets its answer.
    fn isolate_poison(&self, mut batch: Batch, poison: Poison) -> Option<Vec<Batch>> {
        if batch.tickets.len() > 1 {
            self.shared.metrics.halvings.inc();
            tracing::warn!(commands = batch.tickets.len(), cause = poison.cause, "a batch failed and is halved");
            return Some(batch.halve());
        }
        if let Some(ticket) = batch.tickets.pop() {
            let request = ticket.request.clone();
            let _in_request = request.enter();
            tracing::error!(
                product_id = ticket.product_id.0,
                command = ?ticket.command,
                cause = poison.cause,
                invariant = poison.breach.as_ref().map(|breach| breach.invariant.code()),
                "a command cannot be carried out"
            );
            self.shared.refuse_broken(ticket, poison.breach.is_some());
            if let Some(breach) = poison.breach {
                self.shared.quarantine(breach.product_id);
            }
        }
        None
    }
}

/// Due work does not wait for a connection: the sweep comes back to it.
fn answer_internal(batch: &mut Batch) {
    let (internal, rest) = batch.tickets.drain(..).partition(|ticket| ticket.class == Class::Internal);
    batch.tickets = rest;
    let internal: Vec<Ticket> = internal;
    for ticket in internal {
        ticket.answer(Err(Rejection::DatabaseUnavailable));
    }
}

fn says_yes(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::HoldPlaced { .. }
        | Outcome::HoldGivenBack { .. }
        | Outcome::OrderPlaced { .. }
        | Outcome::PaymentTaken { .. }
        | Outcome::ProductChanged(_) => true,
        Outcome::HoldsExpired { .. } | Outcome::OrdersCancelled { .. } | Outcome::Refused(_) | Outcome::Deferred => {
            false
        }
    }
}
