//! What it costs to record what every request and every transaction records: no allocation, and how long.
//!
//! What does not belong here: the rate of a whole server that is seen beside one that is not (`costs`).
//! Metrics have no switch, so their part in that can only be measured here.

use std::time::{Duration, Instant};

use holdfast::telemetry::labels::{Ending, HoldOutcome, HttpMethod, Label, Phase, Queue, TurnedAway};
use holdfast::telemetry::{Metrics, RequestMetrics};

/// What a hold that is placed records, in the shell and in the engine, and its share of a transaction, as if it had
/// one for itself.
fn record_a_hold(metrics: &Metrics, requests: &RequestMetrics) {
    let engine = &metrics.engine;
    metrics.http.active_requests.of(HttpMethod::Post).inc();
    engine.queue_depth.of(Queue::Holds).inc();
    engine.queue_wait.of(Queue::Holds).observe(0.001);
    engine.queue_depth.of(Queue::Holds).dec();
    for phase in Phase::all() {
        engine.phases.of(phase).observe(0.002);
    }
    engine.batch_size.observe(1.0);
    engine.holds.of(Ending::Served(HoldOutcome::Placed)).inc();
    engine.turned_away.of(TurnedAway::QueueFull).inc();
    metrics.http.active_requests.of(HttpMethod::Post).dec();
    requests.answered(1, HttpMethod::Post, 201, Duration::from_millis(3));
}

#[test]
fn recording_allocates_nothing() {
    let metrics = Metrics::new();
    let requests = metrics.http.requests(vec!["unmatched", "/api/holds"]);
    // The series of a request is made with its first answer.
    record_a_hold(&metrics, &requests);
    let allocated = allocation_counter::measure(|| {
        for _ in 0..1000 {
            record_a_hold(&metrics, &requests);
        }
    });
    assert_eq!(allocated.count_total, 0, "{allocated:?}");
    let text = metrics.render();
    assert!(text.contains("holdfast_holds_total{outcome=\"placed\"} 1001\n"), "{text}");
}

/// How long the metrics of one hold take, one thread alone.
pub(crate) fn time_of_a_hold() -> Duration {
    const HOLDS: u32 = 100_000;
    let metrics = Metrics::new();
    let requests = metrics.http.requests(vec!["unmatched", "/api/holds"]);
    let began = Instant::now();
    for _ in 0..HOLDS {
        record_a_hold(&metrics, &requests);
    }
    began.elapsed() / HOLDS
}
