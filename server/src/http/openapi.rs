//! The description of the API for programs: OpenAPI 3.1.
//!
//! The schemas come from the JSON types themselves; this file adds the operations: what each takes,
//! every status it can answer with, every code, with an example of each. What does not belong here:
//! the routes (`routes.rs`); a test holds the two against each other.

mod components;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use self::components::components;
use self::operations::{Content, DESCRIPTIONS, Description};
use super::access::{Access, NO_TOKEN};
use super::answer::{Answer, JSON};
use super::errors::{Code, Problem};
use super::json::JsonError;
use super::request::{BODY_INCOMPLETE, Call, KEY_FORM};
use super::routes::{Operation, ROUTES};

const INTRODUCTION: &str = "Holdfast sells limited products and cannot oversell. A customer holds units for a while, \
    turns the hold into an order, and the payment provider's webhook settles the order.\n\n\
    Every error is `{\"error\": \"for people\", \"code\": \"for_programs\"}`. Nothing was changed, unless the code is \
    `outcome_unknown`: then send the request again with the same `Idempotency-Key`, or read. Fields that nobody knows \
    are ignored. A path that does not exist answers 404, and a method that a path does not have 405 with `Allow`, both \
    in this form. HEAD is answered like GET, without the body. Only what cannot be read as a request at all is answered \
    otherwise: with 400 (no HTTP), 414 or 431 (more than 100 headers, or more than 16 KiB before the body), an empty body \
    and no `X-Request-Id`; and a connection that is one too many with 503 in HTTP/1.1, or with none.";

/// What `/readyz` says where it does not say 200.
const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The description of the API, as pretty JSON.
pub fn openapi() -> String {
    format!("{:#}\n", document())
}

pub(super) async fn show(_call: Box<Call>) -> Result<Answer, Problem> {
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

/// The statuses that an operation may be answered with, but for the 405 of methods beside it.
pub(super) fn statuses(template: &str, operation: &Operation) -> Vec<u16> {
    let is_its = |description: &&Description| description.path == template && operation.method == description.method;
    let problems = DESCRIPTIONS.iter().find(is_its).map(|description| problems(description, operation.access));
    // What is not described are files: there, or not.
    let problems = problems.unwrap_or_else(|| vec![Problem::NotFound, Problem::RateLimited { retry_after_seconds: 1 }]);
    let refusals = problems.iter().filter(|problem| !matches!(problem, Problem::MethodNotAllowed { .. }));
    let mut statuses: Vec<u16> = refusals.map(|problem| problem.code().status().as_u16()).collect();
    statuses.push(operation.success);
    if template == "/readyz" {
        statuses.push(NOT_READY.as_u16());
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn access_of(description: &Description) -> Access {
    let route = ROUTES.iter().find(|route| route.template == description.path);
    let operations = route.map_or(&[][..], |route| route.operations);
    let operation = operations.iter().find(|operation| operation.method == description.method);
    operation.map_or(Access::Anyone, |operation| operation.access)
}

fn is_metered(path: &str) -> bool {
    ROUTES.iter().any(|route| route.template == path && route.is_metered)
}

fn security(description: &Description, access: Access) -> Value {
    match access {
        Access::Operators => json!([{"operator": []}]),
        // Both are asked for only where they are set, so nothing at all will do, too.
        Access::Storefront => json!([{"storefront": []}, {}]),
        Access::Metrics => json!([{"storefront": []}, {"operator": []}, {}]),
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
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in problems(description, access) {
        by_status.entry(problem.code().status().as_u16()).or_default().push(problem);
    }
    for (status, problems) in by_status {
        responses.insert(status.to_string(), error_response(&problems));
    }
    if description.path == "/readyz" {
        let not_ready = json!({
            "description": "It should not: it is starting, draining, or cut off from the database.",
            "headers": headers(&["RetryAfter"]),
            "content": {"application/json": {"schema": schema_reference("Health")}},
        });
        responses.insert(NOT_READY.as_u16().to_string(), not_ready);
    }
    Value::Object(responses)
}

/// An example of everything that an operation can refuse, each once.
fn problems(description: &Description, access: Access) -> Vec<Problem> {
    let mut problems = Vec::new();
    match access {
        Access::Anyone => {}
        Access::Storefront | Access::Metrics => problems.push(NO_TOKEN),
        Access::Operators => problems.extend([NO_TOKEN, Problem::NotFound]),
    }
    if description.path.contains("{id}") && !problems.contains(&Problem::NotFound) {
        problems.push(Problem::NotFound);
    }
    if is_metered(description.path) {
        problems.push(Problem::RateLimited { retry_after_seconds: 1 });
    }
    problems.push(Problem::MethodNotAllowed { allow: String::new() });
    if description.body.is_some() {
        let not_json = Problem::InvalidJson(JsonError::NotUtf8);
        problems.extend([not_json, BODY_INCOMPLETE, Problem::BodyTooLarge, Problem::UnsupportedMediaType]);
    }
    if description.parameters.iter().any(|name| ["IdempotencyKey", "UnsignedPaymentKey"].contains(name)) {
        problems.push(KEY_FORM);
    }
    problems.extend((description.refusals)());
    problems.extend_from_slice(description.trouble);
    problems
}

fn error_response(problems: &[Problem]) -> Value {
    let mut examples = Map::new();
    let mut extra = BTreeSet::new();
    for problem in problems {
        let name = problem.code().name();
        // The second of its code is called so, and so on.
        let number = problems.iter().take_while(|it| *it != problem).filter(|it| it.code() == problem.code()).count();
        let key = if number == 0 { name.to_owned() } else { format!("{name}_{}", number + 1) };
        examples.insert(key, json!({"summary": problem.detail(), "value": problem.body()}));
        extra.extend(match problem {
            Problem::MethodNotAllowed { .. } => Some("Allow"),
            Problem::Unauthorized(_) => Some("WwwAuthenticate"),
            Problem::RateLimited { .. } => Some("RetryAfter"),
            problem if problem.code().status() == StatusCode::SERVICE_UNAVAILABLE => Some("RetryAfter"),
            _ => None,
        });
    }
    let mut codes: Vec<Code> = problems.iter().map(Problem::code).collect();
    codes.sort_unstable();
    codes.dedup();
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.name())).collect();
    json!({
        "description": format!("Refused: {}.", names.join(", ")),
        "headers": headers(&Vec::from_iter(extra)),
        "content": {"application/json": {"schema": schema_reference("Error"), "examples": examples}},
    })
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
            "WwwAuthenticate" => "WWW-Authenticate",
            "Allow" => "Allow",
            "IdempotentReplayed" => "Idempotent-Replayed",
            _ => "X-Request-Id",
        };
        (field.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}))
    };
    Value::Object(std::iter::once("RequestId").chain(more.iter().copied()).map(header).collect())
}

