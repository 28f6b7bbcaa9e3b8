//! What the engine counts: what became of requests, where the time of transactions goes, what waits, and
//! what went wrong.
//!
//! What does not belong here: when any of it happens.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::stock::StockMetrics;
use super::{CALLERS, COMMANDS, SECONDS};
use crate::telemetry::families::{Family, Registrar};
use crate::telemetry::labels::{
    BrokenInvariant, Ending, HoldOutcome, OrderOutcome, PaymentOutcome, Phase, Queue, ReadKind, Resolution,
    RetryReason, TurnedAway,
};

/// What the engine counts.
#[derive(Clone, Debug)]
pub struct EngineMetrics {
    /// Requests for holds.
    pub holds: Family<Ending<HoldOutcome>, IntCounter>,
    /// Requests for orders.
    pub orders: Family<Ending<OrderOutcome>, IntCounter>,
    /// Payment events.
    pub payment_events: Family<Ending<PaymentOutcome>, IntCounter>,
    /// Holds that customers gave back.
    pub holds_given_back: IntCounter,
    /// Holds that were released because their deadline came.
    pub holds_expired: IntCounter,
    /// The units of those holds.
    pub units_expired: IntCounter,
    /// From a hold's deadline to the commit of its release, in seconds.
    pub expiry_delay: Histogram,
    /// How long the oldest deadline that has come waits to be worked off, in seconds.
    pub expiry_lag: Gauge,
    /// Orders that were cancelled because their payment window was over.
    pub orders_overdue: IntCounter,
    /// Payments taken for cancelled orders.
    pub refunds_required: IntCounter,
    /// The stock of products that were sold lately.
    pub stock: StockMetrics,
    /// Commands in one transaction.
    pub batch_size: Histogram,
    /// Parts of a transaction, in seconds.
    pub phases: Family<Phase, Histogram>,
    /// Commands that wait for a batch.
    pub queue_depth: Family<Queue, IntGauge>,
    /// How long the oldest of them, or of those in a transaction, has waited, in seconds.
    pub queue_age: Family<Queue, Gauge>,
    /// How long each command waited for its batch, in seconds.
    pub queue_wait: Family<Queue, Histogram>,
    /// Batches that were run again.
    pub retries: Family<RetryReason, IntCounter>,
    /// Commits whose outcome was not known at first, and is now.
    pub unknown_outcomes: Family<Resolution, IntCounter>,
    /// Commits whose outcome is not known yet.
    pub unresolved_outcomes: IntGauge,
    /// Batches that were halved to find the command that breaks them.
    pub halvings: IntCounter,
    /// Requests that were turned away.
    pub turned_away: Family<TurnedAway, IntCounter>,
    /// How many callers shared a read.
    pub read_callers: Family<ReadKind, Histogram>,
    /// How long a read took, in seconds.
    pub read_duration: Family<ReadKind, Histogram>,
    /// Breaches of invariants, by whoever found them: the engine, or the reconciler.
    pub inconsistencies: Family<BrokenInvariant, IntCounter>,
    /// Products that were suspended because they broke an invariant, by whoever did it.
    pub quarantines: IntCounter,
    /// 1 if the database answers.
    pub database_reachable: IntGauge,
    /// How long the database has been silent, in seconds.
    pub database_silence: Gauge,
}

impl EngineMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            holds: registrar.counters(
                "holdfast_holds_total",
                "Well-formed requests for holds, by outcome; each refusal is one, and each reason not to be served.",
                "outcome",
            ),
            orders: registrar.counters(
                "holdfast_orders_total",
                "Well-formed requests for orders, by outcome; each refusal is one, and each reason not to be served.",
                "outcome",
            ),
            payment_events: registrar.counters(
                "holdfast_payment_events_total",
                "Deliveries of the payment provider's webhook, by outcome; each refusal is one, and each reason not to be served.",
                "outcome",
            ),
            holds_given_back: registrar.counter("holdfast_holds_given_back_total", "Holds that were given back."),
            holds_expired: registrar.counter("holdfast_expired_holds_total", "Holds released at their deadline."),
            units_expired: registrar
                .counter("holdfast_expired_units_total", "Units of the holds released at their deadline."),
            expiry_delay: registrar.histogram(
                "holdfast_expiry_delay_seconds",
                "Time from a hold's deadline to the commit of its release, in seconds.",
                SECONDS,
            ),
            expiry_lag: registrar.float_gauge(
                "holdfast_expiry_lag_seconds",
                "How long the oldest deadline that has come has waited to be worked off, in seconds; 0: none waits. \
                 Products that are known to break an invariant do not count.",
            ),
            orders_overdue: registrar.counter(
                "holdfast_overdue_orders_total",
                "Orders cancelled because they were not paid in their payment window.",
            ),
            refunds_required: registrar.counter(
                "holdfast_refunds_required_total",
                "Payments taken for cancelled orders; `holdfast refund list` shows them.",
            ),
            stock: StockMetrics::new(registrar),
            batch_size: registrar.histogram("holdfast_batch_commands", "Commands in one transaction.", COMMANDS),
            phases: registrar.histograms(
                "holdfast_commit_phase_seconds",
                "Time that each part of a transaction took, in seconds.",
                "phase",
                SECONDS,
            ),
            queue_depth: registrar.gauges("holdfast_queue_depth", "Commands that wait for a transaction.", "queue"),
            queue_age: registrar.float_gauges(
                "holdfast_queue_age_seconds",
                "How long the oldest command has waited for its transaction to end, in seconds; one that waits for a lock, too.",
                "queue",
            ),
            queue_wait: registrar.histograms(
                "holdfast_queue_wait_seconds",
                "Time that each command waited for its transaction to begin, in seconds.",
                "queue",
                SECONDS,
            ),
            retries: registrar.counters("holdfast_retries_total", "Transactions that were run again.", "reason"),
            unknown_outcomes: registrar.counters(
                "holdfast_unknown_outcomes_total",
                "Commits whose answer never came, by what they turned out to be.",
                "resolution",
            ),
            unresolved_outcomes: registrar.gauge(
                "holdfast_unresolved_outcomes",
                "Commits whose answer never came, and of which it is not known yet whether they happened.",
            ),
            halvings: registrar.counter(
                "holdfast_batch_halvings_total",
                "Batches that were halved, to find the command that breaks them.",
            ),
            turned_away: registrar.counters(
                "holdfast_turned_away_total",
                "Requests of every kind that were not served, by reason: holds, orders, events, releases, operators, reads.",
                "reason",
            ),
            read_callers: registrar.histograms(
                "holdfast_read_callers",
                "Callers that shared one query; its count is that of queries, its sum that of callers.",
                "read",
                CALLERS,
            ),
            read_duration: registrar.histograms(
                "holdfast_read_duration_seconds",
                "Time that a shared query took, in seconds.",
                "read",
                SECONDS,
            ),
            inconsistencies: registrar.counters(
                "holdfast_inconsistencies_total",
                "Breaches of invariants that were found. Any is a bug, or a hand in the database.",
                "invariant",
            ),
            quarantines: registrar.counter(
                "holdfast_quarantines_total",
                "Products that this server suspended because they broke an invariant.",
            ),
            database_reachable: registrar.gauge(
                "holdfast_database_reachable",
                "1 if the last call of the database was answered and its last write taken, else 0; 0 until the server is \
                 ready.",
            ),
            database_silence: registrar.float_gauge(
                "holdfast_database_silence_seconds",
                "Time since the database last answered, in seconds. It is asked every second or so.",
            ),
        }
    }
}
