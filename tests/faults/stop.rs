//! A server that is asked to end (SIGTERM) while it is under full load.
//!
//! What does not belong here: the drain of a quiet server (`contract`), and servers that are killed (`crash`).
//!
//! A server may close a connection that is idle while a request is on its way to it: nobody can prevent that, and
//! HTTP allows for it. But then it must not have read the request, so that it can be sent again elsewhere; and the
//! client must be told by an end of the connection, not by a reset, which may destroy an answer on its way. On HTTP/2
//! it is told more: which stream is the last that the server has looked at.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use holdfast_test_support::http2::{self, ANY_STREAM, Http2, Said, code};
use holdfast_test_support::{OrFail, Sale, Setup, eventually, for_both, rounds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// More than all rounds can sell.
const STOCK: u64 = 10_000_000;
const CONNECTIONS: usize = 64;
/// HTTP/2 has several requests on one connection.
const HTTP2_CONNECTIONS: usize = 8;
const HTTP2_STREAMS: usize = CONNECTIONS / HTTP2_CONNECTIONS;
/// How many requests are answered before a server is stopped.
const ANSWERED_BEFORE: u64 = 500;
/// What a server may take to finish, in seconds; as is the default.
const DRAIN_SECONDS: u64 = 20;

for_both!(a_stop_under_http1_load_loses_nothing, a_stop_under_http2_load_loses_nothing);

/// What became of the requests of one client, by key.
#[derive(Debug, Default)]
struct Heard {
    placed: BTreeMap<String, Bytes>,
    /// No answer at all, and the server says that it has not looked at the request.
    unanswered: Vec<String>,
    /// Whatever a server that stops must not do.
    broken: Vec<String>,
}

impl Heard {
    fn extend(&mut self, other: Self) {
        self.placed.extend(other.placed);
        self.unanswered.extend(other.unanswered);
        self.broken.extend(other.broken);
    }
}

async fn a_stop_under_http1_load_loses_nothing(setup: Setup) {
    stop_again_and_again(setup, |server, product, name, answered| {
        let mut clients = JoinSet::new();
        for n in 0..CONNECTIONS {
            clients.spawn(http1_client(server.to_owned(), product, format!("{name}-{n}"), Arc::clone(answered)));
        }
        clients
    })
    .await;
}

async fn a_stop_under_http2_load_loses_nothing(setup: Setup) {
    stop_again_and_again(setup, |server, product, name, answered| {
        let mut clients = JoinSet::new();
        for n in 0..HTTP2_CONNECTIONS {
            clients.spawn(http2_client(server.to_owned(), product, format!("{name}-{n}"), Arc::clone(answered)));
        }
        clients
    })
    .await;
}

async fn stop_again_and_again(setup: Setup, load: impl Fn(&str, u64, &str, &Arc<AtomicU64>) -> JoinSet<Heard>) {
    let mut sale = setup.setting("HOLD_TTL_SECONDS", "3600").setting("DRAIN_SECONDS", &DRAIN_SECONDS).start().await;
    let product = sale.product(STOCK).await;
    let (mut placed, mut unanswered) = (0, 0);
    for round in 0..rounds(3, 20) {
        let answered = Arc::new(AtomicU64::new(0));
        let clients = load(sale.server.address(), product, &format!("r{round}"), &answered);
        eventually("the server is under load", async || match answered.load(Ordering::Relaxed) {
            count if count >= ANSWERED_BEFORE => Ok(()),
            count => Err(count),
        })
        .await;
        let asked = Instant::now();
        sale.server.begin_to_terminate().or_fail();
        let status = sale.server.wait().await.or_fail();
        let took = asked.elapsed();
        assert_eq!(status.code(), Some(0), "{}", sale.server.log().text());
        // A drain in time is told from one that was cut short by its own word, whatever the machine's pace.
        for cut_short in ["the drain time is over", "the engine did not finish in time"] {
            assert!(!sale.server.log().contains(cut_short), "{}", sale.server.log().text());
        }
        let mut heard = Heard::default();
        for known in clients.join_all().await {
            heard.extend(known);
        }
        assert!(heard.broken.is_empty(), "round {round}: {:?}", heard.broken);
        sale.server.restart().await.or_fail();
        check(&sale, product, &heard, placed).await;
        placed += heard.placed.len();
        unanswered += heard.unanswered.len();
        eprintln!("round {round}: ended after {} ms, {} answered", took.as_millis(), heard.placed.len());
    }
    eprintln!("{placed} holds answered, all there; {unanswered} requests closed unread, none of them carried out");
    sale.assert_audit_passes().await;
}

/// Fails unless all that was answered is there, and nothing else.
async fn check(sale: &Sale, product: u64, heard: &Heard, before: usize) {
    let keys = format!("SELECT idempotency_key, id FROM holds WHERE product_id = {product}");
    let rows = sale.database.rows(&keys).await.or_fail();
    let there: BTreeMap<String, String> =
        rows.into_iter().filter_map(|row| Some((row[0].clone()?, row[1].clone()?))).collect();
    for (key, body) in &heard.placed {
        let answer: serde_json::Value = serde_json::from_slice(body).or_fail();
        assert_eq!(there.get(key), Some(&answer["hold_id"].to_string()), "{key} was acknowledged");
    }
    for key in &heard.unanswered {
        assert!(!there.contains_key(key), "{key} was carried out, and its connection was closed unanswered");
    }
    assert_eq!(there.len(), before + heard.placed.len(), "there are holds that nobody was told of");
}

/// Places one hold after the other until the connection, or the server, is gone.
async fn http1_client(server: String, product: u64, name: String, answered: Arc<AtomicU64>) -> Heard {
    let mut heard = Heard::default();
    let mut step = 0;
    // A server that stops accepts no more.
    while let Ok(stream) = TcpStream::connect(&server).await {
        let mut connection = Http1 { stream, unread: Vec::new() };
        loop {
            step += 1;
            let key = format!("{name}-{step}");
            match connection.exchange(product, &key).await {
                Exchange::Answered { status: 201, body, closes } => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    heard.placed.insert(key, body);
                    if closes {
                        break;
                    }
                }
                Exchange::Answered { status: 503, .. } | Exchange::Closed => {
                    heard.unanswered.push(key);
                    break;
                }
                Exchange::Answered { status, body, .. } => {
                    heard.broken.push(format!("{key}: {status} {}", String::from_utf8_lossy(&body)));
                    return heard;
                }
                Exchange::Broken(what) => {
                    heard.broken.push(format!("{key}: {what}"));
                    return heard;
                }
            }
        }
    }
    heard
}

