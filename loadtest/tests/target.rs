//! Servers that others run, as the harness meets them: what it says of those that are not fit, and what it
//! leaves behind on those that are, however badly they answer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holdfast_loadtest::api::{Requests, Secrets};
use holdfast_loadtest::check::Planned;
use holdfast_loadtest::history::{
    Header, History, Key, Limits, Moment, Operation, Outcome, Record, Recorder, ScenarioName, TargetKind, Why,
};
use holdfast_loadtest::rig::database::{Kind, TestDatabase};
use holdfast_loadtest::run::{self, Aim, Finished, Products, RunError, Settings, Silent, Watcher};
use holdfast_loadtest::scenario::Stop;
use holdfast_loadtest::target::{self, Mess, Operator, Private, PrivateDatabase, TargetError};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Longer than any clean-up here takes.
const PATIENT: Duration = Duration::from_mins(1);
const LIMITS: &str = "GET /api/limits";
const LIST: &str = "GET /api/products?limit=1";
const ADD: &str = "POST /api/products";
const EVENT: &str = "POST /api/payments/webhook";

/// What a server remembers: how often each request came, with its last body, and its products on sale.
#[derive(Debug, Default)]
struct Memory {
    asked: BTreeMap<String, usize>,
    bodies: BTreeMap<String, Value>,
    on_sale: BTreeMap<u64, String>,
    made: usize,
}

type Shared = Arc<Mutex<Memory>>;

/// A server that answers `METHOD PATH`, asked for the n-th time, with `answer`, and where that has nothing to say,
/// as one of Holdfast would that has no secrets.
async fn server(answer: impl Fn(&str, usize) -> Option<(u16, Value)> + Send + Sync + 'static) -> (String, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let memory = Shared::default();
    let (answer, shared) = (Arc::new(answer), Arc::clone(&memory));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, shared) = (Arc::clone(&answer), Arc::clone(&shared));
            tokio::spawn(async move {
                let service = service_fn(|request: hyper::Request<Incoming>| {
                    let (answer, shared) = (Arc::clone(&answer), Arc::clone(&shared));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        let what = format!("{} {}", head.method, head.uri);
                        let (status, body) = respond(&mut shared.lock().unwrap(), &what, body, answer.as_ref());
                        let mut response = hyper::Response::new(Full::new(Bytes::from(body.to_string())));
                        *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
                        Ok::<_, Infallible>(response)
                    }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, memory)
}

fn respond(
    memory: &mut Memory,
    what: &str,
    body: Value,
    answer: &impl Fn(&str, usize) -> Option<(u16, Value)>,
) -> (u16, Value) {
    let times = memory.asked.entry(what.to_owned()).or_default();
    *times += 1;
    let said = answer(what, *times);
    if what == ADD {
        memory.made += 1;
        let id = u64::try_from(memory.made).unwrap();
        memory.on_sale.insert(id, body["name"].as_str().unwrap().to_owned());
    }
    memory.bodies.insert(what.to_owned(), body);
    if let Some(said) = said {
        return said;
    }
    if let Some(product) = what.strip_prefix("POST /api/products/").and_then(|rest| rest.strip_suffix("/suspend")) {
        memory.on_sale.remove(&product.parse().unwrap());
        return (200, json!({}));
    }
    let number =
        |name: &str| what.split_once(&format!("{name}=")).and_then(|(_, rest)| rest.split('&').next()?.parse().ok());
    match what {
        LIMITS => {
            (200, json!({"data": {"hold_ttl_seconds": 120, "payment_window_seconds": 900, "max_qty_per_hold": 10}}))
        }
        ADD => {
            let id = memory.made;
            (201, json!({"data": {"id": id, "available_stock": 1, "stock_available": 1, "stock_reserved": 0}}))
        }
        EVENT if memory.bodies[what]["order_id"] == json!((1_u64 << 53) - 1) => (422, json!({})),
        EVENT => (200, json!({"success": true})),
        _ if what.starts_with("GET /api/products?") => {
            // Two at a time at the most, so that there are pages to turn.
            let (after, limit): (u64, usize) = (number("after").unwrap_or(0), 2);
            let rest = memory.on_sale.range(after + 1..);
            let data: Vec<_> = rest.take(limit).map(|(id, name)| json!({"id": id, "name": name})).collect();
            let next = (data.len() == limit).then(|| data[limit - 1]["id"].clone());
            (200, json!({"data": data, "next_after": next}))
        }
        _ if what.starts_with("DELETE ") => (204, Value::Null),
        _ => (404, json!({"code": "not_found"})),
    }
}

fn operator(url: &str) -> Operator {
    Operator::new(url, Arc::default()).unwrap()
}

/// A port that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn settings(folder: &Path, url: &str, products: Products) -> Settings {
    Settings {
        aim: Aim::Host { url: url.to_owned(), secrets: Arc::new(Secrets::default()), products },
        scenarios: vec![ScenarioName::Many],
        quick: true,
        users: 2,
        duration: Duration::from_millis(1),
        ramp: Duration::from_millis(1),
        stock: Some(1),
        seed: 1,
        max_wait: PATIENT,
        request_timeout: PATIENT,
        history: Some(folder.join("history.jsonl")),
        goose_reports: None,
        command: String::new(),
    }
}

