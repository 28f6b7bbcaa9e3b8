//! What happens on a connection, and for how long it may be nothing.
//!
//! Requests tell when they begin and end, the stream when bytes come; whoever waits for the connection looks at it now and
//! then. What does not belong here: what becomes of a connection that has been waited for long enough (`connection.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::labels::ConnectionCut;

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// From one request to the next.
    pub(super) idle: Duration,
    /// From the beginning to the first request.
    pub(super) first: Duration,
}

/// What a look at a connection finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All is well; look again after this time.
    Again(Duration),
    /// It has been waited for long enough.
    Cut(ConnectionCut),
}

/// What happens on a connection. Times are milliseconds since it was opened.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Requests that are being served.
    requests: AtomicUsize,
    has_served: AtomicBool,
    is_http2: AtomicBool,
    quiet_since: AtomicU64,
    /// When the first bytes came that belong to no request yet.
    heard_since: AtomicU64,
}

/// In place of a time: nothing was heard.
const NOTHING: u64 = u64::MAX;

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            has_served: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            quiet_since: AtomicU64::new(0),
            heard_since: AtomicU64::new(NOTHING),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.opened).as_millis()).unwrap_or(NOTHING - 1)
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// The client speaks HTTP/2, or does not.
    pub(super) fn set_http2(&self, is_http2: bool) {
        self.is_http2.store(is_http2, Ordering::Relaxed);
    }

    /// A request is being served from here on.
    pub(super) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.has_served.store(true, Ordering::Relaxed);
        self.heard_since.store(NOTHING, Ordering::Relaxed);
    }

    /// A request was served.
    pub(super) fn end(&self, now: Instant) {
        self.quiet_since.store(self.millis(now), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }

    /// Bytes came.
    pub(super) fn hear(&self) {
        if self.requests.load(Ordering::Acquire) == 0 && self.heard_since.load(Ordering::Relaxed) == NOTHING {
            self.heard_since.store(self.millis(Instant::now()), Ordering::Relaxed);
        }
    }

    pub(super) fn look(&self, now: Instant, patience: Patience) -> Look {
        // A busy connection is looked at as often as a silent one: who is too slow is cut within twice the time.
        let pause = patience.head;
        if self.requests.load(Ordering::Acquire) > 0 {
            return Look::Again(pause);
        }
        let now = self.millis(now);
        let left = |since: u64, limit: Duration| {
            let spent = Duration::from_millis(now.saturating_sub(since));
            limit.checked_sub(spent).filter(|left| !left.is_zero())
        };
        let heard_since = self.heard_since.load(Ordering::Relaxed);
        let for_head = if heard_since == NOTHING || self.is_http2() {
            pause
        } else {
            let Some(left) = left(heard_since, patience.head) else { return Look::Cut(ConnectionCut::SlowHead) };
            left
        };
        let limit = if self.has_served.load(Ordering::Relaxed) { patience.idle } else { patience.first };
        match left(self.quiet_since.load(Ordering::Relaxed), limit) {
            Some(for_silence) => Look::Again(for_silence.min(for_head).min(pause)),
            None => Look::Cut(ConnectionCut::Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(5), idle: Duration::from_secs(75), first: Duration::from_secs(30) };

    const SILENT: Look = Look::Cut(ConnectionCut::Silent);
    const SLOW_HEAD: Look = Look::Cut(ConnectionCut::SlowHead);

    fn again(seconds: u64) -> Look {
        Look::Again(Duration::from_secs(seconds))
    }

    async fn after(seconds: u64) -> Instant {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn before_its_first_request_a_connection_may_be_silent_for_a_while() {
        let activity = Activity::new();
        assert_eq!(activity.look(after(0).await, PATIENCE), again(5));
        assert_eq!(activity.look(after(28).await, PATIENCE), again(2));
        assert_eq!(activity.look(after(2).await, PATIENCE), SILENT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_come_in_one_go_however_often_a_byte_of_it_comes() {
        let activity = Activity::new();
        after(10).await;
        activity.hear();
        after(3).await;
        activity.hear();
        assert_eq!(activity.look(after(0).await, PATIENCE), again(2));
        activity.hear();
        assert_eq!(activity.look(after(2).await, PATIENCE), SLOW_HEAD);
        // Frames of HTTP/2 may belong to no request at all.
        activity.set_http2(true);
        assert_eq!(activity.look(after(0).await, PATIENCE), again(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_waited_for_and_begins_a_new_silence() {
        let activity = Activity::new();
        activity.hear();
        activity.begin();
        activity.begin();
        activity.hear();
        assert_eq!(activity.look(after(100).await, PATIENCE), again(5));
        activity.end(Instant::now());
        assert_eq!(activity.look(after(100).await, PATIENCE), again(5));
        activity.end(Instant::now());
        // What was heard before belonged to the requests.
        assert_eq!(activity.look(after(73).await, PATIENCE), again(2));
        assert_eq!(activity.look(after(2).await, PATIENCE), SILENT);
    }
}
