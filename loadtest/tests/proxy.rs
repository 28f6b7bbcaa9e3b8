//! The faulty proxy: each fault does what its name says, and leaves the connections beside it alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use holdfast_loadtest::rig::database::{Kind, Session, TestDatabase};
use holdfast_loadtest::rig::proxy::{Direction, Effect, Point, Proxy, Strike};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers with what it was sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn echo_proxy() -> Proxy {
    Proxy::tcp(&echo().await.to_string()).await.unwrap()
}

async fn answer(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).await.unwrap();
    read
}

/// Everything until the connection is closed, by either kind of close.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        bytes.extend_from_slice(&chunk[..read]);
    }
    bytes
}

#[tokio::test]
async fn without_faults_all_passes_and_a_closed_side_is_passed_on() {
    let proxy = echo_proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answer(&mut stream, b"hello").await, b"hello");
    assert_eq!(proxy.connections(), 1);
    stream.write_all(b"bye").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, b"bye");
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_welcomes_what_comes() {
    let proxy = echo_proxy().await;
    let mut before = TcpStream::connect(proxy.address()).await.unwrap();
    answer(&mut before, b"hello").await;
    proxy.cut();
    assert_eq!(rest(&mut before).await, b"");
    let mut after = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answer(&mut after, b"again").await, b"again");
    proxy.refuse(true);
    assert_eq!(answer(&mut after, b"still").await, b"still");
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(rest(&mut refused).await, b"");
    proxy.heal();
    let mut welcome = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answer(&mut welcome, b"hello").await, b"hello");
}

#[tokio::test]
async fn a_byte_limit_cuts_at_the_byte() {
    for (direction, expected) in [(Direction::ToServer, b"hell".as_slice()), (Direction::ToClient, b"hell")] {
        let proxy = echo_proxy().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.cut_after(direction, 4);
        stream.write_all(b"hello").await.unwrap();
        let read = rest(&mut stream).await;
        // Cut on the way there, the echo of the first four may be lost with the connection.
        assert!(expected.starts_with(&read), "{direction:?}: {read:?}");
        if direction == Direction::ToClient {
            assert_eq!(read, expected);
        }
        proxy.wait_until_struck(1).await;
        let mut after = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut after, b"hello").await, b"hello", "a limit cuts once");
    }
}

#[tokio::test]
async fn frozen_it_passes_nothing_on_until_it_thaws() {
    let proxy = echo_proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    answer(&mut stream, b"hello").await;
    proxy.freeze();
    stream.write_all(b"later").await.unwrap();
    let mut byte = [0; 5];
    // Not proof, but enough to fail for a freeze that does nothing.
    assert!(tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut byte)).await.is_err());
    proxy.thaw();
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"later");
}

#[tokio::test]
async fn a_delay_counts_for_both_directions() {
    let proxy = echo_proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let delay = Duration::from_millis(20);
    proxy.delay(delay);
    let start = Instant::now();
    assert_eq!(answer(&mut stream, b"hello").await, b"hello");
    assert!(start.elapsed() >= 2 * delay);
}

/// A table with a row to come, and a connection to it through a proxy.
async fn through_proxy() -> (TestDatabase, Proxy, Session) {
    let database = TestDatabase::create(Kind::MariaDb).await.unwrap();
    database.execute("CREATE TABLE t (n INT PRIMARY KEY)").await.unwrap();
    let proxy = Proxy::mysql(&database.address()).await.unwrap();
    let session = Session::open(&database.url_through(&proxy.address())).await.unwrap();
    (database, proxy, session)
}

const INSERT: &str = "BEGIN; INSERT INTO t VALUES (1); SELECT * FROM t; COMMIT";

