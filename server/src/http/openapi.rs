//! The description of the API for programs: OpenAPI 3.1.
//!
//! The schemas come from the JSON types themselves; this file adds the operations: what each takes,
//! every status it can answer with, every code, with an example of each. What does not belong here:
//! the routes (`routes.rs`); a test holds the two against each other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::access::Access;
use super::answer::Answer;
use super::errors::{Code, ErrorBody, Problem};
use super::request::Call;
use super::routes::ROUTES;
use super::{holds, operators, ops, orders, products, service, webhook};

/// What the table of routes does not say about an operation.
struct Description {
    method: &'static str,
    path: &'static str,
    name: &'static str,
    tag: &'static str,
    summary: &'static str,
    detail: &'static str,
    parameters: &'static [&'static str],
    /// The name of the body's schema, and whether there must be one.
    body: Option<(&'static str, bool)>,
    success: Success,
    /// Refusals besides those that follow from the path, the access and the body.
    codes: &'static [Code],
    /// How it can fail without being anybody's fault.
    trouble: &'static [Code],
}

struct Success {
    status: u16,
    what: &'static str,
    content: Content,
    headers: &'static [&'static str],
}

enum Content {
    Nothing,
    Text(&'static str),
    AnyJson,
    Json(&'static str),
}

const READ_TROUBLE: &[Code] = &[Code::Internal, Code::Overloaded, Code::DatabaseUnavailable];
const WRITE_TROUBLE: &[Code] = &[Code::Internal, Code::Overloaded, Code::DatabaseUnavailable, Code::OutcomeUnknown];
const NO_DATABASE: &[Code] = &[Code::Internal];

const ID: &[&str] = &["Id", "RequestId"];
const PLAIN: &[&str] = &["RequestId"];
const KEYED: &[&str] = &["IdempotencyKey", "RequestId"];

const fn ok(what: &'static str, schema: &'static str) -> Success {
    Success { status: 200, what, content: Content::Json(schema), headers: &[] }
}

const fn created(what: &'static str, schema: &'static str, headers: &'static [&'static str]) -> Success {
    Success { status: 201, what, content: Content::Json(schema), headers }
}

const DESCRIPTIONS: &[Description] = &[
    Description {
        method: "GET",
        path: "/api/products",
        name: "listProducts",
        tag: "products",
        summary: "Lists the products that are on sale",
        detail: "In the order of their ids, a page at a time. Suspended products are left out.",
        parameters: &["Limit", "After", "RequestId"],
        body: None,
        success: ok("A page of products.", "ProductPage"),
        codes: &[Code::ValidationFailed],
        trouble: READ_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/products/{id}",
        name: "getProduct",
        tag: "products",
        summary: "Shows a product",
        detail: "The stock fields are never stale: they show every hold that was answered before this request came.",
        parameters: ID,
        body: None,
        success: ok("The product.", "ProductAnswer"),
        codes: &[],
        trouble: READ_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/holds",
        name: "placeHold",
        tag: "holds",
        summary: "Keeps units of a product for a customer",
        detail: "All or nothing. The hold lives until `expires_at`. Send it again with the same `Idempotency-Key` after \
                 an answer that got lost: the first answer comes again, byte for byte.",
        parameters: KEYED,
        body: Some(("NewHold", true)),
        success: created("The hold.", "PlacedHold", &["IdempotentReplayed"]),
        codes: &[Code::InsufficientStock, Code::ProductSuspended, Code::IdempotencyKeyReused],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/holds/{id}",
        name: "getHold",
        tag: "holds",
        summary: "Shows a hold",
        detail: "As it is by the clock: a hold past its `expires_at` is released.",
        parameters: ID,
        body: None,
        success: ok("The hold.", "HoldAnswer"),
        codes: &[],
        trouble: READ_TROUBLE,
    },
    Description {
        method: "DELETE",
        path: "/api/holds/{id}",
        name: "giveBackHold",
        tag: "holds",
        summary: "Gives the units of a hold back",
        detail: "A hold that was released before, for whatever reason, is fine too.",
        parameters: ID,
        body: None,
        success: Success { status: 204, what: "The units are back.", content: Content::Nothing, headers: &[] },
        codes: &[Code::HoldAlreadyRedeemed, Code::ProductSuspended],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/orders",
        name: "placeOrder",
        tag: "orders",
        summary: "Makes a hold an order",
        detail: "The order waits for its payment for `payment_window_seconds`; then it is cancelled.",
        parameters: KEYED,
        body: Some(("NewOrder", true)),
        success: created("The order.", "OrderAnswer", &["IdempotentReplayed"]),
        codes: &[
            Code::HoldExpired,
            Code::HoldReleased,
            Code::HoldAlreadyRedeemed,
            Code::ProductSuspended,
            Code::IdempotencyKeyReused,
        ],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/orders/{id}",
        name: "getOrder",
        tag: "orders",
        summary: "Shows an order",
        detail: "",
        parameters: ID,
        body: None,
        success: ok("The order.", "OrderAnswer"),
        codes: &[],
        trouble: READ_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/payments/webhook",
        name: "takePaymentEvent",
        tag: "payments",
        summary: "Takes news of a payment from the provider",
        detail: "Where a secret is set, the event must be signed as in the Standard Webhooks specification. Its key is \
                 the first there is of `payment_idempotency_key`, `idempotency_key`, the signed `webhook-id`, and, only \
                 where no secret is set, the header `Idempotency-Key`. The same key with the same news again has no \
                 effect. An event for an order that does not exist writes nothing, so that it can be sent again.",
        parameters: &["WebhookId", "WebhookTimestamp", "WebhookSignature", "IdempotencyKey", "RequestId"],
        body: Some(("PaymentNews", true)),
        success: ok("The event was taken, now or before.", "WebhookAnswer"),
        codes: &[
            Code::MissingIdempotencyKey,
            Code::Unauthorized,
            Code::NotFound,
            Code::PaymentKeyConflict,
            Code::ProductSuspended,
        ],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/limits",
        name: "getLimits",
        tag: "products",
        summary: "Shows the settings that clients may want to know",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("The limits.", "LimitsAnswer"),
        codes: &[],
        trouble: &[Code::Internal, Code::DatabaseUnavailable],
    },
    Description {
        method: "POST",
        path: "/api/products",
        name: "addProduct",
        tag: "operators",
        summary: "Makes a product",
        detail: "",
        parameters: PLAIN,
        body: Some(("NewProduct", true)),
        success: created("The product.", "ProductAnswer", &[]),
        codes: &[],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/restock",
        name: "restockProduct",
        tag: "operators",
        summary: "Changes the physical stock of a product",
        detail: "Units that holds keep cannot be taken away.",
        parameters: ID,
        body: Some(("StockChange", true)),
        success: ok("The product.", "ProductAnswer"),
        codes: &[Code::InsufficientStock, Code::ProductSuspended],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/suspend",
        name: "suspendProduct",
        tag: "operators",
        summary: "Takes no new holds of a product",
        detail: "Holds and orders that exist go on. Of two suspensions the first reason stays.",
        parameters: ID,
        body: Some(("Suspension", false)),
        success: ok("The product.", "ProductAnswer"),
        codes: &[Code::ProductSuspended],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/resume",
        name: "resumeProduct",
        tag: "operators",
        summary: "Takes new holds of a product again",
        detail: "The product is audited first; if it breaks an invariant it stays suspended, unless `force` is true.",
        parameters: ID,
        body: Some(("Resumption", false)),
        success: ok("The product.", "ProductAnswer"),
        codes: &[Code::ProductSuspended],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/metrics",
        name: "getMetrics",
        tag: "operations",
        summary: "Shows what was counted and measured",
        detail: "Where an address for operations is set, it is there, and so are the health checks.",
        parameters: PLAIN,
        body: None,
        success: Success {
            status: 200,
            what: "Metrics, in the text format of Prometheus.",
            content: Content::Text("text/plain"),
            headers: &[],
        },
        codes: &[],
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/healthz",
        name: "getHealth",
        tag: "operations",
        summary: "Tells whether the process runs",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("It does.", "Health"),
        codes: &[],
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/readyz",
        name: "getReadiness",
        tag: "operations",
        summary: "Tells whether the server should be sent requests",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("It should.", "Health"),
        codes: &[],
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/openapi.json",
        name: "getDescription",
        tag: "operations",
        summary: "Shows this document",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: Success { status: 200, what: "This document.", content: Content::AnyJson, headers: &[] },
        codes: &[],
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/docs",
        name: "getDocs",
        tag: "operations",
        summary: "Shows this document to people",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: Success { status: 200, what: "A page.", content: Content::Text("text/html"), headers: &[] },
        codes: &[],
        trouble: NO_DATABASE,
    },
];

const INTRODUCTION: &str = "Holdfast sells limited products and cannot oversell. A customer holds units for a while, \
    turns the hold into an order, and the payment provider's webhook settles the order.\n\n\
    Every error is `{\"error\": \"for people\", \"code\": \"for_programs\"}`. Nothing was changed, unless the code is \
    `outcome_unknown`: then send the request again with the same `Idempotency-Key`, or read. Fields that nobody knows \
    are ignored. A path that does not exist answers 404, and a method that a path does not have 405 with `Allow`, both \
    in this form. The code `rate_limited` (429) is kept for a limiter in front of the server.";

/// The description of the API, as pretty JSON.
pub fn openapi() -> String {
    format!("{:#}\n", document())
}

pub(super) async fn show(_call: Call) -> Result<Answer, Problem> {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
    Ok(Answer::bytes(StatusCode::OK, service::JSON, DOCUMENT.clone()))
}

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for description in DESCRIPTIONS {
        let method = description.method.to_lowercase();
        paths.entry(description.path).or_default().insert(method, operation(description));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{INTRODUCTION}\n\n{}", table_of_codes()),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "products", "description": "What is on sale."},
            {"name": "holds", "description": "Units kept for a customer for a while."},
            {"name": "orders", "description": "Sales of the units of a hold."},
            {"name": "payments", "description": "News from the payment provider."},
            {"name": "operators", "description": "Only where a token of operators is set; else 404."},
            {"name": "operations", "description": "Health, metrics, documentation."},
        ],
        "paths": paths,
        "components": components(),
    })
}

