//! What people and machines can see of a running server: logs ([`logs`]), metrics ([`metrics`]) and traces
//! ([`traces`]).
//!
//! What belongs here: the one definition of every metric, label value and log form. What does not:
//! decisions about when to count or log; those are made where things happen, with a handle that
//! `app` passes on. This room imports nothing of ours but the values of `sale`, so that
//! every other room may use it.

pub(crate) mod families;
pub mod labels;
pub mod logs;
pub mod metrics;
mod request;
pub mod traces;

pub use metrics::{
    EngineMetrics, HttpMetrics, Metrics, OpenConnection, ReconcilerMetrics, RequestMetrics, StockFigures, StockMetrics,
    StoreMetrics, TraceMetrics,
};
pub use request::RequestName;
pub use traces::Traces;
