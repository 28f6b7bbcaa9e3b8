//! The API's description of itself, for programs and for people.

use std::collections::BTreeSet;

use holdfast_test_support::{OrFail, Request, Setup, for_both};
use serde_json::Value;

use crate::contract::Contract;

for_both!(the_description_is_complete, the_command_prints_the_same, the_page_needs_nothing_from_elsewhere);

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

async fn the_description_is_complete(setup: Setup) {
    let sale = Contract::start(setup).await;
    let document = sale.done(&Request::get("/openapi.json"), 200).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            operations += 1;
            let what = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().expect("a name").to_owned()), "{what}");
            assert!(operation["summary"].as_str().is_some_and(|it| !it.is_empty()), "{what}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
            for (status, response) in responses {
                assert!(response["headers"]["X-Request-Id"].is_object(), "{what} {status}");
                let is_error = status.starts_with(['4', '5']) && path != "/readyz";
                let examples = &response["content"]["application/json"]["examples"];
                assert!(!is_error || examples.as_object().is_some_and(|it| !it.is_empty()), "{what} {status}");
            }
            assert!(responses["405"]["headers"]["Allow"].is_object(), "{what}");
            if path.contains("{id}") {
                assert!(responses.contains_key("404"), "{what}");
            }
            if operation.get("requestBody").is_some() {
                for status in ["400", "413", "415", "422"] {
                    assert!(responses.contains_key(status), "{what}: {status}");
                }
            }
        }
    }
    assert_eq!(operations, 18);
    // Examples of bodies have the form that they are examples of.
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for response in all(&document, "examples") {
        for example in response.as_object().into_iter().flat_map(|examples| examples.values()) {
            let mut schema = schemas["Error"].clone();
            schema["components"] = document["components"].clone();
            assert!(jsonschema::is_valid(&schema, &example["value"]), "{example}");
        }
    }
}

/// Every value of this name, wherever it is.
fn all<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, member)| if key == name { vec![member] } else { all(member, name) })
            .collect(),
        Value::Array(elements) => elements.iter().flat_map(|element| all(element, name)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

async fn the_command_prints_the_same(setup: Setup) {
    let sale = Contract::start(setup).await;
    let printed = sale.holdfast(&["openapi"]).await;
    assert_eq!(printed.code(), Some(0), "{}", printed.err);
    let printed: Value = serde_json::from_str(&printed.out).or_fail();
    assert_eq!(printed, sale.done(&Request::get("/openapi.json"), 200).await.json());
}

async fn the_page_needs_nothing_from_elsewhere(setup: Setup) {
    let sale = Contract::start(setup).await;
    let page = sale.done(&Request::get("/docs"), 200).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    let text = page.text();
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("\"//"), "{text}");
    let mut linked = BTreeSet::new();
    for attribute in ["href=\"", "src=\""] {
        linked.extend(text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    assert!(linked.len() >= 5, "{linked:?}");
    for path in linked {
        let file = sale.sale.send(&Request::get(path)).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(!file.body.is_empty(), "{path}");
        let expected = match path.rsplit('.').next() {
            Some("css") => "text/css",
            Some("js") => "text/javascript",
            Some("png") => "image/png",
            _ => "application/json",
        };
        assert!(file.header("content-type").is_some_and(|it| it.starts_with(expected)), "{path}: {:?}", file.headers);
    }
    let settings = sale.sale.send(&Request::get("/docs/swagger-initializer.js")).await.text();
    assert!(settings.contains("\"/openapi.json\"") && settings.contains("\"none\""), "{settings}");
    // Typed with a slash at its end it is the same page.
    assert_eq!(sale.sale.send(&Request::get("/docs/")).await.text(), text);
    sale.refused(&Request::get("/docs/nothing.js"), 404, "not_found").await;
    sale.refused(&Request::get("/docs/../Cargo.toml"), 404, "not_found").await;
}
