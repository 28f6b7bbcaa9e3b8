//! A worker: one connection, one transaction at a time, each carrying a batch of commands.
//!
//! What a transaction does is in `attempt`. What goes wrong with it is sorted here: a passing conflict is run again, a
//! lock that somebody else keeps is isolated, a command that breaks its batch is found by halving and answered alone,
//! and a commit whose outcome is unknown is resolved before another batch of its products sets out.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use prometheus::IntGauge;
use sale::ProductId;
use tokio::time::sleep;
use tracing::{Instrument, Span};

use super::attempt::{Poison, Trouble, Wanted, Worker};
use super::batch::Batch;
use super::calls::{answer_of, back_off};
use super::flights::FlightId;
use super::locked::Turn;
use super::queue::Taken;
use super::ticket::Ticket;
use super::waiting::Class;
use super::{Rejection, Shared};
use crate::store::Conflict;
use crate::telemetry::EngineMetrics;
use crate::telemetry::labels::{Label, Resolution};

/// An idle connection is used at least this often: the database ends it after 30 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// After so many passing conflicts in a row a batch is halved: a smaller one meets fewer.
const CONFLICTS_MAX: u32 = 20;
/// The longest wait between two tries after a conflict. Whoever won goes on at full speed, so who waits for long
/// loses again: on a cluster it must not take much longer than a transaction.
const CONFLICT_PAUSE_MAX: Duration = Duration::from_millis(20);
/// Into how many parts a batch is split when something that it wants is locked and nobody can say what: each part that wants
/// it may cost a lock wait, so many small parts beat halves.
const LOCKED_PARTS: usize = 16;
/// After so many time-outs in a row a batch is parted: a smaller one needs less time.
const TIME_OUTS_MAX: u32 = 2;
/// How often due work is tried without a connection; the sweep comes back to it.
const INTERNAL_TRIES: u32 = 3;

enum Settled {
    Done,
    /// To be run in parts.
    Split(Vec<Batch>),
    /// A lock that it wanted was not granted in time.
    Locked(Batch, Wanted),
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
struct Lanes {
    shared: Arc<Shared>,
    flight: FlightId,
    products: BTreeSet<ProductId>,
}

impl Lanes {
    /// Lands the lanes that none of `pending` needs.
    fn land(&mut self, pending: &[Batch]) {
        let needed: BTreeSet<ProductId> = pending.iter().flat_map(Batch::products).collect();
        let done = self.products.difference(&needed).copied().collect::<Vec<_>>();
        self.products.retain(|product_id| needed.contains(product_id));
        self.shared.queue.finish(self.flight, done);
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The commands are gone with the panic, and cannot free their keys any more.
            self.shared.queue.forget_keys(&self.products);
        }
        self.land(&[]);
    }
}

impl Worker {
    /// Settles batches until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let batch = tokio::select! {
                batch = self.shared.queue.next_batch() => batch,
                () = sleep(KEEP_ALIVE) => {
                    // It may have been the one that looks at the clock.
                    self.shared.queue.tell_one();
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
        let mut batch = Batch::new(taken.flight, taken.tickets);
        let mut lanes = Lanes { shared: Arc::clone(&self.shared), flight: taken.flight, products: batch.products() };
        let mut pending = Vec::new();
        match taken.turn {
            Turn::Look | Turn::Wait => match self.find_locked(&lanes.products).await {
                // It may be suspected for what else its commands want.
                Look::Locked(locked) if locked.is_empty() => {
                    batch.waits = false;
                    pending.push(batch);
                }
                Look::Locked(locked) if taken.turn == Turn::Look => self.put_back_locked(&locked, batch, &mut pending),
                // Then it must be tried; what is wrong with the connection shows there.
                Look::Locked(_) | Look::CannotTell | Look::NoConnection => pending.push(batch),
            },
            Turn::Try => pending.push(batch),
        }
        while let Some(batch) = pending.pop() {
            match self.settle_traced(batch).await {
                Settled::Done => {}
                Settled::Split(parts) => pending.extend(parts.into_iter().rev()),
                Settled::Locked(batch, wanted) => self.part_locked(batch, wanted, &mut pending).await,
            }
            lanes.land(&pending);
        }
    }

