//! Connections: how many there may be, how long they may be silent, and what one of HTTP/2 may ask for.

use bytes::Bytes;
use holdfast_test_support::{OrFail, Request, Setup, eventually, for_both, hold};
use tokio::net::TcpStream;

use crate::wire::{HALF_A_HEAD, Wire, head_of_hold};

for_both!(
    one_connection_too_many_is_told_so,
    health_checks_have_a_door_of_their_own,
    silent_and_slow_connections_are_ended,
    what_is_in_flight_outlives_the_time_outs,
    a_client_that_takes_everything_back_is_left,
);

const MOST: usize = 8;

/// The figure of a series, once it is this.
async fn counted(client: &holdfast_test_support::Client, series: &str, wanted: f64) {
    eventually(series, async || {
        let metrics = client.get("/metrics").await.or_fail().text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        if value.is_some_and(|value| value >= wanted) { Ok(()) } else { Err(format!("{value:?}")) }
    })
    .await;
}

async fn one_connection_too_many_is_told_so(setup: Setup) {
    let sale = setup.setting("MAX_CONNECTIONS", &MOST).start().await;
    let product = sale.product(10).await;
    // The client of the test has one connection of the eight, or more.
    let mut kept = Vec::new();
    let refused = loop {
        let mut wire = Wire::begin(&sale.server, b"GET /healthz HTTP/1.1\r\nhost: holdfast\r\n\r\n").await;
        let answer = eventually("an answer", async || wire.peek().await.ok_or("nothing")).await;
        if answer.starts_with("HTTP/1.1 503") {
            break wire.read_to_end().await;
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        kept.push(wire);
        assert!(kept.len() <= MOST, "there are more than {MOST}");
    };
    let refused = String::from_utf8_lossy(&refused).into_owned();
    for part in ["retry-after: 1\r\n", "\"code\":\"overloaded\"", "x-request-id: ", "connection: close\r\n"] {
        assert!(refused.contains(part), "{refused}");
    }
    // Who was there before is served, and with one that goes there is room again.
    assert_eq!(sale.send(&hold(product, 1)).await.status, 201);
    kept.pop();
    eventually("room", async || {
        let mut wire =
            Wire::begin(&sale.server, b"GET /healthz HTTP/1.1\r\nhost: holdfast\r\nconnection: close\r\n\r\n").await;
        match wire.status().await {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    counted(&sale.client, "holdfast_http_connections_cut_total{reason=\"over_limit\"} ", 1.0).await;
    drop(kept);
    sale.assert_audit_passes().await;
}

async fn health_checks_have_a_door_of_their_own(setup: Setup) {
    let sale = setup.setting("MAX_CONNECTIONS", &1).setting("OPS_ADDR", "127.0.0.1:0").start().await;
    let wire = Wire::begin(&sale.server, HALF_A_HEAD).await;
    eventually("no room is left", async || {
        let mut other =
            Wire::begin(&sale.server, b"GET /api/limits HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
        match other.status().await {
            503 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    let ops = holdfast_test_support::Client::new(&sale.server.ops_url());
    assert_eq!(ops.get("/readyz").await.or_fail().status, 200);
    assert_eq!(ops.get("/metrics").await.or_fail().status, 200);
    drop(wire);
    sale.assert_audit_passes().await;
}

async fn silent_and_slow_connections_are_ended(setup: Setup) {
    let sale = setup.setting("IDLE_TIMEOUT_SECONDS", &2).setting("REQUEST_TIMEOUT_SECONDS", &1).start().await;
    let product = sale.product(10).await;
    let before = sale.stock(product).await;
    // Never a byte.
    let mut silent = Wire::open(&sale.server).await;
    // A request, and then never a byte.
    let mut used = Wire::begin(&sale.server, b"GET /api/limits HTTP/1.1\r\nhost: holdfast\r\n\r\n").await;
    // A head, and a body, of which a byte comes now and then: neither a pause nor a byte puts the end off.
    let mut head = Wire::begin(&sale.server, HALF_A_HEAD).await;
    let mut body = Wire::begin(&sale.server, &head_of_hold(1000)).await;
    // The preface of HTTP/2, and then never a frame.
    let mut http2 = Wire::begin(&sale.server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let trickle = async {
        loop {
            let sent = (head.send(b"x").await, body.send(b" ").await);
            if head.has_ended() && !sent.0 && !sent.1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), trickle).await.or_fail();
    assert_eq!(silent.status().await, 0);
    assert_eq!(used.status().await, 200);
    http2.read_to_end().await;
    counted(&sale.client, "holdfast_http_connections_cut_total{reason=\"silent\"} ", 3.0).await;
    counted(&sale.client, "holdfast_http_connections_cut_total{reason=\"slow_head\"} ", 1.0).await;
    assert_eq!(sale.stock(product).await, before);
    sale.assert_audit_passes().await;
}

/// The shortest time-outs there are, and requests that follow each other longer than those.
async fn what_is_in_flight_outlives_the_time_outs(setup: Setup) {
    let sale = setup.setting("IDLE_TIMEOUT_SECONDS", &1).start().await;
    let product = sale.product(1_000_000).await;
    let stream = TcpStream::connect(sale.server.address()).await.or_fail();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.or_fail();
    let driving = tokio::spawn(connection);
    let began = std::time::Instant::now();
    // Longer than the idle time-out and than the longest pause between two looks at a connection.
    while began.elapsed() < std::time::Duration::from_secs(3) {
        let request = hyper::Request::post("/api/holds")
            .header("host", "holdfast")
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(Bytes::from(format!("{{\"product_id\":{product},\"qty\":1}}"))))
            .or_fail();
        sender.ready().await.or_fail();
        let answer = sender.send_request(request).await.or_fail();
        assert_eq!(answer.status(), 201);
        http_body_util::BodyExt::collect(answer.into_body()).await.or_fail();
    }
    // And then it is silent for too long.
    tokio::time::timeout(std::time::Duration::from_mins(1), driving).await.or_fail().or_fail().or_fail();
    sale.assert_audit_passes().await;
}

/// "Rapid reset": requests that are taken back as soon as they are sent cost the client nothing.
async fn a_client_that_takes_everything_back_is_left(setup: Setup) {
    const HEADERS: &[u8] = &[0x83, 0x84, 0x86, 0x41, 0x01, b'h'];
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1_u32..20_000).step_by(2) {
        let length = u8::try_from(HEADERS.len()).unwrap_or_default();
        flood.extend([0, 0, length, 0x01, 0x04]);
        flood.extend(stream.to_be_bytes());
        flood.extend(HEADERS);
        flood.extend([0, 0, 4, 0x03, 0]);
        flood.extend(stream.to_be_bytes());
        flood.extend([0, 0, 0, 0x08]);
    }
    let mut wire = Wire::open(&sale.server).await;
    // It need not take all of it.
    wire.send(&flood).await;
    let answer = wire.read_to_end().await;
    // A GOAWAY frame that says ENHANCE_YOUR_CALM, unless the connection was reset before that could be read.
    let calm = answer.windows(17).any(|frame| frame[3] == 0x07 && frame[13..17] == [0, 0, 0, 0x0b]);
    assert!(calm || wire.was_reset(), "the flood is taken: {answer:?}");
    assert_eq!(sale.send(&hold(product, 1)).await.status, 201);
    let over_http2 = holdfast_test_support::Client::http2(&sale.server.url());
    assert_eq!(over_http2.send(&Request::get("/api/limits")).await.or_fail().status, 200);
    sale.assert_audit_passes().await;
}
