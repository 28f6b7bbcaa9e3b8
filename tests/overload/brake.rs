//! What makes a database slow while it is sound.
//!
//! What does not belong here: what the server makes of it.

use std::time::Duration;

use holdfast_test_support::rig::database::Row;
use holdfast_test_support::rig::proxy::Proxy;
use holdfast_test_support::{Kind, OrFail, Sale, Session, Setup};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often it is seen whether somebody wrote.
const LOOKS_EVERY: Duration = Duration::from_millis(1);

/// Slows the transactions of a server.
pub(crate) enum Brake {
    /// Each COMMIT waits in a proxy.
    Commits(Proxy),
    /// Another connection keeps the write lock of the file most of the time.
    WriteLock(Option<(watch::Sender<bool>, JoinHandle<()>)>),
}

impl Brake {
    /// A sale whose database can be slowed.
    pub(crate) async fn start(setup: &Setup) -> (Sale, Self) {
        let database = setup.database().await;
        match setup.kind {
            Kind::Sqlite => (setup.start_on(database).await, Self::WriteLock(None)),
            Kind::MariaDb => {
                let proxy = Proxy::mysql(&database.address()).await.or_fail();
                let server = setup.server(&database.url_through(&proxy.address())).start().await.or_fail();
                (Sale { client: server.client(), server, database }, Self::Commits(proxy))
            }
        }
    }

    /// From here on a transaction takes about `pause`, at least.
    pub(crate) async fn pull(&mut self, sale: &Sale, pause: Duration) {
        match self {
            Self::Commits(proxy) => proxy.slow_commit(pause),
            Self::WriteLock(holding) => {
                let mut session = sale.database.session().await.or_fail();
                let (stop, mut stopped) = watch::channel(false);
                session.execute("PRAGMA busy_timeout = 0").await.or_fail();
                let task = tokio::spawn(async move {
                    loop {
                        while session.execute("BEGIN IMMEDIATE").await.is_err() {
                            // Busy. A server that always has work leaves the lock free for moments only.
                            if is_told_to_stop(&mut stopped, LOOKS_EVERY).await {
                                return;
                            }
                        }
                        let before = version(&mut session).await;
                        if is_told_to_stop(&mut stopped, pause).await {
                            return;
                        }
                        session.execute("ROLLBACK").await.or_fail();
                        // Else it were chance for how long nobody else ever gets the lock.
                        while version(&mut session).await == before {
                            if is_told_to_stop(&mut stopped, LOOKS_EVERY).await {
                                return;
                            }
                        }
                    }
                });
                *holding = Some((stop, task));
            }
        }
    }

    /// The database is as fast as it was.
    pub(crate) async fn release(&mut self) {
        match self {
            Self::Commits(proxy) => proxy.heal(),
            Self::WriteLock(holding) => {
                if let Some((stop, task)) = holding.take() {
                    stop.send_replace(true);
                    task.await.or_fail();
                }
            }
        }
    }
}

/// A number that another one follows when somebody else has committed.
async fn version(session: &mut Session) -> Vec<Row> {
    session.rows("PRAGMA data_version").await.or_fail()
}

/// Waits for `time`, unless it is told to stop.
async fn is_told_to_stop(stopped: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::time::timeout(time, stopped.wait_for(|stop| *stop)).await.is_ok()
}