    /// A lock that `batch` wanted was not granted in time: puts the products that somebody else keeps locked
    /// back into their lanes, and the rest into `pending`.
    async fn part_locked(&mut self, mut batch: Batch, wanted: Wanted, pending: &mut Vec<Batch>) {
        let products = batch.products();
        let ours = self.shared.queue.shared_with_another(batch.flight, &products);
        if !ours.is_empty() {
            match wanted {
                // Who keeps them locked is the batch before this one, whose commit takes long.
                Wanted::ToLoad => self.put_back(&ours, batch, pending),
                // The batch after this one has queued for them. What is locked besides is found where they go alone.
                Wanted::ToWrite => {
                    batch.waits = false;
                    self.put_back_locked(&ours, batch, pending);
                }
            }
            return;
        }
        match self.find_locked(&products).await {
            Look::Locked(locked) if !locked.is_empty() => self.put_back_locked(&locked, batch, pending),
            // It was locked until a moment ago, or something else is: a whole table, or a row that only one
            // command wants. Wishes want the least, so they go first, and apart.
            Look::Locked(_) | Look::CannotTell => {
                // Its parts have their products locked while they wait, and there may be many.
                batch.waits = false;
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
                    let (flight, stuck) = (batch.flight, std::mem::take(&mut batch.tickets));
                    self.put_back_locked(&products, batch, pending);
                    self.shared.queue.put_behind(flight, stuck);
                }
            }
            // The next attempt shows what is wrong with it.
            Look::NoConnection => pending.push(batch),
        }
    }

    /// Puts the commands of products back for which somebody else keeps something locked, and has them go alone from here
    /// on.
    fn put_back_locked(&self, locked: &BTreeSet<ProductId>, batch: Batch, pending: &mut Vec<Batch>) {
        for product_id in locked {
            tracing::debug!(
                product_id = product_id.0,
                "the product, or what its commands want, is locked by another transaction; it is tried again"
            );
            self.shared.queue.suspect(*product_id);
        }
        self.put_back(locked, batch, pending);
    }

    /// Puts the commands of these products back into their lanes, also what `pending` has of them, and the rest of
    /// `batch` into `pending`.
    fn put_back(&self, products: &BTreeSet<ProductId>, mut batch: Batch, pending: &mut Vec<Batch>) {
        for part in pending.iter_mut().chain([&mut batch]) {
            self.shared.queue.put_back(part.flight, part.take_products(products));
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

    /// Settles a batch, in a recorded span if one of its requests has one.
    async fn settle_traced(&mut self, batch: Batch) -> Settled {
        let shared = Arc::clone(&self.shared);
        let requests = batch.tickets.iter().filter_map(|ticket| ticket.request.as_ref()?.recorded());
        self.trace = shared.settings.traces.transaction(requests, batch.tickets.len(), shared.store.system());
        let span = self.trace.as_ref().map_or_else(Span::none, |trace| trace.span().clone());
        let settled = self.settle_batch(batch).instrument(span).await;
        self.trace = None;
        settled
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
                if let Some(trace) = &self.trace {
                    trace.retried(reason.name());
                }
            }
            match trouble {
                Trouble::Locked { wanted, .. } if self.shared.store.max_writers() > 1 => {
                    return Settled::Locked(batch, wanted);
                }
                // One writer at a time: somebody else has the file.
                Trouble::Locked { error, .. } => {
                    self.shared.health.write_failed(&error);
                    Self::meet_conflict(Conflict::LockTimeout, &mut conflicts, &mut batch).await;
                }
                Trouble::Conflict(conflict) => Self::meet_conflict(conflict, &mut conflicts, &mut batch).await,
                Trouble::Disconnected(error) => {
                    self.writer = None;
                    disconnects += 1;
                    self.shared.health.write_failed(&error);
                    if disconnects >= INTERNAL_TRIES {
                        answer_internal(&mut batch);
                    }
                    back_off(disconnects, Duration::from_millis(10), Duration::from_secs(1)).await;
                }
                Trouble::TimedOut(error) => {
                    self.writer = None;
                    time_outs += 1;
                    self.shared.health.write_failed(&error);
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
                Trouble::Poison(poison) => {
                    if let Some(trace) = &self.trace {
                        trace.failed(&poison.cause);
                    }
                    match self.isolate_poison(batch, poison) {
                        Some(parts) => return Settled::Split(parts),
                        None => return Settled::Done,
                    }
                }
                Trouble::Unknown { decision, loaded_at } => {
                    let in_doubt = InDoubt::new(&self.shared.metrics);
                    if let Some(trace) = &self.trace {
                        trace.in_doubt("the outcome of the commit is unknown");
                    }
                    let committed = self.resolve(&batch).await;
                    let resolution = if committed { Resolution::Committed } else { Resolution::NotCommitted };
                    self.shared.metrics.unknown_outcomes.of(resolution).inc();
                    drop(in_doubt);
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
        back_off(*conflicts, Duration::from_millis(1), CONFLICT_PAUSE_MAX).await;
    }

    /// Something in the batch breaks it: halve it, until the culprit is alone and gets its answer.
    fn isolate_poison(&self, mut batch: Batch, poison: Poison) -> Option<Vec<Batch>> {
        if batch.tickets.len() > 1 {
            self.shared.metrics.halvings.inc();
            tracing::warn!(commands = batch.tickets.len(), cause = poison.cause, "a batch failed and is halved");
            return Some(batch.halve());
        }
        if let Some(ticket) = batch.tickets.pop() {
            let tell = || {
                if ticket.class == Class::Internal && self.shared.suspects.is_known_broken(ticket.product_id) {
                    // Nobody asked, and what is wrong was told.
                    tracing::debug!(product_id = ticket.product_id.0, cause = poison.cause, "due work still fails");
                    return;
                }
                tracing::error!(
                    product_id = ticket.product_id.0,
                    command = ?ticket.command,
                    cause = poison.cause,
                    invariant = poison.breach.as_ref().map(|breach| breach.invariant.code()),
                    "a command cannot be carried out"
                );
            };
            match &ticket.request {
                Some(request) => request.within(tell),
                None => tell(),
            }
            self.shared.refuse_broken(ticket, poison.breach.is_some());
            if let Some(breach) = poison.breach {
                self.shared.quarantine(breach.product_id);
            }
        }
        None
    }
}

/// Counts a commit whose outcome is not known for as long as that is so.
struct InDoubt(IntGauge);

impl InDoubt {
    fn new(metrics: &EngineMetrics) -> Self {
        metrics.unresolved_outcomes.inc();
        Self(metrics.unresolved_outcomes.clone())
    }
}

impl Drop for InDoubt {
    fn drop(&mut self) {
        self.0.dec();
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
