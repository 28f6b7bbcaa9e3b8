//! The ceiling: a bare hyper server that parses a hold and answers a constant. A process of its own.
//!
//! It is what this machine can do with HTTP when there is no sale to keep: the same library, the same body, parsed by
//! `serde_json`, an answer of the same size. What does not belong here: anything that would slow it down, or that a
//! server of a sale could not do without.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The answer to a hold, as long as a real one.
const ANSWER: &str = r#"{"hold_id":1234567,"expires_at":"2025-12-02T01:00:00Z"}"#;
/// Every answer of the service has one, as long as this.
const REQUEST_ID: &str = "0123456789abcdef0123456789abcdef";

/// What a hold is asked for with.
#[derive(Deserialize)]
struct Hold {
    product_id: u64,
    qty: u32,
}

/// Serves until it is killed, on a free port, which it prints as `listening on http://ADDRESS`.
///
/// # Errors
/// If there is no port to be had.
pub(super) async fn serve() -> io::Result<Infallible> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::say_on_standard_output(&format!("listening on http://{}", listener.local_addr()?));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // It ends with an error where its client does.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let is_hold = serde_json::from_slice::<Hold>(&body).is_ok_and(|hold| hold.product_id > 0 && hold.qty > 0);
    let mut response = Response::new(Full::from(ANSWER));
    *response.status_mut() = if is_hold { StatusCode::CREATED } else { StatusCode::UNPROCESSABLE_ENTITY };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("x-request-id"), HeaderValue::from_static(REQUEST_ID));
    Ok(response)
}
