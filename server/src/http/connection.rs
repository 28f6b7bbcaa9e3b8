//! One connection, from its first byte to its last: what it may cost, and when it is given up.
//!
//! Between requests a connection may be silent for the idle time-out, and for half a minute before the first. Once a
//! head has begun to come, all of it must have come within the time of a request, which a client that sends a byte now and then
//! cannot put off; the body has the time of the request itself (`request.rs`). HTTP/2 has frames that belong to no
//! request, so there only the silence counts. A connection that waits costs a task, a timer, and no buffer.
//! What does not belong here: how many connections there may be (`server.rs`), and what a request means (`service.rs`).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::activity::{Activity, Look, Patience};
use super::client::Client;
use super::routes::Listener;
use super::server::Shared;
use super::service;
use super::wakes::Woken;

/// How long the first request of a connection may be waited for, if the idle time-out is not shorter. Browsers and
/// load balancers open connections before they need them.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an HTTP/2 client has to close a connection that it was told is over.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// The longest head of a request, as both versions of HTTP count it: more than the cookies and tokens of honest
/// clients need. HTTP/1 refuses more than 100 header lines, too, which is hyper's own limit.
const MAX_HEAD_BYTES: u16 = 16 * 1024;

/// Requests at once on one HTTP/2 connection: a storefront may well have one connection only, and a request takes
/// milliseconds.
const HTTP2_STREAMS: u32 = 200;

/// What HTTP/2 clients may send before it is read: bodies have 16 KiB, and clients must be able to finish one that is too long.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What is kept of an answer that an HTTP/2 client does not read.
const HTTP2_SEND_BYTES: usize = 64 * 1024;

/// Requests that an HTTP/2 client may take back before they were looked at, and those that it may break by errors:
/// past these the connection is over, since a client that does this costs more than it may ask ("rapid reset").
const HTTP2_RESETS: usize = 20;
const HTTP2_BROKEN_STREAMS: usize = 100;

/// How often a silent HTTP/2 client is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves a connection until it is over. `stop` says that no further request is wanted.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    listener: Listener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<()>,
) {
    // An answer is one small packet: waiting to fill it up would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is over before it began");
        return;
    }
    let client = Arc::new(Client { shared, listener, address: peer.ip(), activity: Activity::new() });
    let Client { shared, activity, .. } = &*client;
    let patience = Patience {
        head: shared.config.request_timeout,
        idle: shared.config.idle_timeout,
        first: shared.config.idle_timeout.min(FIRST_REQUEST_TIMEOUT),
    };
    let service = {
        let client = Arc::clone(&client);
        service_fn(move |request| service::answer(Arc::clone(&client), request).map(Ok::<_, Infallible>))
    };
    let builder = builder();
    let io = TokioIo::new(Listened { stream, client: Arc::clone(&client), is_new: true });
    let connection = pin!(builder.serve_connection(io, service));
    let mut connection = Woken::new(connection);
    let mut stopping = pin!(stop.changed());
    let mut next_look = pin!(tokio::time::sleep(patience.head.min(patience.first)));
    let mut is_ending = false;
    let mut is_cut = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            _ = stopping.as_mut(), if !is_ending => {
                is_ending = true;
                connection.stir().as_mut().graceful_shutdown();
            }
            () = next_look.as_mut() => {
                let now = Instant::now();
                match activity.look(now, patience) {
                    _ if is_cut => return,
                    Look::Again(wait) => next_look.as_mut().reset(now + wait),
                    Look::Cut(reason) => {
                        shared.config.metrics.http.cut.of(reason).inc();
                        if !activity.is_http2() {
                            return;
                        }
                        // A request may be on its way: the client must know that it was not looked at.
                        is_cut = true;
                        is_ending = true;
                        connection.stir().as_mut().graceful_shutdown();
                        next_look.as_mut().reset(now + GOODBYE_TIME);
                    }
                }
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // hyper's own time-out of heads begins with the silence before them, and sets a timer for each request.
    builder.http1().header_read_timeout(None).max_buf_size(usize::from(MAX_HEAD_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BYTES)
        .max_header_list_size(u32::from(MAX_HEAD_BYTES))
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_BROKEN_STREAMS);
    builder
}

/// A stream that tells when bytes come.
struct Listened {
    stream: TcpStream,
    client: Arc<Client>,
    is_new: bool,
}

impl AsyncRead for Listened {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            if std::mem::take(&mut self.is_new) {
                // The preface of HTTP/2 begins like no method of HTTP/1 that is served here.
                self.client.activity.set_http2(bytes.starts_with(b"PRI"));
            }
            self.client.activity.hear();
        }
        polled
    }
}

impl AsyncWrite for Listened {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
