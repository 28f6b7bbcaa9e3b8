//! Answers: what a status and a body say, if they are of the documented shape for what was asked.
//!
//! Everything else is unknown: a gateway's page, a status that the endpoint does not have, a field that
//! is missing. More fields than are documented are fine. What does not belong here: whether an answer is
//! right; a faulty server's are read as faithfully as any other's.

use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;

use crate::history::{Code, HoldStatus, HoldView, Operation, OrderStatus, OrderView, Outcome, ProductView, Why};

/// Reads an answer. `replayed` is whether it had `Idempotent-Replayed: true`.
pub fn read(operation: &Operation, status: u16, replayed: bool, body: &[u8]) -> Outcome {
    success(operation, status, replayed, body)
        .or_else(|| refusal(operation, status, body))
        .unwrap_or(Outcome::Unknown { why: Why::Undocumented, status: Some(status) })
}

fn success(operation: &Operation, status: u16, replayed: bool, body: &[u8]) -> Option<Outcome> {
    match (operation, status) {
        (Operation::PlaceHold { .. }, 201) => {
            let placed: PlacedHold = parse(body)?;
            let expires_at = microseconds(&placed.expires_at)?;
            Some(Outcome::Held { hold: placed.hold_id, expires_at, replayed, body: hash(body) })
        }
        (Operation::ReleaseHold { .. }, 204) => Some(Outcome::Released),
        (Operation::PlaceOrder { .. }, 201) => {
            let order = parse::<Data<Order>>(body)?.data.view()?;
            Some(Outcome::Ordered { order, replayed, body: hash(body) })
        }
        (Operation::Webhook { .. }, 200) => parse::<Success>(body)?.success.then_some(Outcome::Accepted),
        (Operation::ReadProduct { product, .. }, 200) => {
            let read = parse::<Data<Product>>(body)?.data;
            Some(Outcome::Product(read.view(*product)?))
        }
        (Operation::ReadHold { hold }, 200) => Some(Outcome::Hold(parse::<Data<Hold>>(body)?.data.view(*hold)?)),
        (Operation::ReadOrder { .. }, 200) => Some(Outcome::Order(parse::<Data<Order>>(body)?.data.view()?)),
        _ => None,
    }
}

fn refusal(operation: &Operation, status: u16, body: &[u8]) -> Option<Outcome> {
    let refused: Refused = parse(body)?;
    if status == 503 && refused.code == "outcome_unknown" && changes(operation) {
        return Some(Outcome::Unknown { why: Why::OutcomeUnknown, status: Some(status) });
    }
    let code = serde_json::from_value(serde_json::Value::String(refused.code)).ok()?;
    if !documented(operation, status, code) {
        return None;
    }
    let available = match code {
        Code::InsufficientStock => Some(refused.available?),
        _ => None,
    };
    let order = match code {
        Code::HoldAlreadyRedeemed => Some(refused.order_id?),
        _ => None,
    };
    Some(Outcome::Refused { status, code, available, order })
}

fn changes(operation: &Operation) -> bool {
    !matches!(operation, Operation::ReadHold { .. } | Operation::ReadOrder { .. } | Operation::ReadProduct { .. })
}

