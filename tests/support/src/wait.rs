//! Waiting for a condition, how many rounds a race gets, and the seed that repeats a run.
//!
//! What does not belong here: a sleep that hopes. The one pause here is between two looks.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

/// How long a condition may take to come true: far longer than it ever needs, so that only a condition
/// that never does fails a test.
const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is an answer, and fails with what was seen last after a minute.
#[track_caller]
pub fn eventually<T, S: Display, F: Future<Output = Result<T, S>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let mut last = String::new();
        let looks = async {
            loop {
                match look().await {
                    Ok(answer) => return answer,
                    Err(seen) => last = seen.to_string(),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let answer = tokio::time::timeout(LIMIT, looks).await;
        answer.unwrap_or_else(|_| panic!("{caller}: not within {} s: {what}; last: {last}", LIMIT.as_secs()))
    }
}

/// Waits until the clock of this machine, which is that of all databases here, is `before` ahead of
/// `moment`, or past it.
pub async fn clock_is(before: Duration, moment: SystemTime) {
    let left = moment.checked_sub(before).and_then(|moment| moment.duration_since(SystemTime::now()).ok());
    tokio::time::sleep(left.unwrap_or_default()).await;
    // The runtime's clock may be ahead of the machine's.
    while SystemTime::now() + before < moment {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether the long tests are asked for (`HOLDFAST_LONG`).
pub fn is_long() -> bool {
    std::env::var_os("HOLDFAST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// How many rounds a race gets: `quick`, or `long` if the long tests are asked for.
pub fn rounds(quick: usize, long: usize) -> usize {
    if is_long() { long } else { quick }
}

/// A random number generator whose seed is printed, so that `HOLDFAST_TEST_SEED` repeats the run.
pub fn seed() -> fastrand::Rng {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("HOLDFAST_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What a test does with a failure of its tools.
pub trait OrFail<T> {
    /// The value, or a panic that shows the failure as it is written for people.
    fn or_fail(self) -> T;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}
