//! The way of one request: its name, its route, its rights, its handler, its answer; and the one place
//! where requests are counted and failures are logged.
//!
//! What does not belong here: what any one route does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Config;
use super::access::{Access, MetricsAccess};
use super::answer::Answer;
use super::client::Client;
use super::errors::{Problem, RETRY_AFTER_SECONDS, RetryAfter};
use super::request::{Body, Call, X_REQUEST_ID, request_id};
use super::routes::{Found, Handling, Operation, UNMATCHED};
use super::server::Shared;
use crate::telemetry::RequestName;
use crate::telemetry::labels::{HttpMethod, Label};

/// Counted as the status of an answer that nobody waited for.
pub(super) const CALLER_GONE: u16 = 499;

/// Answers one request, whatever happens.
///
/// What can be said of it before anything is waited for is said here and not in the future, which is moved, and kept as
/// long as the request waits: so it is small.
pub(super) fn answer(client: Arc<Client>, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> {
    let begun = Instant::now();
    let (head, incoming) = request.into_parts();
    let shared = &*client.shared;
    let deadline = begun + shared.config.request_timeout;
    let body = Body::new(incoming);
    let call =
        Box::new(Call { client: Arc::clone(&client), head, body, path_id: 0, path_rest: String::new(), deadline });
    let head = &call.head;
    let to_head = head.method == Method::HEAD;
    let request_id = request_id(&head.headers);
    let found = shared.routes.find(client.listener, head.uri.path());
    let (route, template) = found.as_ref().map_or(UNMATCHED, |found| (found.route_index, found.route.template));
    let method = method_label(&head.method);
    let traces = &shared.config.traces;
    let decision = traces.decide(&head.headers, found.as_ref().is_some_and(|found| found.route.always_traced));
    let recorded = traces.request(&decision, head, method.name(), template, request_id.to_str().unwrap_or_default());
    let name = RequestName::new(method.name(), template, request_id, decision.trace_id(), recorded);
    let record = Record::new(client, route, method, begun);
    let entered = name.within(|| catch_unwind(AssertUnwindSafe(|| enter(call, found))));
    async move {
        let handled = match entered {
            Ok(Ok(handling)) => name.scope(AssertUnwindSafe(handling).catch_unwind()).await,
            Ok(Err(problem)) => Ok(Err(problem)),
            Err(panic) => Err(panic),
        };
        let answer = name.within(|| match handled {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => refuse(&problem),
            // The panic itself was reported where it happened.
            Err(_) => refuse(&Problem::Internal),
        });
        let status = answer.status().as_u16();
        record.ended(status);
        if let Some(recorded) = name.recorded() {
            recorded.answered(status);
        }
        let mut response = answer.into_response(to_head);
        response.headers_mut().insert(X_REQUEST_ID, name.into_request_id());
        response
    }
}

/// Lets a request in, or says why not.
fn enter(mut call: Box<Call>, found: Option<Found>) -> Result<Handling, Problem> {
    let (shared, head) = (call.shared(), &call.head);
    if let Some(quotas) = &shared.quotas
        && found.as_ref().is_none_or(|found| found.route.is_metered)
    {
        quotas.admit_address(call.client.address, &head.headers)?;
    }
    let found = found.ok_or(Problem::NotFound)?;
    let operation = shared.routes.operation(found.route, &head.method)?;
    admit(shared, operation, &head.headers)?;
    (call.path_id, call.path_rest) = (found.path_id, found.path_rest);
    Ok((operation.handler)(call))
}

fn admit(shared: &Shared, operation: &Operation, headers: &http::HeaderMap) -> Result<(), Problem> {
    let Config { api_tokens, admin_tokens, metrics_access, .. } = &shared.config;
    let tokens = match operation.access {
        Access::Anyone => return Ok(()),
        Access::Storefront => api_tokens,
        Access::Operators if admin_tokens.is_none() => return Err(Problem::NotFound),
        Access::Operators => admin_tokens,
        Access::Metrics => match metrics_access {
            MetricsAccess::Anyone => return Ok(()),
            MetricsAccess::Storefront => api_tokens,
            MetricsAccess::Operators => admin_tokens,
        },
    };
    let Some(tokens) = tokens else { return Ok(()) };
    let token = tokens.admit(headers)?;
    match &shared.quotas {
        Some(quotas) if operation.access == Access::Storefront => quotas.admit_token(token),
        _ => Ok(()),
    }
}

/// What a client is told whose connection is one too many, as bytes of HTTP/1.1.
pub(super) fn no_room() -> Vec<u8> {
    let problem = Problem::Overloaded(RetryAfter::SOON);
    let body = serde_json::to_string(&problem.body()).unwrap_or_default();
    format!(
        "HTTP/1.1 {} Service Unavailable\r\nconnection: close\r\nretry-after: {RETRY_AFTER_SECONDS}\r\n\
         {X_REQUEST_ID}: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        problem.code().status().as_u16(),
        request_id(&http::HeaderMap::new()).to_str().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

fn refuse(problem: &Problem) -> Answer {
    let code = problem.code().name();
    match problem {
        Problem::Internal => tracing::error!(code, "a request failed for a reason that was not foreseen"),
        // Somebody may have to find out what became of this very request.
        Problem::OutcomeUnknown => tracing::warn!(code, "whether a request was done is not known"),
        // One line for each of them would be more work than serving them.
        Problem::Overloaded(_) | Problem::DatabaseUnavailable => tracing::debug!(code, "a request was not served"),
        problem => tracing::debug!(code, reason = problem.detail(), "a request was refused"),
    }
    problem.answer()
}

/// Counts a request once, and tells its connection, even if the caller goes away and this is dropped half-way.
struct Record {
    client: Arc<Client>,
    route: usize,
    method: HttpMethod,
    begun: Instant,
    status: u16,
}

impl Record {
    fn new(client: Arc<Client>, route: usize, method: HttpMethod, begun: Instant) -> Self {
        client.activity.begin();
        client.shared.config.metrics.http.active_requests.of(method).inc();
        Self { client, route, method, begun, status: CALLER_GONE }
    }

    fn ended(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Client { shared, activity, .. } = &*self.client;
        let now = Instant::now();
        activity.end(now);
        shared.config.metrics.http.active_requests.of(self.method).dec();
        shared.requests.answered(self.route, self.method, self.status, now.duration_since(self.begun));
    }
}

/// A bounded set of names, so that no caller can make up new ones.
pub(super) fn method_label(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::OPTIONS => HttpMethod::Options,
        _ => HttpMethod::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::{LogFormat, logged};

    fn logged_at_info(problem: &Problem) -> String {
        logged(LogFormat::Text, "info", || {
            RequestName::from("the-one-to-find").within(|| refuse(problem));
        })
    }

    #[test]
    fn what_somebody_must_look_at_is_logged_with_the_name_of_its_request() {
        for (problem, level, code) in
            [(Problem::OutcomeUnknown, " WARN ", "outcome_unknown"), (Problem::Internal, "ERROR ", "internal")]
        {
            let line = logged_at_info(&problem);
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(line.contains(level) && line.contains("the-one-to-find") && line.contains(code), "{line}");
        }
        assert_eq!(logged_at_info(&Problem::Overloaded(RetryAfter::SOON)), "");
        assert_eq!(logged_at_info(&Problem::HoldExpired), "");
    }
}