/// Whether an endpoint has a refusal of this status and code.
fn documented(operation: &Operation, status: u16, code: Code) -> bool {
    let with_body =
        matches!(operation, Operation::PlaceHold { .. } | Operation::PlaceOrder { .. } | Operation::Webhook { .. });
    let named = !matches!(operation, Operation::PlaceHold { .. } | Operation::PlaceOrder { .. });
    match (status, code) {
        (400, Code::BadRequest)
        | (401, Code::Unauthorized)
        | (405, Code::MethodNotAllowed)
        | (429, Code::RateLimited)
        | (500, Code::Internal)
        | (503, Code::Overloaded | Code::DatabaseUnavailable) => true,
        (400, Code::InvalidJson)
        | (413, Code::BodyTooLarge)
        | (415, Code::UnsupportedMediaType)
        | (422, Code::ValidationFailed) => with_body,
        (404, Code::NotFound) => named,
        (409, Code::InsufficientStock | Code::ProductSuspended) => matches!(operation, Operation::PlaceHold { .. }),
        (409, Code::HoldExpired | Code::HoldReleased) => matches!(operation, Operation::PlaceOrder { .. }),
        (409, Code::HoldAlreadyRedeemed) => {
            matches!(operation, Operation::PlaceOrder { .. } | Operation::ReleaseHold { .. })
        }
        (422, Code::IdempotencyKeyReused) => {
            matches!(operation, Operation::PlaceHold { .. } | Operation::PlaceOrder { .. })
        }
        (400, Code::MissingIdempotencyKey) | (409, Code::PaymentKeyConflict) => {
            matches!(operation, Operation::Webhook { .. })
        }
        _ => false,
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The same bytes have the same hash, in every run of this harness.
fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

/// A time of the API, in microseconds since 1970.
fn microseconds(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    text.ends_with('Z').then(|| time.as_microsecond())
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct PlacedHold {
    hold_id: u64,
    expires_at: String,
}

#[derive(Deserialize)]
struct Success {
    success: bool,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "error")]
    _error: String,
    code: String,
    available: Option<u64>,
    order_id: Option<u64>,
}

#[derive(Deserialize)]
struct Product {
    id: u64,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "price")]
    _price: String,
    status: String,
    available_stock: i64,
    stock_available: i64,
    stock_reserved: i64,
}

impl Product {
    /// `None` if it is another product, or its status is none.
    fn view(&self, asked: u64) -> Option<ProductView> {
        let suspended = match self.status.as_str() {
            "on_sale" => false,
            "suspended" => true,
            _ => return None,
        };
        (self.id == asked).then_some(ProductView {
            free: self.available_stock,
            available: self.stock_available,
            reserved: self.stock_reserved,
            suspended,
        })
    }
}

#[derive(Deserialize)]
struct Hold {
    id: u64,
    product_id: u64,
    quantity: i64,
    status: String,
    release_reason: Option<String>,
    order_id: Option<u64>,
    created_at: String,
    expires_at: String,
}

impl Hold {
    /// `None` if it is another hold, or its status, its reason or a time is none.
    fn view(&self, asked: u64) -> Option<HoldView> {
        let status = match (self.status.as_str(), self.release_reason.as_deref()) {
            ("active", None) => HoldStatus::Active,
            ("redeemed", None) => HoldStatus::Redeemed,
            ("released", Some("expired")) => HoldStatus::Expired,
            ("released", Some("given_back")) => HoldStatus::GivenBack,
            ("released", Some("payment_failed")) => HoldStatus::PaymentFailed,
            ("released", Some("payment_overdue")) => HoldStatus::PaymentOverdue,
            _ => return None,
        };
        let (created_at, expires_at) = (microseconds(&self.created_at)?, microseconds(&self.expires_at)?);
        (self.id == asked).then_some(HoldView {
            product: self.product_id,
            quantity: self.quantity,
            status,
            order: self.order_id,
            created_at,
            expires_at,
        })
    }
}

#[derive(Deserialize)]
struct Order {
    id: u64,
    hold_id: u64,
    status: String,
    quantity: i64,
    #[serde(rename = "total_amount")]
    _total_amount: String,
}

impl Order {
    /// `None` if its status is none.
    fn view(&self) -> Option<OrderView> {
        let status = match self.status.as_str() {
            "pending_payment" => OrderStatus::PendingPayment,
            "paid" => OrderStatus::Paid,
            "cancelled" => OrderStatus::Cancelled,
            _ => return None,
        };
        Some(OrderView { order: self.id, hold: self.hold_id, quantity: self.quantity, status })
    }
}

#[cfg(test)]
mod tests;
