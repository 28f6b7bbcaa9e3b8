//! A client: sends one request at a time and takes down what it asked and saw, and when.
//!
//! The time of a request begins when its connection is open and ends with the last byte of its answer.
//! A request that is dropped half-way, whoever drops it, is taken down as one whose answer got lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::book::{Book, is_final};
use super::connect::Connector;
use super::pulse::Pulse;
use super::{Requests, SetupError, answer};
use crate::history::{Key, Moment, Operation, Outcome, Recorder, ScenarioName, Tape, Why};

/// What all clients of a scenario share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shop {
    pub(super) recorder: Recorder,
    scenario: ScenarioName,
    pub(super) requests: Arc<Requests>,
    pub(super) connector: Connector,
    book: Arc<Book>,
    pulse: Arc<Pulse>,
    pub(super) timeout: Duration,
}

impl Shop {
    /// For the clients of `scenario`. `timeout` is how long a client waits for an answer.
    ///
    /// # Errors
    /// If there is no TLS to be had, and the server speaks it.
    pub fn new(
        recorder: Recorder,
        scenario: ScenarioName,
        requests: Arc<Requests>,
        timeout: Duration,
    ) -> Result<Self, SetupError> {
        let connector = Connector::new(requests.server())?;
        Ok(Self { recorder, scenario, requests, connector, book: Arc::default(), pulse: Arc::default(), timeout })
    }

    /// The same shop, whose clients end when `pulse` is over.
    #[must_use]
    pub fn with_pulse(self, pulse: Pulse) -> Self {
        Self { pulse: Arc::new(pulse), ..self }
    }

    /// The same shop, with what its clients have open, for clients whose requests go to another address.
    ///
    /// # Errors
    /// As [`Shop::new`].
    pub fn by_way_of(&self, requests: Arc<Requests>) -> Result<Self, SetupError> {
        let connector = Connector::new(requests.server())?;
        Ok(Self { requests, connector, ..self.clone() })
    }

    /// A new client, not connected yet.
    pub fn caller(&self) -> Caller {
        Caller { shop: self.clone(), notes: self.notes(), connection: None }
    }

    /// Where a new client takes down what it sees.
    pub(super) fn notes(&self) -> Notes {
        Notes { tape: self.recorder.tape(self.scenario), book: Arc::clone(&self.book), pulse: Arc::clone(&self.pulse) }
    }

    /// Whether its clients are answered.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// What its clients have open.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Where requests are taken down.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// How long a client waits for an answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Whoever sends requests and takes them down.
pub trait Call: Send {
    /// Sends a request, once, and says what came back.
    fn call(&mut self, operation: Operation) -> impl Future<Output = Outcome> + Send;

    /// Where it takes them down.
    fn recorder(&self) -> &Recorder;

    /// Whether the scenario is to end, so that whoever waits for an answer is to wait no longer.
    fn is_over(&self) -> bool;

    /// A key that nobody had before.
    fn new_key(&self) -> Key {
        self.recorder().new_key()
    }

    /// Sends a request again and again until its outcome is known, or `until` has come, or the scenario is to end. It
    /// is to be one that may be sent again: one with a key, a release, or a read.
    fn insist(&mut self, operation: Operation, until: Instant) -> impl Future<Output = Outcome> + Send {
        self.repeat(operation, until, true)
    }

    /// The same, to `until` even if the scenario is to end.
    fn settle(&mut self, operation: Operation, until: Instant) -> impl Future<Output = Outcome> + Send {
        self.repeat(operation, until, false)
    }

