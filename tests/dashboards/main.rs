//! What watches the service, from outside: dashboards, rules, runbook, and the compose file that starts
//! them all.
//!
//! What belongs here: that each query finds data, each name exists, each file has the form that its reader
//! expects, as far as that shows without Grafana and without a container engine. What does not: whether
//! the server counts rightly; that is `telemetry`'s to test.

mod compose;
mod dashboards;
mod files;
mod model;
mod prometheus;
mod queries;
mod rules;
mod series;
mod traffic;
