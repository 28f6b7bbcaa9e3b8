//! Requests: their routes, tokens, bodies and fields, and which step of the sale they ask for.
//!
//! What does not belong here: what a step does, and what an answer looks like.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::answer::{self, Answer};
use crate::desk::Desk;
use crate::fault::Fault;
use crate::problem::Problem;
use crate::rows::News;
use crate::sale::{NewHold, NewOrder};

const MAX_BODY_BYTES: usize = 16 * 1024;
const MAX_ID: u64 = (1 << 53) - 1;
const MAX_STOCK: i64 = 1_000_000_000_000;
const MAX_QUANTITY: i64 = 1_000_000;
const MAX_KEY_BYTES: usize = 255;
const REQUEST_ID: &str = "x-request-id";

/// What requests are held against, and the sale.
pub(crate) struct Shop {
    pub(crate) desk: Desk,
    pub(crate) admin_tokens: Vec<String>,
    pub(crate) api_tokens: Vec<String>,
    pub(crate) webhooks: Vec<Webhook>,
}

impl Shop {
    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let request_id = request_id(request.headers());
        let mut answer = self.route(request).await.unwrap_or_else(|problem| answer::refusal(&problem));
        answer.headers_mut().insert(REQUEST_ID, request_id);
        answer
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Problem> {
        let (head, incoming) = request.into_parts();
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        let (headers, desk) = (&head.headers, &self.desk);
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["healthz" | "readyz"]) => {
                return Ok(answer::json(StatusCode::OK, &json!({"status": "ok"})));
            }
            (&Method::POST, ["api", "payments", "webhook"]) => {
                return self.webhook(headers, &read(incoming).await?);
            }
            (&Method::POST, ["api", "products"]) => {
                self.admit_operator(headers)?;
                return self.add_product(&object(headers, &read(incoming).await?)?);
            }
            (&Method::POST, ["api", "products", product_id, "restock"]) => {
                self.admit_operator(headers)?;
                return self.restock(path_id(product_id)?, &object(headers, &read(incoming).await?)?);
            }
            (&Method::POST, ["api", "products", product_id, verb @ ("suspend" | "resume")]) => {
                self.admit_operator(headers)?;
                let product_id = path_id(product_id)?;
                let product = desk.step(|sale| sale.suspend(product_id, *verb == "suspend"))?;
                return Ok(answer::product(StatusCode::OK, &product));
            }
            _ => {}
        }
        if !self.api_tokens.is_empty() {
            admit(&self.api_tokens, headers)?;
        }
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["api", "limits"]) => Ok(self.limits()),
            (&Method::GET, ["api", "products"]) => self.list(head.uri.query().unwrap_or_default()),
            (&Method::GET, ["api", "products", id]) => {
                Ok(answer::product(StatusCode::OK, &desk.product(path_id(id)?)?))
            }
            (&Method::POST, ["api", "holds"]) => {
                self.place_hold(headers, &object(headers, &read(incoming).await?)?).await
            }
            (&Method::GET, ["api", "holds", id]) => {
                let id = path_id(id)?;
                let hold = desk.step(|sale| sale.holds.get(&id).cloned().ok_or(Problem::NotFound))?;
                Ok(answer::hold(&hold))
            }
            (&Method::DELETE, ["api", "holds", id]) => {
                let id = path_id(id)?;
                desk.step(|sale| sale.give_back(id))?;
                Ok(answer::empty())
            }
            (&Method::POST, ["api", "orders"]) => {
                self.place_order(headers, &object(headers, &read(incoming).await?)?).await
            }
            (&Method::GET, ["api", "orders", id]) => {
                let id = path_id(id)?;
                let order = desk.step(|sale| sale.orders.get(&id).cloned().ok_or(Problem::NotFound))?;
                Ok(answer::order(StatusCode::OK, &order))
            }
            _ => Err(Problem::NotFound),
        }
    }

    fn admit_operator(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.admin_tokens.is_empty() { Err(Problem::NotFound) } else { admit(&self.admin_tokens, headers) }
    }

    fn limits(&self) -> Answer {
        let terms = self.desk.terms;
        answer::limits(terms.hold_ttl_seconds, terms.payment_window_seconds, terms.max_qty_per_hold)
    }

    fn list(&self, query: &str) -> Result<Answer, Problem> {
        let (mut limit, mut after) = (50, 0);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = value.parse::<u64>().ok();
            match (&*name, number) {
                ("limit", Some(number @ 1..=200)) => limit = number,
                ("limit", _) => return Err(Problem::field("limit", "must be an integer from 1 to 200")),
                ("after", Some(number @ ..=MAX_ID)) => after = number,
                ("after", _) => return Err(Problem::field("after", "must be an id")),
                _ => {}
            }
        }
        let limit = usize::try_from(limit).map_err(|_| Problem::Internal)?;
        let mut found: Vec<_> = self.desk.step(|sale| {
            let rest = sale.products.range(after + 1..).map(|(_, product)| product);
            Ok(rest.filter(|product| !product.suspended).take(limit + 1).cloned().collect())
        })?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_after = found.last().map(|last| last.id).filter(|_| more);
        Ok(answer::products(&found, next_after))
    }

    fn add_product(&self, body: &Value) -> Result<Answer, Problem> {
        let name = body["name"].as_str().filter(|name| (1..=255).contains(&name.chars().count()));
        let name = name.ok_or(Problem::field("name", "must be a string of 1 to 255 characters"))?;
        let description = body["description"].as_str().unwrap_or_default();
        let price = body["price"].as_str().and_then(answer::parse_money);
        let price = price.ok_or(Problem::field("price", "must be a string like \"99.99\""))?;
        let stock = integer(body, "stock", 0, MAX_STOCK)?;
        let made = |sale: &mut crate::sale::Sale| Ok(sale.add_product(name.into(), description.into(), price, stock));
        Ok(answer::product(StatusCode::CREATED, &self.desk.step(made)?))
    }

    fn restock(&self, product_id: u64, body: &Value) -> Result<Answer, Problem> {
        let change = integer(body, "qty", -MAX_STOCK, MAX_STOCK)?;
        if change == 0 {
            return Err(Problem::field("qty", "must not be 0"));
        }
        let product = self.desk.step(|sale| sale.restock(product_id, change))?;
        Ok(answer::product(StatusCode::OK, &product))
    }

    async fn place_hold(&self, headers: &HeaderMap, body: &Value) -> Result<Answer, Problem> {
        let key = idempotency_key(headers)?;
        let product_id = id(body, "product_id", "product_id")?;
        let quantity = integer(body, "qty", 1, MAX_QUANTITY)?;
        let placed = self.desk.place_hold(NewHold { product_id, quantity, key }).await?;
        Ok(answer::replayed(answer::placed_hold(&placed.row), placed.replayed))
    }

    async fn place_order(&self, headers: &HeaderMap, body: &Value) -> Result<Answer, Problem> {
        let key = idempotency_key(headers)?;
        let hold_id = id(body, "hold_id", "hold_id")?;
        let placed = self.desk.place_order(NewOrder { hold_id, key }).await?;
        let shown = if self.desk.fault == Some(Fault::ReplayNotFirstAnswer) {
            answer::order(StatusCode::CREATED, &placed.row)
        } else {
            answer::placed_order(&placed.row)
        };
        Ok(answer::replayed(shown, placed.replayed))
    }

    fn webhook(&self, headers: &HeaderMap, bytes: &Bytes) -> Result<Answer, Problem> {
        let is_signed = !self.webhooks.is_empty();
        if is_signed && !self.webhooks.iter().any(|secret| secret.verify(bytes, headers).is_ok()) {
            return Err(Problem::Unauthorized);
        }
        let body = object(headers, bytes)?;
        let key = payment_key(&body, headers, is_signed)?;
        let data = &body["data"];
        let (order_id, order_field) = if body["order_id"].is_null() && !data["order_id"].is_null() {
            (id(data, "order_id", "data.order_id")?, "data.order_id")
        } else {
            (id(&body, "order_id", "order_id")?, "order_id")
        };
        let (status, status_field) = match (body["status"].as_str(), data["status"].as_str()) {
            (None, Some(status)) => (status, "data.status"),
            (status, _) => (status.unwrap_or_default(), "status"),
        };
        let news = match status {
            "success" => News::Success,
            "failure" => News::Failure,
            "pending" => News::Pending,
            _ => return Err(Problem::field(status_field, "must be \"success\", \"failure\" or \"pending\"")),
        };
        self.desk.step(|sale| sale.settle(&key, order_id, news, order_field))?;
        Ok(answer::json(StatusCode::OK, &json!({"success": true})))
    }
}

