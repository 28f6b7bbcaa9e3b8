//! Listeners: accepts connections, as many as there is room for, and drains them.
//!
//! HTTP/1.1, and HTTP/2 without TLS for clients that begin with it. What does not belong here: what a
//! connection may cost (`connection.rs`) and what a request means (`service.rs`). No error of a connection, and none of accepting one, ends the server.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Config;
use super::access::{Access, MetricsAccess, Tokens};
use super::docs::Docs;
use super::products::ShownProducts;
use super::quotas::Quotas;
use super::routes::{Listener, Routes, UNMATCHED};
use super::{connection, openapi, service};
use crate::engine::Engine;
use crate::telemetry::labels::{ConnectionCut, HttpMethod};
use crate::telemetry::{HttpMetrics, RequestMetrics};

/// Connections that may wait to be accepted; a sale begins with all of them at once.
const BACKLOG: u32 = 4096;

/// Connections of the ops listener: some scrapers and load balancers, and what they forgot to close. They are not
/// counted with those of clients, so that a server that has all it can take can still be asked how it is.
const MAX_OPS_CONNECTIONS: usize = 256;

/// Connections over the limit that are told so at the same time, and for how long each is waited for. Beyond these
/// they are closed without a word.
const MAX_REFUSALS: usize = 256;
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// How long to wait before accepting again when the machine is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all requests share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) routes: Routes,
    pub(super) docs: Docs,
    pub(super) shown_products: ShownProducts,
    /// Where requests are counted, by the position of their route.
    pub(super) requests: RequestMetrics,
    /// How often clients may call, if it matters.
    pub(super) quotas: Option<Quotas>,
    engine: OnceLock<Engine>,
    draining: AtomicBool,
}

impl Shared {
    /// The engine, once there is one.
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// Whether the server is about to stop.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// Opens a server that listens already.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Gives the server its engine. Until then it answers health checks, and 503 to everything that
    /// needs a database. Of two calls the first counts.
    pub fn open(&self, engine: Engine) {
        if self.0.engine.set(engine).is_err() {
            tracing::error!("the server was opened twice");
        }
    }
}

/// A server that listens.
pub struct Server {
    api: TcpListener,
    ops: Option<TcpListener>,
    api_addr: SocketAddr,
    ops_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on `api_addr`, and, if there is an `ops_addr`, there for `/metrics`, `/healthz` and
    /// `/readyz`, which then leave the first. Port 0 picks a free one. To be called within a runtime.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub fn bind(api_addr: SocketAddr, ops_addr: Option<SocketAddr>, config: Config) -> io::Result<Self> {
        let api = listen(api_addr)?;
        let ops = ops_addr.map(listen).transpose()?;
        let (api_addr, ops_addr) = (api.local_addr()?, ops.as_ref().map(TcpListener::local_addr).transpose()?);
        let routes = Routes::new(ops.is_some(), config.admin_tokens.is_some()).map_err(io::Error::other)?;
        let requests = count_from_zero(&config, &routes);
        let tokens = config.api_tokens.as_ref().map_or(0, Tokens::count);
        let quotas = Quotas::new(&config.quotas, tokens, &config.metrics.http);
        let (engine, draining) = (OnceLock::new(), AtomicBool::new(false));
        let (docs, shown_products) = (Docs::new(), ShownProducts::new());
        let shared = Arc::new(Shared { config, routes, docs, shown_products, requests, quotas, engine, draining });
        Ok(Self { api, ops, api_addr, ops_addr, shared })
    }

    /// Where the API is.
    pub const fn local_addr(&self) -> SocketAddr {
        self.api_addr
    }

    /// Where metrics and health checks are, if they have a listener of their own.
    pub const fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops_addr
    }

    /// To give the server its engine later.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` is over and what was in flight then is answered, or its time is up.
    ///
    /// From the moment of `shutdown` on `/readyz` answers 503; connections are accepted for the drain
    /// delay still; then requests in flight have the drain time to finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { api, ops, shared, .. } = self;
        // Whoever serves a connection holds a receiver, so that all are over when none is left.
        let (stop, _) = watch::channel(());
        // Health checks are answered to the very end.
        let ops_task = ops.map(|ops| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let (never, _) = watch::channel(());
                accept(&ops, Listener::Ops, MAX_OPS_CONNECTIONS, &shared, &never).await;
            })
        });
        let stopping = async {
            shutdown.await;
            shared.draining.store(true, Ordering::Release);
            tracing::info!(
                drain_delay_seconds = shared.config.drain_delay.as_secs(),
                drain_seconds = shared.config.drain.as_secs(),
                "shutting down"
            );
            tokio::time::sleep(shared.config.drain_delay).await;
        };
        tokio::select! {
            () = stopping => {}
            () = accept(&api, Listener::Api, shared.config.max_connections, &shared, &stop) => {}
        }
        drop(api);
        let in_flight = stop.receiver_count();
        stop.send_replace(());
        if tokio::time::timeout(shared.config.drain, stop.closed()).await.is_err() {
            tracing::warn!(connections = in_flight, "the drain time is over and some requests are not");
        }
        if let Some(ops_task) = ops_task {
            ops_task.abort();
        }
    }
}

