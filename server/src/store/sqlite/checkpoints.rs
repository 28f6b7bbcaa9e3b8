//! Checkpoints: what commits wrote into the log is copied into the file, as far as can be beside the batches.
//!
//! Left to itself SQLite does this within a commit, every thousand pages, and all who wait for that commit wait for it. Here a
//! connection of its own copies while batches go on, and less often, so that a page that many batches changed is
//! copied once. Nobody can use the log again from its beginning while somebody adds to it, so the last few pages
//! are copied, and the file is synchronised, when no batch writes.
//!
//! What does not belong here: what is in the pages. A log of any length is as durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::rows::Reader;
use super::super::session::{Purpose, Session};
use super::super::{Fault, StoreError};
use super::{Sqlite, SqliteSession};

/// When pages are copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// A log of fewer pages is left alone.
    pub(super) pages: u64,
    /// How often its length is looked at, while there are commits.
    pub(super) interval: Duration,
}

impl Bounds {
    /// 64 MiB: of many products each page is then changed several times before it is copied.
    pub(super) const USUAL: Self = Self { pages: 16_000, interval: Duration::from_millis(100) };
}

/// A log of so many pages is copied by whoever commits, should nobody else: it must not fill the disk.
pub(super) const COMMITS_COPY_FROM: &str = "64000";

/// Looks after the log, for as long as it lives.
#[derive(Debug)]
pub(super) struct Checkpoints {
    commits: Arc<Notify>,
    task: AbortHandle,
}

impl Checkpoints {
    /// Begins to. Needs a tokio runtime.
    pub(super) fn start(file: Sqlite, bounds: Bounds) -> Self {
        let commits = Arc::new(Notify::new());
        let task = tokio::spawn(look_after(file, bounds, Arc::clone(&commits)));
        Self { commits, task: task.abort_handle() }
    }

    /// The log has grown.
    pub(super) fn committed(&self) {
        self.commits.notify_one();
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look_after(file: Sqlite, bounds: Bounds, commits: Arc<Notify>) {
    let mut session = None;
    loop {
        commits.notified().await;
        tokio::time::sleep(bounds.interval).await;
        let mut opened = match session.take() {
            Some(session) => session,
            None => match file.open(Purpose::Desk).await {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::debug!(error = %error.source, "no connection for checkpoints");
                    continue;
                }
            },
        };
        match shorten(&mut opened, bounds.pages).await {
            Ok(()) => session = Some(opened),
            // It is tried again, and if that is in vain those who commit see what is wrong with the file.
            Err(error) => tracing::debug!(error = %error.source, "a checkpoint failed"),
        }
    }
}

/// Has the log begin anew if it is longer than `pages`.
async fn shorten(session: &mut SqliteSession, pages: u64) -> Result<(), StoreError> {
    if log_length(session, "NOOP").await? < pages {
        return Ok(());
    }
    // The first pass does not synchronise the file if batches went on meanwhile; the second has little to copy, so it does
    // that, mostly, while nobody waits.
    for _ in 0..2 {
        log_length(session, "PASSIVE").await?;
    }
    session.take_turn().await?;
    let copied = log_length(session, "PASSIVE").await;
    session.turn = None;
    copied.map(|_| ())
}

/// Does what `mode` says, waiting for nobody, and returns how many pages the log has.
async fn log_length(session: &mut SqliteSession, mode: &str) -> Result<u64, StoreError> {
    let results = session.run(format!("PRAGMA wal_checkpoint({mode})")).await?;
    let row = results.iter().find_map(|result| result.rows.first());
    let row = row.ok_or_else(|| StoreError::new(Fault::Refused, "the file did not say how long its log is"))?;
    let mut reader = Reader::new(row);
    let is_busy = reader.count()? != 0;
    // Somebody else is copying: then there is no need to.
    if is_busy { Ok(0) } else { reader.count() }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::super::tests::until;
    use super::*;

    /// The pages of the log, as another connection sees it.
    async fn length(file: &Sqlite) -> u64 {
        let mut session = file.open(Purpose::Desk).await.expect("opened");
        log_length(&mut session, "NOOP").await.expect("a length")
    }

    async fn write(session: &mut SqliteSession, rows: u32) {
        let rows = format!(
            "INSERT INTO t WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
             SELECT hex(randomblob(500)) FROM n"
        );
        session.transact(vec![rows]).await.expect("committed");
    }

    /// A file with a table, and a connection to it.
    async fn a_file() -> (TempDir, Sqlite, SqliteSession) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = Sqlite::new(folder.path().join("sale.db"), true);
        let mut session = file.open(Purpose::Batches).await.expect("opened");
        session.transact(vec!["CREATE TABLE t (x TEXT NOT NULL) STRICT".to_owned()]).await.expect("a table");
        (folder, file, session)
    }

    #[tokio::test]
    async fn the_log_begins_anew_while_commits_go_on() {
        let (_folder, file, mut session) = a_file().await;
        write(&mut session, 400).await;
        let before = length(&file).await;
        assert!(before > 100, "{before} pages are too few for this test");
        // Whoever reads needs what is in the log.
        let mut reader = file.open(Purpose::Reads).await.expect("opened");
        reader.run("BEGIN; SELECT COUNT(*) FROM t".to_owned()).await.expect("read");
        shorten(&mut file.open(Purpose::Desk).await.expect("opened"), 100).await.expect("copied, as far as can be");
        write(&mut session, 1).await;
        assert!(length(&file).await > before, "the log is kept for the reader");
        reader.run("COMMIT".to_owned()).await.expect("it has read");
        let bounds = Bounds { pages: 100, interval: Duration::from_millis(1) };
        let checkpoints = Checkpoints::start(file.clone(), bounds);
        until(async || {
            write(&mut session, 1).await;
            checkpoints.committed();
            length(&file).await < 100
        })
        .await;
    }

    #[tokio::test]
    async fn a_short_log_is_left_alone() {
        let (_folder, file, mut session) = a_file().await;
        write(&mut session, 10).await;
        let before = length(&file).await;
        shorten(&mut session, before + 1).await.expect("nothing to do");
        write(&mut session, 1).await;
        assert!(length(&file).await > before);
        shorten(&mut session, before).await.expect("copied");
        write(&mut session, 1).await;
        assert!(length(&file).await < before);
    }
}
