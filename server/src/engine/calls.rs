//! Calls of the store that always come back: with an answer, or with the reason why there is none.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use crate::store::{Fault, StoreError};

/// How long the database may take to answer anything; past it the connection counts as lost.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call of the store brought neither a value nor an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
    /// A bug in the store must not take the worker, and the products it has in flight, with it.
    #[error("a panic: {0}")]
    Panicked(String),
}

/// Waits for the answer of the store.
pub(super) async fn answer_of<T>(call: impl Future<Output = T>) -> Result<T, NoAnswer> {
    match timeout(ANSWER_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(NoAnswer::Panicked(panic_message(panic.as_ref()))),
        Err(_) => Err(NoAnswer::TimedOut),
    }
}

/// Waits for the answer of the store; none is a lost connection.
///
/// # Errors
/// What the store said, or that it said nothing.
pub(super) async fn answered<T>(
    what: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match answer_of(call).await {
        Ok(answer) => answer,
        Err(no_answer) => Err(StoreError::new(Fault::Disconnected, format!("{what}: {no_answer}"))),
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Waits before another try: twice as long each time, with jitter, so that two that collided part.
pub(super) async fn back_off(tries: u32, shortest: Duration, longest: Duration) {
    let most = shortest.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(longest);
    sleep(most.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
}
