//! News of payments from the provider.
//!
//! Checks in this order: signature (401), JSON (400), key (400), fields and order (422), and then what
//! the rules say. What does not belong here: how a signature is made (`signature.rs`) and what an event
//! does (`sale`). Exactly one log line an event, with all that was read of it and with neither signature
//! nor secret. An event for an unknown order writes nothing, so that the provider sends it again (I5
//! needs no trace of it).

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use sale::{Key, OrderId, PaymentEffect, PaymentStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::client::Client;
use super::errors::{FieldErrors, Named, Problem};
use super::json::{self, Json, Object};
use super::request::{Call, object};
use super::signature::WEBHOOK_ID;
use crate::engine::{Payment, Rejection};
use crate::telemetry::RequestName;
use crate::telemetry::labels::{Ending, PaymentOutcome, TurnedAway};

const KEY_FORM: &str = "must be a string of 1 to 255 bytes of UTF-8 without control characters";
const STATUS_FORM: &str = "must be \"success\", \"failure\" or \"pending\"";

/// News of a payment. `order_id` and `status` may come inside `data` instead.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct PaymentNews {
    /// Names the event; sent again, it has the same name. 1 to 255 bytes of UTF-8 without control
    /// characters, compared byte by byte; `maxLength` counts characters, of which fewer may fit. Empty
    /// or null counts as missing.
    #[schema(max_length = 255, example = "evt_1", nullable)]
    payment_idempotency_key: Option<String>,
    /// Another name of the same field, looked at where that one is missing.
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
    pub(super) success: bool,
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// The order, if it has the form of one.
    pub(super) order_id: Option<OrderId>,
    /// The name of its field as it was sent.
    order_field: &'static str,
    /// The status, if it is one.
    pub(super) status: Option<PaymentStatus>,
    /// What is wrong where something is not there.
    errors: FieldErrors,
}

/// An event that can be taken.
struct Event {
    key: Key,
    order_id: OrderId,
    /// The name of its field as it was sent.
    order_field: &'static str,
    status: PaymentStatus,
}

/// What is known of an event, as far as it was read.
#[derive(Default)]
struct Seen {
    key: Option<Key>,
    order_id: Option<OrderId>,
    status: Option<PaymentStatus>,
    /// Whether all of its fields could be read.
    is_read: bool,
    /// Whether the engine was told of it.
    is_engines: bool,
}

pub(super) async fn take(call: Box<Call>) -> Result<Answer, Problem> {
    // In a task of its own: a provider that hangs up must not take the log line of its event along.
    let taking = async move {
        let mut seen = Seen::default();
        let client = Arc::clone(&call.client);
        let taken = take_event(call, &mut seen).await;
        if let Err(problem) = &taken {
            count_if_unread(&client, &seen, problem);
        }
        log(&seen, &taken);
        taken
    };
    // What panicked was reported where it happened.
    let taken = tokio::spawn(RequestName::scope_current(taking)).await.map_err(|_| Problem::Internal)?;
    taken.map(|_| Answer::json(StatusCode::OK, &WebhookAnswer { success: true }))
}

async fn take_event(mut call: Box<Call>, seen: &mut Seen) -> Result<Payment, Problem> {
    let body = call.bytes().await?;
    let Event { key, order_id, order_field, status } = read_event(&call, &body, seen)?;
    drop(body);
    let (client, deadline) = call.into_waiting();
    let engine = client.engine()?;
    let rejected = |rejection: Rejection| Problem::rejected(&rejection, Named::InBody);
    if !engine.knows_order(order_id, deadline).await.map_err(rejected)? {
        return Err(FieldErrors::of(order_field, "is unknown").into());
    }
    seen.is_engines = true;
    engine.settle_payment(key, order_id, status, deadline).await.map_err(rejected)
}

fn read_event(call: &Call, body: &[u8], seen: &mut Seen) -> Result<Event, Problem> {
    let signed_id = match &call.shared().config.webhook_secrets {
        Some(secrets) => Some(secrets.verify(&call.head.headers, body, SystemTime::now())?),
        None => None,
    };
    call.check_content_type()?;
    let object = object(body)?;
    // Read now, so that a refusal for want of a key is logged with its order.
    let news = news(&object);
    (seen.order_id, seen.status) = (news.order_id, news.status);
    let key = match (body_key(&object)?, signed_id) {
        (Some(key), _) => key,
        (None, Some(id)) => payment_key(WEBHOOK_ID, id)?,
        (None, None) => call.idempotency_key()?.ok_or(Problem::MissingIdempotencyKey)?,
    };
    seen.key = Some(key.clone());
    let (Some(order_id), Some(status)) = (news.order_id, news.status) else { return Err(news.errors.into()) };
    seen.is_read = true;
    Ok(Event { key, order_id, order_field: news.order_field, status })
}

