//! News of payments from the provider.
//!
//! Checks in this order: signature (401), JSON (400), key (400), fields and order (422), and then what
//! the rules say. What does not belong here: how a signature is made (`signature.rs`) and what an event
//! does (`sale`). One log line an event, with neither signature nor secret. An event for an unknown
//! order writes nothing, so that the provider sends it again (I5 needs no trace of it).

use std::time::SystemTime;

use http::StatusCode;
use sale::{Key, OrderId, PaymentEffect, PaymentStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::{FieldErrors, Named, Problem};
use super::json::{self, Json, Object};
use super::request::Call;
use crate::engine::{Payment, Rejection};

/// News of a payment. `order_id` and `status` may come inside `data` instead.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct PaymentNews {
    /// Names the event; sent again, it has the same name.
    #[schema(max_length = 255, example = "evt_1", nullable)]
    payment_idempotency_key: Option<String>,
    /// Another name of the same field.
    #[schema(max_length = 255, nullable)]
    idempotency_key: Option<String>,
    /// The order that it is about.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 12, nullable)]
    order_id: Option<u64>,
    /// What the provider says.
    status: Option<NewsStatus>,
    /// The last two fields, if they are not outside.
    data: Option<PaymentNewsData>,
}

/// The fields of an event that may come inside `data`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct PaymentNewsData {
    /// The order that it is about.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 12, nullable)]
    order_id: Option<u64>,
    /// What the provider says.
    status: Option<NewsStatus>,
}

/// What the provider says of a payment.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) enum NewsStatus {
    /// The money is there.
    Success,
    /// The money will not come.
    Failure,
    /// No news yet.
    Pending,
}

/// The event was taken.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct WebhookAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
}

/// What an event says, once its form is right.
#[derive(Debug, PartialEq, Eq)]
struct News {
    order_id: OrderId,
    /// The name of the field as it was sent.
    order_field: &'static str,
    status: PaymentStatus,
}

pub(super) async fn take(mut call: Call) -> Result<Answer, Problem> {
    let taken = take_event(&mut call).await;
    if let Err(problem) = &taken {
        match problem {
            Problem::Unsigned(reason) => tracing::warn!(outcome = "unsigned", %reason, "payment event refused"),
            problem => {
                let code = problem.code();
                tracing::info!(outcome = "refused", ?code, reason = %problem, "payment event refused");
            }
        }
    }
    taken.map(|()| Answer::json(StatusCode::OK, &WebhookAnswer { success: true }))
}

async fn take_event(call: &mut Call) -> Result<(), Problem> {
    let body = call.bytes().await?;
    let signed_id = match &call.shared.config.webhook_secrets {
        Some(secrets) => Some(secrets.verify(&call.head.headers, &body, SystemTime::now())?),
        None => None,
    };
    call.check_content_type()?;
    let object = json::parse(&body)?.into_object()?;
    let key = match (body_key(&object)?, signed_id) {
        (Some(key), _) => key,
        (None, Some(id)) => {
            Key::new(id).map_err(|_| Problem::BadRequest("The header webhook-id must not be longer than 255 bytes."))?
        }
        (None, None) => call.idempotency_key()?.ok_or(Problem::MissingIdempotencyKey)?,
    };
    let News { order_id, order_field, status } = news(&object)?;
    let engine = call.engine()?;
    let rejected = |rejection: Rejection| Problem::rejected(&rejection, Named::InBody);
    if !engine.knows_order(order_id, call.deadline).await.map_err(rejected)? {
        tracing::info!(payment_key = %key, order_id = order_id.0, outcome = "order_unknown", "payment event refused");
        return Err(FieldErrors::of(order_field, "is unknown").into());
    }
    match engine.settle_payment(key.clone(), order_id, status, call.deadline).await {
        Ok(payment) => {
            log(&payment);
            Ok(())
        }
        Err(rejection) => {
            tracing::info!(payment_key = %key, order_id = order_id.0, outcome = ?rejection, "payment event not taken");
            Err(rejected(rejection))
        }
    }
}

fn log(payment: &Payment) {
    let Payment { event, repeated } = payment;
    let outcome = match event.effect {
        PaymentEffect::Paid => "paid",
        PaymentEffect::Cancelled => "cancelled",
        PaymentEffect::NoEffect => "no_effect",
        PaymentEffect::RefundRequired => "refund_required",
    };
    let (order_id, key) = (event.order_id.0, &event.key);
    let payment_status = match event.status {
        PaymentStatus::Success => "success",
        PaymentStatus::Failure => "failure",
        PaymentStatus::Pending => "pending",
    };
    tracing::info!(payment_key = %key, order_id, payment_status, outcome, repeated, "payment event taken");
    if event.effect == PaymentEffect::RefundRequired && !repeated {
        tracing::error!(payment_key = %key, order_id, "money was taken for a cancelled order: it must be paid back");
    }
}

/// The key in the body. An empty one counts as none.
fn body_key(object: &Object) -> Result<Option<Key>, FieldErrors> {
    for field in ["payment_idempotency_key", "idempotency_key"] {
        let text = match object.given(field) {
            None => continue,
            Some(Json::String(text)) if text.is_empty() => continue,
            Some(Json::String(text)) => text,
            Some(_) => return Err(FieldErrors::of(field, "must be a string of 1 to 255 bytes")),
        };
        return match Key::new(text.as_bytes()) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(FieldErrors::of(field, "must be a string of 1 to 255 bytes")),
        };
    }
    Ok(None)
}

