//! What workers, timers and callers share: the queue, the ids, and what commits have taught us.
//!
//! Nothing in here decides anything. Hints say which way a request goes, never what it is answered;
//! the routes say what cannot change.

use std::collections::BTreeSet;
use std::sync::Arc;

use quick_cache::sync::Cache;
use sale::{
    ById, Command, Decision, HoldId, HoldStatus, OrderId, PaymentStatus, Product, ProductId, ProductStatus,
    ReleaseReason, State,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::expiry::{DueAt, DueKind, Lag, until};
use super::health::Health;
use super::ids::Ids;
use super::queue::Queue;
use super::routes::Routes;
use super::suspects::{Look, Suspects};
use super::ticket::{Caller, Ticket};
use super::waiting::{Class, Waiting};
use super::{Rejection, Settings};
use crate::store::{Sequence, Stock, Store};
use crate::telemetry::{EngineMetrics, StockFigures};

/// How many products the process remembers the last known stock of.
const HINTS_MAX: usize = 100_000;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) metrics: EngineMetrics,
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Queue,
    waiting: Arc<Waiting>,
    pub(super) health: Arc<Health>,
    pub(super) hold_ids: Ids,
    pub(super) order_ids: Ids,
    pub(super) batch_ids: Ids,
    /// Which product a hold or order belongs to: it never changes.
    pub(super) hold_routes: Routes<HoldId>,
    pub(super) order_routes: Routes<OrderId>,
    /// Units that were free when we last saw the product; 0 while it is suspended. A hold that wants
    /// more asks the database before it queues.
    hints: Arc<Cache<ProductId, u64>>,
    deadlines: mpsc::UnboundedSender<DueAt>,
    pub(super) expiry_lag: Lag,
    pub(super) suspects: Arc<Suspects>,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        settings: Settings,
        workers: usize,
        deadlines: mpsc::UnboundedSender<DueAt>,
        metrics: EngineMetrics,
    ) -> Self {
        let waiting = Arc::new(Waiting::new(metrics.clone()));
        let suspects = Arc::new(Suspects::new(Arc::clone(&store), metrics.clone(), settings.traces.clone()));
        Self {
            queue: Queue::new(settings.batch_max, workers, Arc::clone(&waiting)),
            waiting,
            metrics,
            health: Arc::new(Health::new()),
            hold_ids: Ids::new(Arc::clone(&store), Sequence::Holds),
            order_ids: Ids::new(Arc::clone(&store), Sequence::Orders),
            batch_ids: Ids::new(Arc::clone(&store), Sequence::Batches),
            hold_routes: Routes::new(),
            order_routes: Routes::new(),
            hints: Arc::new(Cache::new(HINTS_MAX)),
            settings,
            store,
            deadlines,
            expiry_lag: Lag::new(),
            suspects,
        }
    }

    /// Queues a command and returns the caller's side of it.
    pub(super) fn queue_command(
        &self,
        product_id: ProductId,
        command: Command,
        class: Class,
        deadline: Option<Instant>,
    ) -> Result<Caller, Rejection> {
        let (ticket, caller) = Ticket::new(product_id, command, class, deadline, &self.waiting);
        match self.queue.push(ticket) {
            Ok(()) => Ok(caller),
            Err(rejection) => {
                caller.never_queued();
                Err(rejection)
            }
        }
    }

    /// Work that comes due at a moment.
    pub(super) fn due_at(&self, due: DueAt) {
        // The timers end with the engine; then a server that lives finds the work by its sweep.
        let _ = self.deadlines.send(due);
    }

    /// Units that were free when we last saw the product.
    pub(super) fn hint(&self, product_id: ProductId) -> Option<u64> {
        self.hints.get(&product_id)
    }

    pub(super) fn learn_stock(&self, product_id: ProductId, stock: &Stock) {
        self.learn(product_id, &stock.status, stock.free());
    }

    /// A hold was refused because its product is suspended, though units were free when we last saw it: somebody
    /// else suspended it, such as an operator's command, or another server.
    pub(super) fn learn_suspended(&self, product_id: ProductId) {
        if self.hint(product_id) != Some(0) {
            self.hints.insert(product_id, 0);
            self.metrics.stock.suspended(product_id);
        }
    }

    /// A product as it was under its lock.
    pub(super) fn learn_product(&self, product: &Product) {
        self.learn(product.id, &product.status, product.free());
        let on_sale = product.status == ProductStatus::OnSale;
        let (available, reserved) = (product.stock_available, product.stock_reserved);
        self.metrics.stock.committed(product.id, StockFigures { available, reserved, on_sale });
    }

    fn learn(&self, product_id: ProductId, status: &ProductStatus, free: u64) {
        let free = if *status == ProductStatus::OnSale { free } else { 0 };
        // Every read tells, and mostly what was known.
        if self.hint(product_id) != Some(free) {
            self.hints.insert(product_id, free);
        }
    }

    /// A batch was committed: remember where its rows belong, what is left, and what comes due.
    pub(super) fn publish(&self, decision: &Decision, loaded_at: Instant) {
        let changes = &decision.changes;
        for product in &changes.products {
            self.learn_product(product);
        }
        for hold in &changes.changed_holds {
            let HoldStatus::Released { reason, .. } = hold.status else { continue };
            match reason {
                ReleaseReason::Expired => {
                    let late = changes.movements.last().map_or(0, |movement| hold.expires_at.micros_until(movement.at));
                    self.metrics.expiry_delay.observe(until(late).as_secs_f64());
                    self.metrics.holds_expired.inc();
                    self.metrics.units_expired.inc_by(hold.quantity.units());
                }
                ReleaseReason::PaymentOverdue => self.metrics.orders_overdue.inc(),
                ReleaseReason::GivenBack => self.metrics.holds_given_back.inc(),
                ReleaseReason::PaymentFailed => {}
            }
        }
        self.hold_routes.insert(changes.new_holds.iter().map(|hold| (hold.id, hold.product_id)));
        self.order_routes.insert(changes.new_orders.iter().map(|order| (order.id, order.product_id)));
        let mut due = ById::<(ProductId, DueKind), Instant>::default();
        let mut note = |product_id, kind, micros| {
            let at = loaded_at + until(micros);
            due.entry((product_id, kind)).and_modify(|earliest| *earliest = at.min(*earliest)).or_insert(at);
        };
        for hold in &changes.new_holds {
            note(hold.product_id, DueKind::Holds, hold.created_at.micros_until(hold.expires_at));
        }
        for order in &changes.new_orders {
            note(order.product_id, DueKind::Orders, order.created_at.micros_until(order.payment_deadline));
        }
        for ((product_id, kind), at) in due {
            self.due_at(DueAt { product_id, kind, at });
        }
    }

    /// Keeps the tickets that `stays`; the keys of the others are free.
    pub(super) fn keep(&self, tickets: &mut Vec<Ticket>, stays: impl Fn(&Ticket) -> bool) {
        let mut keys = Vec::new();
        tickets.retain(|ticket| {
            let stays = stays(ticket);
            if !stays {
                keys.extend(ticket.key_name());
            }
            stays
        });
        self.queue.release_keys(keys);
    }

    /// Claims the tickets for a decision; those whose callers withdrew are out.
    pub(super) fn claim(&self, tickets: &mut Vec<Ticket>) {
        let now = Instant::now();
        self.keep(tickets, |ticket| ticket.claim(now));
    }

    /// Answers the commands that would move units of products whose counters are broken: each would break the
    /// batch. What an earlier request with its key made is still its answer, and all else is tried.
    pub(super) fn refuse_inconsistent(&self, tickets: &mut Vec<Ticket>, broken: &BTreeSet<ProductId>, state: &State) {
        if broken.is_empty() {
            return;
        }
        let (refused, rest) = tickets.drain(..).partition(|ticket| {
            broken.contains(&ticket.product_id)
                && match &ticket.command {
                    Command::PlaceHold { key, .. } => key.as_ref().is_none_or(|key| !state.hold_keys.contains_key(key)),
                    Command::RedeemHold { key, .. } => {
                        key.as_ref().is_none_or(|key| !state.order_keys.contains_key(key))
                    }
                    Command::GiveBackHold { hold_id } => {
                        state.holds.get(hold_id).is_some_and(|hold| hold.status == HoldStatus::Active)
                    }
                    Command::SettlePayment { key, status, .. } => {
                        *status == PaymentStatus::Failure && !state.payments.contains_key(key)
                    }
                    Command::ExpireHolds { .. } | Command::CancelUnpaidOrders { .. } | Command::Restock { .. } => true,
                    Command::Suspend { .. } | Command::Resume { .. } => false,
                }
        });
        *tickets = rest;
        let refused: Vec<Ticket> = refused;
        for ticket in refused {
            self.refuse_broken(ticket, true);
        }
        for product_id in broken {
            self.quarantine(*product_id);
        }
    }

    /// Answers a command that cannot be carried out: a wish for a product that breaks an invariant
    /// like one for a suspended product, all else as a failure of ours.
    pub(super) fn refuse_broken(&self, ticket: Ticket, is_inconsistent: bool) {
        let key = ticket.key_name();
        let wish = matches!(ticket.command, Command::PlaceHold { .. });
        ticket.answer(Err(if wish && is_inconsistent { Rejection::Inconsistent } else { Rejection::Internal }));
        self.queue.release_keys(key);
    }

    /// Has a product looked at that broke a batch, and suspended if it breaks an invariant.
    pub(super) fn quarantine(&self, product_id: ProductId) {
        if !self.suspects.is_due(product_id) {
            return;
        }
        let (suspects, hints) = (Arc::clone(&self.suspects), Arc::clone(&self.hints));
        tokio::spawn(async move {
            match suspects.look_at(product_id).await {
                Ok(Look { breaches: 0, .. }) => {}
                Ok(_) => hints.insert(product_id, 0),
                Err(_) => suspects.was_not_looked_at(product_id),
            }
        });
    }
}
