//! An answer on its way to the socket: status, headers, body.
//!
//! What does not belong here: which answer is given when.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// Marks the repetition of an answer that was given before.
pub(super) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The type of nearly every answer.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a handler answers.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    content_type: Option<HeaderValue>,
    /// The other headers. Nearly no answer has any.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// A JSON body.
    pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => Self::bytes(status, JSON, bytes.into()),
            // Only a map with keys that are no strings, or a type of ours that refuses, could get here.
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                Self::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Any other body.
    pub(super) fn bytes(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        Self { status, body, content_type: Some(content_type), headers: Vec::new() }
    }

    /// No body.
    pub(super) const fn empty(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), content_type: None, headers: Vec::new() }
    }

    /// One header more.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says whether this answer was given before.
    pub(super) fn replayed(self, replayed: bool) -> Self {
        if replayed { self.with_header(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true")) } else { self }
    }

    /// The status.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// For the socket. To HEAD the same headers are sent as to GET, its length included, and no body. Where there is a
    /// body, hyper writes its length.
    pub(super) fn into_response(self, to_head: bool) -> Response<Full<Bytes>> {
        let length = self.body.len();
        let mut response = Response::new(Full::new(if to_head { Bytes::new() } else { self.body }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        if to_head && self.status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn head_is_told_the_length_of_the_body_it_does_not_get() {
        let answer = Answer::json(StatusCode::OK, &serde_json::json!({"a": 1}));
        let (get, mut head) = (answer.clone().into_response(false), answer.into_response(true));
        // Of a body that is sent hyper knows it.
        assert_eq!(head.headers_mut().remove(CONTENT_LENGTH), Some(HeaderValue::from(7)));
        assert_eq!(get.headers(), head.headers());
        assert_eq!(get.into_body().collect().await.expect("a body").to_bytes(), r#"{"a":1}"#);
        assert!(head.into_body().collect().await.expect("a body").to_bytes().is_empty());
    }

    #[test]
    fn no_content_says_nothing_about_a_body() {
        let response = Answer::empty(StatusCode::NO_CONTENT).into_response(false);
        assert!(response.headers().is_empty());
    }

    #[test]
    fn a_replay_says_so() {
        assert!(Answer::empty(StatusCode::CREATED).replayed(false).headers.is_empty());
        let replay = Answer::empty(StatusCode::CREATED).replayed(true).into_response(false);
        assert_eq!(replay.headers()["Idempotent-Replayed"], "true");
    }
}
