//! The connections that single reads share.
//!
//! sqlx has a pool, but it spends a round trip on each release; here a connection is kept if its last
//! read succeeded, and thrown away if not, so that nothing has to be asked.

use tokio::sync::Semaphore;

use super::kept::Kept;
use super::session::{Backend, Purpose, ResultSet, Session};
use super::{Fault, StoreError};

type Results<B> = Vec<ResultSet<<<B as Backend>::Session as Session>::Row>>;

/// Some connections, opened when they are needed.
pub(super) struct Readers<B: Backend> {
    kept: Kept<B::Session>,
    /// One permit a connection.
    permits: Semaphore,
}

impl<B: Backend> Readers<B> {
    /// At most `most` connections, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Kept::new(), permits: Semaphore::new(most.max(1)) }
    }

    /// Runs `sql`, made with the clock of the moment, on one of the connections. On one that was kept and
    /// turns out to be broken it is run again on a new one: reading twice does no harm.
    pub(super) async fn run(&self, backend: &B, sql: impl Fn() -> String + Send) -> Result<Results<B>, StoreError> {
        let closed = |_| StoreError::new(Fault::Disconnected, "the store is closed");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        if let Some(mut session) = self.kept.take() {
            match session.run(sql()).await {
                Err(error) if error.fault == Fault::Disconnected => {}
                result => return self.finish(session, result),
            }
        }
        let mut session = backend.connect(Purpose::Reads).await?;
        let result = session.run(sql()).await;
        self.finish(session, result)
    }

    /// Closes the idle connections, and lets nobody open new ones.
    pub(super) async fn close(&self) {
        self.permits.close();
        self.kept.close().await;
    }

    fn finish(&self, session: B::Session, result: Result<Results<B>, StoreError>) -> Result<Results<B>, StoreError> {
        if result.is_ok() {
            self.kept.put_back(session);
        }
        result
    }
}
