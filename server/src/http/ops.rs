//! What machines that watch the server ask: metrics, liveness, readiness.
//!
//! What does not belong here: what is measured (`telemetry`).

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::Problem;
use super::request::Call;
use super::server::Shared;
use crate::engine::Readiness;

const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const RETRY_AFTER_SECONDS: u16 = 1;

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Health {
    /// In one word.
    status: HealthStatus,
}

/// How the server is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HealthStatus {
    /// The process runs.
    Alive,
    /// It serves.
    Ready,
    /// It has no database yet.
    Starting,
    /// It is about to stop.
    Draining,
    /// It has had no answer from the database for 5 seconds, or the database has taken no write.
    CutOff,
}

pub(super) async fn metrics(call: Box<Call>) -> Result<Answer, Problem> {
    if let Some(engine) = call.shared().engine() {
        engine.measure();
    }
    let text = call.shared().config.metrics.render();
    Ok(Answer::bytes(StatusCode::OK, METRICS_TYPE, Bytes::from(text)))
}

pub(super) async fn healthz(_call: Box<Call>) -> Result<Answer, Problem> {
    Ok(health(HealthStatus::Alive))
}

pub(super) async fn readyz(call: Box<Call>) -> Result<Answer, Problem> {
    Ok(health(readiness(call.shared())))
}

fn readiness(shared: &Shared) -> HealthStatus {
    if shared.is_draining() {
        return HealthStatus::Draining;
    }
    match shared.engine().map(crate::engine::Engine::readiness) {
        None => HealthStatus::Starting,
        Some(Readiness::Ready) => HealthStatus::Ready,
        Some(Readiness::CutOff) => HealthStatus::CutOff,
    }
}

fn health(status: HealthStatus) -> Answer {
    let code = match status {
        HealthStatus::Alive | HealthStatus::Ready => StatusCode::OK,
        HealthStatus::Starting | HealthStatus::Draining | HealthStatus::CutOff => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = Answer::json(code, &Health { status }).with_header(header::CACHE_CONTROL, NO_STORE);
    if code == StatusCode::OK {
        return answer;
    }
    answer.with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
}