/// Status and codes, as a table in Markdown.
fn table_of_codes() -> String {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in Code::ALL {
        by_status.entry(code.status().as_u16()).or_default().push(format!("`{}`", name(code)));
    }
    let rows = by_status.iter().map(|(status, codes)| format!("| {status} | {} |\n", codes.join(", ")));
    std::iter::once("| status | codes |\n|---|---|\n".to_owned()).chain(rows).collect()
}

fn operation(description: &Description) -> Value {
    let access = access_of(description);
    let mut operation = json!({
        "operationId": description.name,
        "tags": [description.tag],
        "summary": description.summary,
        "parameters": references("parameters", description.parameters),
        "responses": responses(description, access),
        "security": security(description, access),
    });
    if !description.detail.is_empty() {
        operation["description"] = json!(description.detail);
    }
    if let Some((schema, required)) = description.body {
        operation["requestBody"] = json!({
            "required": required,
            "content": {"application/json": {"schema": schema_reference(schema)}},
        });
    }
    operation
}

fn access_of(description: &Description) -> Access {
    let route = ROUTES.iter().find(|route| route.template == description.path);
    let operations = route.map_or(&[][..], |route| route.operations);
    let operation = operations.iter().find(|operation| operation.method == description.method);
    operation.map_or(Access::Anyone, |operation| operation.access)
}

