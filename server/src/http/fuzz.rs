//! Every parser of what comes by HTTP, on its corpus and on what can be made of that: none panics, and what one accepts keeps its rule.
//!
//! What does not belong here: how inputs are made (`crate::fuzz`), and which input means what (the tests beside each parser).

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::Sha256;

use super::access::Tokens;
use super::client_address::{ClientNetwork, TrustedProxies};
use super::json::{self, Json, Object};
use super::request::{IDEMPOTENCY_KEY, X_REQUEST_ID, idempotency_key, is_json, path_id, request_id};
use super::signature::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WebhookSecrets};
use super::{format, holds, operators, products, webhook};
use crate::fuzz::{inputs, texts};
use crate::telemetry::Traces;

macro_rules! corpus {
    ($name:literal) => {
        include_str!(concat!("../../../tests/hostile/corpus/", $name, ".txt"))
    };
}

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
const MAX_QTY: u32 = 1000;

/// A header with these bytes, if they can be one's value.
fn with(name: HeaderName, bytes: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(name, HeaderValue::from_bytes(bytes).ok()?)]))
}

/// What arrives of a signed event.
#[derive(Clone)]
struct Signed {
    id: Vec<u8>,
    timestamp: Vec<u8>,
    signature: Vec<u8>,
    body: Vec<u8>,
}

/// When it arrives.
const NOW_SECONDS: u64 = 1_800_000_000;

impl Signed {
    /// As the specification says that the provider signs it.
    fn new(id: Vec<u8>, sent_seconds: u64, body: Vec<u8>) -> Self {
        let timestamp = sent_seconds.to_string().into_bytes();
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        let signed = [&id[..], b".", &timestamp, b".", &body].concat();
        let signature = format!("v1,{}", STANDARD.encode(mac.chain_update(signed).finalize().into_bytes()));
        Self { id, timestamp, signature: signature.into_bytes(), body }
    }

    fn parts(&mut self) -> [&mut Vec<u8>; 4] {
        [&mut self.id, &mut self.timestamp, &mut self.signature, &mut self.body]
    }

    /// Whether it is taken; `None` if it cannot even be sent.
    fn is_taken(&self) -> Option<bool> {
        let secrets = WebhookSecrets::parse(SECRET).expect("a secret");
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(WEBHOOK_ID, &self.id), (WEBHOOK_TIMESTAMP, &self.timestamp), (WEBHOOK_SIGNATURE, &self.signature)]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
        }
        let now = UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
        let verified = secrets.verify(&headers, &self.body, now);
        assert!(verified.is_err() || verified == Ok(&self.id[..]), "another id than was sent");
        Some(verified.is_ok())
    }

    /// Fails if it is taken with one bit of a part changed.
    fn refuse_with(&self, part: usize, place: usize, bit: u8) {
        let mut changed = self.clone();
        if let Some(byte) = changed.parts()[part].get_mut(place) {
            *byte ^= 1 << bit;
            assert_ne!(changed.is_taken(), Some(true), "bit {bit} of byte {place} of part {part}");
        }
    }
}

fn is_visible(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_graphic)
}

fn check_json(json: &Json<'_>) {
    let Json::Object(object) = json else { return };
    // Whatever an object is read as, each field is a value or a refusal.
    check_bodies(object);
}

fn check_bodies(object: &Object<'_>) {
    if let Ok((product_id, quantity)) = holds::new_hold(object, MAX_QTY, MAX_QTY) {
        assert!((1..=sale::MAX_ID).contains(&product_id.0) && (1..=MAX_QTY).contains(&quantity.get()));
    }
    if let Ok(hold_id) = json::id(object.get("hold_id")) {
        assert!((1..=sale::MAX_ID).contains(&hold_id));
    }
    if let Ok(product) = operators::new_product(object) {
        assert!((1..=operators::MAX_NAME_CHARS).contains(&product.name.chars().count()));
        assert!(product.description.chars().count() <= operators::MAX_DESCRIPTION_CHARS);
        assert!(product.price.0 <= sale::MAX_PRICE_MINOR && product.stock <= sale::MAX_STOCK);
    }
    if let Ok(change) = operators::stock_change(object) {
        assert!(change != 0 && change.unsigned_abs() <= sale::MAX_STOCK);
    }
    if let Ok(reason) = operators::reason(object) {
        assert!((1..=operators::MAX_REASON_CHARS).contains(&reason.chars().count()));
    }
    if let Ok(Some(key)) = webhook::body_key(object) {
        let text = std::str::from_utf8(key.as_bytes()).expect("keys that are shown are text");
        assert!((1..=255).contains(&text.len()) && !text.chars().any(char::is_control));
    }
    webhook::news(object);
    let _ = json::optional_flag(object.get("force"), false);
}

