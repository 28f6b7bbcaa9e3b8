//! The API's documentation for people, in a browser, without any other server: Swagger UI from within
//! the binary.
//!
//! What does not belong here: what the documentation says (`openapi.rs`). The page may load nothing
//! from elsewhere, and its content security policy says so to the browser.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use utoipa_swagger_ui::Config;

use super::answer::Answer;
use super::errors::Problem;
use super::request::Call;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Swagger UI sets styles from its script, and has its icons as `data:` addresses.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static("default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"),
);

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The same in JSON: <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// How Swagger UI is set.
pub(super) struct Docs(Arc<Config<'static>>);

impl Docs {
    pub(super) fn new() -> Self {
        let config = Config::new(["/openapi.json"])
            // Its badge would send the document to a server of its makers.
            .validator_url("none")
            .use_base_layout()
            .deep_linking(true)
            .display_request_duration(true)
            .try_it_out_enabled(true);
        Self(Arc::new(config))
    }
}

pub(super) async fn page(_call: Box<Call>) -> Result<Answer, Problem> {
    let (name, value) = POLICY;
    Ok(Answer::bytes(StatusCode::OK, HTML, Bytes::from_static(PAGE.as_bytes())).with_header(name, value))
}

pub(super) async fn file(call: Box<Call>) -> Result<Answer, Problem> {
    let config = Arc::clone(&call.shared().docs.0);
    let file = utoipa_swagger_ui::serve(&call.path_rest, config)
        .map_err(|error| {
            tracing::error!(%error, "a file of the documentation could not be made");
            Problem::Internal
        })?
        .ok_or(Problem::NotFound)?;
    let content_type = HeaderValue::from_str(&file.content_type).map_err(|_| Problem::Internal)?;
    let body = match file.bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let (name, value) = POLICY;
    Ok(Answer::bytes(StatusCode::OK, content_type, body).with_header(name, value))
}