/// Counts an event that was refused before the engine, which counts all others, heard of it.
fn count_if_unread(client: &Client, seen: &Seen, problem: &Problem) {
    let outcome = match problem {
        _ if seen.is_engines => return,
        Problem::Unsigned(_) => Ending::Served(PaymentOutcome::Unsigned),
        Problem::DatabaseUnavailable => Ending::TurnedAway(TurnedAway::DatabaseUnavailable),
        Problem::Validation(_) if seen.is_read => Ending::Served(PaymentOutcome::OrderUnknown),
        _ => Ending::Served(PaymentOutcome::Invalid),
    };
    client.shared.config.metrics.engine.payment_events.of(outcome).inc();
}

/// The one line of an event, whatever became of it. Texts from outside are recorded as text, so that
/// what the log is written with escapes them.
fn log(seen: &Seen, taken: &Result<Payment, Problem>) {
    let key = seen.key.as_ref().map(|key| String::from_utf8_lossy(key.as_bytes()));
    let (payment_key, order_id) = (key.as_deref(), seen.order_id.map(|id| id.0));
    let payment_status = seen.status.map(status_name);
    match taken {
        Ok(Payment { event, repeated: false }) if event.effect == PaymentEffect::RefundRequired => tracing::error!(
            payment_key,
            order_id,
            payment_status,
            outcome = effect_name(event.effect),
            repeated = false,
            "payment event taken: the order was cancelled before, so the money must be paid back"
        ),
        Ok(Payment { event, repeated }) => {
            let outcome = effect_name(event.effect);
            tracing::info!(payment_key, order_id, payment_status, outcome, repeated, "payment event taken");
        }
        Err(problem) => {
            let (code, reason) = (problem.code().name(), problem.detail());
            let outcome = "refused";
            if let Problem::Unsigned(_) = problem {
                tracing::warn!(payment_key, order_id, payment_status, outcome, code, reason, "payment event refused");
            } else {
                tracing::info!(payment_key, order_id, payment_status, outcome, code, reason, "payment event refused");
            }
        }
    }
}

const fn effect_name(effect: PaymentEffect) -> &'static str {
    match effect {
        PaymentEffect::Paid => "paid",
        PaymentEffect::Cancelled => "cancelled",
        PaymentEffect::NoEffect => "no_effect",
        PaymentEffect::RefundRequired => "refund_required",
    }
}

const fn status_name(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Success => "success",
        PaymentStatus::Failure => "failure",
        PaymentStatus::Pending => "pending",
    }
}

/// A key of an event, from the field or header that is to be named if it cannot be one. People read
/// and type keys (`holdfast refund done KEY`), so they have no characters that cannot be seen or typed.
fn payment_key(field: &str, bytes: &[u8]) -> Result<Key, FieldErrors> {
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control));
    Key::new(bytes).ok().filter(|_| is_text).ok_or_else(|| FieldErrors::of(field, KEY_FORM))
}

/// The key in the body. An empty one counts as none.
pub(super) fn body_key(object: &Object<'_>) -> Result<Option<Key>, FieldErrors> {
    for field in ["payment_idempotency_key", "idempotency_key"] {
        return match object.given(field) {
            None => continue,
            Some(Json::String(text)) if text.is_empty() => continue,
            Some(Json::String(text)) => payment_key(field, text.as_bytes()).map(Some),
            Some(_) => Err(FieldErrors::of(field, KEY_FORM)),
        };
    }
    Ok(None)
}

pub(super) fn news(object: &Object<'_>) -> News {
    let mut errors = FieldErrors::default();
    // What is outside counts; `data` matters only for what is not there.
    let is_missing_outside = ["order_id", "status"].iter().any(|field| object.given(field).is_none());
    let nothing = Object::default();
    let (data, data_is_wrong) = match object.given("data") {
        Some(Json::Object(data)) if is_missing_outside => (data, false),
        Some(Json::Object(_)) | None => (&nothing, false),
        Some(_) => (&nothing, is_missing_outside),
    };
    let find = |outside: &'static str, inside: &'static str| match (object.get(outside), data.get(outside)) {
        (Some(value), _) if *value != Json::Null => (outside, Some(value)),
        (_, Some(value)) if *value != Json::Null => (inside, Some(value)),
        (Some(value), _) => (outside, Some(value)),
        (None, Some(value)) => (inside, Some(value)),
        (None, None) => (outside, None),
    };
    if data_is_wrong {
        errors.add("data", "must be an object");
    }
    let (order_field, order_id) = find("order_id", "data.order_id");
    let order_id = match order_id {
        // It may well be in there.
        None if data_is_wrong => None,
        order_id => errors.check(order_field, json::id(order_id)).map(OrderId),
    };
    let (status_field, status) = find("status", "data.status");
    let status = match status {
        None if data_is_wrong => None,
        None => errors.check(status_field, Err("is required".to_owned())),
        Some(Json::String(text)) => errors.check(status_field, payment_status(text)),
        Some(_) => errors.check(status_field, Err(STATUS_FORM.to_owned())),
    };
    News { order_id, order_field, status, errors }
}

