//! The parts that operations refer to: schemas, parameters, headers, ways to prove who one is.
//!
//! What does not belong here: which operation refers to which.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::super::errors::ErrorBody;
use super::super::{holds, operators, ops, orders, products, webhook};

/// The schemas of the JSON types, and of the types within them.
fn schemas() -> BTreeMap<String, RefOr<Schema>> {
    fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
    let mut schemas = Vec::new();
    for add in [
        add::<products::ProductPage>,
        add::<products::ProductAnswer>,
        add::<products::LimitsAnswer>,
        add::<holds::NewHold>,
        add::<holds::PlacedHold>,
        add::<holds::HoldAnswer>,
        add::<orders::NewOrder>,
        add::<orders::OrderAnswer>,
        add::<webhook::PaymentNews>,
        add::<webhook::WebhookAnswer>,
        add::<operators::NewProduct>,
        add::<operators::StockChange>,
        add::<operators::Suspension>,
        add::<operators::Resumption>,
        add::<ops::Health>,
        add::<ErrorBody>,
    ] {
        add(&mut schemas);
    }
    schemas.into_iter().collect()
}

/// The section `components`.
pub(super) fn components() -> Value {
    let schemas = schemas();
    let header = |name: &str, description: &str, schema: &Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    let key = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"});
    let request_id = json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"});
    let signed = " Required where a webhook secret is set.";
    json!({
        "schemas": schemas,
        "parameters": {
            "Id": {
                "name": "id", "in": "path", "required": true, "example": 1,
                "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": sale::MAX_ID},
            },
            "Limit": {
                "name": "limit", "in": "query", "required": false, "description": "How many at most.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
            },
            "After": {
                "name": "after", "in": "query", "required": false,
                "description": "Only products with ids above this one: `next_after` of the page before.",
                "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": sale::MAX_ID},
            },
            "IdempotencyKey": header("Idempotency-Key", "Makes it safe to send this request again.", &key),
            "UnsignedPaymentKey": header(
                "Idempotency-Key",
                "Names the event, only where the body does not and no webhook secret is set: then 1 to 255 visible \
                 ASCII characters.",
                &json!({"type": "string"}),
            ),
            "RequestId": header(
                "X-Request-Id",
                "Names this request: 1 to 64 visible ASCII characters. Any other value counts as none.",
                &json!({"type": "string"}),
            ),
            "WebhookId": header("webhook-id", &format!("Names the event, where the body does not: then 1 to 255 bytes of UTF-8 without control characters.{signed}"), &json!({"type": "string"})),
            "WebhookTimestamp": header(
                "webhook-timestamp",
                &format!("When it was sent, in seconds since 1970, within five minutes of now.{signed}"),
                &json!({"type": "string"}),
            ),
            "WebhookSignature": header(
                "webhook-signature",
                &format!("`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; several, separated by spaces.{signed}"),
                &json!({"type": "string"}),
            ),
        },
        "headers": {
            "RequestId": {
                "description": "Names the request: the caller's name for it, or a new one.", "required": true,
                "schema": request_id,
            },
            "RetryAfter": {
                "description": "After how many seconds to try again.", "required": true,
                "schema": {"type": "integer", "minimum": 0},
            },
            "Allow": {
                "description": "The methods that there are, separated by commas.", "required": true,
                "schema": {"type": "string"},
            },
            "WwwAuthenticate": {
                "description": "How to say who calls: by a bearer token.", "required": true,
                "schema": {"type": "string", "enum": ["Bearer"]},
            },
            "IdempotentReplayed": {
                "description": "There, and `true`, if this answer was given before.",
                "schema": {"type": "string", "enum": ["true"]},
            },
        },
        "securitySchemes": {
            "storefront": {
                "type": "http", "scheme": "bearer",
                "description": "A token of a storefront. Asked for only where any are set.",
            },
            "operator": {"type": "http", "scheme": "bearer", "description": "The token of operators."},
            "webhookSignature": {
                "type": "apiKey", "in": "header", "name": "webhook-signature",
                "description": "A signature as in the Standard Webhooks specification. Asked for only where a secret is set.",
            },
        },
    })
}
