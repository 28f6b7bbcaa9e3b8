//! Asking again, for requests that are no load: what fails for the moment only is tried until a deadline.
//!
//! Every request that comes here may be sent twice: it does the same the second time, or what it leaves behind
//! is looked for afterwards. What does not belong here: requests that are judged, which are never repeated.

use std::time::Duration;

use tokio::time::Instant;

use super::TargetError;

/// Before the second try.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Between two tries at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Does something until it works, fails for good, or `deadline` is over, with longer and longer pauses. Nothing
/// is begun after the deadline; what is under way then is given up.
///
/// # Errors
/// The last error there was, or [`TargetError::OutOfTime`] if there was none yet.
pub async fn retry<T, F>(deadline: Instant, act: impl Fn() -> F) -> Result<T, TargetError>
where
    F: Future<Output = Result<T, TargetError>>,
{
    let mut last = TargetError::OutOfTime;
    let mut pause = FIRST_PAUSE;
    while Instant::now() < deadline {
        match tokio::time::timeout_at(deadline, act()).await {
            Ok(Err(error)) if error.is_passing() => last = error,
            Ok(other) => return other,
            Err(_) => break,
        }
        // Some at random, so that those that failed together do not come back together.
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::time::sleep_until(deadline.min(Instant::now() + jittered)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    Err(last)
}
