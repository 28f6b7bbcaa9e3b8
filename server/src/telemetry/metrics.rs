//! Every metric of the server: its name, what it means, its unit. Names follow the conventions of
//! Prometheus: base units, `_total` for counters.
//!
//! What belongs here: definitions, grouped by the room that counts. What does not: label values
//! (`labels`) and the text format (the `prometheus` crate). A room is handed its own group only.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::families::{Family, Registrar};
use super::labels::{
    BrokenInvariant, HoldOutcome, OrderOutcome, PaymentOutcome, Phase, Queue, Resolution, RetryReason, Round,
    TurnedAway,
};

/// Bounds of durations, in seconds: from a read in memory to twice the default deadline of a request.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds of batches, in commands.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];

/// All metrics of a server. Cheap to clone; clones count into the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// For `http`.
    pub http: HttpMetrics,
    /// For the engine.
    pub engine: EngineMetrics,
    /// For the reconciler.
    pub reconciler: ReconcilerMetrics,
}

/// What the HTTP shell counts.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    /// Requests that are being served.
    pub in_flight: IntGauge,
    /// Open connections.
    pub connections: IntGauge,
}

/// What the engine counts.
#[derive(Clone, Debug)]
pub struct EngineMetrics {
    /// Requests for holds.
    pub holds: Family<HoldOutcome, IntCounter>,
    /// Requests for orders.
    pub orders: Family<OrderOutcome, IntCounter>,
    /// Payment events.
    pub payment_events: Family<PaymentOutcome, IntCounter>,
    /// Holds that customers gave back.
    pub holds_given_back: IntCounter,
    /// Holds that were released because their deadline came.
    pub holds_expired: IntCounter,
    /// The units of those holds.
    pub units_expired: IntCounter,
    /// Orders that were cancelled because their payment window was over.
    pub orders_overdue: IntCounter,
    /// Payments taken for cancelled orders.
    pub refunds_required: IntCounter,
    /// Commands in one transaction.
    pub batch_size: Histogram,
    /// Parts of a transaction, in seconds.
    pub phases: Family<Phase, Histogram>,
    /// Commands that wait for a batch.
    pub queue_depth: Family<Queue, IntGauge>,
    /// Batches that were run again.
    pub retries: Family<RetryReason, IntCounter>,
    /// Commits whose outcome was not known at first.
    pub unknown_outcomes: Family<Resolution, IntCounter>,
    /// Batches that were halved to find the command that breaks them.
    pub halvings: IntCounter,
    /// Requests that were turned away.
    pub turned_away: Family<TurnedAway, IntCounter>,
    /// Breaches of invariants, by whoever found them: the engine, or the reconciler.
    pub inconsistencies: Family<BrokenInvariant, IntCounter>,
}

/// What the reconciler counts.
#[derive(Clone, Debug)]
pub struct ReconcilerMetrics {
    /// Rounds.
    pub rounds: Family<Round, IntCounter>,
    /// How long a round took, in seconds.
    pub duration: Histogram,
    /// Products that take no new holds, as of the last round.
    pub suspended_products: IntGauge,
    pub(crate) last_success: Gauge,
}

impl Metrics {
    /// Defines all metrics, each at 0.
    pub fn new() -> Self {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        let metrics = Self {
            http: HttpMetrics::new(&registrar),
            engine: EngineMetrics::new(&registrar),
            reconciler: ReconcilerMetrics::new(&registrar),
            registry: registry.clone(),
        };
        let build_info = registrar.add(IntGaugeVec::new(
            Opts::new("holdfast_build_info", "Always 1; its labels say which build this is."),
            &["version"],
        ));
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("no metric of ours begins with process_");
        metrics
    }

    /// All metrics in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            // Encoding into memory fails only for a family without members; what came before it is good.
            tracing::warn!(%error, "metrics are incomplete");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpMetrics {
    fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            requests: registrar.add(IntCounterVec::new(
                Opts::new("holdfast_http_requests_total", "Requests answered."),
                &["route", "method", "status"],
            )),
            durations: registrar.add(HistogramVec::new(
                HistogramOpts::new(
                    "holdfast_http_request_duration_seconds",
                    "Time from a request's head to its answer, in seconds.",
                )
                .buckets(SECONDS.to_vec()),
                &["route", "method"],
            )),
            in_flight: registrar.gauge("holdfast_http_requests_in_flight", "Requests that are being served."),
            connections: registrar.gauge("holdfast_http_connections", "Open connections."),
        }
    }

    /// Makes the series of a route, at 0, with the status of its success.
    pub fn preset(&self, route: &str, method: &str, status: u16) {
        let _ = self.requests.with_label_values(&[route, method, status_text(status).as_str()]);
        let _ = self.durations.with_label_values(&[route, method]);
    }

    /// Counts an answer. `route` is the template, such as `/api/holds/{id}`, and `method` one that the
    /// server knows: text from a caller would make series without end.
    pub fn answered(&self, route: &str, method: &str, status: u16, duration: Duration) {
        self.requests.with_label_values(&[route, method, status_text(status).as_str()]).inc();
        self.durations.with_label_values(&[route, method]).observe(duration.as_secs_f64());
    }
}

