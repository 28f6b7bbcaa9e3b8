//! Every span that is recorded: its name, its kind, its attributes. Names follow the semantic conventions of
//! OpenTelemetry where they have one, and begin with `holdfast.` where not.
//!
//! What does not belong here: when spans are made; nothing here is called for what is not recorded.

use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{Version, header};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Decision, Recorder, TARGET, Traces, begin, new_trace_id};
use crate::telemetry::labels::{Label, Phase};

/// The most requests that one transaction is linked to: it may carry hundreds.
const LINKS_MAX: usize = 64;

/// The recorded span of a request.
#[derive(Debug)]
pub struct RequestSpan(Span);

impl RequestSpan {
    /// The span, for what happens in it.
    pub fn span(&self) -> &Span {
        &self.0
    }

    /// The request was answered with this status.
    pub fn answered(&self, status: u16) {
        self.0.set_attribute("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.0.set_attribute("error.type", status.to_string());
            self.0.set_status(Status::error(""));
        }
    }
}

impl Traces {
    /// Begins the span of a request, if it is to be recorded.
    pub fn request(
        &self,
        decision: &Decision,
        head: &Parts,
        method: &'static str,
        route: &'static str,
        request_id: &str,
    ) -> Option<RequestSpan> {
        let (true, Some(trace_id)) = (decision.is_recorded, decision.trace_id) else { return None };
        let version = match head.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        // Of HTTP/2 it is a part of the address.
        let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST));
        let authority: Option<http::uri::Authority> = authority.and_then(|it| it.parse().ok());
        let span = info_span!(
            target: TARGET,
            parent: None,
            "request",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            url.path = head.uri.path(),
            url.scheme = "http",
            network.protocol.version = version,
            server.address = authority.as_ref().map(http::uri::Authority::host),
            server.port = authority.as_ref().and_then(http::uri::Authority::port_u16).map(i64::from),
            user_agent.original = text(header::USER_AGENT),
            holdfast.request.id = request_id,
            http.response.status_code = Empty,
        );
        begin(&span, decision.caller.clone(), trace_id);
        Some(RequestSpan(span))
    }

    /// Begins the span of a transaction that carries commands of these requests, if one of them is recorded, or
    /// the sampler wants it anyway. It and the requests are linked to each other.
    pub fn transaction<'a>(
        &self,
        requests: impl Iterator<Item = &'a RequestSpan>,
        commands: usize,
        database: &'static str,
    ) -> Option<TransactionSpan> {
        let recorder = self.0.as_ref()?;
        let requests: Vec<&Span> = requests.map(RequestSpan::span).take(LINKS_MAX).collect();
        let trace_id = new_trace_id();
        if requests.is_empty() && !recorder.samples(None, trace_id, &SpanKind::Client) {
            return None;
        }
        let span = info_span!(
            target: TARGET,
            parent: None,
            "transaction",
            otel.kind = "client",
            db.system.name = database,
            db.operation.name = "transaction",
            holdfast.batch.commands = count(commands),
        );
        for request in &requests {
            span.add_link(context_of(request));
        }
        let context = begin(&span, None, trace_id);
        for request in requests {
            request.add_link(context.clone());
            request
                .add_event("the transaction begins", vec![KeyValue::new("holdfast.batch.commands", count(commands))]);
        }
        Some(TransactionSpan { span, traces: self.clone() })
    }

    /// Begins the span of a look at a product that seems to break an invariant; always recorded. `None` where
    /// traces are off.
    pub fn suspect(&self, product_id: u64) -> Option<Span> {
        self.0.as_ref()?;
        let logged = info_span!("suspect", trace_id = Empty);
        let span = info_span!(
            target: TARGET,
            parent: &logged,
            "quarantine",
            otel.kind = "internal",
            holdfast.product.id = count(product_id),
        );
        let trace_id = new_trace_id();
        begin(&span, None, trace_id);
        logged.record("trace_id", display(trace_id));
        Some(span)
    }
}

/// The recorded span of a transaction.
#[derive(Clone, Debug)]
pub struct TransactionSpan {
    span: Span,
    traces: Traces,
}

impl TransactionSpan {
    /// The span, for what happens in it.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// What the transaction writes is named so.
    pub fn is_batch(&self, batch_id: u64, products: usize) {
        self.span.set_attribute("holdfast.batch.id", count(batch_id));
        self.span.set_attribute("holdfast.batch.products", count(products));
    }

    /// A part of the transaction is over.
    pub fn phase(&self, phase: Phase, began: SystemTime, took: Duration) {
        let Some(Recorder { tracer, .. }) = self.traces.0.as_deref() else { return };
        let parent = Context::new().with_remote_span_context(context_of(&self.span));
        let builder = tracer.span_builder(phase.name()).with_kind(SpanKind::Internal).with_start_time(began);
        builder.start_with_context(tracer, &parent).end_with_timestamp(began + took);
    }

    /// The transaction is run again, for this reason.
    pub fn retried(&self, reason: &'static str) {
        self.span.add_event("retry", vec![KeyValue::new("holdfast.retry.reason", reason)]);
    }

    /// It is not known whether the transaction was committed, or it is known again.
    pub fn in_doubt(&self, what: &'static str) {
        self.span.add_event(what, Vec::new());
    }

    /// The transaction changed nothing, for this reason.
    pub fn failed(&self, cause: &str) {
        self.span.set_status(Status::error(cause.to_owned()));
    }
}

fn context_of(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

/// A number as traces know them: they have no unsigned ones, and one in a span's fields would become a text.
fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
