//! A sale whose every answer is checked: is its status described, does its body have the described form,
//! are the promised headers there?
//!
//! What does not belong here: which answer is right for a request; that is what each test says.

use holdfast_test_support::{Answer, OrFail, Request, Sale, Setup};
use serde_json::{Map, Value, json};

/// A sale that is held against `/openapi.json`.
pub(crate) struct Contract {
    pub(crate) sale: Sale,
    document: Value,
}

impl std::ops::Deref for Contract {
    type Target = Sale;

    fn deref(&self) -> &Sale {
        &self.sale
    }
}

impl Contract {
    /// A server on a fresh database, and what it says about itself.
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::of(setup.start().await).await
    }

    /// A sale that runs.
    pub(crate) async fn of(sale: Sale) -> Self {
        let document = sale.client.get("/openapi.json").await.or_fail().json();
        Self { sale, document }
    }

    /// Sends a request and checks the form of its answer.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let answer = self.sale.client.send(request).await.or_fail();
        check(&self.document, request, &answer);
        answer
    }

    /// Sends a request that must be refused.
    pub(crate) async fn refused(&self, request: &Request, status: u16, code: &str) -> Answer {
        let answer = self.send(request).await;
        let seen = (answer.status, answer.code());
        assert_eq!(seen, (status, code.to_owned()), "{} {}: {}", request.method(), request.path(), answer.text());
        answer
    }

    /// Sends a request that must be refused because of one field.
    pub(crate) async fn invalid(&self, request: &Request, field: &str) {
        let answer = self.refused(request, 422, "validation_failed").await;
        let body = answer.json();
        let fields: Vec<&String> = body["errors"].as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
        assert_eq!(fields, [field], "{} {}", request.path(), answer.text());
    }

    /// Sends a request that must succeed.
    pub(crate) async fn done(&self, request: &Request, status: u16) -> Answer {
        let answer = self.send(request).await;
        assert_eq!(answer.status, status, "{} {}: {}", request.method(), request.path(), answer.text());
        answer
    }
}

/// Fails unless the description foresees this answer.
pub(crate) fn check(document: &Value, request: &Request, answer: &Answer) {
    let what = format!("{} {} -> {} {}", request.method(), request.path(), answer.status, answer.text());
    assert!(answer.header("x-request-id").is_some(), "{what}: no X-Request-Id");
    if answer.status == 204 {
        assert!(answer.body.is_empty(), "{what}");
    }
    let Some(operation) = operation(document, request) else {
        assert!(matches!(answer.status, 404 | 405), "{what}: not described");
        assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{what}");
        // Every operation of a path says what the other methods get.
        for operation in item(document, request).into_iter().flat_map(|item| item.values()) {
            assert!(answer.status == 404 || operation["responses"]["405"].is_object(), "{what}: 405 is not described");
        }
        if request.method() != "HEAD" {
            assert_form(document, &json!({"$ref": "#/components/schemas/Error"}), &answer.json(), &what);
        }
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{what}: this status is not described");
    for (name, header) in response["headers"].as_object().expect("headers are described") {
        let header = resolve(document, header);
        assert!(answer.header(name).is_some() || header["required"] != true, "{what}: no {name}");
    }
    if request.method() == "HEAD" {
        assert!(answer.body.is_empty(), "{what}");
        return;
    }
    let Some(content) = response["content"].as_object() else { return };
    let sent_type = answer.header("content-type").unwrap_or_default();
    let (media_type, media) = content.iter().next().expect("a media type");
    assert!(sent_type.starts_with(media_type.as_str()), "{what}: its type is {sent_type}");
    if media_type == "application/json" {
        assert_form(document, &media["schema"], &answer.json(), &what);
    }
}

fn assert_form(document: &Value, schema: &Value, body: &Value, what: &str) {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {errors:?}");
}

/// The description of what a request does, if it is described.
fn operation<'a>(document: &'a Value, request: &Request) -> Option<&'a Value> {
    let method = if request.method() == "HEAD" { "get".to_owned() } else { request.method().as_str().to_lowercase() };
    item(document, request)?.get(&method)
}

/// The description of the path of a request.
fn item<'a>(document: &'a Value, request: &Request) -> Option<&'a Map<String, Value>> {
    let path = request.path().split('?').next().unwrap_or_default();
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().find(|(template, _)| matches(template, path))?.1.as_object()
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(expected, given): (&&str, &&str)| expected == given || (*expected == "{id}" && !given.is_empty());
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}
