//! Connections that wait for their next use.
//!
//! Whoever uses one takes it out, and puts it back only when all went well: a call that failed, or whose
//! caller left in the middle, leaves nothing behind here, neither a broken connection nor an open
//! transaction. What waited for long is replaced: a connection can die without a sign while nobody uses it
//! (a router forgets it, its server vanishes), and finding that out takes longer than opening another.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Session;

/// How long a connection may wait and still be used. The database closes those that write after 30 s.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Some connections, each fit for use and in no transaction.
pub(super) struct Kept<S> {
    waiting: Mutex<Vec<(S, Instant)>>,
    longest_wait: Duration,
}

impl<S: Session> Kept<S> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::for_at_most(LONGEST_WAIT)
    }

    fn for_at_most(longest_wait: Duration) -> Self {
        Self { waiting: Mutex::new(Vec::new()), longest_wait }
    }

    /// The one that was used last, unless that was long ago.
    pub(super) fn take(&self) -> Option<S> {
        let (session, since) = self.lock().pop()?;
        if since.elapsed() < self.longest_wait {
            return Some(session);
        }
        // The others have waited for longer still. Nobody waits for their good-byes.
        let others = std::mem::take(&mut *self.lock());
        for session in others.into_iter().map(|(session, _)| session).chain([session]) {
            tokio::spawn(session.close());
        }
        None
    }

    /// Keeps one whose last use went well.
    pub(super) fn put_back(&self, session: S) {
        self.lock().push((session, Instant::now()));
    }

    /// Closes all of them.
    pub(super) async fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        for (session, _) in all {
            session.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(S, Instant)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::{Backend, Purpose};
    use super::super::sqlite::Sqlite;
    use super::*;

    #[tokio::test]
    async fn what_waited_for_long_is_not_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = Sqlite::new(folder.path().join("sale.db"), true);
        for (longest_wait, is_fit) in [(Duration::MAX, true), (Duration::ZERO, false)] {
            let kept = Kept::for_at_most(longest_wait);
            for _ in 0..2 {
                kept.put_back(backend.connect(Purpose::Desk).await.expect("opened"));
            }
            assert_eq!(kept.take().is_some(), is_fit);
            assert_eq!(kept.lock().len(), usize::from(is_fit), "the others waited for longer still");
        }
    }
}
