//! What the harness does as an operator of the server that it loads: it reads the limits, makes and suspends its
//! products, and ends what it left open.
//!
//! None of it is in the history: it comes before the first request, or after the last one was judged. What
//! does not belong here: what is sold, and to whom.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{TargetError, retry};
use crate::api::{Requests, Secrets};
use crate::history::{Key, Limits, News, Operation};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest id that there can be, which no order will ever have.
const NO_ORDER: u64 = (1 << 53) - 1;
/// How many products are listed at a time: as many as the API gives.
const PAGE: u64 = 200;

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

/// What came of ending something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is over.
    Done,
    /// The hold had become an order, which keeps its units.
    Redeemed {
        /// The order, if the server named it.
        order: Option<u64>,
    },
}

/// A page of products.
#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    next_after: Option<u64>,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    name: String,
}

/// A refusal to give a hold back.
#[derive(Deserialize)]
struct RedeemedJson {
    code: String,
    order_id: Option<u64>,
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
        const WHAT: &str = "GET /api/limits";
        let mut last = "the first request got no answer at all, and no refusal".to_owned();
        let wait = async {
            loop {
                match self.send(self.storefront(Method::GET, "/api/limits"), WHAT).await {
                    // A server that is starting, or a gateway in front of one.
                    Err(error) if error.is_passing() => last = error.to_string(),
                    other => return other,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(patience, wait).await;
        let body = waited.map_err(|_| TargetError::NoAnswer {
            url: self.base_url.clone(),
            seconds: patience.as_secs(),
            last: last.clone(),
        })??;
        let limits: Data<LimitsJson> = read(&body, WHAT)?;
        Ok(Limits {
            hold_ttl_seconds: limits.data.hold_ttl_seconds,
            payment_window_seconds: limits.data.payment_window_seconds,
            max_qty_per_hold: limits.data.max_qty_per_hold,
        })
    }

    /// Tries the secrets that the load uses, without changing anything: a read, and a payment event for an order
    /// that cannot be there. `requests` are the run's.
    ///
    /// # Errors
    /// [`TargetError::WrongSecret`] if the server does not take one; others if it does not answer as this API does.
    pub async fn try_secrets(&self, requests: &Requests) -> Result<(), TargetError> {
        self.list(0, 1).await?;
        let event = Operation::Webhook { key: Key(NO_ORDER), order: NO_ORDER, news: News::Failure };
        let what = "POST /api/payments/webhook";
        let (status, body) = self.answer(self.load(requests, &event, what)?, what).await?;
        match status {
            StatusCode::UNPROCESSABLE_ENTITY => Ok(()),
            StatusCode::UNAUTHORIZED => Err(TargetError::WrongSecret {
                what: "a payment event",
                name: "WEBHOOK_SECRET",
                why: why(self.secrets.webhook_secret.as_ref()),
            }),
            _ => Err(unexpected(what, status, &body, " (an event for an order that is not there should be 422)")),
        }
    }

    /// Makes a product, and returns its id.
    ///
    /// # Errors
    /// If the server refuses, as it does when the token is not an operator's.
    pub async fn add_product(&self, name: &str, stock: u64) -> Result<u64, TargetError> {
        let what = "POST /api/products";
        let body = json!({"name": name, "price": "99.99", "stock": stock, "description": "made by a load test"});
        let body = self.send(self.operators(Method::POST, "/api/products").json(&body), what).await?;
        Ok(read::<Data<Found>>(&body, what)?.data.id)
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
    /// [`TargetError::NoProduct`] if it is not there.
    pub async fn product(&self, product: u64) -> Result<Found, TargetError> {
        let path = format!("/api/products/{product}");
        let what = format!("GET {path}");
        match self.send(self.storefront(Method::GET, &path), &what).await {
            Err(TargetError::Unexpected { status: StatusCode::NOT_FOUND, .. }) => Err(TargetError::NoProduct(product)),
            other => Ok(read::<Data<Found>>(&other?, &what)?.data),
        }
    }

    /// The ids of all products on sale whose name begins with `prefix`.
    ///
    /// # Errors
    /// If the server refuses, or does not answer by `deadline`.
    pub async fn products_named(&self, prefix: &str, deadline: Instant) -> Result<Vec<u64>, TargetError> {
        let mut found = Vec::new();
        let mut after = 0;
        loop {
            let page = retry(deadline, || self.list(after, PAGE)).await?;
            found.extend(page.data.iter().filter(|product| product.name.starts_with(prefix)).map(|product| product.id));
            match page.next_after {
                // A server that goes back would keep this here for ever.
                Some(next) if next > after => after = next,
                _ => return Ok(found),
            }
        }
    }

    async fn list(&self, after: u64, limit: u64) -> Result<Page, TargetError> {
        let mut path = format!("/api/products?limit={limit}");
        if after > 0 {
            let _ = write!(path, "&after={after}");
        }
        let what = format!("GET {path}");
        let body = self.send(self.storefront(Method::GET, &path), &what).await?;
        read(&body, &what)
    }

    /// Does one of the things that the load does, such as giving a hold back. What has ended already stays as
    /// it is, and that is as good; but a hold that became an order lives on in that, and is answered with it.
    ///
    /// # Errors
    /// If the server could not do it.
    pub async fn end(&self, requests: &Requests, operation: &Operation) -> Result<Ended, TargetError> {
        let what = format!("{operation:?}");
        let (status, body) = self.answer(self.load(requests, operation, &what)?, &what).await?;
        match (status, operation) {
            (status, _) if status.is_success() => Ok(Ended::Done),
            (StatusCode::NOT_FOUND, _) => Ok(Ended::Done),
            (StatusCode::CONFLICT, Operation::ReleaseHold { .. }) => match serde_json::from_slice(&body) {
                Ok(RedeemedJson { order_id: order @ Some(_), .. }) => Ok(Ended::Redeemed { order }),
                Ok(RedeemedJson { code, .. }) if code == "hold_already_redeemed" => Ok(Ended::Redeemed { order: None }),
                _ => Ok(Ended::Done),
            },
            _ => Err(unexpected(&what, status, &body, "")),
        }
    }

    /// A request of the load's, as it is sent from here.
    fn load(&self, requests: &Requests, operation: &Operation, what: &str) -> Result<RequestBuilder, TargetError> {
        let request = reqwest::Request::try_from(requests.build(operation))
            .map_err(|source| TargetError::Http { what: what.to_owned(), source })?;
        Ok(RequestBuilder::from_parts(self.http.clone(), request))
    }

    fn storefront(&self, method: Method, path: &str) -> Asked {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        let token = self.secrets.api_token.as_ref();
        let not_found = " (does it speak this API?)";
        let request = with_token(request, token);
        Asked { request, area: "a storefront's request", secret: "API_TOKEN", why: why(token), not_found }
    }

    fn operators(&self, method: Method, path: &str) -> Asked {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        let token = self.secrets.admin_token.as_ref();
        let not_found = " (has this server an ADMIN_TOKEN? without one it makes no products)";
        let request = with_token(request, token);
        Asked { request, area: "an operator's request", secret: "ADMIN_TOKEN", why: why(token), not_found }
    }

    /// Sends it, and returns the body of a success.
    async fn send(&self, asked: Asked, what: &str) -> Result<Vec<u8>, TargetError> {
        let (status, body) = self.answer(asked.request, what).await?;
        match status.as_u16() {
            200..=299 => Ok(body),
            401 => Err(TargetError::WrongSecret { what: asked.area, name: asked.secret, why: asked.why }),
            404 => Err(unexpected(what, status, &body, asked.not_found)),
            301..=308 => Err(unexpected(what, status, &body, " (redirects are not followed: aim at where it leads)")),
            _ => Err(unexpected(what, status, &body, "")),
        }
    }

    async fn answer(&self, request: RequestBuilder, what: &str) -> Result<(StatusCode, Vec<u8>), TargetError> {
        let failed = |source: reqwest::Error| TargetError::Http { what: what.to_owned(), source: source.without_url() };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        Ok((status, response.bytes().await.map_err(failed)?.to_vec()))
    }
}

/// A request, and what its refusals mean.
struct Asked {
    request: RequestBuilder,
    /// What it is part of, for a refusal of the secret.
    area: &'static str,
    /// The environment variable of the secret that it has.
    secret: &'static str,
    /// What is wrong with that if it is refused.
    why: &'static str,
    /// What 404 hints at.
    not_found: &'static str,
}

impl Asked {
    fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }
}

fn with_token(request: RequestBuilder, token: Option<&String>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Why a secret is refused.
fn why(given: Option<&String>) -> &'static str {
    if given.is_some() { "is not one of this server's" } else { "is not set, and this server wants one" }
}

fn unexpected(what: &str, status: StatusCode, body: &[u8], hint: &'static str) -> TargetError {
    TargetError::Unexpected { what: what.to_owned(), status, body: excerpt(body), hint }
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
