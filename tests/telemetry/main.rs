//! What people and machines can see of a server from outside: metrics, logs, traces, and that seeing costs
//! the sale nothing.
//!
//! What does not belong here: what dashboards and alerts make of it.

mod collector;
mod costs;
mod inconsistency;
mod logs;
mod metrics;
mod recording;
mod scraped;
mod traces;
mod troubles;
mod waits;
