//! The HTTP shell: from bytes on a socket to a call of the engine, and back to a status code.
//!
//! What belongs here: the accept loop, the route table, reading bodies and headers, the JSON types,
//! signatures, tokens, and the one mapping from refusals to answers. What does not: rules (`sale`),
//! queues and retries (`engine`), SQL (`store`), where metrics are kept and logs go (`telemetry`).
//!
//! The life of a request: [`server`] accepts its connection, [`service`] names it and finds its row in
//! the table of [`routes`], a handler in the file of its resource reads it with [`request`] and
//! [`json`] and calls the engine, and [`errors`] or [`answer`] says what came of it.

mod access;
mod answer;
mod docs;
mod errors;
pub(crate) mod format;
mod holds;
mod json;
mod openapi;
mod operators;
mod ops;
mod orders;
mod products;
mod request;
mod routes;
mod server;
mod service;
mod signature;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use access::Tokens;
pub use openapi::openapi;
pub use server::{Handle, Server};
pub use signature::{SecretError, WebhookSecrets};

/// How the shell is set.
#[derive(Clone)]
pub struct Config {
    /// How long a request may take, from its first line to its answer.
    pub request_timeout: Duration,
    /// How long connections are still accepted after the shutdown began, so that load balancers notice.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
    /// What payment events must be signed with; `None`: they need no signature.
    pub webhook_secrets: Option<WebhookSecrets>,
    /// Tokens of operators; `None`: their routes do not exist.
    pub admin_tokens: Option<Tokens>,
    /// Tokens of storefronts; `None`: anyone may call the storefront API.
    pub api_tokens: Option<Tokens>,
    /// Who counts the requests.
    pub observer: Arc<dyn Observer>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("request_timeout", &self.request_timeout)
            .field("drain_delay", &self.drain_delay)
            .field("drain", &self.drain)
            .field("webhook_secrets", &self.webhook_secrets)
            .field("admin_tokens", &self.admin_tokens)
            .field("api_tokens", &self.api_tokens)
            .finish_non_exhaustive()
    }
}

/// Counts requests, and writes down what was counted.
pub trait Observer: Send + Sync + 'static {
    /// A request was answered, or its caller went away.
    fn answered(&self, request: &Answered);

    /// The body of `/metrics`, in the text format of Prometheus.
    fn metrics(&self) -> String;
}

/// A request that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The template of its route, like `/api/holds/{id}`; `unmatched` if there is none.
    pub route: &'static str,
    /// Its method; `other` if it is none that any route has.
    pub method: &'static str,
    /// The status of its answer; [`Answered::CALLER_GONE`] if nobody waited for one.
    pub status: u16,
    /// From its first line to its answer.
    pub duration: Duration,
}

impl Answered {
    /// What stands for the status of an answer that was never sent.
    pub const CALLER_GONE: u16 = 499;
}
