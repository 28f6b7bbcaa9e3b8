//! What all requests of one connection share.
//!
//! References to it are counted by connection: those of all requests to one place would be counted where all processors
//! meet. What does not belong here: what one request is (`request.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use super::activity::Activity;
use super::errors::Problem;
use super::routes::Listener;
use super::server::Shared;
use crate::engine::Engine;
use crate::telemetry::labels::TurnedAway;

/// Who is at the other end of a connection, and what serves it.
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    /// Which socket it came in by.
    pub(super) listener: Listener,
    /// Where it came from.
    pub(super) address: IpAddr,
    pub(super) activity: Activity,
}

impl Client {
    /// The engine, once there is one.
    pub(super) fn engine(&self) -> Result<&Engine, Problem> {
        self.shared.engine().ok_or_else(|| {
            // The engine counts all others.
            let turned_away = &self.shared.config.metrics.engine.turned_away;
            turned_away.of(TurnedAway::DatabaseUnavailable).inc();
            Problem::DatabaseUnavailable
        })
    }
}
