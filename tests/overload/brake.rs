//! What makes a database slow while it is sound.
//!
//! What does not belong here: what the server makes of it.

use std::time::Duration;

use holdfast_test_support::rig::proxy::Proxy;
use holdfast_test_support::{Kind, OrFail, Sale, Setup};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Slows the transactions of a server.
pub(crate) enum Brake {
    /// Each COMMIT waits in a proxy.
    Commits(Proxy),
    /// Another process keeps the write lock of the file most of the time.
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
                let task = tokio::spawn(async move {
                    loop {
                        // Busy: the server has it. Then it is tried again.
                        let locked = session.execute("BEGIN IMMEDIATE").await.is_ok();
                        tokio::select! {
                            _ = stopped.wait_for(|stop| *stop) => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        if locked {
                            session.execute("ROLLBACK").await.or_fail();
                        }
                        // Just enough for somebody else to have it once.
                        tokio::time::sleep(pause / 20).await;
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