fn payment_status(text: &str) -> Result<PaymentStatus, String> {
    match text {
        "success" => Ok(PaymentStatus::Success),
        "failure" => Ok(PaymentStatus::Failure),
        "pending" => Ok(PaymentStatus::Pending),
        _ => Err(STATUS_FORM.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a function makes of a body.
    fn read<T>(body: &serde_json::Value, read: impl FnOnce(&Object<'_>) -> T) -> T {
        read(&object(body.to_string().as_bytes()).expect("an object"))
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
            (json!({"payment_idempotency_key": " "}), key(" ")),
            (json!({}), Ok(None)),
            (json!({"payment_idempotency_key": "", "idempotency_key": null}), Ok(None)),
        ] {
            assert_eq!(read(&body, body_key), expected, "{body}");
        }
        for value in [
            json!(1),
            json!(true),
            json!([]),
            json!({}),
            json!("k".repeat(256)),
            json!("ö".repeat(128)),
            json!("a\u{0}"),
            json!("a\nb"),
            json!("\u{1b}[31m"),
            json!("a\u{7f}"),
            json!("a\u{85}"),
        ] {
            for field in ["payment_idempotency_key", "idempotency_key"] {
                let key = read(&json!({field: value}), body_key);
                assert_eq!(key, Err(FieldErrors::of(field, KEY_FORM)), "{value}");
            }
        }
        assert!(read(&json!({"payment_idempotency_key": "k".repeat(255)}), body_key).is_ok());
    }

    #[test]
    fn a_signed_id_is_a_key_if_people_can_read_it() {
        assert_eq!(payment_key(WEBHOOK_ID, b"msg_1"), Ok(Key::new(b"msg_1").expect("short")));
        for bad in [&b""[..], b"tab\tbed", b"\xff", &[b'm'; 256]] {
            assert_eq!(payment_key(WEBHOOK_ID, bad), Err(FieldErrors::of("webhook-id", KEY_FORM)), "{bad:?}");
        }
    }

    #[test]
    fn fields_may_come_inside_data() {
        let news = |body| read(&body, super::news);
        let expected = |order_field| News {
            order_id: Some(OrderId(12)),
            order_field,
            status: Some(PaymentStatus::Success),
            errors: FieldErrors::default(),
        };
        assert_eq!(news(json!({"order_id": 12, "status": "success"})), expected("order_id"));
        assert_eq!(news(json!({"data": {"order_id": 12, "status": "success"}})), expected("data.order_id"));
        assert_eq!(news(json!({"order_id": 12, "data": {"status": "success"}})), expected("order_id"));
        assert_eq!(news(json!({"status": "success", "data": {"order_id": 12}})), expected("data.order_id"));
        assert_eq!(news(json!({"order_id": 12, "status": "success", "data": {"order_id": 13}})), expected("order_id"));
        assert_eq!(
            news(json!({"order_id": null, "status": "success", "data": {"order_id": 12}})),
            expected("data.order_id")
        );
        for data in [json!(null), json!([]), json!(5), json!({"order_id": "x"})] {
            assert_eq!(
                news(json!({"order_id": 12, "status": "success", "data": data})),
                expected("order_id"),
                "{data}"
            );
        }
    }

    #[test]
    fn a_wrong_field_is_named_as_it_was_sent() {
        let errors = |body| serde_json::to_value(read(&body, super::news).errors).expect("JSON");
        let id = "must be an integer from 1 to 9007199254740991";
        let status = STATUS_FORM;
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
            (json!({"order_id": 12, "data": 5}), json!({"data": ["must be an object"]})),
            (json!({"order_id": 0, "data": []}), json!({"data": ["must be an object"], "order_id": [id]})),
        ] {
            assert_eq!(errors(body.clone()), expected, "{body}");
        }
    }
}
