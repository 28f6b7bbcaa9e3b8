//! Listeners and connections: accepts, keeps alive, drains.
//!
//! HTTP/1.1, and HTTP/2 without TLS for clients that begin with it. What does not belong here: what a
//! request means (`service.rs`). No error of a connection, and none of accepting one, ends the server.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Config;
use super::access::Access;
use super::docs::Docs;
use super::routes::{Listener, Routes, UNMATCHED};
use super::{openapi, service};
use crate::engine::Engine;
use crate::telemetry::labels::HttpMethod;
use crate::telemetry::{HttpMetrics, RequestMetrics};

/// Connections that may wait to be accepted; a sale begins with all of them at once.
const BACKLOG: u32 = 4096;

/// How long a connection may be silent between requests, and how long the head of one may take. Longer
/// than the 60 seconds after which load balancers drop theirs, so that they do so first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long the first request of a connection may take to arrive.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before accepting again when the machine is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// What all requests share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) routes: Routes,
    pub(super) docs: Docs,
    /// Where requests are counted, by the position of their route.
    pub(super) requests: RequestMetrics,
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
        let (engine, draining) = (OnceLock::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { config, routes, docs: Docs::new(), requests, engine, draining });
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
        let graceful = GracefulShutdown::new();
        // Health checks are answered to the very end.
        let ops_task = ops.map(|ops| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let unwatched = GracefulShutdown::new();
                accept(&ops, Listener::Ops, &shared, &unwatched).await;
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
            () = accept(&api, Listener::Api, &shared, &graceful) => {}
        }
        drop(api);
        let in_flight = graceful.count();
        if tokio::time::timeout(shared.config.drain, graceful.shutdown()).await.is_err() {
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
            // Where nobody needs a token, nobody lacks one.
            let needs_token = operation.access != Access::Storefront || config.api_tokens.is_some();
            if status != 401 || needs_token {
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

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, kind: Listener, shared: &Arc<Shared>, graceful: &GracefulShutdown) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                tokio::spawn(serve_connection(stream, kind, Arc::clone(shared), graceful.watcher()));
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

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn serve_connection(stream: TcpStream, kind: Listener, shared: Arc<Shared>, watcher: Watcher) {
    // An answer is one small packet: waiting to fill it up would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is over before it began");
        return;
    }
    let _open = Open::new(&shared.config.metrics.http);
    let spoken = Arc::new(AtomicBool::new(false));
    let service = {
        let spoken = Arc::clone(&spoken);
        service_fn(move |request| {
            spoken.store(true, Ordering::Relaxed);
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(service::answer(shared, kind, request).await) }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HTTP2_PING_INTERVAL);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut connection = std::pin::pin!(watcher.watch(connection));
    // Before the first request it is not even known which version of HTTP this is, and nothing else
    // looks at the clock.
    let ended = match tokio::time::timeout(FIRST_REQUEST_TIMEOUT, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) if !spoken.load(Ordering::Relaxed) => return,
        Err(_) => connection.await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Counts a connection as open as long as it lives.
struct Open(IntGauge);

impl Open {
    fn new(metrics: &HttpMetrics) -> Self {
        metrics.connections.inc();
        Self(metrics.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
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
