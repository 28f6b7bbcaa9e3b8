//! What answers look like: the JSON of every row and every refusal.
//!
//! What does not belong here: which of them is the right one.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use crate::clock;
use crate::problem::Problem;
use crate::rows::{Hold, HoldState, Order, OrderState, Product, Reason};

/// An answer, whole.
pub(crate) type Answer = Response<Full<Bytes>>;

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct ShownProduct<'a> {
    id: u64,
    name: &'a str,
    description: &'a str,
    price: String,
    status: &'static str,
    available_stock: i64,
    stock_available: i64,
    stock_reserved: i64,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct Page<'a> {
    data: Vec<ShownProduct<'a>>,
    next_after: Option<u64>,
}

#[derive(Serialize)]
struct PlacedHold {
    hold_id: u64,
    expires_at: String,
}

#[derive(Serialize)]
struct ShownHold {
    id: u64,
    product_id: u64,
    quantity: i64,
    status: &'static str,
    release_reason: Option<Reason>,
    order_id: Option<u64>,
    created_at: String,
    expires_at: String,
    released_at: Option<String>,
}

#[derive(Serialize)]
struct ShownOrder {
    id: u64,
    hold_id: u64,
    status: OrderState,
    quantity: i64,
    total_amount: String,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct ShownLimits {
    hold_ttl_seconds: i64,
    payment_window_seconds: i64,
    max_qty_per_hold: i64,
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Nothing here has a key that is no string, or a map that could fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// 204.
pub(crate) fn empty() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// The answer, marked as one that was given before.
pub(crate) fn replayed(mut answer: Answer, replayed: bool) -> Answer {
    if replayed {
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    answer
}

/// Why not.
pub(crate) fn refusal(problem: &Problem) -> Answer {
    let (status, code) = problem.status_and_code();
    let mut body = json!({"error": problem.to_string(), "code": code});
    match problem {
        Problem::Validation { field, problem } => body["errors"] = json!({*field: [problem]}),
        Problem::KeyReused => body["errors"] = json!({"Idempotency-Key": ["was used with another body"]}),
        Problem::InsufficientStock { available } => body["available"] = json!(available),
        Problem::HoldAlreadyRedeemed { order_id } => body["order_id"] = json!(order_id),
        _ => {}
    }
    let mut answer = json(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body);
    match status {
        401 => answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        503 => answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1")),
        _ => None,
    };
    answer
}

/// The limits of the sale.
pub(crate) fn limits(hold_ttl_seconds: i64, payment_window_seconds: i64, max_qty_per_hold: i64) -> Answer {
    let data = ShownLimits { hold_ttl_seconds, payment_window_seconds, max_qty_per_hold };
    json(StatusCode::OK, &Data { data })
}

/// A product.
pub(crate) fn product(status: StatusCode, product: &Product) -> Answer {
    json(status, &Data { data: shown_product(product) })
}

/// Some products.
pub(crate) fn products(products: &[Product], next_after: Option<u64>) -> Answer {
    json(StatusCode::OK, &Page { data: products.iter().map(shown_product).collect(), next_after })
}

fn shown_product(product: &Product) -> ShownProduct<'_> {
    ShownProduct {
        id: product.id,
        name: &product.name,
        description: &product.description,
        price: money(product.price, ""),
        status: if product.suspended { "suspended" } else { "on_sale" },
        available_stock: product.free(),
        stock_available: product.available,
        stock_reserved: product.reserved,
        created_at: clock::shown(product.created_at),
        updated_at: clock::shown(product.updated_at),
    }
}

/// A hold, as it is shown when it is placed.
pub(crate) fn placed_hold(hold: &Hold) -> Answer {
    json(StatusCode::CREATED, &PlacedHold { hold_id: hold.id, expires_at: clock::shown_whole(hold.expires_at) })
}

/// A hold.
pub(crate) fn hold(hold: &Hold) -> Answer {
    let (status, release_reason, order_id, released_at) = match hold.state {
        HoldState::Active => ("active", None, None, None),
        HoldState::Redeemed { order_id } => ("redeemed", None, Some(order_id), None),
        HoldState::Released { at, reason, order_id } => ("released", Some(reason), order_id, Some(at)),
    };
    let shown = ShownHold {
        id: hold.id,
        product_id: hold.product_id,
        quantity: hold.quantity,
        status,
        release_reason,
        order_id,
        created_at: clock::shown(hold.created_at),
        expires_at: clock::shown_whole(hold.expires_at),
        released_at: released_at.map(clock::shown),
    };
    json(StatusCode::OK, &Data { data: shown })
}

/// An order as it is.
pub(crate) fn order(status: StatusCode, order: &Order) -> Answer {
    let shown = ShownOrder {
        id: order.id,
        hold_id: order.hold_id,
        status: order.state,
        quantity: order.quantity,
        total_amount: money(order.total, ","),
        created_at: clock::shown(order.created_at),
        updated_at: clock::shown(order.updated_at),
    };
    json(status, &Data { data: shown })
}

/// An order as it was when it was made.
pub(crate) fn placed_order(made: &Order) -> Answer {
    let first = Order { state: OrderState::PendingPayment, updated_at: made.created_at, ..made.clone() };
    order(StatusCode::CREATED, &first)
}

/// `3,999.60`, with `separator` between thousands.
fn money(minor: i64, separator: &str) -> String {
    let (whole, cents) = (minor / 100, minor % 100);
    let digits = whole.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push_str(separator);
        }
        text.push(digit);
    }
    format!("{text}.{cents:02}")
}

/// Minor units of money; `None` unless the text is digits, and after a point one or two more.
pub(crate) fn parse_money(text: &str) -> Option<i64> {
    let (whole, cents) = text.split_once('.').unwrap_or((text, "00"));
    let is_number =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole, 10) || !is_number(cents, 2) {
        return None;
    }
    let scale = if cents.len() == 1 { 10 } else { 1 };
    Some(whole.parse::<i64>().ok()? * 100 + cents.parse::<i64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_and_read() {
        for (minor, price, amount) in
            [(0, "0.00", "0.00"), (9_999, "99.99", "99.99"), (399_960, "3999.60", "3,999.60"), (5, "0.05", "0.05")]
        {
            assert_eq!((money(minor, "").as_str(), money(minor, ",").as_str()), (price, amount));
            assert_eq!(parse_money(price), Some(minor));
        }
        assert_eq!(parse_money("7.5"), Some(750));
        for bad in ["", ".5", "5.", "1.999", "-1", "+1", "x", "1,000.00"] {
            assert_eq!(parse_money(bad), None, "{bad}");
        }
    }
}
