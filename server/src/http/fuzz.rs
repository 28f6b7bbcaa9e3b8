//! Every parser of what comes by HTTP, on its corpus and on what can be made of that: none panics, and what one accepts keeps its rule.
//!
//! What does not belong here: how inputs are made (`crate::fuzz`), and which input means what (the tests beside each parser).

use std::net::IpAddr;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;

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

fn is_visible(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_graphic)
}

fn check_json(json: &Json) {
    let Json::Object(object) = json else { return };
    // Whatever an object is read as, each field is a value or a refusal.
    check_bodies(object);
}

fn check_bodies(object: &Object) {
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
    fn trace_contexts(bytes in inputs(corpus!("trace_contexts"))) {
        let Some(headers) = with(HeaderName::from_static("traceparent"), &bytes) else { return Ok(()) };
        if let Some(id) = Traces::default().decide(&headers, false).trace_id() {
            let id = id.to_string();
            prop_assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0'));
        }
    }
}
