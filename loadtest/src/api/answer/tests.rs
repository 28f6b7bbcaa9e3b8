//! What each answer says, and which say nothing.

use serde_json::{Value, json};

use super::read;
use crate::history::{
    Code, HoldStatus, HoldView, Key, News, Operation, OrderStatus, OrderView, Outcome, ProductView, Why,
};

const HOLD: Operation = Operation::PlaceHold { product: 3, quantity: 2, key: Key(1) };
const RELEASE: Operation = Operation::ReleaseHold { hold: 5 };
const READ_HOLD: Operation = Operation::ReadHold { hold: 5 };
const ORDER: Operation = Operation::PlaceOrder { hold: 5, key: Key(1) };
const READ_ORDER: Operation = Operation::ReadOrder { order: 9 };
const WEBHOOK: Operation = Operation::Webhook { key: Key(1), order: 9, news: News::Success };
const PRODUCT: Operation = Operation::ReadProduct { product: 3, at_rest: false };
const ALL: [Operation; 7] = [HOLD, RELEASE, READ_HOLD, ORDER, READ_ORDER, WEBHOOK, PRODUCT];

/// Status, code, and how that is written.
type Refusal = (u16, Code, &'static str);

/// 2025-12-02T01:00:00Z.
const ONE_O_CLOCK: i64 = 1_764_637_200_000_000;

fn answer(operation: Operation, status: u16, body: &Value) -> Outcome {
    read(&operation, status, false, body.to_string().as_bytes())
}

fn undocumented(status: u16) -> Outcome {
    Outcome::Unknown { why: Why::Undocumented, status: Some(status) }
}

fn refused(status: u16, code: Code) -> Outcome {
    Outcome::Refused { status, code, available: None, order: None }
}

fn error(code: &str) -> Value {
    json!({"error": "for people", "code": code, "more": [1]})
}

fn order(status: &str) -> Value {
    json!({"data": {"id": 9, "hold_id": 5, "status": status, "quantity": 2, "total_amount": "3,999.60",
        "created_at": "2025-12-02T19:00:26.000000Z", "updated_at": "2025-12-02T19:00:26.000000Z"}})
}

fn hold(status: &str, reason: &Value) -> Value {
    json!({"data": {"id": 5, "product_id": 3, "quantity": 2, "status": status, "release_reason": reason,
        "order_id": 9, "created_at": "2025-12-02T00:59:59.999999Z", "expires_at": "2025-12-02T01:00:00Z",
        "released_at": null}})
}

fn product() -> Value {
    json!({"data": {"id": 3, "name": "A console", "description": "", "price": "99.99", "status": "on_sale",
        "available_stock": 6, "stock_available": 10, "stock_reserved": 4,
        "created_at": "2025-12-02T19:00:26.000000Z", "updated_at": "2025-12-02T19:00:26.000000Z"}})
}

#[test]
fn successes() {
    let body = json!({"hold_id": 5, "expires_at": "2025-12-02T01:00:00Z", "more": 1});
    let Outcome::Held { hold: 5, expires_at: ONE_O_CLOCK, replayed: false, body: first } = answer(HOLD, 201, &body)
    else {
        panic!("a hold")
    };
    let again = read(&HOLD, 201, true, body.to_string().as_bytes());
    assert_eq!(again, Outcome::Held { hold: 5, expires_at: ONE_O_CLOCK, replayed: true, body: first });
    let other = read(&HOLD, 201, false, format!("{body} ").as_bytes());
    assert!(matches!(other, Outcome::Held { body, .. } if body != first), "each byte counts");

    assert_eq!(read(&RELEASE, 204, false, b""), Outcome::Released);
    assert_eq!(answer(WEBHOOK, 200, &json!({"success": true})), Outcome::Accepted);
    for (text, status) in [
        ("pending_payment", OrderStatus::PendingPayment),
        ("paid", OrderStatus::Paid),
        ("cancelled", OrderStatus::Cancelled),
    ] {
        let view = OrderView { order: 9, hold: 5, quantity: 2, status };
        assert_eq!(answer(READ_ORDER, 200, &order(text)), Outcome::Order(view));
        assert!(matches!(answer(ORDER, 201, &order(text)), Outcome::Ordered { order, .. } if order == view));
    }
    let view = ProductView { free: 6, available: 10, reserved: 4, suspended: false };
    assert_eq!(answer(PRODUCT, 200, &product()), Outcome::Product(view));
}

#[test]
fn holds_as_read() {
    let released = [
        ("expired", HoldStatus::Expired),
        ("given_back", HoldStatus::GivenBack),
        ("payment_failed", HoldStatus::PaymentFailed),
        ("payment_overdue", HoldStatus::PaymentOverdue),
    ];
    let view = |status| {
        let created_at = ONE_O_CLOCK - 1;
        Outcome::Hold(HoldView { product: 3, quantity: 2, status, order: Some(9), created_at, expires_at: ONE_O_CLOCK })
    };
    for (reason, status) in released {
        assert_eq!(answer(READ_HOLD, 200, &hold("released", &json!(reason))), view(status));
        assert_eq!(answer(READ_HOLD, 200, &hold("active", &json!(reason))), undocumented(200), "{reason}");
    }
    assert_eq!(answer(READ_HOLD, 200, &hold("active", &Value::Null)), view(HoldStatus::Active));
    assert_eq!(answer(READ_HOLD, 200, &hold("redeemed", &Value::Null)), view(HoldStatus::Redeemed));
    assert_eq!(answer(READ_HOLD, 200, &hold("released", &Value::Null)), undocumented(200));
    assert_eq!(answer(READ_HOLD, 200, &hold("gone", &Value::Null)), undocumented(200));
}

#[test]
fn refusals_are_those_of_their_endpoint() {
    let holds =
        [(409, Code::ProductSuspended, "product_suspended"), (409, Code::InsufficientStock, "insufficient_stock")];
    let keys = [(422, Code::IdempotencyKeyReused, "idempotency_key_reused")];
    let orders = [(409, Code::HoldExpired, "hold_expired"), (409, Code::HoldReleased, "hold_released")];
    let redeemed = [(409, Code::HoldAlreadyRedeemed, "hold_already_redeemed")];
    let events = [
        (409, Code::PaymentKeyConflict, "payment_key_conflict"),
        (400, Code::MissingIdempotencyKey, "missing_idempotency_key"),
    ];
    let bodies = [(422, Code::ValidationFailed, "validation_failed"), (400, Code::InvalidJson, "invalid_json")];
    let named = [(404, Code::NotFound, "not_found")];
    let general = [
        (401, Code::Unauthorized, "unauthorized"),
        (429, Code::RateLimited, "rate_limited"),
        (500, Code::Internal, "internal"),
        (503, Code::Overloaded, "overloaded"),
        (503, Code::DatabaseUnavailable, "database_unavailable"),
    ];
    let rows: [(&[Refusal], &[Operation]); 8] = [
        (&holds, &[HOLD]),
        (&keys, &[HOLD, ORDER]),
        (&orders, &[ORDER]),
        (&redeemed, &[ORDER, RELEASE]),
        (&events, &[WEBHOOK]),
        (&bodies, &[HOLD, ORDER, WEBHOOK]),
        (&named, &[RELEASE, READ_HOLD, READ_ORDER, WEBHOOK, PRODUCT]),
        (&general, &ALL),
    ];
    for (refusals, endpoints) in rows {
        for &(status, code, text) in refusals {
            let mut body = error(text);
            body["available"] = json!(1);
            body["order_id"] = json!(9);
            let available = (code == Code::InsufficientStock).then_some(1);
            let order = (code == Code::HoldAlreadyRedeemed).then_some(9);
            for operation in ALL {
                let expected = if endpoints.contains(&operation) {
                    Outcome::Refused { status, code, available, order }
                } else {
                    undocumented(status)
                };
                assert_eq!(answer(operation, status, &body), expected, "{operation:?} {status} {text}");
                assert_eq!(answer(operation, 418, &body), undocumented(418), "{operation:?} {text}");
            }
        }
    }
}

#[test]
fn a_refusal_without_its_figure_says_nothing() {
    assert_eq!(answer(HOLD, 409, &error("insufficient_stock")), undocumented(409));
    assert_eq!(answer(ORDER, 409, &error("hold_already_redeemed")), undocumented(409));
    assert_eq!(answer(ORDER, 409, &error("hold_expired")), refused(409, Code::HoldExpired));
}

#[test]
fn an_unknown_outcome_is_unknown() {
    let unknown = Outcome::Unknown { why: Why::OutcomeUnknown, status: Some(503) };
    for operation in ALL {
        let expected = match operation {
            READ_HOLD | READ_ORDER | PRODUCT => undocumented(503),
            _ => unknown.clone(),
        };
        assert_eq!(answer(operation, 503, &error("outcome_unknown")), expected, "{operation:?}");
    }
}

#[test]
fn what_is_not_documented_says_nothing() {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    for operation in ALL {
        for (status, body) in [(502, page), (404, page), (200, page), (201, page), (503, page), (200, ""), (201, "{}")]
        {
            let outcome = read(&operation, status, false, body.as_bytes());
            assert_eq!(outcome, undocumented(status), "{operation:?} {status} {body}");
        }
        assert_eq!(answer(operation, 409, &error("gone_fishing")), undocumented(409));
        assert_eq!(answer(operation, 503, &json!({"code": "overloaded"})), undocumented(503));
    }
    assert_eq!(answer(WEBHOOK, 200, &json!({"success": false})), undocumented(200));
    assert_eq!(answer(HOLD, 200, &json!({"hold_id": 5, "expires_at": "2025-12-02T01:00:00Z"})), undocumented(200));
    for expires_at in ["2025-12-02 01:00:00", "2025-12-02T01:00:00+00:00", "soon", ""] {
        assert_eq!(answer(HOLD, 201, &json!({"hold_id": 5, "expires_at": expires_at})), undocumented(201));
    }
    assert_eq!(answer(HOLD, 201, &json!({"hold_id": "5", "expires_at": "2025-12-02T01:00:00Z"})), undocumented(201));
    assert_eq!(answer(READ_ORDER, 200, &order("lost")), undocumented(200));
    let other = Operation::ReadProduct { product: 4, at_rest: false };
    assert_eq!(answer(other, 200, &product()), undocumented(200), "another product");
    assert_eq!(answer(Operation::ReadHold { hold: 6 }, 200, &hold("active", &Value::Null)), undocumented(200));
}