/// A run that is stopped before its first scenario.
async fn stopped_run(url: &str, products: Products, watcher: Arc<dyn Watcher>) -> Result<Finished, RunError> {
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::new();
    stop.set();
    run::run(&settings(folder.path(), url, products), &stop, watcher).await
}

fn history(done: Vec<(Operation, Outcome)>) -> History {
    let limits = Limits { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 10 };
    let header = Header { target: TargetKind::Host, ..Header::bare(limits) };
    let records = done.into_iter().map(|(operation, outcome)| Record {
        scenario: ScenarioName::Rush,
        client: 1,
        invoked: Moment(0),
        ended: Moment(1),
        operation,
        outcome,
    });
    History { header, records: records.collect(), marks: Vec::new() }
}

fn held(hold: u64) -> (Operation, Outcome) {
    let operation = Operation::PlaceHold { product: 1, quantity: 1, key: Key(hold) };
    (operation, Outcome::Held { hold, expires_at: 0, replayed: false, body: 0 })
}

fn keys_of_the_end(url: &str) -> Arc<Requests> {
    Arc::new(Requests::new(url, "run-end", &Arc::default()).unwrap())
}

#[tokio::test]
async fn a_hold_that_became_an_order_is_followed_to_it() {
    let redeemed = json!({"error": "redeemed", "code": "hold_already_redeemed", "order_id": 9});
    let (url, memory) = server(move |what, _| (what == "DELETE /api/holds/5").then(|| (409, redeemed.clone()))).await;
    let lost = Outcome::Unknown { why: Why::Cut, status: None };
    let history = history(vec![held(5), held(6), (Operation::PlaceOrder { hold: 5, key: Key(7) }, lost)]);
    let mess = Mess { history: Some(&history), made: &[], prefix: None };
    let cleaned = target::clean_up(&operator(&url), &keys_of_the_end(&url), mess).await;
    assert_eq!((cleaned.holds, cleaned.orders, cleaned.failed), (1, 1, 0), "{cleaned:?}");
    let event = memory.lock().unwrap().bodies[EVENT].clone();
    assert_eq!((event["order_id"].as_u64(), event["status"].as_str()), (Some(9), Some("failure")));
}

#[tokio::test]
async fn what_fails_for_the_moment_is_asked_again() {
    let busy = |what: &str, times| (what.contains("holds") && times < 3).then(|| (429, json!({})));
    let suspending = |what: &str, times| (what.contains("suspend") && times < 2).then(|| (503, json!({})));
    let (url, memory) = server(move |what, times| busy(what, times).or_else(|| suspending(what, times))).await;
    let history = history(vec![held(5)]);
    let mess = Mess { history: Some(&history), made: &[1], prefix: None };
    let cleaned = target::clean_up(&operator(&url), &keys_of_the_end(&url), mess).await;
    assert_eq!((cleaned.holds, cleaned.products, cleaned.failed), (1, 1, 0), "{cleaned:?}");
    assert_eq!(memory.lock().unwrap().asked["DELETE /api/holds/5"], 3);
}

#[tokio::test]
async fn a_clean_up_gives_up_and_says_what_is_left() {
    let url = nobody().await;
    let order = (Operation::PlaceOrder { hold: 8, key: Key(1) }, 9);
    let refused = Outcome::Refused {
        status: 409,
        code: holdfast_loadtest::history::Code::HoldAlreadyRedeemed,
        available: None,
        order: Some(order.1),
    };
    let history = history(vec![held(5), held(6), (order.0, refused)]);
    let mess = Mess { history: Some(&history), made: &[3, 4], prefix: Some("loadtest run ") };
    let patience = Duration::from_millis(300);
    let cleaned = target::clean_up_within(patience, &operator(&url), &keys_of_the_end(&url), mess).await;
    let sorted = |ids: &[u64]| ids.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let left: [Vec<u64>; 3] =
        [sorted(&cleaned.left.products), sorted(&cleaned.left.holds), sorted(&cleaned.left.orders)];
    assert_eq!(left, [vec![3, 4], vec![5, 6], vec![9]]);
    assert_eq!(cleaned.left.unlisted.as_deref(), Some("loadtest run "));
    assert_eq!((cleaned.failed, cleaned.products + cleaned.holds + cleaned.orders), (6, 0));
}