fn security(description: &Description, access: Access) -> Value {
    match access {
        Access::Operators => json!([{"operator": []}]),
        // Both are asked for only where they are set, so nothing at all will do, too.
        Access::Storefront => json!([{"storefront": []}, {}]),
        Access::Anyone if description.tag == "payments" => json!([{"webhookSignature": []}, {}]),
        Access::Anyone => json!([]),
    }
}

fn responses(description: &Description, access: Access) -> Value {
    let success = &description.success;
    let content = match success.content {
        Content::Nothing => None,
        Content::Text(media_type) => Some(json!({media_type: {"schema": {"type": "string"}}})),
        Content::AnyJson => Some(json!({"application/json": {"schema": {"type": "object"}}})),
        Content::Json(schema) => Some(json!({"application/json": {"schema": schema_reference(schema)}})),
    };
    let mut response = json!({"description": success.what, "headers": headers(success.headers)});
    if let Some(content) = content {
        response["content"] = content;
    }
    let mut responses = Map::new();
    responses.insert(success.status.to_string(), response);
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(description, access) {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        responses.insert(status.to_string(), error_response(status, &codes));
    }
    if description.path == "/readyz" {
        let not_ready = json!({
            "description": "It should not: it is starting, draining, or cut off from the database.",
            "headers": headers(&["RetryAfter"]),
            "content": {"application/json": {"schema": schema_reference("Health")}},
        });
        responses.insert("503".to_owned(), not_ready);
    }
    Value::Object(responses)
}