proptest! {
    #[test]
    fn bodies(bytes in inputs(corpus!("bodies"))) {
        if let Ok(json) = json::parse(&bytes) {
            // Another parser agrees that it is JSON.
            let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
            prop_assert!(is_json);
            check_json(&json);
        }
    }

    #[test]
    fn ids_in_paths(text in texts(corpus!("path_ids"))) {
        if let Some(id) = path_id(&text) {
            prop_assert_eq!(id.to_string(), text);
            prop_assert!((1..=sale::MAX_ID).contains(&id));
        }
    }

    #[test]
    fn queries(text in texts(corpus!("queries"))) {
        if let Ok((after, limit)) = products::page(&text) {
            prop_assert!(after.0 <= sale::MAX_ID && (1..=200).contains(&limit));
        }
    }

    #[test]
    fn prices(text in texts(corpus!("prices"))) {
        if let Some(price) = format::parse_price(&text) {
            prop_assert!(price.0 <= sale::MAX_PRICE_MINOR);
            prop_assert_eq!(format::parse_price(&format::price(price)), Some(price));
        }
    }

    #[test]
    fn idempotency_keys(bytes in inputs(corpus!("names"))) {
        let Some(headers) = with(IDEMPOTENCY_KEY, &bytes) else { return Ok(()) };
        if let Ok(Some(key)) = idempotency_key(&headers) {
            prop_assert!(key.as_bytes() == headers[IDEMPOTENCY_KEY].as_bytes());
            prop_assert!((1..=255).contains(&key.as_bytes().len()) && is_visible(key.as_bytes()));
        }
    }

    #[test]
    fn content_types(bytes in inputs(corpus!("content_types"))) {
        let Some(headers) = with(header::CONTENT_TYPE, &bytes) else { return Ok(()) };
        if is_json(&headers) {
            let essence = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
            prop_assert!(essence.trim_ascii().eq_ignore_ascii_case(b"application/json"), "{:?}", bytes);
        }
    }

    #[test]
    fn request_ids(bytes in inputs(corpus!("names"))) {
        let headers = with(X_REQUEST_ID, &bytes).unwrap_or_default();
        let name = request_id(&headers);
        prop_assert!((1..=64).contains(&name.len()) && is_visible(name.as_bytes()));
    }

    #[test]
    fn bearer_tokens(bytes in inputs(corpus!("authorizations"))) {
        let Some(headers) = with(header::AUTHORIZATION, &bytes) else { return Ok(()) };
        let tokens = Tokens::parse("a-token-of-the-corpus another-token-of-the-corpus").expect("tokens");
        if let Ok(position) = tokens.admit(&headers) {
            let sent = bytes[7..].trim_ascii();
            let known = [&b"a-token-of-the-corpus"[..], b"another-token-of-the-corpus"];
            prop_assert_eq!(sent, known[position]);
        }
    }

    #[test]
    fn forwarded_addresses(bytes in inputs(corpus!("forwarded"))) {
        let Some(headers) = with(HeaderName::from_static("x-forwarded-for"), &bytes) else { return Ok(()) };
        let peer = IpAddr::from([10, 0, 0, 1]);
        let client = |trusted: &str| TrustedProxies::parse(trusted).expect("networks").client_of(peer, &headers);
        prop_assert_eq!(client(""), peer);
        prop_assert_eq!(client("192.0.2.0/24"), peer);
        // Trusted by all: still an address, and one that a client can be counted by.
        let named = client("0.0.0.0/0 ::/0");
        prop_assert_eq!(ClientNetwork::from(named), ClientNetwork::from(named.to_canonical()));
    }

    #[test]
    fn signatures(signature in inputs(corpus!("signatures")), timestamp in inputs(corpus!("signatures"))) {
        let secrets = WebhookSecrets::parse(SECRET).expect("a secret");
        let mut headers = with(HeaderName::from_static(WEBHOOK_ID), b"msg_1").unwrap_or_default();
        for (name, bytes) in [(WEBHOOK_SIGNATURE, signature), (WEBHOOK_TIMESTAMP, timestamp)] {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let verified = secrets.verify(&headers, b"no event", SystemTime::now());
        prop_assert!(verified.is_err());
    }

    #[test]
    fn signed_events(
        id in inputs(corpus!("names")),
        body in inputs(corpus!("bodies")),
        sent_seconds in NOW_SECONDS - 300..=NOW_SECONDS + 300,
        changes in prop::array::uniform4((any::<Index>(), 0..8_u8)),
    ) {
        let mut event = Signed::new(id, sent_seconds, body);
        let can_be_sent = !event.id.is_empty();
        let taken = event.is_taken();
        prop_assert!(taken == Some(can_be_sent) || taken.is_none(), "{:?}", taken);
        let lengths = event.parts().map(|part| part.len());
        for (part, (place, bit)) in changes.into_iter().enumerate().filter(|(part, _)| lengths[*part] > 0) {
            event.refuse_with(part, place.index(lengths[part]), bit);
        }
        let too_old = Signed::new(event.id.clone(), sent_seconds - 601, event.body.clone());
        prop_assert_ne!(too_old.is_taken(), Some(true));
    }

    #[test]
    fn trace_contexts(bytes in inputs(corpus!("trace_contexts"))) {
        let Some(headers) = with(HeaderName::from_static("traceparent"), &bytes) else { return Ok(()) };
        if let Some(id) = Traces::default().decide(&headers, false).trace_id() {
            let id = id.to_string();
            prop_assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0'));
        }
    }
}

/// Of one event, every bit.
#[test]
fn no_bit_of_a_signed_event_may_change() {
    let mut event = Signed::new(b"msg_1".to_vec(), NOW_SECONDS, br#"{"order_id":1,"status":"success"}"#.to_vec());
    assert_eq!(event.is_taken(), Some(true));
    let lengths = event.parts().map(|part| part.len());
    for (part, length) in lengths.into_iter().enumerate() {
        for place in 0..length {
            (0..8).for_each(|bit| event.refuse_with(part, place, bit));
        }
    }
}