#[tokio::test]
async fn a_cut_before_commit_leaves_nothing() {
    let (database, proxy, mut session) = through_proxy().await;
    proxy.on_commit(Point::BeforeQuery, Effect::Cut);
    session.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    session.execute("COMMIT").await.unwrap_err();
    proxy.wait_until_struck(1).await;
    assert_eq!(database.integer("SELECT COUNT(*) FROM t").await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_within_a_statement_leaves_nothing_until_all_of_it_has_passed() {
    for bytes_passed in [0, 1, 5, INSERT.len()] {
        let (database, proxy, mut session) = through_proxy().await;
        proxy.on_query("insert", Point::WithinQuery { bytes_passed }, Effect::Cut);
        session.execute(INSERT).await.unwrap_err();
        // The packet begins with its length, its number and a command, so the last bytes are missing still.
        let bytes = INSERT.len() + 5;
        assert_eq!(proxy.last_strike(), Some(Strike { bytes_passed, bytes }));
        assert_eq!(database.integer("SELECT COUNT(*) FROM t").await.unwrap(), 0, "{bytes_passed}");
    }
    let (database, proxy, mut session) = through_proxy().await;
    proxy.on_query("insert", Point::WithinQuery { bytes_passed: usize::MAX }, Effect::Cut);
    session.execute(INSERT).await.unwrap_err();
    let strike = proxy.last_strike().unwrap();
    assert_eq!(strike.bytes_passed, strike.bytes);
    while database.integer("SELECT COUNT(*) FROM t").await.unwrap() == 0 {}
}

#[tokio::test]
async fn a_fault_after_some_statements_strikes_the_next() {
    let (_database, proxy, mut session) = through_proxy().await;
    proxy.after_statements(2, Point::BeforeQuery, Effect::Cut);
    for left in [2, 1] {
        assert_eq!(proxy.statements_left(), Some(left));
        session.execute("SELECT 1").await.unwrap();
    }
    session.execute("SELECT 1").await.unwrap_err();
    assert_eq!((proxy.struck(), proxy.statements_left()), (1, None));
}

#[tokio::test]
async fn a_cut_within_the_answer_leaves_all() {
    for bytes_passed in [0, 1, 7, 20] {
        let (database, proxy, mut session) = through_proxy().await;
        proxy.on_commit(Point::AfterAnswer { bytes_passed }, Effect::Cut);
        session.execute(INSERT).await.unwrap_err();
        proxy.wait_until_struck(1).await;
        assert_eq!(database.integer("SELECT COUNT(*) FROM t").await.unwrap(), 1, "{bytes_passed}");
        let mut again = Session::open(&database.url_through(&proxy.address())).await.unwrap();
        again.execute("BEGIN; INSERT INTO t VALUES (2); COMMIT").await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_after_commit_is_one_of_both() {
    let (database, proxy, mut session) = through_proxy().await;
    proxy.on_commit(Point::AfterQuery, Effect::Cut);
    session.execute(INSERT).await.unwrap_err();
    proxy.wait_until_struck(1).await;
    // A lock that the lost connection may still have is waited for.
    let mut direct = database.session().await.unwrap();
    direct.execute("BEGIN; DELETE FROM t WHERE n = 1").await.unwrap();
    direct.execute("INSERT INTO t VALUES (1); COMMIT").await.unwrap();
    assert_eq!(database.integer("SELECT COUNT(*) FROM t").await.unwrap(), 1);
}

#[tokio::test]
async fn silence_keeps_the_lock_until_the_proxy_is_cut() {
    let (database, proxy, mut session) = through_proxy().await;
    database.execute("INSERT INTO t VALUES (1)").await.unwrap();
    proxy.on_query("for update", Point::AfterQuery, Effect::Silence);
    let query = tokio::spawn(async move {
        session.execute("BEGIN").await.unwrap();
        session.rows("SELECT * FROM t WHERE n = 1 FOR UPDATE").await
    });
    proxy.wait_until_struck(1).await;
    let mut other = database.session().await.unwrap();
    let locked = "SELECT * FROM t WHERE n = 1 FOR UPDATE NOWAIT";
    // The statement was passed on before the fault struck, but may not have been carried out yet.
    while other.rows(locked).await.is_ok() {}
    proxy.cut();
    query.await.unwrap().unwrap_err();
    while other.rows(locked).await.is_err() {}
}
