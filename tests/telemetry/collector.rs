//! A collector of traces: takes OTLP over HTTP and keeps the spans, or does not behave.
//!
//! What does not belong here: what spans there should be.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holdfast_test_support::{OrFail, Setup, eventually};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How a collector treats what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Reads, and never answers.
    Hangs,
    /// Answers that it cannot.
    Refuses,
}

/// A span, with what the service says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
}

impl Seen {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match value(&self.span.attributes, name)? {
            any_value::Value::IntValue(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn event(&self, name: &str) -> Option<&Event> {
        self.span.events.iter().find(|event| event.name == name)
    }

    pub(crate) fn is_linked_to(&self, other: &Self) -> bool {
        let links = &self.span.links;
        links.iter().any(|link| link.trace_id == other.span.trace_id && link.span_id == other.span.span_id)
    }

    pub(crate) fn is_child_of(&self, other: &Self) -> bool {
        self.span.trace_id == other.span.trace_id && self.span.parent_span_id == other.span.span_id
    }

    pub(crate) fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }
}

/// An attribute that is a text.
pub(crate) fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match value(attributes, name)? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn value<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a any_value::Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    attribute.value.as_ref().and_then(|AnyValue { value }| value.as_ref())
}

/// Bytes as OpenTelemetry writes ids.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A collector on a port of its own; it ends when it is dropped.
pub(crate) struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Seen>>>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.or_fail();
        let url = format!("http://{}", listener.local_addr().or_fail());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.or_fail();
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| answer(request, manner, Arc::clone(&kept)));
                let serving = async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // A server that is killed leaves a broken connection behind.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                };
                tokio::spawn(serving);
            }
        });
        Self { url, spans, serving }
    }

    /// A server that sends its traces here, often, sampled like this.
    pub(crate) fn traced(&self, setup: Setup, sampler: &str, ratio: &str) -> Setup {
        setup
            .setting("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url)
            .setting("OTEL_TRACES_SAMPLER", sampler)
            .setting("OTEL_TRACES_SAMPLER_ARG", ratio)
            .setting("OTEL_BSP_SCHEDULE_DELAY", "20")
    }

    /// What came so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of this name, once there is one that `is_it`.
    pub(crate) async fn wait_for(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        eventually(what, async || {
            let spans = self.spans();
            let names: Vec<String> = spans.iter().map(|seen| seen.span.name.clone()).collect();
            spans.into_iter().find(|seen| is_it(seen)).ok_or_else(|| names.join(", "))
        })
        .await
    }
}

async fn answer(
    request: Request<Incoming>,
    manner: Manner,
    kept: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Refuses => {
            let mut refusal = Response::default();
            *refusal.status_mut() = hyper::StatusCode::BAD_REQUEST;
            Ok(refusal)
        }
        Manner::Takes => {
            assert_eq!(path, "/v1/traces");
            let request = ExportTraceServiceRequest::decode(body.to_bytes()).or_fail();
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            for of_resource in request.resource_spans {
                let resource = of_resource.resource.map(|it| it.attributes).unwrap_or_default();
                for span in of_resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                    kept.push(Seen { span, resource: resource.clone() });
                }
            }
            Ok(Response::default())
        }
    }
}
