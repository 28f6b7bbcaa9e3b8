//! What one connection of HTTP/2 may ask for, each limit at its edge: as much works, one more is refused, and the others
//! are served meanwhile.
//!
//! What does not belong here: limits of both versions of HTTP that are tested over HTTP/1 (`oversized`), and how many connections
//! there may be (`connections`). The limits are written again here: one that changes is to be noticed.

use holdfast_test_support::http2::{self, Http2, Said, code};
use holdfast_test_support::{OrFail, Sale, Setup, for_both, hold};

for_both!(
    so_many_streams_are_served_at_once_and_no_more,
    so_many_streams_may_be_broken_and_no_more,
    so_many_streams_may_be_taken_back_unread_and_no_more,
    a_list_of_headers_has_a_limit,
    a_small_head_that_unfolds_ends_its_connection,
);

/// Streams at once.
const STREAMS: u32 = 200;
/// Streams that the client broke by errors, in the life of the connection.
const BROKEN: u32 = 100;
/// Streams that the client took back before the server has looked at them.
const TAKEN_BACK: u32 = 20;
/// The bytes of a list of headers that are announced; a list must be shorter.
const LIST_BYTES: usize = 16 * 1024;

const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_MAX_HEADER_LIST_SIZE: u16 = 6;

/// `:status: 200` and `:status: 431`, as they begin the first answer of a connection (RFC 7541).
const STATUS_200: &[u8] = &[0x88];
const STATUS_431: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

/// A connection whose server has said what it takes.
async fn open(sale: &Sale) -> Http2 {
    let mut connection = Http2::open(sale.server.address()).await.or_fail();
    let Some(Said::Settings(settings)) = connection.next().await.or_fail() else { panic!("no settings") };
    for announced in [
        (SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS),
        (SETTINGS_MAX_HEADER_LIST_SIZE, u32::try_from(LIST_BYTES).or_fail()),
    ] {
        assert!(settings.contains(&announced), "{announced:?} is not among {settings:?}");
    }
    connection
}

async fn said(connection: &mut Http2) -> Said {
    connection.next().await.or_fail().unwrap_or_else(|| panic!("the connection is closed"))
}

/// Reads an answer to its end, of whatever stream comes first, and returns that with the body.
async fn answer(connection: &mut Http2) -> (u32, Vec<u8>) {
    let mut body = Vec::new();
    loop {
        match said(connection).await {
            Said::Head { stream, ends: true, .. } => return (stream, body),
            Said::Head { .. } => {}
            Said::Body { stream, ends, bytes } => {
                body.extend(bytes);
                if ends {
                    return (stream, body);
                }
            }
            other => panic!("{other:?} in place of an answer"),
        }
    }
}

fn get(stream: u32) -> Vec<u8> {
    http2::head(stream, &http2::fields("GET", "/api/limits"), true)
}

/// This connection is served.
async fn assert_served(connection: &mut Http2, stream: u32) {
    connection.send(&get(stream)).await.or_fail();
    let (answered, body) = answer(connection).await;
    assert_eq!(answered, stream);
    assert!(String::from_utf8_lossy(&body).contains("hold_ttl_seconds"), "{}", String::from_utf8_lossy(&body));
}

/// Others are served, on connections of either kind that they have or make.
async fn assert_others_are_served(sale: &Sale, product: u64) {
    assert_eq!(sale.send(&hold(product, 1)).await.status, 201);
    assert_served(&mut open(sale).await, 1).await;
}

/// The client is told that it has asked for too much, and is left.
async fn assert_left(mut connection: Http2) {
    let last = said(&mut connection).await;
    assert!(matches!(last, Said::GoAway { code: code::ENHANCE_YOUR_CALM, .. }), "{last:?}");
    // Closed, or reset where bytes were on their way still.
    assert!(!matches!(connection.next().await, Ok(Some(_))), "the connection goes on");
}

