//! The HTTP shell: from bytes on a socket to a call of the engine, and back to a status code.
//!
//! What belongs here: the accept loop, the route table, reading bodies and headers, the JSON types,
//! signatures, tokens, and the one mapping from refusals to answers. What does not: rules (`sale`),
//! queues and retries (`engine`), SQL (`store`), where metrics are kept and logs go (`telemetry`).
//!
//! The life of a request: `server` accepts its connection, which `connection` serves, `service` names it and finds its row in
//! the table of `routes`, a handler in the file of its resource reads it with `request` and
//! `json` and calls the engine, and `errors` or `answer` says what came of it.

mod access;
mod activity;
mod answer;
#[doc(hidden)]
pub mod bodies;
mod client;
mod client_address;
mod connection;
mod docs;
mod errors;
pub(crate) mod format;
#[cfg(test)]
mod fuzz;
mod holds;
mod json;
#[cfg(target_os = "linux")]
mod memory;
mod openapi;
mod operators;
mod ops;
mod orders;
mod products;
mod quotas;
mod request;
mod routes;
mod server;
mod service;
mod signature;
mod wakes;
mod webhook;

use std::time::Duration;

pub use access::{MetricsAccess, TokenError, Tokens};
pub use client_address::{ProxyError, TrustedProxies};
pub use openapi::openapi;
pub(crate) use operators::{DEFAULT_REASON, MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, MAX_REASON_CHARS};
pub(crate) use products::Product;
pub use quotas::QuotaSettings;
pub use server::{Handle, Server};
pub use signature::{SecretError, WebhookSecrets};

use sale::Terms;

use crate::telemetry::{Metrics, Traces};

/// How the shell is set. No secret is shown by its `Debug` form.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a request may take, from its first line to its answer.
    pub request_timeout: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// The most open connections of clients.
    pub max_connections: usize,
    /// How often one client may call.
    pub quotas: QuotaSettings,
    /// Who may see the metrics.
    pub metrics_access: MetricsAccess,
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
    /// What the rules depend on: shown to clients, and checked before there is a database.
    pub terms: Terms,
    /// Where requests are counted, and what `/metrics` shows.
    pub metrics: Metrics,
    /// What records requests.
    pub traces: Traces,
}
