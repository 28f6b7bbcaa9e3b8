//! What a handler is given of a request: its body, its headers, its ids, checked as far as every
//! route checks them.
//!
//! What does not belong here: which fields a body has (the files of the resources), and how JSON is
//! read (`json.rs`).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use sale::{HoldId, Key, OrderId, ProductId};
use tokio::time::Instant;

use super::client::Client;
use super::errors::Problem;
use super::json::{self, Object};
use super::server::Shared;

/// The longest body.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024;

/// Names a request, in its answer, its log lines and its trace.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the repetition of a request safe.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is said of a key that is none.
pub(super) const KEY_FORM: Problem =
    Problem::BadRequest("The header Idempotency-Key must be 1 to 255 visible ASCII characters, and be sent once.");

/// What is said of a body that breaks off.
pub(super) const BODY_INCOMPLETE: Problem = Problem::BadRequest("The body ended before it was complete.");

const MAX_REQUEST_ID_BYTES: usize = 64;
const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

/// How much of a body that nobody wants is still taken off the wire, and for how long, so that its
/// sender gets to read the answer instead of a reset connection.
const MAX_UNWANTED_BYTES: usize = 1024 * 1024;
const MAX_UNWANTED_TIME: Duration = Duration::from_secs(5);

/// One request on its way to its handler.
pub(super) struct Call {
    pub(super) client: Arc<Client>,
    pub(super) head: Parts,
    pub(super) body: Body,
    /// The id in the path, where the route has one.
    pub(super) path_id: u64,
    /// The rest of the path, where the route takes one.
    pub(super) path_rest: String,
    /// When the caller stops waiting.
    pub(super) deadline: Instant,
}

impl Call {
    /// What all requests share.
    pub(super) fn shared(&self) -> &Shared {
        &self.client.shared
    }

    /// For whom, and until when, once all that matters was read: the rest is gone then, and no burden while it waits.
    pub(super) fn into_waiting(self: Box<Self>) -> (Arc<Client>, Instant) {
        let Self { client, deadline, .. } = *self;
        (client, deadline)
    }

    /// The product that the path names.
    pub(super) const fn product_id(&self) -> ProductId {
        ProductId(self.path_id)
    }

    /// The hold that the path names.
    pub(super) const fn hold_id(&self) -> HoldId {
        HoldId(self.path_id)
    }

    /// The order that the path names.
    pub(super) const fn order_id(&self) -> OrderId {
        OrderId(self.path_id)
    }

    /// The body, as it was sent.
    pub(super) fn bytes(&mut self) -> impl Future<Output = Result<Bytes, Problem>> {
        self.body.read(self.deadline)
    }

    /// The body as it was sent, which must be said to be JSON.
    pub(super) async fn json_bytes(&mut self) -> Result<Bytes, Problem> {
        self.check_content_type()?;
        self.bytes().await
    }

    /// The same; no body is an empty object.
    pub(super) async fn json_bytes_or_nothing(&mut self) -> Result<Bytes, Problem> {
        let body = self.bytes().await?;
        if body.is_empty() {
            return Ok(Bytes::from_static(b"{}"));
        }
        self.check_content_type()?;
        Ok(body)
    }

    /// Whether the body is said to be JSON.
    pub(super) fn check_content_type(&self) -> Result<(), Problem> {
        if is_json(&self.head.headers) { Ok(()) } else { Err(Problem::UnsupportedMediaType) }
    }

    /// The key that makes a repetition of this request safe, if it has one.
    pub(super) fn idempotency_key(&self) -> Result<Option<Key>, Problem> {
        idempotency_key(&self.head.headers)
    }
}

/// The body of a request, still on the wire until somebody wants it.
pub(super) struct Body(Option<Incoming>);

impl Body {
    pub(super) const fn new(incoming: Incoming) -> Self {
        Self(Some(incoming))
    }

    async fn read(&mut self, deadline: Instant) -> Result<Bytes, Problem> {
        let Some(incoming) = self.0.as_mut() else { return Ok(Bytes::new()) };
        // What its head says of it.
        if incoming.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(Problem::BodyTooLarge);
        }
        match tokio::time::timeout_at(deadline, whole(incoming)).await {
            Ok(Ok(body)) => {
                self.0 = None;
                Ok(body)
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::BodyTooLarge),
            Ok(Err(_)) => Err(BODY_INCOMPLETE),
            Err(_) => {
                // Whoever is that slow is not waited for any longer.
                self.0 = None;
                Err(Problem::BadRequest("The body did not arrive in time."))
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(mut rest) = self.0.take().filter(|rest| !rest.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let unwanted = Limited::new(&mut rest, MAX_UNWANTED_BYTES);
            let discard = async {
                let mut unwanted = unwanted;
                while let Some(Ok(_)) = unwanted.frame().await {}
            };
            // Either way the connection is closed, or goes on, by what was read.
            let _ = tokio::time::timeout(MAX_UNWANTED_TIME, discard).await;
        });
    }
}

