//! The clients of the scenarios, against servers that answer badly or not at all: what they take down is what
//! they surely know, and nothing is sent twice.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use goose::config::GooseConfiguration;
use goose::goose::GooseUser;
use holdfast_loadtest::api::{Call, Lose, Requests, Secrets, Shop, shopper_client};
use holdfast_loadtest::history::{
    self, Header, Key, Limits, Operation, Outcome, Record, Recorder, ScenarioName, Why, Writing,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HOLD: Operation = Operation::PlaceHold { product: 1, quantity: 2, key: Key(7) };
const PLACED: &str = r#"{"hold_id":5,"expires_at":"2025-12-02T01:00:00Z"}"#;

const LIMITS: Limits = Limits { hold_ttl_seconds: 2, payment_window_seconds: 5, max_qty_per_hold: 1000 };

/// How long clients of servers that answer wait: longer than any test takes.
const PATIENT: Duration = Duration::from_mins(1);

/// A shop, and the history that its clients write.
struct Place {
    folder: tempfile::TempDir,
    recorder: Recorder,
    writing: Writing,
    shop: Shop,
    url: String,
}

impl Place {
    fn new(url: String, timeout: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let began = Instant::now();
        let (recorder, writing) =
            Recorder::begin(&path(folder.path()), &Header::bare(LIMITS), began).expect("a history");
        let requests = Requests::new(&url, "run", &Arc::new(Secrets::default())).expect("a server");
        let shop =
            Shop::new(recorder.clone(), ScenarioName::Retries, Arc::new(requests), timeout).expect("no TLS is needed");
        Self { folder, recorder, writing, shop, url }
    }

    /// Calls once, as goose's users do.
    async fn call_by_goose(&self, operation: Operation) -> Outcome {
        let configuration = GooseConfiguration::parse_args_default(&["--host", &self.url]).expect("a configuration");
        let mut user = GooseUser::single(self.url.parse().expect("a URL"), &configuration).expect("a user");
        user.set_client_builder(shopper_client(self.shop.timeout())).await.expect("a client");
        let mut shopper = self.shop.shopper();
        shopper.with(&mut user).call(operation).await
    }

    /// What was taken down, in the order of time.
    fn records(self) -> Vec<Record> {
        let Self { folder, recorder, writing, shop, .. } = self;
        drop(shop);
        recorder.end();
        writing.wait().expect("a history");
        let mut records = history::read(&path(folder.path())).expect("a history").records;
        records.sort_by_key(|record| record.invoked);
        records
    }
}

fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("history.jsonl")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one request, head and body.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        read.push(byte[0]);
        if let Some(head) = read.strip_suffix(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(head).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.ok()?;
            return Some(format!("{head}\n{}", String::from_utf8_lossy(&body)));
        }
    }
}

/// A server that answers each request of each connection with `bytes`, then closes if `close`. Returns how many
/// requests came when it is stopped by dropping its listener's task.
fn serve(listener: TcpListener, bytes: Vec<u8>, close: bool) -> Arc<std::sync::atomic::AtomicUsize> {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (bytes, counted) = (bytes.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                while request(&mut stream).await.is_some() {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if stream.write_all(&bytes).await.is_err() || close {
                        break;
                    }
                }
            });
        }
    });
    count
}

fn unknown(why: Why, status: Option<u16>) -> Outcome {
    Outcome::Unknown { why, status }
}

#[tokio::test]
async fn bad_answers_are_taken_down_as_unknown_and_never_sent_again() {
    let page = "<html><h1>502 Bad Gateway</h1></html>";
    let elsewhere = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /api/holds\r\ncontent-length: 0\r\n\r\n".to_vec();
    let whole = answer("201 Created", PLACED);
    let half = whole[..whole.len() - 10].to_vec();
    let rows: [(&str, Vec<u8>, Outcome); 6] = [
        ("a gateway's page", answer("502 Bad Gateway", page), unknown(Why::Undocumented, Some(502))),
        ("a redirect", elsewhere, unknown(Why::Undocumented, Some(307))),
        ("another body", answer("201 Created", "{}"), unknown(Why::Undocumented, Some(201))),
        ("half an answer", half, unknown(Why::Cut, None)),
        ("no answer", Vec::new(), unknown(Why::Cut, None)),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), unknown(Why::Cut, None)),
    ];
    for (name, bytes, expected) in rows {
        let (listener, url) = listen().await;
        let count = serve(listener, bytes, true);
        let place = Place::new(url, PATIENT);
        assert_eq!(place.shop.caller().call(HOLD).await, expected, "{name}");
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1, "{name}");
        assert_eq!(place.call_by_goose(HOLD).await, expected, "{name}, by goose");
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2, "{name}, by goose");
        assert_eq!(place.shop.book().unresolved(), [HOLD], "{name}");
        let records = place.records();
        assert_eq!(records.len(), 2, "{name}");
        for record in records {
            assert_eq!((record.operation, record.outcome), (HOLD, expected.clone()), "{name}");
            assert!(record.invoked <= record.ended);
        }
    }
}