/// A status as a label value.
fn status_text(status: u16) -> String {
    status.to_string()
}

impl EngineMetrics {
    fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            holds: registrar.counters("holdfast_holds_total", "Requests for holds, by outcome.", "outcome"),
            orders: registrar.counters("holdfast_orders_total", "Requests for orders, by outcome.", "outcome"),
            payment_events: registrar.counters(
                "holdfast_payment_events_total",
                "Payment events with a good signature and known fields, by outcome.",
                "outcome",
            ),
            holds_given_back: registrar.counter("holdfast_holds_given_back_total", "Holds that were given back."),
            holds_expired: registrar.counter("holdfast_expired_holds_total", "Holds released at their deadline."),
            units_expired: registrar
                .counter("holdfast_expired_units_total", "Units of the holds released at their deadline."),
            orders_overdue: registrar.counter(
                "holdfast_overdue_orders_total",
                "Orders cancelled because they were not paid in their payment window.",
            ),
            refunds_required: registrar.counter(
                "holdfast_refunds_required_total",
                "Payments taken for cancelled orders; `holdfast refund list` shows them.",
            ),
            batch_size: registrar.histogram("holdfast_batch_commands", "Commands in one transaction.", COMMANDS),
            phases: registrar.histograms(
                "holdfast_commit_phase_seconds",
                "Time that each part of a transaction took, in seconds.",
                "phase",
                SECONDS,
            ),
            queue_depth: registrar.gauges("holdfast_queue_depth", "Commands that wait for a transaction.", "queue"),
            retries: registrar.counters("holdfast_retries_total", "Transactions that were run again.", "reason"),
            unknown_outcomes: registrar.counters(
                "holdfast_unknown_outcomes_total",
                "Commits whose answer never came, by what they turned out to be.",
                "resolution",
            ),
            halvings: registrar.counter(
                "holdfast_batch_halvings_total",
                "Batches that were halved, to find the command that breaks them.",
            ),
            turned_away: registrar.counters(
                "holdfast_turned_away_total",
                "Requests that were not served, by reason.",
                "reason",
            ),
            inconsistencies: registrar.counters(
                "holdfast_inconsistencies_total",
                "Breaches of invariants that were found. Any is a bug, or a hand in the database.",
                "invariant",
            ),
        }
    }
}

impl ReconcilerMetrics {
    fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            rounds: registrar.counters("holdfast_reconciler_rounds_total", "Rounds of the reconciler.", "result"),
            duration: registrar.histogram(
                "holdfast_reconciler_round_seconds",
                "Time that a round of the reconciler took, in seconds.",
                SECONDS,
            ),
            suspended_products: registrar.gauge(
                "holdfast_suspended_products",
                "Products that take no new holds, as of the reconciler's last round.",
            ),
            last_success: registrar.add(Gauge::new(
                "holdfast_reconciler_last_success_timestamp_seconds",
                "When the reconciler last finished a round, in seconds since 1970; 0: not yet.",
            )),
        }
    }

    /// Notes that a round was finished now.
    pub fn succeeded_now(&self) {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.last_success.set(since_1970.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::Label;

    #[test]
    fn every_series_is_there_from_the_start() {
        let text = Metrics::new().render();
        for outcome in HoldOutcome::ALL {
            let line = format!("holdfast_holds_total{{outcome=\"{}\"}} 0\n", outcome.name());
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        for line in [
            "holdfast_inconsistencies_total{invariant=\"I6\"} 0\n",
            "holdfast_commit_phase_seconds_count{phase=\"lock_wait\"} 0\n",
            "holdfast_reconciler_last_success_timestamp_seconds 0\n",
            "# TYPE holdfast_batch_commands histogram\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains(concat!("holdfast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")));
        #[cfg(target_os = "linux")]
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
    }

    #[test]
    fn clones_count_into_the_same() {
        let metrics = Metrics::new();
        let engine = metrics.engine.clone();
        engine.holds.of(HoldOutcome::Placed).inc_by(3);
        engine.phases.of(Phase::Commit).observe(0.02);
        metrics.http.preset("/api/holds", "POST", 201);
        metrics.http.answered("/api/holds", "POST", 201, Duration::from_millis(3));
        metrics.http.answered("/api/holds", "POST", 409, Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            "holdfast_holds_total{outcome=\"placed\"} 3\n",
            "holdfast_holds_total{outcome=\"replayed\"} 0\n",
            "holdfast_commit_phase_seconds_sum{phase=\"commit\"} 0.02\n",
            "holdfast_http_requests_total{method=\"POST\",route=\"/api/holds\",status=\"201\"} 1\n",
            "holdfast_http_requests_total{method=\"POST\",route=\"/api/holds\",status=\"409\"} 1\n",
            "holdfast_http_request_duration_seconds_count{method=\"POST\",route=\"/api/holds\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn names_follow_the_conventions() {
        let metrics = Metrics::new();
        for family in metrics.registry.gather() {
            let name = family.name();
            let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(counter, name.ends_with("_total"), "{name}");
            assert!(name.starts_with("holdfast_") || name.starts_with("process_"), "{name}");
            assert!(!family.help().is_empty(), "{name}");
        }
    }
}