fn admit(tokens: &[String], headers: &HeaderMap) -> Result<(), Problem> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let known = token.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && tokens.iter().any(|known| known == token.trim())
    });
    if known { Ok(()) } else { Err(Problem::Unauthorized) }
}

/// The caller's name for a request, if it is one that is taken, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) => {
            id.clone()
        }
        _ => HeaderValue::from(fastrand::u64(..)),
    }
}

async fn read(incoming: Incoming) -> Result<Bytes, Problem> {
    let read = Limited::new(incoming, MAX_BODY_BYTES).collect().await;
    let read =
        read.map_err(|error| if error.is::<LengthLimitError>() { Problem::BodyTooLarge } else { Problem::BadRequest });
    Ok(read?.to_bytes())
}

fn object(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Problem::UnsupportedMediaType);
    }
    serde_json::from_slice(bytes).map_err(|_| Problem::InvalidJson)
}

fn path_id(text: &str) -> Result<u64, Problem> {
    text.parse().ok().filter(|id| (1..=MAX_ID).contains(id) && id.to_string() == text).ok_or(Problem::NotFound)
}

/// The id in `field`; `name` is how the field is named if it has none.
fn id(body: &Value, field: &str, name: &'static str) -> Result<u64, Problem> {
    let id = body[field].as_u64().filter(|id| (1..=MAX_ID).contains(id));
    id.ok_or_else(|| Problem::field(name, format!("must be an integer from 1 to {MAX_ID}")))
}

fn integer(body: &Value, field: &'static str, least: i64, most: i64) -> Result<i64, Problem> {
    let number = body[field].as_i64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Problem::field(field, format!("must be an integer from {least} to {most}")))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| Problem::BadRequest)?;
            let is_key = (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if is_key { Ok(Some(text.to_owned())) } else { Err(Problem::BadRequest) }
        }
        (Some(_), Some(_)) => Err(Problem::BadRequest),
    }
}

/// The first key there is: in the body, then the signed id, then, where nothing is signed, the header.
fn payment_key(body: &Value, headers: &HeaderMap, is_signed: bool) -> Result<String, Problem> {
    for field in ["payment_idempotency_key", "idempotency_key"] {
        match &body[field] {
            Value::Null => {}
            Value::String(key) if key.is_empty() => {}
            Value::String(key) if key.len() <= MAX_KEY_BYTES && !key.contains(char::is_control) => {
                return Ok(key.clone());
            }
            _ => return Err(Problem::field(field, "must be a string of 1 to 255 bytes")),
        }
    }
    if is_signed {
        let signed = headers.get("webhook-id").and_then(|id| id.to_str().ok());
        return signed.map(str::to_owned).ok_or(Problem::MissingIdempotencyKey);
    }
    idempotency_key(headers)?.ok_or(Problem::MissingIdempotencyKey)
}
