//! How many requests a second the harness makes against a server that answers with a constant, and what it
//! costs to take down and to write all of them.
//!
//! `cargo run --release -p holdfast-loadtest --example recording [SECONDS] [ROUNDS]`. The two ways are driven by
//! goose, with the same users, client and requests, in turns; only one of them has a history. The server
//! is a process of its own.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use goose::GooseAttack;
use goose::config::GooseConfiguration;
use goose::goose::{GooseRequest, GooseUser, Scenario, Transaction, TransactionFunction};
use holdfast_loadtest::api::{Call, Requests, Secrets, Shop, Shopper, shopper_client};
use holdfast_loadtest::history::{Header, Key, Limits, Operation, Recorder, ScenarioName, Scope, TargetKind};
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;

const USERS: u32 = 64;
const TIME_OUT: Duration = Duration::from_secs(10);
const ANSWER: &[u8] = br#"{"hold_id":1,"expires_at":"2025-12-02T01:00:00Z"}"#;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve().await;
    }
    let number =
        |position: usize, otherwise: u64| arguments.get(position).map_or(Ok(otherwise), |text| text.parse::<u64>());
    let (seconds, rounds) = (number(0, 5)?, number(1, 5)?);
    let mut server = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut url)?;
    let measured = compare(url.trim(), seconds, rounds).await;
    server.kill()?;
    server.wait()?;
    measured
}

async fn compare(url: &str, seconds: u64, rounds: u64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (mut bare, mut recorded) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        bare.push(attack(url, seconds, None).await?);
        recorded.push(attack(url, seconds, Some(folder.path())).await?);
        println!(
            "round {round}: {:.0} requests a second bare, {:.0} recorded",
            bare[bare.len() - 1],
            recorded[recorded.len() - 1]
        );
    }
    let (bare, recorded) = (median(bare), median(recorded));
    println!(
        "median: {bare:.0} bare, {recorded:.0} recorded; recording costs {:.1} %",
        (1.0 - recorded / bare) * 100.0
    );
    Ok(())
}

/// Requests a second of a crowd, recorded if there is a folder for its history.
async fn attack(url: &str, seconds: u64, folder: Option<&Path>) -> Result<f64, Failure> {
    let requests = Arc::new(Requests::new(url, "run", &Arc::new(Secrets::default()))?);
    let history = match folder {
        Some(folder) => {
            let (recorder, writing) = Recorder::begin(&folder.join("history.jsonl"), &header(url), Instant::now())?;
            let shop = Shop::new(recorder.clone(), ScenarioName::Soldout, Arc::clone(&requests), TIME_OUT)?;
            Some((recorder, writing, shop))
        }
        None => None,
    };
    let done = Arc::new(AtomicU64::new(0));
    let shop = history.as_ref().map(|(_, _, shop)| shop.clone());
    let arguments = [
        "--no-telnet",
        "--no-websocket",
        "-q",
        "--no-print-metrics",
        "--host",
        url,
        "--users",
        &USERS.to_string(),
        "--run-time",
        &format!("{seconds}s"),
        "--increase-rate",
        "1000",
    ];
    let attack = GooseAttack::initialize_with_config(GooseConfiguration::parse_args_default(&arguments)?)?
        .register_scenario(script(shop, requests, &done));
    let began = Instant::now();
    Box::pin(attack.execute()).await?;
    #[expect(clippy::cast_precision_loss, reason = "shown with a few digits only")]
    let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    if let Some((recorder, writing, _)) = history {
        recorder.end();
        tokio::task::spawn_blocking(|| writing.wait()).await??;
    }
    Ok(rate)
}

#[derive(Clone)]
struct Pocket(Arc<Mutex<Option<Shopper>>>);

fn script(shop: Option<Shop>, requests: Arc<Requests>, done: &Arc<AtomicU64>) -> Scenario {
    let arrive: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let shopper = shop.as_ref().map(Shop::shopper);
        Box::pin(async move {
            user.set_client_builder(shopper_client(TIME_OUT)).await?;
            user.set_session_data(Pocket(Arc::new(Mutex::new(shopper))));
            Ok(())
        })
    });
    let done = Arc::clone(done);
    let visit: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let (requests, done) = (Arc::clone(&requests), Arc::clone(&done));
        Box::pin(async move {
            let Some(pocket) = user.get_session_data::<Pocket>().cloned() else { return Ok(()) };
            let operation = Operation::PlaceHold { product: 1, quantity: 1, key: Key(done.load(Ordering::Relaxed)) };
            match &mut *pocket.0.lock().await {
                Some(shopper) => {
                    shopper.with(user).call(operation).await;
                }
                None => bare(user, &requests, operation).await?,
            }
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    });
    Scenario::new("constant")
        .register_transaction(Transaction::new(arrive).set_on_start())
        .register_transaction(Transaction::new(visit))
}

/// The same request by the same client, and nothing taken down.
async fn bare(
    user: &mut GooseUser,
    requests: &Requests,
    operation: Operation,
) -> Result<(), Box<goose::goose::TransactionError>> {
    let request = reqwest::Request::try_from(requests.build(&operation)).map_err(|error| Box::new(error.into()))?;
    let builder = reqwest::RequestBuilder::from_parts(user.client.clone(), request);
    let request = GooseRequest::builder().name(operation.endpoint()).set_request_builder(builder).build();
    if let Ok(response) = user.request(request).await?.response {
        drop(response.bytes().await);
    }
    Ok(())
}

async fn serve() -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(|_| async {
            let mut answer = Response::new(Full::new(Bytes::from_static(ANSWER)));
            *answer.status_mut() = http::StatusCode::CREATED;
            Ok::<_, Infallible>(answer)
        });
        tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer));
    }
}

fn header(url: &str) -> Header {
    let limits = Limits { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 1_000 };
    let (target, scope) = (TargetKind::Host, Scope::Shared);
    Header { target, scope, url: url.to_owned(), users: USERS, ..Header::bare(limits) }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
