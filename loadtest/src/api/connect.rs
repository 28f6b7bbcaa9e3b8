//! Connections of a client's own: HTTP/1.1, over TLS if the URL says so.
//!
//! A client keeps its connection from request to request, and opens it before the request's time
//! begins. What does not belong here: what is sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::SetupError;

/// A connection, with TLS or without.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why there is no connection.
pub(super) type NoConnection = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    server: Uri,
    connector: HttpsConnector<HttpConnector>,
}

impl Connector {
    /// For the server at `server`; the certificates that this machine trusts are read if it speaks TLS.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(server: Uri) -> Result<Self, SetupError> {
        let tls = |error: &dyn std::fmt::Display| SetupError::Tls(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(&error))?;
        let config = if server.scheme_str() == Some("https") {
            builder.with_native_roots().map_err(|error| tls(&error))?
        } else {
            builder.with_root_certificates(RootCertStore::empty())
        };
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { server, connector })
    }

    /// Opens a connection within `limit`.
    pub(super) async fn stream(&self, limit: Duration) -> Result<Stream, NoConnection> {
        let mut connector = self.connector.clone();
        tokio::time::timeout(limit, connector.call(self.server.clone())).await?
    }

    /// Opens a connection that speaks HTTP/1.1, within `limit`.
    pub(super) async fn open(&self, limit: Duration) -> Result<SendRequest<Full<Bytes>>, NoConnection> {
        let (sender, connection) = handshake(self.stream(limit).await?).await?;
        // It ends with an error where the answer does; that one is told.
        tokio::spawn(connection);
        Ok(sender)
    }
}
