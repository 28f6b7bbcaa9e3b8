//! A small HTTP client for tests: HTTP/1.1 or HTTP/2 without TLS, answers as they came, and bursts.
//!
//! What does not belong here: retries, or any opinion about an answer. A request that got none is an error.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use super::RigError;

/// A request: what to do, where, and with what.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    /// A request without a body. `path` begins with a slash and may have a query.
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// `GET path`.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// `DELETE path`.
    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// `POST path` with a JSON body.
    pub fn post(path: &str, body: &Value) -> Self {
        Self::new(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }

    /// What to do.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where, with the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body.
    pub fn content(&self) -> &Bytes {
        &self.body
    }

    /// With a header; one more if there is one of this name.
    ///
    /// # Panics
    /// If it cannot be sent as a header: that is a mistake of the test.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        self.headers.append(name, value);
        self
    }

    /// With the header `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With these bytes as its body, whatever they are.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn at(&self, base: &Uri) -> Result<hyper::Request<Full<Bytes>>, RigError> {
        let url = format!("{}{}", base.to_string().trim_end_matches('/'), self.path);
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&url)
            .body(Full::new(self.body.clone()))
            .map_err(|error| self.failed(base, error))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    fn failed(&self, base: &Uri, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RigError {
        let url = format!("{}{}", base.to_string().trim_end_matches('/'), self.path);
        RigError::Http { method: self.method.to_string(), url, source: source.into() }
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none, with the body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} with a body that is no JSON ({error}): {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; `None` if it is not there, or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The field `code` of an error, or nothing.
    pub fn code(&self) -> String {
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|body| body.get("code")?.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    async fn read(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// A client of one server, with a pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: Uri,
    pool: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client that speaks HTTP/1.1.
    ///
    /// # Panics
    /// If `base_url` is none: that is a mistake of the test.
    pub fn new(base_url: &str) -> Self {
        Self::with(base_url, false)
    }

    /// A client that speaks HTTP/2 from the first byte.
    ///
    /// # Panics
    /// If `base_url` is none: that is a mistake of the test.
    pub fn http2(base_url: &str) -> Self {
        Self::with(base_url, true)
    }

    fn with(base_url: &str, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        // A request that is sent twice without the test's knowledge would hide what the test looks for.
        builder.retry_canceled_requests(false).http2_only(http2);
        Self { base: base_url.parse().expect("a URL"), pool: builder.build(connector) }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// [`RigError::Http`] if there is no whole answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, RigError> {
        let response =
            self.pool.request(request.at(&self.base)?).await.map_err(|error| request.failed(&self.base, error))?;
        Answer::read(response).await.map_err(|error| request.failed(&self.base, error))
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, RigError> {
        self.send(&Request::get(path)).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, RigError> {
        self.send(&Request::post(path, body)).await
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, path: &str) -> Result<Answer, RigError> {
        self.send(&Request::delete(path)).await
    }

    /// Sends all requests at the same moment, each on a connection of its own that was opened before, and
    /// returns the answers in the order of the requests.
    pub async fn burst(&self, requests: Vec<Request>) -> Vec<Result<Answer, RigError>> {
        burst(requests.into_iter().map(|request| (self.clone(), request)).collect()).await
    }
}

/// Sends all requests at the same moment, as [`Client::burst`], each to the server of its client. They go
/// over HTTP/1.1.
pub async fn burst(requests: Vec<(Client, Request)>) -> Vec<Result<Answer, RigError>> {
    let start = Arc::new(Barrier::new(requests.len()));
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|(client, request)| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                let connection = connect(&client.base).await;
                // Those that failed must come too, or the others wait for ever.
                start.wait().await;
                let failed = |error: hyper::Error| request.failed(&client.base, error);
                let mut sender = connection.map_err(|error| request.failed(&client.base, error))?;
                let mut message = request.at(&client.base)?;
                prepare(&mut message, &client.base);
                let response = sender.send_request(message).await.map_err(failed)?;
                Answer::read(response).await.map_err(failed)
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(match task.await {
            Ok(answer) => answer,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        });
    }
    answers
}

/// A bare connection sends what it is given: a path, and the host that a pool would have added.
fn prepare(request: &mut hyper::Request<Full<Bytes>>, base: &Uri) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    // Both were parsed as parts of a URL before.
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    if let Some(host) = base.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
}

async fn connect(
    base: &Uri,
) -> Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let address = base.authority().ok_or("a URL without an address")?.as_str();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with an error where the answer does; that one is reported.
    tokio::spawn(connection);
    Ok(sender)
}
