//! Every metric of the server: its name, what it means, its unit. Names follow the conventions of
//! Prometheus: base units, `_total` for counters; those of HTTP also the semantic conventions of
//! OpenTelemetry.
//!
//! What belongs here: definitions, in a file for each room that counts. What does not: label values
//! (`labels`) and the text format (the `prometheus` crate). A room is handed its own group only.

mod engine;
mod http;
mod reconciler;
mod runtime;
mod stock;

use prometheus::{Encoder, Registry, TextEncoder};

pub use self::engine::EngineMetrics;
pub use self::http::{HttpMetrics, RequestMetrics};
pub use self::reconciler::ReconcilerMetrics;
use self::runtime::Runtime;
pub use self::runtime::{OpenConnection, StoreMetrics, TraceMetrics};
pub use self::stock::{PRODUCTS_MAX, StockFigures, StockMetrics};
use super::families::Registrar;

/// Bounds of durations, in seconds: from a read in memory to twice the default deadline of a request.
const SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds of batches, in commands.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];

/// Bounds of reads, in callers.
const CALLERS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

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
    /// For the store.
    pub store: StoreMetrics,
    /// For the export of traces.
    pub traces: TraceMetrics,
}

impl Metrics {
    /// Defines all metrics, each at 0. Called on a tokio runtime, it shows that runtime's figures, too.
    pub fn new() -> Self {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        let metrics = Self {
            http: HttpMetrics::new(&registrar),
            engine: EngineMetrics::new(&registrar),
            reconciler: ReconcilerMetrics::new(&registrar),
            store: StoreMetrics::new(&registrar),
            traces: TraceMetrics::new(&registrar),
            registry: registry.clone(),
        };
        runtime::build_info(&registrar);
        let runtime = Runtime::current().expect("the names of a runtime's metrics are constants that are well formed");
        if let Some(runtime) = runtime {
            registrar.register(runtime);
        }
        #[cfg(target_os = "linux")]
        registrar.register(prometheus::process_collector::ProcessCollector::for_self());
        metrics
    }

    /// All metrics in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // A family without members, such as the stock of products before the first sale, has nothing to show.
        let families: Vec<_> =
            self.registry.gather().into_iter().filter(|family| !family.get_metric().is_empty()).collect();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            // Encoding into memory does not fail; what came before it is good.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::labels::{Ending, HoldOutcome, HttpMethod, Label, Phase};

    #[test]
    fn every_series_is_there_from_the_start() {
        let text = Metrics::new().render();
        for outcome in Ending::<HoldOutcome>::all() {
            let line = format!("holdfast_holds_total{{outcome=\"{}\"}} 0\n", outcome.name());
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        for line in [
            "holdfast_inconsistencies_total{invariant=\"I6\"} 0\n",
            "holdfast_commit_phase_seconds_count{phase=\"lock_wait\"} 0\n",
            "holdfast_commit_phase_seconds_bucket{phase=\"lock_wait\",le=\"0.0001\"} 0\n",
            "holdfast_commit_phase_seconds_bucket{phase=\"lock_wait\",le=\"10\"} 0\n",
            "holdfast_reconciler_last_success_timestamp_seconds 0\n",
            "holdfast_suspended_products{reason=\"inconsistent\"} 0\n",
            "# TYPE holdfast_batch_commands histogram\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n");
        assert!(text.contains("holdfast_build_info{") && text.contains(version), "{text}");
        #[cfg(target_os = "linux")]
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
    }

    #[test]
    fn clones_count_into_the_same() {
        let metrics = Metrics::new();
        let engine = metrics.engine.clone();
        engine.holds.of(Ending::Served(HoldOutcome::Placed)).inc_by(3);
        engine.phases.of(Phase::Commit).observe(0.02);
        let requests = metrics.http.requests(vec!["unmatched", "/api/holds"]);
        requests.preset(1, HttpMethod::Post, 422);
        requests.answered(1, HttpMethod::Post, 201, Duration::from_millis(3));
        requests.answered(1, HttpMethod::Post, 409, Duration::from_millis(3));
        requests.answered(1, HttpMethod::Post, 409, Duration::from_millis(3));
        let text = metrics.render();
        let answered = |status: u16, count: u64| {
            format!(
                "http_server_request_duration_seconds_count{{http_request_method=\"POST\",\
                 http_response_status_code=\"{status}\",http_route=\"/api/holds\"}} {count}\n"
            )
        };
        for line in [
            "holdfast_holds_total{outcome=\"placed\"} 3\n",
            "holdfast_holds_total{outcome=\"replayed\"} 0\n",
            "holdfast_commit_phase_seconds_sum{phase=\"commit\"} 0.02\n",
            &answered(201, 1),
            &answered(409, 2),
            &answered(422, 0),
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("http_route=\"unmatched\""), "{text}");
    }

    #[tokio::test]
    async fn the_runtime_is_shown() {
        let text = Metrics::new().render();
        assert!(text.contains("\ntokio_runtime_workers 1\n"), "{text}");
        assert!(text.contains("# TYPE tokio_runtime_busy_seconds_total counter\n"), "{text}");
    }

    #[tokio::test]
    async fn names_follow_the_conventions() {
        let metrics = Metrics::new();
        for family in metrics.registry.gather() {
            let name = family.name();
            let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(counter, name.ends_with("_total"), "{name}");
            let prefixes = ["holdfast_", "http_server_", "process_", "tokio_runtime_"];
            assert!(prefixes.iter().any(|prefix| name.starts_with(prefix)), "{name}");
            assert!(!family.help().is_empty(), "{name}");
        }
    }
}