    /// Sends a request until its outcome is known or `until` has come, or, if that `may_end`, the scenario is to end.
    fn repeat(&mut self, operation: Operation, until: Instant, may_end: bool) -> impl Future<Output = Outcome> + Send {
        async move {
            let mut pause = Duration::from_millis(5);
            loop {
                let outcome = self.call(operation).await;
                let next = Instant::now() + pause;
                if is_final(&outcome) || next >= until || (may_end && self.is_over()) {
                    return outcome;
                }
                tokio::time::sleep_until(next).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
        }
    }
}

/// Where one client takes down what it sees.
#[derive(Debug)]
pub(super) struct Notes {
    tape: Tape,
    book: Arc<Book>,
    pulse: Arc<Pulse>,
}

impl Notes {
    /// A request that begins at this moment.
    pub(super) fn begin(&mut self, operation: Operation) -> UnderWay<'_> {
        let invoked = self.tape.recorder().now();
        UnderWay { notes: self, invoked, operation, ended: false }
    }
}

/// A request that has begun. Dropping it takes it down as lost.
pub(super) struct UnderWay<'a> {
    notes: &'a mut Notes,
    invoked: Moment,
    operation: Operation,
    ended: bool,
}

impl UnderWay<'_> {
    /// Takes down how it ended, at this moment.
    pub(super) fn end(mut self, outcome: Outcome) -> Outcome {
        self.ended = true;
        self.take_down(outcome.clone());
        outcome
    }

    fn take_down(&mut self, outcome: Outcome) {
        self.notes.book.enter(&self.operation, &outcome);
        let recorder = self.notes.tape.recorder();
        if recorder.stood_still_since(self.invoked) {
            // What timed out while nobody here was listening is not the server's.
            self.notes.pulse.forget(recorder.now());
        } else {
            self.notes.pulse.enter(self.invoked, recorder.now(), &outcome);
        }
        self.notes.tape.record(self.invoked, self.operation, outcome);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.take_down(unknown(Why::Lost));
        }
    }
}

/// A client with a connection of its own, which it keeps from request to request.
#[derive(Debug)]
pub struct Caller {
    pub(super) shop: Shop,
    pub(super) notes: Notes,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Caller {
    /// Opens its connection, if it is not open. A failure shows with the next request.
    pub async fn connect(&mut self) {
        if self.connection().await.is_none() {
            self.connection = None;
        }
    }

    /// The open connection, opened if need be.
    async fn connection(&mut self) -> Option<&mut SendRequest<Full<Bytes>>> {
        let is_open = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.connection = self.shop.connector.open(self.shop.timeout).await.ok();
        }
        self.connection.as_mut()
    }
}

impl Call for Caller {
    async fn call(&mut self, operation: Operation) -> Outcome {
        let limit = self.shop.timeout;
        let mut request = self.shop.requests.build(&operation).map(Full::new);
        // A connection of one's own is given a path only.
        if let Some(Ok(path)) = request.uri().path_and_query().map(|path| path.as_str().parse()) {
            *request.uri_mut() = path;
        }
        if self.connection().await.is_none() {
            return self.notes.begin(operation).end(unknown(Why::NotSent));
        }
        // It stays with the client only if it can be used again.
        let connection = self.connection.take();
        let under_way = self.notes.begin(operation);
        let Some(mut connection) = connection else { return under_way.end(unknown(Why::NotSent)) };
        let whole = async {
            let (head, body) = connection.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head, body))
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(Ok((head, body))) => {
                let outcome = answer::read(&operation, head.status.as_u16(), replayed(&head.headers), &body);
                let outcome = under_way.end(outcome);
                self.connection = Some(connection);
                outcome
            }
            Ok(Err(_)) => under_way.end(unknown(Why::Cut)),
            Err(_) => under_way.end(unknown(Why::TimedOut)),
        }
    }

    fn recorder(&self) -> &Recorder {
        &self.shop.recorder
    }

    fn is_over(&self) -> bool {
        self.shop.pulse.is_over()
    }
}

/// An outcome that is unknown, without any status.
pub(super) fn unknown(why: Why) -> Outcome {
    Outcome::Unknown { why, status: None }
}

/// Whether the server says that it has answered this before.
pub(super) fn replayed(headers: &HeaderMap) -> bool {
    headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}
