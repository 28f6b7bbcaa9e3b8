//! Traces: what is recorded of requests and transactions, and sent to a collector by OTLP.
//!
//! What belongs here: whether anything is recorded at all, what of it, and the end of the recording. What
//! does not: which spans there are (`spans`), how they travel (`export`), and settings (`settings`).
//!
//! Without a collector there is no layer, and nothing is paid. With one, whether a request is recorded is
//! decided before a span of it is made: one that is not costs no more than that decision. Payment events and
//! suspects of inconsistency are recorded always, whatever the sampler says of the rest.

mod export;
mod settings;
mod spans;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceId, TracerProvider};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracer, SdkTracerProvider, ShouldSample,
};
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use self::export::Exports;
pub use self::settings::{TraceSettings, read_settings};
pub use self::spans::{RequestSpan, TransactionSpan};
use super::metrics::TraceMetrics;

/// The target of spans that are for traces only: they are made only where one is recorded, and logs leave
/// them out.
pub const TARGET: &str = "holdfast::trace";

/// In which a caller sends its trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long the last spans may take to get to the collector when the server stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A setting of the exporter is of no use.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// There is no encryption to be had.
    #[error("traces cannot be exported: {0}")]
    Encryption(#[from] rustls::Error),
}

/// Records traces, or does not. Cheap to clone; the default does not.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

struct Recorder {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    sampler: Sampler,
    exports: Arc<Exports>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Traces(on)" } else { "Traces(off)" })
    }
}

/// How a request is named in traces and logs, and whether it is recorded.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The caller's context, if it sent one.
    caller: Option<Context>,
    trace_id: Option<TraceId>,
    is_recorded: bool,
}

impl Decision {
    /// The trace that the request belongs to: the caller's, or, if traces are on, a new one.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace_id
    }
}

impl Traces {
    /// With these settings; `None`: nothing is recorded. Spans wait until [`Traces::connect`].
    ///
    /// # Errors
    /// If a setting of the exporter is of no use.
    pub fn start(settings: Option<&TraceSettings>) -> Result<Self, TraceError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let exports = Arc::new(Exports::new(settings.queue_max));
        let mut resource = Resource::builder()
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if !settings.names_service {
            resource = resource.with_service_name("holdfast");
        }
        let provider = SdkTracerProvider::builder()
            // What gets there has been decided on.
            .with_sampler(Sampler::AlwaysOn)
            .with_id_generator(Ids(RandomIdGenerator::default()))
            .with_resource(resource.build())
            .with_span_processor(export::processor(settings, &exports)?)
            .build();
        let tracer = provider.tracer("holdfast");
        Ok(Self(Some(Arc::new(Recorder { provider, tracer, sampler: settings.sampler.clone(), exports }))))
    }

    /// Whether anything may be recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What records; `None` if nothing is to be.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let recorder = self.0.as_ref()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(recorder.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        // Of all else that is logged in a recorded span, what matters becomes an event of it.
        let wanted = filter_fn(|metadata| {
            let is_ours = if metadata.is_span() {
                metadata.target() == TARGET
            } else {
                metadata.target().starts_with("holdfast")
            };
            is_ours && *metadata.level() <= Level::INFO
        });
        Some(layer.with_filter(wanted.with_max_level_hint(LevelFilter::INFO)))
    }

    /// Begins to send, from tasks of `runtime`.
    pub fn connect(&self, runtime: Handle, metrics: TraceMetrics) {
        if let Some(recorder) = &self.0 {
            recorder.exports.connect(runtime, metrics);
        }
    }

    /// Decides on a request. `always`: it is recorded, whatever the sampler says.
    pub fn decide(&self, headers: &HeaderMap, always: bool) -> Decision {
        let caller = headers
            .contains_key(TRACEPARENT)
            .then(|| TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers)));
        let caller = caller.filter(|caller| caller.span().span_context().is_valid());
        let caller_trace_id = caller.as_ref().map(|caller| caller.span().span_context().trace_id());
        let Some(recorder) = &self.0 else {
            return Decision { caller: None, trace_id: caller_trace_id, is_recorded: false };
        };
        let trace_id = caller_trace_id.unwrap_or_else(new_trace_id);
        let is_recorded = always || recorder.samples(caller.as_ref(), trace_id, &SpanKind::Server);
        Decision { caller, trace_id: Some(trace_id), is_recorded }
    }

    /// Sends what is recorded, for at most 5 seconds, and ends.
    pub async fn finish(&self) {
        let Some(recorder) = self.0.clone() else { return };
        let finishing = tokio::task::spawn_blocking(move || recorder.provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = finishing.await {
            tracing::warn!(%error, "the last spans did not get to the collector");
        }
    }
}

impl Recorder {
    fn samples(&self, caller: Option<&Context>, trace_id: TraceId, kind: &SpanKind) -> bool {
        let sampling = self.sampler.should_sample(caller, trace_id, "", kind, &[], &[]);
        sampling.decision == SamplingDecision::RecordAndSample
    }
}

fn new_trace_id() -> TraceId {
    TraceId::from(fastrand::u128(1..))
}

thread_local! {
    /// The id of the trace that the next root span of this thread begins.
    static NEXT_TRACE_ID: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Random ids, but for a trace that was named before its first span.
#[derive(Debug)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE_ID.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Begins a recorded span, which was made just now, in the trace that was decided on, and returns its context.
fn begin(span: &tracing::Span, caller: Option<Context>, trace_id: TraceId) -> SpanContext {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    if let Some(caller) = caller {
        // It fails only where nothing records.
        let _ = span.set_parent(caller);
    } else {
        NEXT_TRACE_ID.set(Some(trace_id));
    }
    let context = span.context().span().span_context().clone();
    // If nothing records, nobody took it.
    NEXT_TRACE_ID.set(None);
    context
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
