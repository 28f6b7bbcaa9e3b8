//! Requests: from what is asked for to bytes, with tokens, keys and signatures.
//!
//! What does not belong here: how they are sent.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{Method, Uri};
use standardwebhooks::Webhook;

use super::Secrets;
use crate::history::{Key, News, Operation};

/// Why requests cannot be built for a server.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is none, or not of a web server.
    #[error("{url} is not the URL of a server: {what}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The webhook secret is none.
    #[error("WEBHOOK_SECRET: it is whsec_ and base64")]
    WebhookSecret,
    /// A token has characters that no header takes.
    #[error("{name}: it has characters that cannot be sent in a header")]
    Token {
        /// Which.
        name: &'static str,
    },
    /// There is no TLS to be had.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Builds the requests of a run to one server.
pub struct Requests {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
    run: String,
    bearer: Option<HeaderValue>,
    signer: Option<Webhook>,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Requests").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Requests {
    /// For the server at `base_url`, with keys that begin with `run`.
    ///
    /// # Errors
    /// If the URL or a secret cannot be used.
    pub fn new(base_url: &str, run: &str, secrets: &Arc<Secrets>) -> Result<Self, SetupError> {
        let wrong = |what: String| SetupError::Url { url: base_url.to_owned(), what };
        let parts = base_url.parse::<Uri>().map_err(|error| wrong(error.to_string()))?.into_parts();
        let scheme = parts.scheme.ok_or_else(|| wrong("it has no scheme".to_owned()))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("it is neither http nor https".to_owned()));
        }
        let authority = parts.authority.ok_or_else(|| wrong("it has no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user in it".to_owned()));
        }
        let path = parts.path_and_query.map(|path| path.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        let bearer = match &secrets.api_token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| SetupError::Token { name: "API_TOKEN" })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let secret = secrets.webhook_secret.as_deref().and_then(|secret| secret.split_ascii_whitespace().next());
        let signer = secret.map(Webhook::new).transpose().map_err(|_| SetupError::WebhookSecret)?;
        Ok(Self { scheme, authority, path, run: run.to_owned(), bearer, signer })
    }

    /// A key as it goes over the wire.
    pub fn wire_key(&self, key: Key) -> String {
        format!("{}-{}", self.run, key.0)
    }

    /// Where the server is.
    pub fn server(&self) -> Uri {
        self.uri("/")
    }

    /// The request for `operation`, with a whole URL and its `Host`. A webhook is signed at this moment.
    pub fn build(&self, operation: &Operation) -> http::Request<Bytes> {
        let (method, path) = route(operation);
        let mut request = http::Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(&path);
        let headers = request.headers_mut();
        // An authority is visible ASCII.
        if let Ok(host) = HeaderValue::from_str(self.authority.as_str()) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("holdfast-loadtest/", env!("CARGO_PKG_VERSION"))));
        let key = match operation {
            Operation::PlaceHold { key, .. } | Operation::PlaceOrder { key, .. } => Some(*key),
            _ => None,
        };
        // A run's name is visible ASCII: the command line takes no other.
        if let Some(Ok(key)) = key.map(|key| HeaderValue::try_from(self.wire_key(key))) {
            headers.insert("idempotency-key", key);
        }
        if let Operation::Webhook { key, .. } = operation {
            self.sign(&mut request, *key, operation);
        } else if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(body) = self.body(operation) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = body.into();
        }
        request
    }

    fn uri(&self, path: &str) -> Uri {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.path))
            .build()
            // The base was parsed as a URL, and what is added are letters, digits and slashes.
            .unwrap_or_default()
    }

    fn body(&self, operation: &Operation) -> Option<String> {
        match operation {
            Operation::PlaceHold { product, quantity, .. } => {
                Some(format!(r#"{{"product_id":{product},"qty":{quantity}}}"#))
            }
            Operation::PlaceOrder { hold, .. } => Some(format!(r#"{{"hold_id":{hold}}}"#)),
            Operation::Webhook { key, order, news } => {
                let status = match news {
                    News::Success => "success",
                    News::Failure => "failure",
                    News::Pending => "pending",
                };
                let body = serde_json::json!({
                    "payment_idempotency_key": self.wire_key(*key),
                    "order_id": order,
                    "status": status,
                });
                Some(body.to_string())
            }
            _ => None,
        }
    }

    fn sign(&self, request: &mut http::Request<Bytes>, key: Key, operation: &Operation) {
        let (Some(signer), Some(body)) = (&self.signer, self.body(operation)) else { return };
        let id = self.wire_key(key);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        // It fails for a body that is no UTF-8; this one is.
        let Ok(signature) = signer.sign(&id, seconds, body.as_bytes()) else { return };
        let values = [
            (standardwebhooks::HEADER_WEBHOOK_ID, id),
            (standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds.to_string()),
            (standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                request.headers_mut().insert(name, value);
            }
        }
    }
}

fn route(operation: &Operation) -> (Method, String) {
    match operation {
        Operation::PlaceHold { .. } => (Method::POST, "/api/holds".to_owned()),
        Operation::ReleaseHold { hold } => (Method::DELETE, format!("/api/holds/{hold}")),
        Operation::ReadHold { hold } => (Method::GET, format!("/api/holds/{hold}")),
        Operation::PlaceOrder { .. } => (Method::POST, "/api/orders".to_owned()),
        Operation::ReadOrder { order } => (Method::GET, format!("/api/orders/{order}")),
        Operation::Webhook { .. } => (Method::POST, "/api/payments/webhook".to_owned()),
        Operation::ReadProduct { product, .. } => (Method::GET, format!("/api/products/{product}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key(7);

    fn requests(base_url: &str, secrets: Secrets) -> Requests {
        Requests::new(base_url, "run", &Arc::new(secrets)).expect("a server")
    }

    #[test]
    fn each_operation_is_the_documented_request() {
        let requests = requests("http://shop.test:81/front/", Secrets::default());
        let hold = r#"{"product_id":3,"qty":2}"#;
        let order = r#"{"hold_id":5}"#;
        let rows = [
            (Operation::PlaceHold { product: 3, quantity: 2, key: KEY }, "POST", "/api/holds", hold, true),
            (Operation::ReleaseHold { hold: 5 }, "DELETE", "/api/holds/5", "", false),
            (Operation::ReadHold { hold: 5 }, "GET", "/api/holds/5", "", false),
            (Operation::PlaceOrder { hold: 5, key: KEY }, "POST", "/api/orders", order, true),
            (Operation::ReadOrder { order: 9 }, "GET", "/api/orders/9", "", false),
            (Operation::ReadProduct { product: 3, at_rest: true }, "GET", "/api/products/3", "", false),
        ];
        for (operation, method, path, body, keyed) in rows {
            let request = requests.build(&operation);
            assert_eq!(request.method(), method, "{operation:?}");
            assert_eq!(request.uri().to_string(), format!("http://shop.test:81/front{path}"));
            assert_eq!(request.body(), body, "{operation:?}");
            let key = request.headers().get("idempotency-key").map(HeaderValue::as_bytes);
            assert_eq!(key, keyed.then_some(b"run-7".as_slice()), "{operation:?}");
            assert_eq!(request.headers()[HOST], "shop.test:81");
        }
    }

    #[test]
    fn a_webhook_has_its_key_in_the_body_and_is_signed() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secrets = Secrets { webhook_secret: Some(format!("{secret} whsec_b3RoZXI=")), ..Secrets::default() };
        let operation = Operation::Webhook { key: KEY, order: 12, news: News::Failure };
        let request = requests("http://shop.test", secrets).build(&operation);
        let body: serde_json::Value = serde_json::from_slice(request.body()).expect("JSON");
        let expected = serde_json::json!({"payment_idempotency_key": "run-7", "order_id": 12, "status": "failure"});
        assert_eq!(body, expected);
        Webhook::new(secret).expect("a secret").verify(request.body(), request.headers()).expect("a signature");
        let unsigned = requests("http://shop.test", Secrets::default()).build(&operation);
        assert!(!unsigned.headers().contains_key("webhook-signature"));
    }

    #[test]
    fn the_token_goes_with_all_but_webhooks() {
        let secrets = Secrets { api_token: Some("a-token".to_owned()), ..Secrets::default() };
        let requests = requests("http://shop.test", secrets);
        let read = requests.build(&Operation::ReadOrder { order: 1 });
        assert_eq!(read.headers()[AUTHORIZATION], "Bearer a-token");
        let event = requests.build(&Operation::Webhook { key: KEY, order: 1, news: News::Success });
        assert!(!event.headers().contains_key(AUTHORIZATION));
        assert!(!format!("{requests:?} {read:?}").contains("a-token"));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in ["", "shop.test", "ftp://shop.test", "http://user:secret@shop.test", "http://"] {
            assert!(Requests::new(url, "run", &Arc::default()).is_err(), "{url}");
        }
        let secrets = Arc::new(Secrets { webhook_secret: Some("whsec_!".to_owned()), ..Secrets::default() });
        let error = Requests::new("http://shop.test", "run", &secrets).expect_err("no base64");
        assert!(matches!(error, SetupError::WebhookSecret));
    }
}