#[cfg(test)]
mod tests {
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
    fn an_example_of_a_wrong_field_is_of_a_field_of_its_operation() {
        let document = document();
        let mut seen = 0;
        for description in DESCRIPTIONS {
            let mut known: BTreeSet<String> = description.parameters.iter().map(|it| it.to_lowercase()).collect();
            if let Some((schema, _)) = description.body {
                let properties = &document["components"]["schemas"][schema]["properties"];
                known.extend(properties.as_object().expect("properties").keys().cloned());
            }
            for problem in problems(description, access_of(description)) {
                if let Problem::Validation(errors) = problem {
                    seen += 1;
                    let errors = serde_json::to_value(errors).expect("JSON");
                    for field in errors.as_object().expect("fields").keys() {
                        assert!(known.contains(field), "{}: {field}", description.name);
                    }
                }
            }
        }
        assert!(seen >= 9, "{seen}");
    }

    #[test]
    fn every_operation_that_takes_something_says_what_is_wrong_with_it() {
        for description in DESCRIPTIONS.iter().filter(|it| it.body.is_some()) {
            let problems = problems(description, access_of(description));
            assert!(problems.iter().any(|it| it.code() == Code::ValidationFailed), "{}", description.name);
        }
    }

    #[test]
    fn every_code_is_answered_by_some_operation() {
        let used: BTreeSet<Code> =
            DESCRIPTIONS.iter().flat_map(|it| problems(it, access_of(it))).map(|problem| problem.code()).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), {
            let mut all = Code::ALL.to_vec();
            all.sort_unstable();
            all
        });
    }

    #[test]
    fn no_example_is_lost_and_each_status_has_its_headers() {
        let document = document();
        for description in DESCRIPTIONS {
            let responses = &document["paths"][description.path][description.method.to_lowercase()]["responses"];
            for problem in problems(description, access_of(description)) {
                let response = &responses[problem.code().status().as_str()];
                if description.path == "/readyz" && problem.code().status() == 503 {
                    continue;
                }
                let examples = response["content"]["application/json"]["examples"].as_object().expect("examples");
                let body = serde_json::to_value(problem.body()).expect("JSON");
                assert!(examples.values().any(|it| it["value"] == body), "{} {body}", description.name);
                // As the answer itself has them.
                for header in problem.answer().into_response(false).headers().keys() {
                    let described = response["headers"].as_object().expect("headers");
                    let known = described.keys().any(|it| it.eq_ignore_ascii_case(header.as_str()));
                    assert!(known || header.as_str().starts_with("content-"), "{} {header}", description.name);
                }
            }
        }
    }

    #[test]
    fn the_document_is_json() {
        let read: Value = serde_json::from_str(&openapi()).expect("JSON");
        assert_eq!(read["openapi"], "3.1.0");
    }
}
