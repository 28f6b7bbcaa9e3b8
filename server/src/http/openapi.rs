//! The description of the API for programs: OpenAPI 3.1.
//!
//! The schemas come from the JSON types themselves; this file adds the operations: what each takes,
//! every status it can answer with, every code, with an example of each. What does not belong here:
//! the routes (`routes.rs`); a test holds the two against each other.

mod components;
mod operations;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use self::components::components;
use self::operations::{Content, DESCRIPTIONS, Description};
use super::access::Access;
use super::answer::{Answer, JSON};
use super::errors::{Code, Problem};
use super::request::Call;
use super::routes::ROUTES;

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
    Ok(Answer::bytes(StatusCode::OK, JSON, DOCUMENT.clone()))
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
        by_status.entry(code.status().as_u16()).or_default().push(format!("`{}`", code.name()));
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
        .map(|code| {
            (code.name().to_owned(), json!({"summary": example(*code).to_string(), "value": example(*code).body()}))
        })
        .collect();
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.name())).collect();
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
