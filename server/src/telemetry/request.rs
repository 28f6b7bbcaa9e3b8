//! The request that a task works for: how its log lines are named, and its recorded span, if it has one.
//!
//! A name and no span: a span is made, filled and closed for each request, and of nearly all requests nothing
//! is ever logged. Whoever logs in the scope of a name has its fields in the line.

use std::sync::Arc;

use futures_util::future::Either;
use http::HeaderValue;
use opentelemetry::trace::TraceId;
use tracing::{Instrument, Span};

use super::traces::RequestSpan;

tokio::task_local! {
    static CURRENT: RequestName;
}

/// What a request is called in logs and traces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestName(Arc<Name>);

#[derive(Debug)]
struct Name {
    method: &'static str,
    route: &'static str,
    request_id: HeaderValue,
    trace_id: Option<TraceId>,
    recorded: Option<RequestSpan>,
}

impl RequestName {
    /// Of a request by this method for this route, as an answer and a trace name it.
    pub fn new(
        method: &'static str,
        route: &'static str,
        request_id: HeaderValue,
        trace_id: Option<TraceId>,
        recorded: Option<RequestSpan>,
    ) -> Self {
        Self(Arc::new(Name { method, route, request_id, trace_id, recorded }))
    }

    /// Of the request that this task works for, if it works for one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The request's span, if it is recorded.
    pub fn recorded(&self) -> Option<&RequestSpan> {
        self.0.recorded.as_ref()
    }

    /// What the request is called in its answer.
    pub fn into_request_id(self) -> HeaderValue {
        // Copied only if something is under way for it still.
        Arc::try_unwrap(self.0).map_or_else(|name| name.request_id.clone(), |name| name.request_id)
    }

    /// Works for this request: what is logged meanwhile bears its name, and is of its span.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work.instrument(self.span()))
    }

    /// The same for whatever this task works for: `work` may then go on in another.
    pub fn scope_current<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
        match Self::current() {
            Some(name) => Either::Left(name.scope(work)),
            None => Either::Right(work),
        }
    }

    /// The same for work that does not wait.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), || self.span().in_scope(work))
    }

    fn span(&self) -> Span {
        self.recorded().map_or_else(Span::none, |recorded| recorded.span().clone())
    }

    /// Calls `show` with the name and the value of each field of a log line.
    pub(super) fn fields(&self, mut show: impl FnMut(&'static str, &str)) {
        let Name { method, route, request_id, trace_id, .. } = &*self.0;
        show("method", method);
        show("route", route);
        show("request_id", request_id.to_str().unwrap_or_default());
        if let Some(trace_id) = trace_id {
            show("trace_id", &trace_id.to_string());
        }
    }
}

/// Of no request in particular: for tests of what is logged.
#[cfg(test)]
impl From<&'static str> for RequestName {
    fn from(request_id: &'static str) -> Self {
        Self::new("GET", "/", HeaderValue::from_static(request_id), None, None)
    }
}
