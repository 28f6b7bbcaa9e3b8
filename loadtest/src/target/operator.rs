//! What the harness does as an operator of the server that it loads: it reads the limits, makes and suspends its
//! products, and ends what it left open.
//!
//! None of it is in the history: it comes before the first request, or after the last one was judged. What
//! does not belong here: what is sold, and to whom.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::TargetError;
use crate::api::{Requests, Secrets};
use crate::history::{Limits, Operation};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for everything that is not load. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Operator {
    http: reqwest::Client,
    base_url: String,
    secrets: Arc<Secrets>,
}

/// A product, as the operator found it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Found {
    /// Its id.
    pub id: u64,
    /// `available_stock`.
    pub available_stock: i64,
    /// `stock_available`.
    pub stock_available: i64,
    /// `stock_reserved`.
    pub stock_reserved: i64,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct LimitsJson {
    hold_ttl_seconds: u64,
    payment_window_seconds: u64,
    max_qty_per_hold: u32,
}

impl Operator {
    /// A client of the server at `base_url`, which has no slash at its end.
    ///
    /// # Errors
    /// If there is no TLS to be had.
    pub fn new(base_url: &str, secrets: Arc<Secrets>) -> Result<Self, TargetError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // The load goes straight to the server, so a proxy of the environment would show another one.
            .no_proxy()
            .build()
            .map_err(|source| TargetError::Http { what: "make an HTTP client".to_owned(), source })?;
        Ok(Self { http, base_url: base_url.to_owned(), secrets })
    }

    /// Asks for the limits, again and again until somebody answers.
    ///
    /// # Errors
    /// [`TargetError::NoAnswer`] if nobody does within `patience`; [`TargetError::Unexpected`] if the answer is
    /// not that of a server which speaks this API.
    pub async fn wait_for_limits(&self, patience: Duration) -> Result<Limits, TargetError> {
        /// Between two tries.
        const PAUSE: Duration = Duration::from_millis(100);
        let wait = async {
            loop {
                match self.send(self.storefront(Method::GET, "/api/limits"), "GET /api/limits").await {
                    // A server that is starting, or a gateway in front of one.
                    Err(TargetError::Unexpected { status, .. }) if status.is_server_error() => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(TargetError::Http { .. }) => tokio::time::sleep(PAUSE).await,
                    other => return other,
                }
            }
        };
        let body = tokio::time::timeout(patience, wait)
            .await
            .map_err(|_| TargetError::NoAnswer { url: self.base_url.clone(), seconds: patience.as_secs() })??;
        let limits: Data<LimitsJson> = read(&body, "GET /api/limits")?;
        Ok(Limits {
            hold_ttl_seconds: limits.data.hold_ttl_seconds,
            payment_window_seconds: limits.data.payment_window_seconds,
            max_qty_per_hold: limits.data.max_qty_per_hold,
        })
    }

    /// Makes a product, and returns its id.
    ///
    /// # Errors
    /// If the server refuses, as it does when the token is not an operator's.
    pub async fn add_product(&self, name: &str, stock: u64) -> Result<u64, TargetError> {
        let body = json!({"name": name, "price": "99.99", "stock": stock, "description": "made by a load test"});
        let request = self.operators(Method::POST, "/api/products").json(&body);
        let body = self.send(request, "POST /api/products").await?;
        Ok(read::<Data<Found>>(&body, "POST /api/products")?.data.id)
    }

    /// Takes no new holds for a product.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn suspend_product(&self, product: u64) -> Result<(), TargetError> {
        let path = format!("/api/products/{product}/suspend");
        let request = self.operators(Method::POST, &path).json(&json!({"reason": "the load test is over"}));
        self.send(request, &format!("POST {path}")).await.map(drop)
    }

    /// Reads a product.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn product(&self, product: u64) -> Result<Found, TargetError> {
        let path = format!("/api/products/{product}");
        let body = self.send(self.storefront(Method::GET, &path), &format!("GET {path}")).await?;
        Ok(read::<Data<Found>>(&body, &path)?.data)
    }

    /// Whether there is any product that is on sale.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn sells_something(&self) -> Result<bool, TargetError> {
        let path = "/api/products?limit=1";
        let body = self.send(self.storefront(Method::GET, path), path).await?;
        Ok(!read::<Data<Vec<Value>>>(&body, path)?.data.is_empty())
    }

    /// Does one of the things that the load does, such as giving a hold back. An order or a hold that has
    /// ended already stays as it is, and that is as good.
    ///
    /// # Errors
    /// If the server could not do it.
    pub async fn end(&self, requests: &Requests, operation: &Operation) -> Result<(), TargetError> {
        let what = format!("{operation:?}");
        let request = reqwest::Request::try_from(requests.build(operation))
            .map_err(|source| TargetError::Http { what: what.clone(), source })?;
        match self.send(RequestBuilder::from_parts(self.http.clone(), request), &what).await {
            Err(TargetError::Unexpected { status: StatusCode::CONFLICT | StatusCode::NOT_FOUND, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    fn storefront(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        match &self.secrets.api_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn operators(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        match &self.secrets.admin_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Vec<u8>, TargetError> {
        let failed = |source: reqwest::Error| TargetError::Http { what: what.to_owned(), source: source.without_url() };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?.to_vec();
        if status.is_success() {
            Ok(body)
        } else {
            Err(TargetError::Unexpected { what: what.to_owned(), status, body: excerpt(&body) })
        }
    }
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8], what: &str) -> Result<T, TargetError> {
    serde_json::from_slice(body).map_err(|error| TargetError::NotThisApi {
        what: what.to_owned(),
        why: error.to_string(),
        body: excerpt(body),
    })
}

/// The beginning of a body, for a message.
fn excerpt(body: &[u8]) -> String {
    const LENGTH: usize = 200;
    String::from_utf8_lossy(&body[..body.len().min(LENGTH)]).into_owned()
}
