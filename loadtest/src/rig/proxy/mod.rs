//! A proxy between a server and its database that fails when it is told to.
//!
//! Faults come by condition, never by time: now, after so many bytes, or at the next statement that
//! contains a text, before it, after it, or within its answer. So a test knows what has happened
//! when the connection is lost.
//!
//! What does not belong here: knowledge of statements beyond their text. Connections with TLS pass,
//! but no statement can be seen in them.

mod connection;
mod slow;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::RigError;

/// One of the two ways through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream server.
    ToServer,
    /// Back.
    ToClient,
}

/// How far a statement gets before its connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// It never reaches the server.
    BeforeQuery,
    /// The first so many bytes of its packet reach the server; all of them are as [`Point::AfterQuery`].
    WithinQuery {
        /// How many bytes of the packet the server hears.
        bytes_passed: usize,
    },
    /// It reaches the server whole. Whether the server carries it out before it notices the fault is
    /// up to the server; nothing of the answer is passed on.
    AfterQuery,
    /// The server has carried it out and answered; the first so many bytes of the answer are passed on.
    /// Not for prepared statements.
    AfterAnswer {
        /// How many bytes of the answer the client hears.
        bytes_passed: usize,
    },
}

/// What happens to the connection then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Both sides are closed.
    Cut,
    /// Both sides stay open, and nothing passes any more: neither can know.
    Silence,
}

/// How far a fault that struck let through the packet, or the answer, that it was armed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// How many bytes passed.
    pub bytes_passed: usize,
    /// How many there were.
    pub bytes: usize,
}

/// A fault that waits for its statement.
#[derive(Clone, Debug)]
struct QueryFault {
    which: Which,
    point: Point,
    effect: Effect,
}

/// The statement that a fault waits for.
#[derive(Clone, Debug)]
enum Which {
    /// The next that contains this text, which is in lower case.
    With(Vec<u8>),
    /// The one before which so many others pass.
    After(usize),
}

/// What the connections look at before they pass something on.
#[derive(Debug, Default)]
struct Faults {
    refuse: bool,
    delay: Duration,
    /// Bytes that may still pass, for each direction.
    left_to_server: Option<usize>,
    left_to_client: Option<usize>,
    query: Option<QueryFault>,
    slow: Option<slow::Slow>,
    last_strike: Option<Strike>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    /// Whether the bytes are packets of MySQL's protocol.
    mysql: bool,
    faults: Mutex<Faults>,
    frozen: watch::Sender<bool>,
    /// Goes up by one to cut all connections that are open.
    cuts: watch::Sender<u64>,
    /// How many armed faults have struck.
    struck: watch::Sender<u64>,
    /// How many connections are open.
    open: watch::Sender<usize>,
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, strike: Strike) {
        self.faults().last_strike = Some(strike);
        self.struck.send_modify(|count| *count += 1);
    }
}

/// A running proxy, and the handle that controls it. Dropping it closes all of its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy for any protocol: it sees bytes only.
    ///
    /// # Errors
    /// If there is no port to be had.
    pub async fn tcp(upstream: &str) -> Result<Self, RigError> {
        Self::start(upstream, false).await
    }

    /// A proxy for MySQL's protocol: it sees statements too.
    ///
    /// # Errors
    /// If there is no port to be had.
    pub async fn mysql(upstream: &str) -> Result<Self, RigError> {
        Self::start(upstream, true).await
    }

    async fn start(upstream: &str, mysql: bool) -> Result<Self, RigError> {
        let failed = || RigError::system("listen");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mysql,
            faults: Mutex::default(),
            frozen: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            struck: watch::Sender::new(0),
            open: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes all connections, now. New ones are welcome.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse(&self, refuse: bool) {
        self.shared.faults().refuse = refuse;
    }

    /// Stays open, accepts, and passes nothing on, until [`Proxy::thaw`].
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Passes on again, with what has waited.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// Passes each packet on only after `delay`, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.shared.faults().delay = delay;
    }

    /// Lets `bytes` more pass in one direction, over all connections, then cuts the one that would pass
    /// the next. Once.
    pub fn cut_after(&self, direction: Direction, bytes: usize) {
        let mut faults = self.shared.faults();
        match direction {
            Direction::ToServer => faults.left_to_server = Some(bytes),
            Direction::ToClient => faults.left_to_client = Some(bytes),
        }
    }

    /// Fails the connection that sends the next statement which contains `text`, in whatever case. Once.
    pub fn on_query(&self, text: &str, point: Point, effect: Effect) {
        let which = Which::With(text.to_ascii_lowercase().into_bytes());
        self.shared.faults().query = Some(QueryFault { which, point, effect });
    }

    /// Fails the connection that sends a statement once `others` more have passed, on whatever connections. Once.
    /// A packet of several statements counts as one.
    pub fn after_statements(&self, others: usize, point: Point, effect: Effect) {
        self.shared.faults().query = Some(QueryFault { which: Which::After(others), point, effect });
    }

    /// As [`Proxy::on_query`] with `COMMIT`.
    pub fn on_commit(&self, point: Point, effect: Effect) {
        self.on_query("commit", point, effect);
    }

    /// Forgets the faults that have not struck, and the delays, and accepts and passes on as at first.
    pub fn heal(&self) {
        *self.shared.faults() = Faults::default();
        self.thaw();
    }

    /// How many more statements pass before the fault of [`Proxy::after_statements`] strikes; `None` if none waits.
    pub fn statements_left(&self) -> Option<usize> {
        match self.shared.faults().query.as_ref()?.which {
            Which::After(others) => Some(others),
            Which::With(_) => None,
        }
    }

    /// What the last armed fault that has struck let through.
    pub fn last_strike(&self) -> Option<Strike> {
        self.shared.faults().last_strike
    }

    /// How many armed faults ([`Proxy::cut_after`], [`Proxy::on_query`], [`Proxy::after_statements`]) have struck
    /// so far.
    pub fn struck(&self) -> u64 {
        *self.shared.struck.borrow()
    }

    /// Waits until `count` armed faults have struck, since the proxy was started.
    pub async fn wait_until_struck(&self, count: u64) {
        let mut struck = self.shared.struck.subscribe();
        // The sender lives in `self`.
        let _ = struck.wait_for(|struck| *struck >= count).await;
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        *self.shared.open.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections are tasks of this task, and end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if !shared.faults().refuse {
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    shared.open.send_modify(|open| *open += 1);
    let mut cuts = shared.cuts.subscribe();
    tokio::select! {
        () = connection::pass(client, &shared) => {}
        _ = cuts.changed() => {}
    }
    shared.open.send_modify(|open| *open -= 1);
}