async fn so_many_streams_are_served_at_once_and_no_more(setup: Setup) {
    // Longer than it takes to fill a connection.
    let sale = setup.setting("REQUEST_TIMEOUT_SECONDS", &60).start().await;
    let product = sale.product(1000).await;
    let body = format!("{{\"product_id\":{product},\"qty\":1}}");
    let mut fields = http2::fields("POST", "/api/holds");
    fields.push(("content-type", "application/json"));
    let mut connection = open(&sale).await;
    // Each waits for its body.
    let streams: Vec<u32> = (0..STREAMS).map(|n| 2 * n + 1).collect();
    for stream in &streams {
        connection.send(&http2::head(*stream, &fields, false)).await.or_fail();
    }
    let (one_too_many, after) = (2 * STREAMS + 1, 2 * STREAMS + 3);
    connection.send(&get(one_too_many)).await.or_fail();
    assert_eq!(said(&mut connection).await, Said::Reset { stream: one_too_many, code: code::REFUSED_STREAM });
    assert_others_are_served(&sale, product).await;
    for stream in &streams {
        connection.send(&http2::body(*stream, body.as_bytes(), true)).await.or_fail();
    }
    let mut left = streams.len();
    while left > 0 {
        match said(&mut connection).await {
            Said::Head { ends: false, .. } => {}
            Said::Body { bytes, ends, .. } => {
                let text = String::from_utf8_lossy(&bytes);
                assert!(text.is_empty() || text.contains("hold_id"), "{text}");
                left -= usize::from(ends);
            }
            other => panic!("{other:?} in place of an answer"),
        }
    }
    // Who is done makes room.
    assert_served(&mut connection, after).await;
    assert_eq!(sale.stock(product).await.reserved, u64::from(STREAMS) + 1);
    sale.assert_audit_passes().await;
}

async fn so_many_streams_may_be_broken_and_no_more(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let mut fields = http2::fields("POST", "/api/holds");
    // A body is announced, and the request ends without one.
    fields.push(("content-length", "5"));
    let mut connection = open(&sale).await;
    for stream in (0..BROKEN).map(|n| 2 * n + 1) {
        connection.send(&http2::head(stream, &fields, true)).await.or_fail();
        assert_eq!(said(&mut connection).await, Said::Reset { stream, code: code::PROTOCOL_ERROR });
    }
    assert_served(&mut connection, 2 * BROKEN + 1).await;
    connection.send(&http2::head(2 * BROKEN + 3, &fields, true)).await.or_fail();
    assert_left(connection).await;
    assert_others_are_served(&sale, product).await;
    sale.assert_audit_passes().await;
}

async fn so_many_streams_may_be_taken_back_unread_and_no_more(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    // In one packet, so that the server reads all of it before it looks at any.
    let taken_back = |count: u32| -> Vec<u8> {
        let streams = (0..count).map(|n| 2 * n + 1);
        streams.flat_map(|stream| [get(stream), http2::reset(stream, code::CANCEL)].concat()).collect()
    };
    let mut connection = open(&sale).await;
    connection.send(&taken_back(TAKEN_BACK)).await.or_fail();
    assert_served(&mut connection, 2 * TAKEN_BACK + 1).await;
    let mut connection = open(&sale).await;
    connection.send(&taken_back(TAKEN_BACK + 1)).await.or_fail();
    assert_left(connection).await;
    assert_others_are_served(&sale, product).await;
    sale.assert_audit_passes().await;
}

async fn a_list_of_headers_has_a_limit(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(10).await;
    for (bytes, status) in [(LIST_BYTES - 1, STATUS_200), (LIST_BYTES, STATUS_431)] {
        let mut connection = open(&sale).await;
        let mut fields = http2::fields("GET", "/api/limits");
        let rest = bytes - http2::list_bytes(&fields) - http2::list_bytes(&[("x-long", "")]);
        let value = "v".repeat(rest);
        fields.push(("x-long", &value));
        assert_eq!(http2::list_bytes(&fields), bytes);
        connection.send(&http2::head(1, &fields, true)).await.or_fail();
        let Said::Head { stream: 1, ends, block } = said(&mut connection).await else { panic!("no answer") };
        assert!(block.starts_with(status), "a list of {bytes} bytes: {block:x?}");
        if !ends {
            answer(&mut connection).await;
        }
        // The stream was refused, not the connection.
        assert_served(&mut connection, 3).await;
    }
    assert_others_are_served(&sale, product).await;
    sale.assert_audit_passes().await;
}

/// A field that the server is to remember, and then only its number, again and again: a small block, and a list of four
/// times the limit and more.
async fn a_small_head_that_unfolds_ends_its_connection(setup: Setup) {
    const FIELD_BYTES: usize = 4000;
    const REMEMBER: u8 = 0x40;
    const LAST_REMEMBERED: u8 = 0x80 + 62;
    let sale = setup.start().await;
    let product = sale.product(10).await;
    let value = "v".repeat(FIELD_BYTES - 32 - 1);
    let mut block = http2::block(&http2::fields("GET", "/api/limits"));
    let field = http2::block(&[("x", &value)]);
    block.extend([&[REMEMBER], &field[1..]].concat());
    block.extend(vec![LAST_REMEMBERED; 4 * LIST_BYTES / FIELD_BYTES]);
    let mut connection = open(&sale).await;
    connection.send(&http2::head_of(1, &block, true)).await.or_fail();
    assert_left(connection).await;
    assert_others_are_served(&sale, product).await;
    sale.assert_audit_passes().await;
}
