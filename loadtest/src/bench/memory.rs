//! The server's memory: idle, with thousands of idle connections, and at its peak.
//!
//! What does not belong here: whether that is much.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use super::results::{MemoryReading, Results};
use super::rounds::{self, Hands};
use super::row::Row;
use super::stage::PLENTY;
use super::usage::Memory;
use super::wrk::Load;
use super::{BenchError, Say};

/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 200;
/// Connections to the server besides the idle ones, at most.
const MORE_CONNECTIONS: u32 = 2_000;
/// How long the load of the peak goes on.
const LOAD: Duration = Duration::from_secs(5);

/// Measures it on a server of its own, and takes it down.
///
/// # Errors
/// If the server does not start, or takes no connection.
pub(super) async fn measure(hands: &Hands<'_>, results: &mut Results) -> Result<(), BenchError> {
    hands.go_on()?;
    let idle_connections = hands.settings.idle_connections;
    allow_files(u64::from(idle_connections) + OTHER_FILES, hands.say);
    // Beside them are those of the operator and of the load.
    let most = (idle_connections + MORE_CONNECTIONS).to_string();
    let station = hands.servers.start(hands.databases.fresh().await?, &[("MAX_CONNECTIONS", &most)]).await?;
    let product = station.add_product("hot", PLENTY).await?;
    let read = || {
        Memory::of(station.process_id()).ok_or(BenchError::Unreadable { what: "the memory of the server from /proc" })
    };
    let idle_bytes = read()?.resident_bytes;
    // They stay open until they are dropped.
    let open = open(&station.url(), product, idle_connections).await?;
    let with_idle_connections_bytes = read()?.resident_bytes;
    drop(open);
    let peak_connections = hands.settings.connections.last().copied().unwrap_or(1);
    hands
        .wrk
        .run(&station.url(), &Load::Holds { product }, peak_connections, LOAD.min(hands.settings.cell * 3))
        .await?;
    let peak_bytes = read()?.peak_bytes;
    (hands.say)(&format!("{}: {} measured", hands.databases.kind.name(), Row::Memory.name()));
    rounds::audit(hands, &station, results).await?;
    station.end().await?;
    results.memory =
        Some(MemoryReading { idle_bytes, idle_connections, with_idle_connections_bytes, peak_bytes, peak_connections });
    Ok(())
}

/// Opens connections, and lets each make one request, so that it has all that an idle connection keeps.
async fn open(url: &str, product: u64, count: u32) -> Result<Vec<SendRequest<Full<Bytes>>>, BenchError> {
    let address = url.trim_start_matches("http://");
    let failed = |error: &dyn std::fmt::Display| BenchError::Connection { what: error.to_string() };
    let mut open = Vec::new();
    for _ in 0..count {
        let mut sender = connect(address).await.map_err(|error| failed(&error))?;
        let request =
            http::Request::get(format!("/api/products/{product}")).header(HOST, address).body(Full::default());
        let answer =
            sender.send_request(request.map_err(|error| failed(&error))?).await.map_err(|error| failed(&error))?;
        answer.into_body().collect().await.map_err(|error| failed(&error))?;
        open.push(sender);
    }
    Ok(open)
}

/// A connection to the server at `address`.
async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with an error where the answer does.
    tokio::spawn(connection);
    Ok(sender)
}

/// Raises this process's limit of open files, which its children inherit, as far as it may be raised.
fn allow_files(files: u64, say: &Say<'_>) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return;
    }
    let allowed = limit.maximum.map_or(files, |maximum| maximum.min(files));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum });
    if raised.is_err() || allowed < files {
        say(&format!("a process may have {allowed} files open, and {files} are needed: raise `ulimit -n`"));
    }
}