/// Places several holds at a time on one connection until that is over. A stream is answered whole, or the server says that it
/// has not looked at it.
async fn http2_client(server: String, product: u64, name: String, answered: Arc<AtomicU64>) -> Heard {
    let mut connection = Http2::open(&server).await.or_fail();
    let mut heard = Heard::default();
    // The key of each stream, and what has come of its answer.
    let mut open: BTreeMap<u32, (String, Vec<u8>)> = BTreeMap::new();
    let (mut next_stream, mut last_stream, mut is_taken) = (1, ANY_STREAM, true);
    loop {
        // To the last moment, as a client does that has not yet read that it should not.
        while is_taken && last_stream == ANY_STREAM && open.len() < HTTP2_STREAMS {
            let key = format!("{name}-{next_stream}");
            let request = http2_hold(next_stream, product, &key);
            open.insert(next_stream, (key, Vec::new()));
            next_stream += 2;
            // What was said before is still to be read.
            is_taken = connection.send(&request).await.is_ok();
        }
        let ended = match connection.next().await {
            Ok(Some(Said::Head { stream, ends, .. })) => ends.then_some(stream),
            Ok(Some(Said::Body { stream, ends, bytes })) => {
                if let Some((_, body)) = open.get_mut(&stream) {
                    body.extend(bytes);
                }
                ends.then_some(stream)
            }
            Ok(Some(Said::Reset { stream, code })) => {
                if let Some((key, _)) = open.remove(&stream) {
                    match code {
                        code::REFUSED_STREAM => heard.unanswered.push(key),
                        code => heard.broken.push(format!("{key}: reset with the code {code}")),
                    }
                }
                None
            }
            Ok(Some(Said::GoAway { last_stream: last, code })) => {
                if code != code::NO_ERROR || last > last_stream {
                    heard.broken.push(format!("{name}: told to leave with the code {code}, up to stream {last}"));
                }
                last_stream = last_stream.min(last);
                let not_looked_at = open.split_off(&last_stream.saturating_add(1));
                heard.unanswered.extend(not_looked_at.into_values().map(|(key, _)| key));
                None
            }
            Ok(Some(Said::Settings(_))) => None,
            end => {
                for (stream, (key, _)) in open {
                    heard.broken.push(format!("{key}: stream {stream} of {last_stream} was left, {end:?}"));
                }
                if let Err(error) = end {
                    heard.broken.push(format!("{name}: the connection was not closed, but broken: {error}"));
                }
                break;
            }
        };
        if let Some((key, body)) = ended.and_then(|stream| open.remove(&stream)) {
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            if said["hold_id"].is_u64() {
                answered.fetch_add(1, Ordering::Relaxed);
                heard.placed.insert(key, body.into());
            } else if ["overloaded", "database_unavailable"].iter().any(|code| said["code"] == *code) {
                heard.unanswered.push(key);
            } else {
                heard.broken.push(format!("{key}: {}", String::from_utf8_lossy(&body)));
            }
        }
    }
    // Who comes later is not let in.
    match TcpStream::connect(&server).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        other => heard.broken.push(format!("{name}: a new connection: {other:?}")),
    }
    heard
}