/// Every code that an operation can answer with, each once.
fn codes(description: &Description, access: Access) -> Vec<Code> {
    let mut codes: Vec<Code> = description.codes.iter().chain(description.trouble).copied().collect();
    if description.path.contains("{id}") {
        codes.push(Code::NotFound);
    }
    match access {
        Access::Anyone => {}
        Access::Storefront => codes.push(Code::Unauthorized),
        Access::Operators => codes.extend([Code::Unauthorized, Code::NotFound]),
    }
    if description.body.is_some() {
        codes.extend([
            Code::InvalidJson,
            Code::BadRequest,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::ValidationFailed,
        ]);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn error_response(status: u16, codes: &[Code]) -> Value {
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| (name(*code), json!({"summary": example(*code).to_string(), "value": example(*code).body()})))
        .collect();
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", name(*code))).collect();
    let extra: &[&str] = match status {
        503 => &["RetryAfter"],
        _ => &[],
    };
    json!({
        "description": format!("Refused: {}.", names.join(", ")),
        "headers": headers(extra),
        "content": {"application/json": {"schema": schema_reference("Error"), "examples": examples}},
    })
}

fn name(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A problem with this code.
fn example(code: Code) -> Problem {
    use super::errors::FieldErrors;
    use super::json::JsonError;
    match code {
        Code::InvalidJson => Problem::InvalidJson(JsonError::DuplicateField("qty".to_owned())),
        Code::MissingIdempotencyKey => Problem::MissingIdempotencyKey,
        Code::BadRequest => Problem::BadRequest("The body ended before it was complete."),
        Code::Unauthorized => Problem::Unauthorized("A bearer token is required."),
        Code::NotFound => Problem::NotFound,
        Code::MethodNotAllowed => Problem::MethodNotAllowed { allow: "GET, HEAD".to_owned() },
        Code::BodyTooLarge => Problem::BodyTooLarge,
        Code::UnsupportedMediaType => Problem::UnsupportedMediaType,
        Code::InsufficientStock => Problem::InsufficientStock { available: 3 },
        Code::ProductSuspended => Problem::ProductSuspended,
        Code::HoldExpired => Problem::HoldExpired,
        Code::HoldReleased => Problem::HoldReleased,
        Code::HoldAlreadyRedeemed => Problem::HoldAlreadyRedeemed { order_id: 12 },
        Code::PaymentKeyConflict => Problem::PaymentKeyConflict,
        Code::ValidationFailed => Problem::Validation(FieldErrors::of("qty", "must be an integer from 1 to 1000")),
        Code::IdempotencyKeyReused => Problem::KeyReused,
        Code::Internal => Problem::Internal,
        Code::Overloaded | Code::RateLimited => Problem::Overloaded,
        Code::DatabaseUnavailable => Problem::DatabaseUnavailable,
        Code::OutcomeUnknown => Problem::OutcomeUnknown,
    }
}

fn schema_reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn references(kind: &str, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"$ref": format!("#/components/{kind}/{name}")})).collect()
}

/// The headers of an answer: every one has the request's name.
fn headers(more: &[&str]) -> Value {
    let header = |name: &str| {
        let field = match name {
            "RetryAfter" => "Retry-After",
            "IdempotentReplayed" => "Idempotent-Replayed",
            _ => "X-Request-Id",
        };
        (field.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}))
    };
    Value::Object(std::iter::once("RequestId").chain(more.iter().copied()).map(header).collect())
}

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

fn components() -> Value {
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
            "RequestId": header("X-Request-Id", "Names this request; another value counts as none.", &request_id),
            "WebhookId": header("webhook-id", &format!("Names the event.{signed}"), &json!({"type": "string"})),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files of the page of `/docs`: of no interest to programs.
    const UNDESCRIBED: &str = "/docs/{*rest}";

    #[test]
    fn every_operation_is_described_and_nothing_else() {
        let routes: BTreeSet<(String, String)> = ROUTES
            .iter()
            .filter(|route| route.template != UNDESCRIBED)
            .flat_map(|route| route.operations.iter().map(|it| (route.template.to_owned(), it.method.to_string())))
            .collect();
        let described: BTreeSet<(String, String)> =
            DESCRIPTIONS.iter().map(|it| (it.path.to_owned(), it.method.to_owned())).collect();
        assert_eq!(routes, described);
        assert_eq!(described.len(), DESCRIPTIONS.len());
    }

    #[test]
    fn a_success_has_the_status_that_the_table_of_routes_says() {
        for description in DESCRIPTIONS {
            let route = ROUTES.iter().find(|route| route.template == description.path).expect("a route");
            let operation = route.operations.iter().find(|it| it.method == description.method).expect("an operation");
            assert_eq!(operation.success, description.success.status, "{}", description.name);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, references: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        references.insert(reference.clone());
                    }
                    members.values().for_each(|member| walk(member, references));
                }
                Value::Array(elements) => elements.iter().for_each(|element| walk(element, references)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let document = document();
        let mut references = BTreeSet::new();
        walk(&document, &mut references);
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn an_example_has_the_code_it_is_for() {
        for code in Code::ALL {
            if code != Code::RateLimited {
                assert_eq!(example(code).code(), code);
                assert_eq!(example(code).answer().status(), code.status());
            }
        }
    }

    #[test]
    fn every_code_is_answered_by_some_operation() {
        let used: BTreeSet<Code> = DESCRIPTIONS.iter().flat_map(|it| codes(it, access_of(it))).collect();
        let unused: Vec<Code> = Code::ALL.into_iter().filter(|code| !used.contains(code)).collect();
        assert_eq!(unused, [Code::MethodNotAllowed, Code::RateLimited]);
    }

    #[test]
    fn the_document_is_json() {
        let read: Value = serde_json::from_str(&openapi()).expect("JSON");
        assert_eq!(read["openapi"], "3.1.0");
    }
}
