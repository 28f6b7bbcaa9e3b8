//! Reads that share one query: all requests that wait for the next round are answered by it.
//!
//! A round begins after each of its requests came, so that a read never shows less than what was
//! answered before it was asked. A request that finds no round under way waits for nobody; one that does waits for that to
//! end, with all who come meanwhile, or for a moment, if it is slow.
//!
//! Callers that wait are bounded, and so are the keys of a round and the rounds under way: however many different
//! rows are asked for, the database sees two queries of a kind at once. Who left before its round is dropped.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Histogram;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::health::Health;
use crate::store::StoreError;
use crate::telemetry::EngineMetrics;
use crate::telemetry::labels::ReadKind;

/// The most callers that wait for their round, of one kind, beside those of the next round. Those who left count until their round
/// would begin.
const CALLERS_MAX: usize = 10_000;
/// The most rounds of one kind under way at once: the next round need not wait for long for a slow one.
const ROUNDS_IN_FLIGHT: usize = 2;
/// How long the next round waits for the one under way: longer than a query takes, so that as many as can be share
/// the next one.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a round may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(5);

type Found<V> = Result<Option<V>, ReadFailed>;

/// Why a read was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFailed {
    /// It had no answer from the database.
    NoAnswer,
    /// Too many wait.
    TooMany,
}

/// What is measured of one kind of read.
#[derive(Clone, Debug)]
pub(super) struct ReadFigures {
    callers: Histogram,
    duration: Histogram,
}

impl ReadFigures {
    pub(super) fn new(metrics: &EngineMetrics, kind: ReadKind) -> Self {
        Self { callers: metrics.read_callers.of(kind).clone(), duration: metrics.read_duration.of(kind).clone() }
    }
}

/// One kind of read, coalesced.
#[derive(Debug)]
pub(super) struct Coalescer<K, V> {
    requests: mpsc::Sender<(K, oneshot::Sender<Found<V>>)>,
}

impl<K, V> Coalescer<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Serves reads of one kind with `load`, which answers for all keys of a round at once, up to `round_max`, and
    /// leaves unknown ones out. Ends when the last handle is dropped.
    pub(super) fn start<F, R>(health: Arc<Health>, figures: ReadFigures, round_max: usize, load: F) -> Self
    where
        F: Fn(Vec<K>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<HashMap<K, V>, StoreError>> + Send + 'static,
    {
        let (requests, incoming) = mpsc::channel(CALLERS_MAX);
        tokio::spawn(serve(incoming, Arc::new(load), health, figures, round_max));
        Self { requests }
    }

    /// The value of `key`, as of a moment after this call; `None` if there is none.
    ///
    /// # Errors
    /// If the database did not answer, or more than half of those that may wait do.
    pub(super) async fn get(&self, key: K) -> Found<V> {
        if self.requests.capacity() < CALLERS_MAX / 2 {
            return Err(ReadFailed::TooMany);
        }
        self.get_for_money(key).await
    }

    /// As [`Coalescer::get`], for what an order or a payment has to know: the other half is kept for that, so that
    /// nobody's curiosity stands in its way.
    ///
    /// # Errors
    /// If the database did not answer, or all that may wait do.
    pub(super) async fn get_for_money(&self, key: K) -> Found<V> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send((key, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadFailed::TooMany,
            mpsc::error::TrySendError::Closed(_) => ReadFailed::NoAnswer,
        })?;
        answer.await.map_err(|_| ReadFailed::NoAnswer)?
    }
}

async fn serve<K, V, F, R>(
    mut incoming: mpsc::Receiver<(K, oneshot::Sender<Found<V>>)>,
    load: Arc<F>,
    health: Arc<Health>,
    figures: ReadFigures,
    round_max: usize,
) where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
    F: Fn(Vec<K>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<HashMap<K, V>, StoreError>> + Send + 'static,
{
    let mut rounds = JoinSet::new();
    let mut requests = Vec::new();
    loop {
        if rounds.len() >= ROUNDS_IN_FLIGHT {
            let _ = rounds.join_next().await;
            continue;
        }
        if incoming.recv_many(&mut requests, round_max).await == 0 {
            return;
        }
        if !rounds.is_empty() {
            let _ = tokio::time::timeout(PATIENCE, rounds.join_next()).await;
            while requests.len() < round_max
                && let Ok(more) = incoming.try_recv()
            {
                requests.push(more);
            }
        }
        let mut waiting: HashMap<K, Vec<oneshot::Sender<Found<V>>>> = HashMap::new();
        for (key, reply) in requests.drain(..) {
            if !reply.is_closed() {
                waiting.entry(key).or_default().push(reply);
            }
        }
        if waiting.is_empty() {
            continue;
        }
        while rounds.try_join_next().is_some() {}
        let callers: usize = waiting.values().map(Vec::len).sum();
        figures.callers.observe(f64::from(u32::try_from(callers).unwrap_or(u32::MAX)));
        let (load, health, duration) = (Arc::clone(&load), Arc::clone(&health), figures.duration.clone());
        rounds.spawn(async move {
            let began = Instant::now();
            let found = tokio::time::timeout(ROUND_TIMEOUT, load(waiting.keys().cloned().collect())).await;
            duration.observe(began.elapsed().as_secs_f64());
            let mut found = match found {
                Ok(Ok(found)) => {
                    health.answered();
                    Ok(found)
                }
                Ok(Err(error)) => {
                    health.heard("a read", &error);
                    Err(ReadFailed::NoAnswer)
                }
                Err(_) => {
                    health.failed(&"a read timed out");
                    Err(ReadFailed::NoAnswer)
                }
            };
            for (key, replies) in waiting {
                let value = match &mut found {
                    Ok(found) => Ok(found.remove(&key)),
                    Err(failed) => Err(*failed),
                };
                for reply in replies {
                    // A caller that left does not get its answer.
                    let _ = reply.send(value.clone());
                }
            }
        });
    }
}