#[tokio::test]
async fn why_no_server_answers_is_said() {
    let error = operator(&nobody().await).wait_for_limits(Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    let (url, _) = server(|_, _| Some((503, json!({"code": "starting"})))).await;
    let error = operator(&url).wait_for_limits(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, TargetError::NoAnswer { .. }), "{error}");
    assert!(error.to_string().contains("503 Service Unavailable") && error.to_string().contains("starting"), "{error}");
}

#[tokio::test]
async fn wrong_secrets_are_found_before_anything_is_made() {
    for (refused, name) in [(LIST, "API_TOKEN"), (EVENT, "WEBHOOK_SECRET")] {
        let (url, memory) = server(move |what, _| (what == refused).then(|| (401, json!({})))).await;
        let error = stopped_run(&url, Products::Own, Arc::new(Silent)).await.unwrap_err();
        assert!(error.to_string().contains(name) && !error.is_unknown(), "{error}");
        assert_eq!(memory.lock().unwrap().made, 0);
    }
}

#[tokio::test]
async fn a_product_that_is_not_there_is_named() {
    let (url, _) = server(|_, _| None).await;
    let given = Products::Given { product: 99_999, sole_stock: None };
    let error = stopped_run(&url, given, Arc::new(Silent)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no product 99999 on this server");
    assert!(!error.is_unknown());
    let (url, _) = server(|what, _| (what == ADD).then(|| (404, json!({})))).await;
    let error = stopped_run(&url, Products::Own, Arc::new(Silent)).await.unwrap_err();
    assert!(error.to_string().contains("ADMIN_TOKEN") && !error.is_unknown(), "{error}");
}

#[tokio::test]
async fn products_that_nobody_knows_of_do_not_stay_on_sale() {
    // The first one is made, but who asked for it does not learn that; the third ends the run.
    let (url, memory) = server(|what, times| match (what, times) {
        (ADD, 1) => Some((503, json!({"code": "outcome_unknown"}))),
        (ADD, 3) => Some((409, json!({}))),
        _ => None,
    })
    .await;
    memory.lock().unwrap().on_sale.insert(1_000, "somebody else's".to_owned());
    let error = stopped_run(&url, Products::Own, Arc::new(Silent)).await.unwrap_err();
    assert!(error.to_string().contains("409") && error.is_unknown(), "{error}");
    let memory = memory.lock().unwrap();
    assert!(memory.made >= 3);
    assert_eq!(memory.on_sale.keys().copied().collect::<Vec<_>>(), [1_000], "{memory:?}");
}

/// A screen that is gone.
struct Gone;

impl Watcher for Gone {
    fn begun(&self, _: &Recorder, _: &Header, _: &[Planned], _: Duration) {
        panic!("this screen is gone");
    }

    fn note(&self, _: &str) {
        panic!("this screen is gone");
    }
}

#[tokio::test]
async fn a_screen_that_is_gone_keeps_nothing_from_being_cleaned_up() {
    let (url, memory) = server(|_, _| None).await;
    let finished = stopped_run(&url, Products::Own, Arc::new(Gone)).await.unwrap();
    let memory = memory.lock().unwrap();
    assert!(memory.made > 0 && memory.on_sale.is_empty(), "{memory:?}");
    assert_eq!(finished.cleaned.map(|cleaned| (cleaned.products, cleaned.failed)), Some((memory.made, 0)));
}

#[tokio::test]
async fn a_database_of_somebody_is_refused_before_a_server_touches_it() {
    let start = async |url: &str| {
        let given = PrivateDatabase::Given(url.to_owned());
        // There is no such program, so whoever gets as far as that fails otherwise.
        Private::start(Path::new("/nowhere/holdfast"), &given, &Secrets::default(), &[]).await.unwrap_err()
    };
    for (script, is_empty) in [
        ("SELECT 1", true),
        ("CREATE TABLE products (id INTEGER, status TEXT)", true),
        ("CREATE TABLE products (id INTEGER, status TEXT); INSERT INTO products VALUES (1, 'suspended')", false),
        ("CREATE TABLE letters (id INTEGER)", false),
    ] {
        let database = TestDatabase::create(Kind::Sqlite).await.unwrap();
        database.execute(script).await.unwrap();
        let before = database.snapshot(&[]).await.unwrap();
        let error = start(database.url()).await;
        assert_eq!(!matches!(error, TargetError::NotEmpty), is_empty, "{script}: {error}");
        assert_eq!(database.snapshot(&[]).await.unwrap(), before);
    }
}
