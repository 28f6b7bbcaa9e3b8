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
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::routes::Listener;
use super::server::Shared;
use super::service;
use crate::telemetry::labels::ConnectionCut;

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
    kind: Listener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<()>,
) {
    // An answer is one small packet: waiting to fill it up would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is over before it began");
        return;
    }
    let activity = Arc::new(Activity::new());
    let patience = Patience {
        head: shared.config.request_timeout,
        idle: shared.config.idle_timeout,
        first: shared.config.idle_timeout.min(FIRST_REQUEST_TIMEOUT),
    };
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| {
            let (shared, busy) = (Arc::clone(&shared), Busy::new(Arc::clone(&activity)));
            async move {
                let _busy = busy;
                Ok::<_, Infallible>(service::answer(shared, kind, peer.ip(), request).await)
            }
        })
    };
    let builder = builder();
    let io = TokioIo::new(Listened { stream, activity: Arc::clone(&activity), is_new: true });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stopping = pin!(stop.changed());
    let mut next_look = pin!(tokio::time::sleep(patience.head.min(patience.first)));
    let mut is_ending = false;
    let mut is_cut = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            _ = stopping.as_mut(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = next_look.as_mut() => {
                let now = Instant::now();
                match activity.look(now, patience) {
                    _ if is_cut => return,
                    Look::Again(wait) => next_look.as_mut().reset(now + wait),
                    Look::Cut(reason) => {
                        shared.config.metrics.http.cut.of(reason).inc();
                        if !activity.is_http2.load(Ordering::Relaxed) {
                            return;
                        }
                        // A request may be on its way: the client must know that it was not looked at.
                        is_cut = true;
                        is_ending = true;
                        connection.as_mut().graceful_shutdown();
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

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// From the first byte of a head to its last.
    head: Duration,
    /// From one request to the next.
    idle: Duration,
    /// From the beginning to the first request.
    first: Duration,
}

/// What a look at a connection finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// All is well; look again after this time.
    Again(Duration),
    /// It has been waited for long enough.
    Cut(ConnectionCut),
}

/// What happens on a connection. Times are milliseconds since it was opened.
#[derive(Debug)]
struct Activity {
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
    fn new() -> Self {
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

    /// Bytes came.
    fn hear(&self) {
        if self.requests.load(Ordering::Acquire) == 0 && self.heard_since.load(Ordering::Relaxed) == NOTHING {
            self.heard_since.store(self.millis(Instant::now()), Ordering::Relaxed);
        }
    }

    fn look(&self, now: Instant, patience: Patience) -> Look {
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
        let for_head = if heard_since == NOTHING || self.is_http2.load(Ordering::Relaxed) {
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

/// A request that is being served.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::AcqRel);
        activity.has_served.store(true, Ordering::Relaxed);
        activity.heard_since.store(NOTHING, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.millis(Instant::now()), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream that tells when bytes come.
struct Listened {
    stream: TcpStream,
    activity: Arc<Activity>,
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
                self.activity.is_http2.store(bytes.starts_with(b"PRI"), Ordering::Relaxed);
            }
            self.activity.hear();
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
        activity.is_http2.store(true, Ordering::Relaxed);
        assert_eq!(activity.look(after(0).await, PATIENCE), again(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_waited_for_and_begins_a_new_silence() {
        let activity = Arc::new(Activity::new());
        activity.hear();
        let (one, other) = (Busy::new(Arc::clone(&activity)), Busy::new(Arc::clone(&activity)));
        activity.hear();
        assert_eq!(activity.look(after(100).await, PATIENCE), again(5));
        drop(one);
        assert_eq!(activity.look(after(100).await, PATIENCE), again(5));
        drop(other);
        // What was heard before belonged to the requests.
        assert_eq!(activity.look(after(73).await, PATIENCE), again(2));
        assert_eq!(activity.look(after(2).await, PATIENCE), SILENT);
    }
}
