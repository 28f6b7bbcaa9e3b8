//! Each JSON body, read and written as its handler does: a door for the benches, and for nobody else.
//!
//! What does not belong here: anything that a handler does not do too. Bodies come as slices and leave as answers, so
//! that no type of this room has to be public for it.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use sale::{Hold as HoldRow, Order as OrderRow};

use super::answer::Answer;
use super::errors::Problem;
use super::holds::{Hold, HoldAnswer, PlacedHold, new_hold};
use super::json;
use super::operators::{new_product, reason, stock_change};
use super::orders::{Order, OrderAnswer};
use super::products::ProductAnswer;
use super::request::object;
use super::webhook::{WebhookAnswer, body_key, news};
use crate::store::ProductReading;

/// A body that clients send.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What it asks for.
    pub name: &'static str,
    /// One that is taken.
    pub example: &'static str,
    /// Reads and checks one; whether it is taken.
    pub read: fn(&[u8]) -> bool,
}

/// All that clients send.
pub const SENT: [Sent; 6] = [
    Sent {
        name: "hold",
        example: r#"{"product_id":1,"qty":5}"#,
        read: |bytes| object(bytes).is_ok_and(|object| new_hold(&object, 1_000, 1_000).is_ok()),
    },
    Sent {
        name: "order",
        example: r#"{"hold_id":1234567}"#,
        read: |bytes| object(bytes).is_ok_and(|object| json::id(object.get("hold_id")).is_ok()),
    },
    Sent {
        name: "payment event",
        example: r#"{"payment_idempotency_key":"evt_1","order_id":12,"status":"success"}"#,
        read: |bytes| {
            object(bytes).is_ok_and(|object| {
                let news = news(&object);
                body_key(&object).is_ok_and(|key| key.is_some()) && news.order_id.is_some() && news.status.is_some()
            })
        },
    },
    Sent {
        name: "product",
        example: r#"{"name":"a product","price":"99.99","stock":100}"#,
        read: |bytes| object(bytes).is_ok_and(|object| new_product(&object).is_ok()),
    },
    Sent {
        name: "restock",
        example: r#"{"qty":100}"#,
        read: |bytes| object(bytes).is_ok_and(|object| stock_change(&object).is_ok()),
    },
    Sent {
        name: "suspension",
        example: r#"{"reason":"recalled"}"#,
        read: |bytes| object(bytes).is_ok_and(|object| reason(&object).is_ok()),
    },
];

/// The answer to a new hold.
pub fn placed_hold(row: &HoldRow) -> Response<Full<Bytes>> {
    Answer::json(StatusCode::CREATED, &PlacedHold::from(row)).into_response(false)
}

/// The answer that shows a hold.
pub fn hold(row: &HoldRow) -> Response<Full<Bytes>> {
    Answer::json(StatusCode::OK, &HoldAnswer { data: Hold::from(row) }).into_response(false)
}

/// The answer to a new order.
pub fn placed_order(row: &OrderRow) -> Response<Full<Bytes>> {
    Answer::json(StatusCode::CREATED, &OrderAnswer { data: Order::first_shown(row) }).into_response(false)
}

/// The answer that shows a product.
pub fn product(reading: ProductReading) -> Response<Full<Bytes>> {
    ProductAnswer::answer(StatusCode::OK, reading).into_response(false)
}

/// The answer to a payment event.
pub fn payment_taken() -> Response<Full<Bytes>> {
    Answer::json(StatusCode::OK, &WebhookAnswer { success: true }).into_response(false)
}

/// The answer to a hold of a product that has so many units left, which are too few.
pub fn insufficient_stock(available: u64) -> Response<Full<Bytes>> {
    Problem::InsufficientStock { available }.answer().into_response(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_is_taken_and_nothing_else() {
        for Sent { name, example, read } in SENT {
            assert!(read(example.as_bytes()), "{name}");
            assert!(!read(b"{"), "{name}");
            assert!(!read(b"[]"), "{name}");
        }
    }
}