/// All of a body. Nearly each comes in one piece, which is not copied.
async fn whole(incoming: &mut Incoming) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut incoming = Limited::new(incoming, MAX_BODY_BYTES);
    let mut whole = Bytes::new();
    while !incoming.is_end_stream()
        && let Some(frame) = incoming.frame().await
    {
        let Ok(piece) = frame?.into_data() else { continue };
        if whole.is_empty() {
            whole = piece;
        } else {
            let mut longer = BytesMut::from(whole);
            longer.extend_from_slice(&piece);
            whole = longer.freeze();
        }
    }
    Ok(whole)
}

/// A body as the object that it must be.
pub(super) fn object(body: &[u8]) -> Result<Object<'_>, Problem> {
    Ok(json::parse(body)?.into_object()?)
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    if value == "application/json" {
        return true;
    }
    let parsed: Option<mime::Mime> = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.is_some_and(|parsed| parsed.essence_str() == "application/json")
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Key>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.as_bytes().iter().all(u8::is_ascii_graphic) => {
            Key::new(value.as_bytes()).map(Some).map_err(|_| KEY_FORM)
        }
        (Some(_), _) => Err(KEY_FORM),
    }
}

/// The caller's name for a request, if it is one that we take, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    if let (Some(value), None) = (values.next(), values.next()) {
        let length = value.len();
        if (1..=MAX_REQUEST_ID_BYTES).contains(&length) && value.as_bytes().iter().all(u8::is_ascii_graphic) {
            return value.clone();
        }
    }
    let mut id = [0; 32];
    for (digits, byte) in id.chunks_exact_mut(2).zip(fastrand::u128(..).to_be_bytes()) {
        digits.copy_from_slice(&[HEX_DIGITS[usize::from(byte >> 4)], HEX_DIGITS[usize::from(byte & 15)]]);
    }
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}

/// The id in a path: an integer from 1 up to the largest that every client reads exactly, written the
/// one way, so that no row has two addresses.
pub(super) fn path_id(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|id| canonical && (1..=sale::MAX_ID).contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value).expect("a header"));
        }
        headers
    }

    #[test]
    fn json_may_come_with_parameters() {
        let check = |values: &[&[u8]]| is_json(&headers(&header::CONTENT_TYPE, values));
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
        {
            assert!(check(&[good.as_bytes()]), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonp", "application/problem+json", "json", "application/*", "é"] {
            assert!(!check(&[bad.as_bytes()]), "{bad}");
        }
        assert!(!check(&[]));
        assert!(!check(&[b"application/json", b"application/json"]));
    }

    #[test]
    fn a_key_is_1_to_255_visible_characters_sent_once() {
        let check = |values: &[&[u8]]| idempotency_key(&headers(&IDEMPOTENCY_KEY, values));
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[b"k"]), Ok(Key::new(b"k").ok()));
        assert_eq!(check(&[&[b'~'; 255]]), Ok(Key::new(&[b'~'; 255]).ok()));
        for bad in [&b""[..], &[b'k'; 256], b"two words", b"tab\tbed", "umlaut-\u{e4}".as_bytes(), b"\xff"] {
            assert!(matches!(check(&[bad]), Err(Problem::BadRequest(_))), "{bad:?}");
        }
        assert!(check(&[b"k", b"k"]).is_err());
    }

    #[test]
    fn a_callers_request_id_is_kept_if_it_can_be() {
        let check = |values: &[&[u8]]| request_id(&headers(&X_REQUEST_ID, values));
        assert_eq!(check(&[b"caller-1"]), "caller-1");
        assert_eq!(check(&[&[b'x'; 64]]).len(), 64);
        for bad in [&[][..], &[&b""[..]], &[&[b'x'; 65][..]], &[b"two words"], &[b"a", b"b"], &[b"\xff"]] {
            let id = check(bad);
            assert_eq!(id.len(), 32, "{bad:?}");
            assert!(id.as_bytes().iter().all(u8::is_ascii_hexdigit));
        }
        assert_ne!(check(&[]), check(&[]));
    }

    #[test]
    fn an_id_in_a_path_has_one_form() {
        assert_eq!(path_id("1"), Some(1));
        assert_eq!(path_id("9007199254740991"), Some(9_007_199_254_740_991));
        for bad in
            ["", "0", "01", "-1", "+1", "1.0", "1e3", "abc", "9007199254740992", "18446744073709551617", "%31", "1 "]
        {
            assert_eq!(path_id(bad), None, "{bad}");
        }
    }
}
