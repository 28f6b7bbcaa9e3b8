//! What the HTTP shell counts: requests and their durations by route, method and status, and connections.
//!
//! What belongs here: the definitions, and a table in which the series of a request is found without a lock.
//! What does not: which routes and statuses there are; the shell says so when it starts. Names and label
//! names are those of OpenTelemetry's semantic conventions for HTTP servers.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge};

use super::SECONDS;
use crate::telemetry::families::{Family, Registrar};
use crate::telemetry::labels::{ConnectionCut, HttpMethod, Label, QuotaKind};

/// The statuses that the server gives, and 499 for a caller who hung up first.
const STATUSES: [u16; 16] = [200, 201, 204, 400, 401, 404, 405, 409, 413, 415, 422, 429, 499, 500, 503, OTHER_STATUS];

/// Stands for a status that is not in the table; none of ours, so that it shows.
const OTHER_STATUS: u16 = 0;

/// What the HTTP shell counts.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    durations: HistogramVec,
    /// Requests that are being served.
    pub active_requests: Family<HttpMethod, IntGauge>,
    /// Open connections.
    pub connections: IntGauge,
    /// Connections that were ended.
    pub cut: Family<ConnectionCut, IntCounter>,
    /// Requests that were refused since a quota was used up.
    pub rate_limited: Family<QuotaKind, IntCounter>,
}

impl HttpMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            durations: registrar.add(HistogramVec::new(
                HistogramOpts::new(
                    "http_server_request_duration_seconds",
                    "Time from a request's head to its answer, in seconds; 499: the caller hung up first.",
                )
                .buckets(SECONDS.to_vec()),
                &["http_request_method", "http_route", "http_response_status_code"],
            )),
            active_requests: registrar.gauges(
                "http_server_active_requests",
                "Requests that are being served.",
                "http_request_method",
            ),
            connections: registrar.gauge("holdfast_http_connections", "Open connections of clients."),
            cut: registrar.counters(
                "holdfast_http_connections_cut_total",
                "Connections that were ended while clients had them open, since there were too many, or no request came in time.",
                "reason",
            ),
            rate_limited: registrar.counters(
                "holdfast_rate_limited_requests_total",
                "Requests that were refused with 429, by whose quota was used up.",
                "quota",
            ),
        }
    }

    /// A table of these routes, by their templates. `templates` are never made of what callers send.
    pub fn requests(&self, templates: Vec<&'static str>) -> RequestMetrics {
        let cells = templates.len() * HttpMethod::COUNT * STATUSES.len();
        let cells = std::iter::repeat_with(OnceLock::new).take(cells).collect();
        RequestMetrics { durations: self.durations.clone(), templates: templates.into(), cells }
    }
}

/// Where the requests of each route are counted.
#[derive(Debug)]
pub struct RequestMetrics {
    durations: HistogramVec,
    templates: Box<[&'static str]>,
    /// One a route, method and status, made when it is first needed.
    cells: Box<[OnceLock<Histogram>]>,
}

impl RequestMetrics {
    /// Makes a series, at 0. `route` is the position of its template.
    pub fn preset(&self, route: usize, method: HttpMethod, status: u16) {
        let _ = self.series(route, method, status);
    }

    /// Counts an answer.
    pub fn answered(&self, route: usize, method: HttpMethod, status: u16, duration: Duration) {
        if let Some(series) = self.series(route, method, status) {
            series.observe(duration.as_secs_f64());
        }
    }

    fn series(&self, route: usize, method: HttpMethod, status: u16) -> Option<&Histogram> {
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        let cell = (route * HttpMethod::COUNT + method.index()) * STATUSES.len() + status;
        let template = self.templates.get(route)?;
        Some(self.cells.get(cell)?.get_or_init(|| {
            let status = STATUSES[status].to_string();
            self.durations.with_label_values(&[method.name(), template, &status])
        }))
    }
}
