//! Crowds that are slow on purpose: of heads, of bodies, of anything at all. An ordinary client hardly notices.
//!
//! Each round measures the ordinary client alone, and then with the crowd: the rates of one machine in one moment say
//! little, so the medians of rounds next to each other are compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use holdfast_test_support::rig::server::ServerProcess;
use holdfast_test_support::{OrFail, Setup, eventually, for_both, hold, is_long, rounds};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::wire::{HALF_A_HEAD, head_of_hold};

for_both!(an_ordinary_client_hardly_notices_a_crowd_of_slow_ones);

/// Time between two bytes of a slow client: it is never idle.
const TRICKLE: Duration = Duration::from_millis(500);

const MANNERS: [Manner; 3] = [Manner::SlowHead, Manner::SlowBody, Manner::Silent];

#[derive(Clone, Copy, Debug)]
enum Manner {
    SlowHead,
    SlowBody,
    Silent,
}

/// Connects, is slow until the server has had enough, and connects again, for ever.
async fn be_slow(address: Arc<str>, manner: Manner, ended: Arc<AtomicUsize>) {
    loop {
        let Ok(stream) = TcpStream::connect(&*address).await else {
            tokio::time::sleep(TRICKLE).await;
            continue;
        };
        let (mut read, mut write) = stream.into_split();
        let (first, more): (Vec<u8>, &[u8]) = match manner {
            Manner::SlowHead => (HALF_A_HEAD.to_vec(), b"x"),
            Manner::SlowBody => (head_of_hold(10_000), b" "),
            Manner::Silent => (Vec::new(), b""),
        };
        let trickling = async {
            if write.write_all(&first).await.is_err() || more.is_empty() {
                std::future::pending::<()>().await;
            }
            while write.write_all(more).await.is_ok() {
                tokio::time::sleep(TRICKLE).await;
            }
        };
        let mut bytes = Vec::new();
        let until_it_ends = read.read_to_end(&mut bytes);
        tokio::select! {
            () = trickling => {}
            _ = until_it_ends => {}
        }
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A crowd that is there until it is dropped.
struct Crowd {
    _members: JoinSet<()>,
    /// How many connections were ended so far, of each manner.
    ended: [Arc<AtomicUsize>; MANNERS.len()],
}

impl Crowd {
    async fn gather(server: &ServerProcess, each: usize) -> Self {
        let mut members = JoinSet::new();
        let address: Arc<str> = server.address().into();
        let ended = MANNERS.map(|manner| {
            let ended = Arc::new(AtomicUsize::new(0));
            for _ in 0..each {
                members.spawn(be_slow(Arc::clone(&address), manner, Arc::clone(&ended)));
            }
            ended
        });
        // Some are always on their way back.
        wait_for_connections(server, |open| open >= each * 2).await;
        Self { _members: members, ended }
    }
}

async fn wait_for_connections(server: &ServerProcess, enough: impl Fn(usize) -> bool) {
    eventually("connections", async || {
        let metrics = server.client().get("/metrics").await.or_fail().text();
        let open = metrics.lines().find_map(|line| line.strip_prefix("holdfast_http_connections ")?.parse().ok());
        open.filter(|open| enough(*open)).ok_or_else(|| format!("{open:?}"))
    })
    .await;
}

/// The 99th percentile of the time that a hold takes, one after the other. The client is a new one, so that none of its
/// connections has been silent for too long.
async fn p99(server: &ServerProcess, product: u64, holds: usize) -> Duration {
    let client = server.client();
    let mut times = Vec::with_capacity(holds);
    for _ in 0..holds {
        let began = Instant::now();
        let answer = client.send(&hold(product, 1)).await.or_fail();
        times.push(began.elapsed());
        assert_eq!(answer.status, 201, "{}\n{}", answer.text(), server.log().text());
    }
    times.sort();
    times[holds * 99 / 100]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// As many files as the system lets this process have open.
fn raise_open_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).or_fail();
    }
    let now = getrlimit(Resource::Nofile).current;
    assert!(now.is_none_or(|now| now >= wanted), "{now:?} files may be open, and {wanted} are needed: ulimit -n");
}

async fn an_ordinary_client_hardly_notices_a_crowd_of_slow_ones(setup: Setup) {
    let each = rounds(200, 2_000);
    raise_open_files(3 * each as u64 + 1_000);
    // Short, so that the crowd comes back again and again; long enough for a hold on a machine that is busy with both.
    let seconds = rounds(5, 10);
    let setup = setup.setting("IDLE_TIMEOUT_SECONDS", &seconds).setting("REQUEST_TIMEOUT_SECONDS", &seconds);
    let sale = setup.start().await;
    let product = sale.product(1_000_000).await;
    let holds = rounds(100, 1_000);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds(1, 7) {
        alone.push(p99(&sale.server, product, holds).await);
        let crowd = Crowd::gather(&sale.server, each).await;
        beside.push(p99(&sale.server, product, holds).await);
        // None of them is kept for ever, whatever it does.
        eventually("as many as there are of each manner are ended", async || {
            let ended = crowd.ended.each_ref().map(|ended| ended.load(Ordering::Relaxed));
            if ended.iter().all(|ended| *ended >= each) { Ok(()) } else { Err(format!("{ended:?}")) }
        })
        .await;
        drop(crowd);
        wait_for_connections(&sale.server, |open| open < 10).await;
    }
    let (alone, beside) = (median(alone), median(beside));
    eprintln!("99th percentile of a hold: {alone:?} alone, {beside:?} beside {each} slow clients of each kind");
    // One short round shows that the crowd is survived; which time a hold takes needs many.
    if is_long() {
        assert!(beside <= alone * 2, "{beside:?} beside the crowd, {alone:?} alone");
    }
    let stock = sale.stock(product).await;
    assert_eq!(stock.available - stock.free, stock.reserved);
    sale.assert_audit_passes().await;
}