#[tokio::test]
async fn a_good_answer_is_read_on_a_connection_that_is_kept() {
    let (listener, url) = listen().await;
    let place = Place::new(url, PATIENT);
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        for replayed in ["", "idempotent-replayed: true\r\n"] {
            let request = request(&mut stream).await.expect("a request");
            assert!(request.contains("idempotency-key: run-7"), "{request}");
            assert!(request.ends_with(r#"{"product_id":1,"qty":2}"#), "{request}");
            let head = format!("HTTP/1.1 201 Created\r\n{replayed}content-length: {}\r\n\r\n", PLACED.len());
            stream.write_all(format!("{head}{PLACED}").as_bytes()).await.expect("sent");
        }
    });
    let mut caller = place.shop.caller();
    let first = caller.call(HOLD).await;
    assert!(matches!(first, Outcome::Held { hold: 5, replayed: false, .. }), "{first:?}");
    let second = caller.call(HOLD).await;
    assert!(matches!(second, Outcome::Held { hold: 5, replayed: true, .. }), "{second:?}");
    served.await.expect("both came on one connection");
    assert_eq!(place.shop.book().left().holds, [5]);
}

#[tokio::test]
async fn a_client_that_cannot_connect_has_sent_nothing() {
    let (listener, url) = listen().await;
    drop(listener);
    let place = Place::new(url, PATIENT);
    assert_eq!(place.shop.caller().call(HOLD).await, unknown(Why::NotSent, None));
    assert_eq!(place.call_by_goose(HOLD).await, unknown(Why::NotSent, None));
    let lost = place.shop.caller().call_and_lose(HOLD, Lose::InAnswer).await;
    assert_eq!(lost, unknown(Why::NotSent, None));
    assert!(place.shop.book().unresolved().is_empty());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_as_long_as_was_said() {
    let (listener, url) = listen().await;
    // Connections are made by the system; nobody ever reads from them.
    let place = Place::new(url, Duration::from_millis(100));
    assert_eq!(place.shop.caller().call(HOLD).await, unknown(Why::TimedOut, None));
    assert_eq!(place.call_by_goose(HOLD).await, unknown(Why::TimedOut, None));
    drop(listener);
    assert_eq!(place.shop.book().unresolved(), [HOLD]);
}

#[tokio::test]
async fn a_request_that_is_dropped_half_way_is_taken_down_as_lost() {
    let (listener, url) = listen().await;
    let place = Place::new(url, PATIENT);
    let mut caller = place.shop.caller();
    tokio::select! {
        outcome = caller.call(HOLD) => panic!("nobody answers: {outcome:?}"),
        read = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            request(&mut stream).await
        } => assert!(read.is_some()),
    }
    drop(caller);
    assert_eq!(place.shop.book().unresolved(), [HOLD]);
    let records = place.records();
    assert_eq!(records.iter().map(|record| &record.outcome).collect::<Vec<_>>(), [&unknown(Why::Lost, None)]);
}

#[tokio::test]
async fn an_answer_is_lost_after_the_whole_request_went_out() {
    for lose in [Lose::After(Duration::ZERO), Lose::InAnswer, Lose::HalfClosed] {
        let (listener, url) = listen().await;
        let place = Place::new(url, PATIENT);
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let request = request(&mut stream).await.expect("a whole request");
            // The client may be gone by now.
            let _ = stream.write_all(&answer("201 Created", PLACED)).await;
            request
        });
        assert_eq!(place.shop.caller().call_and_lose(HOLD, lose).await, unknown(Why::Lost, None), "{lose:?}");
        let request = served.await.expect("a request");
        assert!(request.starts_with("post /api/holds http/1.1"), "{request}");
        assert!(request.ends_with(r#"{"product_id":1,"qty":2}"#), "{request}");
    }
}

#[tokio::test]
async fn settling_goes_on_until_the_outcome_is_known() {
    let (listener, url) = listen().await;
    let place = Place::new(url, PATIENT);
    let served = tokio::spawn(async move {
        let overloaded = answer("503 Service Unavailable", r#"{"error":"later","code":"overloaded"}"#);
        let answers = [Vec::new(), answer("502 Bad Gateway", "?"), overloaded, answer("201 Created", PLACED)];
        for bytes in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            request(&mut stream).await.expect("a request");
            stream.write_all(&bytes).await.expect("sent");
        }
    });
    let until = tokio::time::Instant::now() + PATIENT;
    let outcome = place.shop.caller().settle(HOLD, until).await;
    assert!(matches!(outcome, Outcome::Held { hold: 5, .. }), "{outcome:?}");
    served.await.expect("four requests, each on a connection of its own");
    assert!(place.shop.book().unresolved().is_empty());
    assert_eq!(place.records().len(), 4);
}
