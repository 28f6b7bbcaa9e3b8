//! Holds by the clock: so many a second, whether the answers come or not. A process of its own.
//!
//! Each of its connections has a timetable. A request is timed from when it was due: if the answer to the one before
//! kept its connection busy until after that, the wait counts, so that a server which stalls cannot hide it. The
//! tick of the timer, a millisecond, does not count: it is this client's. What does not belong here: which rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What it is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Where the server listens, such as 127.0.0.1:8080.
    #[arg(long)]
    address: String,
    /// What is held.
    #[arg(long)]
    product: u64,
    /// Holds a second, over all connections.
    #[arg(long)]
    rate: f64,
    /// How many connections.
    #[arg(long)]
    connections: u32,
    /// How long.
    #[arg(long)]
    seconds: u64,
}

/// What came of it. Times are in microseconds, from when a request was due.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Paced {
    /// Holds that were placed.
    pub holds: u64,
    /// Requests that were not answered, or with anything but a hold.
    pub failed: u64,
    /// How long it took.
    pub microseconds: u64,
    /// The median latency.
    pub p50: u64,
    /// The 99th percentile of it.
    pub p99: u64,
    /// The longest.
    pub most: u64,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacedError {
    /// There is no connection to be had.
    #[error("cannot connect: {0}")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no runtime to be had, or a connection's task failed.
    #[error("cannot send: {0}")]
    Send(String),
}

/// Sends holds until the time is over, on one thread, which leaves the other processors to the server.
///
/// # Errors
/// If there is no connection to be had.
pub(super) async fn run(arguments: Arguments) -> Result<Paced, PacedError> {
    let failed = |error: &dyn std::fmt::Display| PacedError::Send(error.to_string());
    let alone = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| PacedError::Send(error.to_string()))?.block_on(send(&arguments))
    });
    alone.await.map_err(|error| failed(&error))?
}

async fn send(arguments: &Arguments) -> Result<Paced, PacedError> {
    let mut connections = Vec::new();
    for _ in 0..arguments.connections {
        connections.push(connect(&arguments.address).await.map_err(PacedError::Connect)?);
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(arguments.seconds);
    let between = Duration::from_secs_f64(f64::from(arguments.connections) / arguments.rate);
    let body = Bytes::from(format!("{{\"product_id\":{},\"qty\":1}}", arguments.product));
    let latencies = Arc::new(Mutex::new(empty()));
    let mut tasks = JoinSet::new();
    for (i, sender) in (0..arguments.connections).zip(connections) {
        // Evenly spread: one connection after the other.
        let first = began + Duration::from_secs_f64(f64::from(i) / arguments.rate);
        let timetable = Timetable { first, between, until };
        tasks.spawn(keep_to(timetable, sender, arguments.address.clone(), body.clone(), Arc::clone(&latencies)));
    }
    let mut failed = 0;
    while let Some(ended) = tasks.join_next().await {
        failed += ended.map_err(|error| PacedError::Send(error.to_string()))?;
    }
    let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Paced {
        holds: latencies.len(),
        failed,
        microseconds: microseconds(began.elapsed()),
        p50: latencies.value_at_quantile(0.5),
        p99: latencies.value_at_quantile(0.99),
        most: latencies.max(),
    })
}

/// When a connection sends.
struct Timetable {
    first: Instant,
    between: Duration,
    until: Instant,
}

/// Says how many requests failed.
async fn keep_to(
    timetable: Timetable,
    mut sender: SendRequest<Full<Bytes>>,
    host: String,
    body: Bytes,
    latencies: Arc<Mutex<Histogram<u64>>>,
) -> u64 {
    let mut failed = 0;
    let mut due = timetable.first;
    while due < timetable.until {
        let is_late = Instant::now() > due;
        tokio::time::sleep_until(due).await;
        let from = if is_late { due } else { Instant::now() };
        if place(&mut sender, &host, body.clone()).await {
            let taken = microseconds(from.elapsed());
            latencies.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(taken);
        } else {
            failed += 1;
            if sender.is_closed() {
                break;
            }
        }
        due += timetable.between;
    }
    failed
}

/// Whether the answer was a hold.
async fn place(sender: &mut SendRequest<Full<Bytes>>, host: &str, body: Bytes) -> bool {
    let request = http::Request::post("/api/holds")
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body));
    let Ok(request) = request else { return false };
    let Ok(response) = sender.send_request(request).await else { return false };
    let is_hold = response.status() == http::StatusCode::CREATED;
    response.into_body().collect().await.is_ok() && is_hold
}

/// A connection to the server at `address`.
pub(super) async fn connect(
    address: &str,
) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with an error where the answer does.
    tokio::spawn(connection);
    Ok(sender)
}

/// From a microsecond to a minute, with three digits.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable!("these bounds are allowed"))
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
