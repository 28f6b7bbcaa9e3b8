//! What the reconciler counts: its rounds, and what it saw in the last one.
//!
//! What does not belong here: the breaches, which the engine counts, too (`engine`).

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::SECONDS;
use crate::telemetry::families::{Family, Registrar};
use crate::telemetry::labels::{Round, SuspensionReason};

/// What the reconciler counts.
#[derive(Clone, Debug)]
pub struct ReconcilerMetrics {
    /// Rounds.
    pub rounds: Family<Round, IntCounter>,
    /// How long a round took, in seconds.
    pub duration: Histogram,
    /// Products that take no new holds, as of the last round.
    pub suspended_products: Family<SuspensionReason, IntGauge>,
    /// Payments that are still to be paid back, as of the last round.
    pub refunds_waiting: IntGauge,
    /// Settings of the database that stand in the way of I7, as of the last round.
    pub durability_problems: IntGauge,
    pub(crate) last_success: Gauge,
}

impl ReconcilerMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            rounds: registrar.counters("holdfast_reconciler_rounds_total", "Rounds of the reconciler.", "result"),
            duration: registrar.histogram(
                "holdfast_reconciler_round_seconds",
                "Time that a round of the reconciler took, in seconds.",
                SECONDS,
            ),
            suspended_products: registrar.gauges(
                "holdfast_suspended_products",
                "Products that take no new holds, as of the reconciler's last round, by reason.",
                "reason",
            ),
            refunds_waiting: registrar.gauge(
                "holdfast_refunds_waiting",
                "Payments to be paid back, as of the reconciler's last round; `holdfast refund done` ends each.",
            ),
            durability_problems: registrar.gauge(
                "holdfast_database_durability_problems",
                "Settings of the database with which a crash can lose acknowledged commits, as of the last look.",
            ),
            last_success: registrar.float_gauge(
                "holdfast_reconciler_last_success_timestamp_seconds",
                "When the reconciler last finished a round, in seconds since 1970; 0: not yet.",
            ),
        }
    }

    /// Notes that a round was finished now.
    pub fn succeeded_now(&self) {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.last_success.set(since_1970.as_secs_f64());
    }
}
