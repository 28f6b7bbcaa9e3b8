//! What the process is made of: its build, its tokio runtime, its traces and its connections.
//!
//! What does not belong here: memory, processor time and file descriptors, which the `prometheus` crate
//! reads from the system as `process_*`.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::runtime::Handle;

use crate::telemetry::families::{Family, Registrar};
use crate::telemetry::labels::{ConnectionPurpose, SpanFate};

/// What the store counts.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Open connections to the database.
    pub connections: Family<ConnectionPurpose, IntGauge>,
}

/// Counts a connection as open for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl StoreMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            connections: registrar.gauges(
                "holdfast_database_connections",
                "Open connections to the database, by what they are for.",
                "purpose",
            ),
        }
    }
}

impl StoreMetrics {
    /// A connection was opened.
    pub fn opened(&self, purpose: ConnectionPurpose) -> OpenConnection {
        let open = self.connections.of(purpose).clone();
        open.inc();
        OpenConnection(open)
    }
}

impl Default for StoreMetrics {
    /// Figures that nobody sees: of a store that no server uses.
    fn default() -> Self {
        Self::new(&Registrar(&Registry::new()))
    }
}

/// What the export of traces counts.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// Spans that were recorded, by what became of them.
    pub spans: Family<SpanFate, IntCounter>,
}

impl TraceMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            spans: registrar.counters(
                "holdfast_trace_spans_total",
                "Recorded spans, by what became of them; those that wait to be exported are not counted yet.",
                "result",
            ),
        }
    }
}

/// Says which build this is.
pub(super) fn build_info(registrar: &Registrar<'_>) {
    let build_info = registrar.add(IntGaugeVec::new(
        Opts::new("holdfast_build_info", "Always 1; its labels say which build this is."),
        &["version", "revision"],
    ));
    let revision = option_env!("HOLDFAST_REVISION").unwrap_or("unknown");
    build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
}

/// Reads the figures of the runtime when they are asked for.
pub(super) struct Runtime {
    handle: Handle,
    workers: IntGauge,
    alive_tasks: IntGauge,
    queued_tasks: IntGauge,
    busy: Opts,
    parks: Opts,
    descriptions: Vec<Desc>,
}

impl Runtime {
    /// Of the runtime that this is called on, if it is called on one.
    pub(super) fn current() -> prometheus::Result<Option<Self>> {
        let Ok(handle) = Handle::try_current() else { return Ok(None) };
        let workers = IntGauge::new("tokio_runtime_workers", "Threads that run tasks.")?;
        let alive_tasks = IntGauge::new("tokio_runtime_alive_tasks", "Tasks that have not ended.")?;
        let queued_tasks =
            IntGauge::new("tokio_runtime_global_queue_tasks", "Tasks that wait in the queue that all threads share.")?;
        let busy = Opts::new(
            "tokio_runtime_busy_seconds_total",
            "Time in which threads ran tasks, all threads together, in seconds.",
        );
        let parks = Opts::new("tokio_runtime_parks_total", "How often a thread found nothing to do.");
        let mut descriptions = Vec::new();
        for gauge in [&workers, &alive_tasks, &queued_tasks] {
            descriptions.extend(gauge.desc().into_iter().cloned());
        }
        for options in [&busy, &parks] {
            descriptions.push(Desc::new(
                options.fq_name(),
                options.help.clone(),
                Vec::new(),
                options.const_labels.clone(),
            )?);
        }
        Ok(Some(Self { handle, workers, alive_tasks, queued_tasks, busy, parks, descriptions }))
    }
}

impl Collector for Runtime {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = self.handle.metrics();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.workers.set(count(figures.num_workers()));
        self.alive_tasks.set(count(figures.num_alive_tasks()));
        self.queued_tasks.set(count(figures.global_queue_depth()));
        let workers = 0..figures.num_workers();
        let busy: f64 = workers.clone().map(|worker| figures.worker_total_busy_duration(worker).as_secs_f64()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a count that is a little off after 2^53 does no harm")]
        let parks: f64 = workers.map(|worker| figures.worker_park_count(worker) as f64).sum();
        let mut families = self.workers.collect();
        families.extend(self.alive_tasks.collect());
        families.extend(self.queued_tasks.collect());
        for (options, total) in [(&self.busy, busy), (&self.parks, parks)] {
            // `new` made a description of the same options.
            if let Ok(counter) = Counter::with_opts(options.clone()) {
                counter.inc_by(total);
                families.extend(counter.collect());
            }
        }
        families
    }
}