fn news(object: &Object) -> Result<News, FieldErrors> {
    let nothing = Object::default();
    let data = match object.given("data") {
        None => &nothing,
        Some(Json::Object(data)) => data,
        Some(_) => return Err(FieldErrors::of("data", "must be an object")),
    };
    let find = |outside: &'static str, inside: &'static str| match (object.get(outside), data.get(outside)) {
        (Some(value), _) if *value != Json::Null => (outside, Some(value)),
        (_, Some(value)) if *value != Json::Null => (inside, Some(value)),
        (Some(value), _) => (outside, Some(value)),
        (None, Some(value)) => (inside, Some(value)),
        (None, None) => (outside, None),
    };
    let mut errors = FieldErrors::default();
    let (order_field, order_id) = find("order_id", "data.order_id");
    let order_id = errors.check(order_field, json::id(order_id));
    let (status_field, status) = find("status", "data.status");
    let status = match status {
        Some(Json::String(text)) => payment_status(text),
        Some(_) | None => None,
    }
    .ok_or_else(|| match status {
        None => "is required".to_owned(),
        Some(_) => "must be \"success\", \"failure\" or \"pending\"".to_owned(),
    });
    let status = errors.check(status_field, status);
    match (order_id, status) {
        (Some(order_id), Some(status)) => Ok(News { order_id: OrderId(order_id), order_field, status }),
        (None, _) | (_, None) => Err(errors),
    }
}

fn payment_status(text: &str) -> Option<PaymentStatus> {
    match text {
        "success" => Some(PaymentStatus::Success),
        "failure" => Some(PaymentStatus::Failure),
        "pending" => Some(PaymentStatus::Pending),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &serde_json::Value) -> Object {
        json::parse(value.to_string().as_bytes()).expect("JSON").into_object().expect("an object")
    }

    #[test]
    fn the_first_key_there_is_counts() {
        let key = |text: &str| Ok(Key::new(text.as_bytes()).ok());
        for (body, expected) in [
            (json!({"payment_idempotency_key": "a", "idempotency_key": "b"}), key("a")),
            (json!({"payment_idempotency_key": null, "idempotency_key": "b"}), key("b")),
            (json!({"payment_idempotency_key": "", "idempotency_key": "b"}), key("b")),
            (json!({"idempotency_key": "b"}), key("b")),
            (json!({"payment_idempotency_key": "ö ü"}), key("ö ü")),
            (json!({}), Ok(None)),
            (json!({"payment_idempotency_key": "", "idempotency_key": null}), Ok(None)),
        ] {
            assert_eq!(body_key(&object(&body)), expected, "{body}");
        }
        let wrong = "must be a string of 1 to 255 bytes";
        for value in [json!(1), json!(true), json!([]), json!({}), json!("k".repeat(256)), json!("ö".repeat(128))] {
            for field in ["payment_idempotency_key", "idempotency_key"] {
                assert_eq!(body_key(&object(&json!({field: value}))), Err(FieldErrors::of(field, wrong)), "{value}");
            }
        }
        assert!(body_key(&object(&json!({"payment_idempotency_key": "k".repeat(255)}))).is_ok());
    }

    #[test]
    fn fields_may_come_inside_data() {
        let news = |body| super::news(&object(&body));
        let expected = |order_field| Ok(News { order_id: OrderId(12), order_field, status: PaymentStatus::Success });
        assert_eq!(news(json!({"order_id": 12, "status": "success"})), expected("order_id"));
        assert_eq!(news(json!({"data": {"order_id": 12, "status": "success"}})), expected("data.order_id"));
        assert_eq!(news(json!({"order_id": 12, "data": {"status": "success"}})), expected("order_id"));
        assert_eq!(news(json!({"status": "success", "data": {"order_id": 12}})), expected("data.order_id"));
        assert_eq!(news(json!({"order_id": 12, "status": "success", "data": {"order_id": 13}})), expected("order_id"));
        assert_eq!(
            news(json!({"order_id": null, "status": "success", "data": {"order_id": 12}})),
            expected("data.order_id")
        );
        assert_eq!(news(json!({"order_id": 12, "status": "success", "data": null})), expected("order_id"));
    }

    #[test]
    fn a_wrong_field_is_named_as_it_was_sent() {
        let errors = |body| serde_json::to_value(super::news(&object(&body)).expect_err("refused")).expect("JSON");
        let id = "must be an integer from 1 to 9007199254740991";
        let status = "must be \"success\", \"failure\" or \"pending\"";
        for (body, expected) in [
            (json!({}), json!({"order_id": ["is required"], "status": ["is required"]})),
            (json!({"order_id": 12}), json!({"status": ["is required"]})),
            (json!({"order_id": 0, "status": "success"}), json!({"order_id": [id]})),
            (json!({"order_id": null, "status": "success"}), json!({"order_id": [id]})),
            (
                json!({"data": {"order_id": "12", "status": "paid"}}),
                json!({"data.order_id": [id], "data.status": [status]}),
            ),
            (json!({"order_id": 12, "status": 1}), json!({"status": [status]})),
            (json!({"order_id": 12, "status": "SUCCESS"}), json!({"status": [status]})),
            (json!({"order_id": 12, "status": null}), json!({"status": [status]})),
            (json!({"order_id": 12, "status": "success", "data": 5}), json!({"data": ["must be an object"]})),
        ] {
            assert_eq!(errors(body.clone()), expected, "{body}");
        }
    }
}