/// Makes the series of every answer that an operation may have, at 0. An operation that this server does not
/// have (405) is seen with the first request that wants it.
fn count_from_zero(config: &Config, routes: &Routes) -> RequestMetrics {
    let requests = config.metrics.http.requests(Routes::templates());
    requests.preset(UNMATCHED.0, HttpMethod::Get, 404);
    for (index, route, operation) in routes.all() {
        let method = service::method_label(&operation.method);
        for status in openapi::statuses(route.template, operation) {
            // Where nobody needs a token, nobody lacks one, and where nobody counts, nobody calls too often.
            let can_be = match status {
                401 => match operation.access {
                    Access::Storefront => config.api_tokens.is_some(),
                    Access::Metrics => config.metrics_access != MetricsAccess::Anyone,
                    Access::Operators | Access::Anyone => true,
                },
                429 => config.quotas.are_set(),
                _ => true,
            };
            if can_be {
                requests.preset(index, method, status);
            }
        }
        requests.preset(index, method, service::CALLER_GONE);
    }
    requests
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was killed must be able to come back to its port at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Accepts connections for ever, `most` at a time.
async fn accept(listener: &TcpListener, kind: Listener, most: usize, shared: &Arc<Shared>, stop: &watch::Sender<()>) {
    let room = Arc::new(Semaphore::new(most));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                    #[cfg(target_os = "linux")]
                    super::memory::fit_to(most - room.available_permits());
                    let (shared, stop) = (Arc::clone(shared), stop.subscribe());
                    let open = Open::new(&shared.config.metrics.http, permit);
                    tokio::spawn(async move {
                        connection::serve(stream, peer, kind, shared, stop).await;
                        drop(open);
                    });
                    continue;
                }
                shared.config.metrics.http.cut.of(ConnectionCut::OverLimit).inc();
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        // Whoever does not listen for so long is left.
                        let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                        drop(permit);
                    });
                }
            }
            // The connection broke before it was accepted: that is its end, not ours.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells a client that there is no room for its connection, in the one answer that needs no parser. An HTTP/2
/// client cannot read it; it sees the connection end.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; 2048];
    // An answer to nothing would be a breach of the protocol.
    stream.readable().await?;
    stream.write_all(&service::no_room()).await?;
    stream.shutdown().await?;
    // What is not read here would make the kernel take the answer back.
    loop {
        stream.readable().await?;
        match stream.try_read(&mut request) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Counts a connection as open, and takes up its room, as long as it lives.
struct Open {
    gauge: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(metrics: &HttpMetrics, permit: OwnedSemaphorePermit) -> Self {
        metrics.connections.inc();
        Self { gauge: metrics.connections.clone(), _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_one_connection_is_not_waited_for() {
        assert!(is_of_one_connection(&io::Error::from(io::ErrorKind::ConnectionAborted)));
        // EMFILE: out of file descriptors.
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(24)));
    }
}