fn http2_hold(stream: u32, product: u64, key: &str) -> Vec<u8> {
    let mut fields = http2::fields("POST", "/api/holds");
    fields.extend([("content-type", "application/json"), ("idempotency-key", key)]);
    let body = format!(r#"{{"product_id":{product},"qty":1}}"#);
    [http2::head(stream, &fields, false), http2::body(stream, body.as_bytes(), true)].concat()
}

/// A connection of HTTP/1.1, byte by byte, so that an end is told from a reset.
struct Http1 {
    stream: TcpStream,
    unread: Vec<u8>,
}

enum Exchange {
    Answered {
        status: u16,
        body: Bytes,
        closes: bool,
    },
    /// Closed before the first byte of an answer.
    Closed,
    Broken(String),
}

impl Http1 {
    async fn exchange(&mut self, product: u64, key: &str) -> Exchange {
        let body = format!(r#"{{"product_id":{product},"qty":1}}"#);
        let request = format!(
            "POST /api/holds HTTP/1.1\r\nhost: holdfast\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if let Err(error) = self.stream.write_all(request.as_bytes()).await {
            return Exchange::Broken(format!("while it was sent: {error}"));
        }
        loop {
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) if self.unread.is_empty() => return Exchange::Closed,
                Ok(0) => return Exchange::Broken("the answer ends in the middle".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Exchange::Broken(format!("reset after {} bytes of the answer", self.unread.len()));
                }
                Err(error) => return Exchange::Broken(error.to_string()),
            }
        }
    }

    /// The answer that has come, if it has come whole.
    fn take_answer(&mut self) -> Option<Exchange> {
        const END: &[u8] = b"\r\n\r\n";
        let head = self.unread.windows(END.len()).position(|window| window == END)? + END.len();
        let text = String::from_utf8_lossy(&self.unread[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
        if self.unread.len() < head + length {
            return None;
        }
        let body = Bytes::copy_from_slice(&self.unread[head..head + length]);
        self.unread.drain(..head + length);
        Some(Exchange::Answered { status, body, closes: text.contains("\r\nconnection: close") })
    }
}
