//! The way of spans to the collector: a bounded queue, batches, one HTTP request each.
//!
//! A collector that is down, slow or full costs spans, never the sale: nothing waits for it, what does not fit
//! into the queue is dropped and counted, and one warning tells of an outage, however long it is.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter as Export, SpanProcessor,
};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;

use super::{TraceError, TraceSettings};
use crate::telemetry::labels::SpanFate;
use crate::telemetry::metrics::TraceMetrics;

/// The longest answer that is read from a collector.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What those who record and those who send share.
#[derive(Debug)]
pub(super) struct Exports {
    /// Spans that are recorded and not sent.
    waiting: AtomicUsize,
    waiting_max: usize,
    /// Whether the last batch did not get to the collector.
    is_failing: AtomicBool,
    runtime: OnceLock<Handle>,
    metrics: OnceLock<TraceMetrics>,
}

impl Exports {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            waiting_max,
            is_failing: AtomicBool::new(false),
            runtime: OnceLock::new(),
            metrics: OnceLock::new(),
        }
    }

    pub(super) fn connect(&self, runtime: Handle, metrics: TraceMetrics) {
        // A process has one server; of two calls the first counts.
        let _ = (self.runtime.set(runtime), self.metrics.set(metrics));
    }

    /// Whether there is room for one more span.
    fn enter(&self) -> bool {
        let room = |waiting| (waiting < self.waiting_max).then_some(waiting + 1);
        let has_room = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !has_room {
            self.count(SpanFate::Dropped, 1);
        }
        has_room
    }

    fn sent(&self, spans: usize, result: &OTelSdkResult) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        match result {
            Ok(()) => {
                self.count(SpanFate::Exported, spans);
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(error) => {
                self.count(SpanFate::Failed, spans);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the collector does not take traces; they are lost until it does");
                }
            }
        }
    }

    fn count(&self, fate: SpanFate, spans: usize) {
        if let Some(metrics) = self.metrics.get() {
            metrics.spans.of(fate).inc_by(spans as u64);
        }
    }
}

/// What spans are handed to when they end.
pub(super) fn processor(
    settings: &TraceSettings,
    exports: &Arc<Exports>,
) -> Result<impl SpanProcessor + use<>, TraceError> {
    let client = Collector::new(settings.export_timeout, Arc::clone(exports))?;
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
    let exporter = Counted { exporter, exports: Arc::clone(exports) };
    // Its other settings, OTEL_BSP_*, it reads itself; of a queue of any length it would make all at once.
    let batching = BatchConfigBuilder::default().with_max_queue_size(settings.queue_max).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batching).build();
    Ok(Bounded { batches, exports: Arc::clone(exports) })
}

/// Counts what a full queue drops, which the batches would do in silence.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    exports: Arc<Exports>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.exports.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what the collector took, and what it did not.
#[derive(Debug)]
struct Counted {
    exporter: SpanExporter,
    exports: Arc<Exports>,
}

impl Export for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.exports.sent(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends batches from tasks of the server's runtime: the thread that makes them has none.
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    exports: Arc<Exports>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it sends may have a token in its headers.
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Collector {
    fn new(timeout: Duration, exports: Arc<Exports>) -> Result<Self, TraceError> {
        // Named, since a build may have several to choose from.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let tls = match tls()?.with_native_roots() {
            Ok(tls) => tls,
            // A machine without certificates can still reach a collector beside it; any other is not trusted.
            Err(_) => tls()?.with_root_certificates(RootCertStore::empty()),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), timeout, exports })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.exports.runtime.get().ok_or("the server has not started")?;
        let answer = self.client.request(request.map(Full::new));
        let answered = async move {
            let (head, body) = answer.await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let timeout = self.timeout;
        runtime.spawn(async move { tokio::time::timeout(timeout, answered).await }).await??
    }
}
