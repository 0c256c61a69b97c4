//! The `OpenAPI` document: generated from the handlers, completed from the table of `accounts`, served open.

use super::serve::described;
use crate::accounts::{self, Decision};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The methods that a path of the document may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What each tag's operations are about.
const TAGS: &[(&str, &str)] = &[
    ("assignments", "Which tenant uses which plugin, in which version"),
    ("audit", "Who changed what"),
    ("backups", "Copies of everything, made while the host works"),
    ("connections", "Tenants' links to GoHighLevel's locations"),
    ("dead-letters", "What finally failed, and what people do about it"),
    ("effects", "What runs asked for, and what became of it"),
    ("events", "What came in, and what became of it"),
    ("health", "How the host is"),
    ("keys", "Who may use this API"),
    ("oauth", "Where GoHighLevel sends people back to"),
    ("operations", "What GoHighLevel's API can do"),
    ("plugins", "Plugins and their versions"),
    ("records", "Rankr's copies, each field with its provenance"),
    ("runs", "Which plugin version was called on which event"),
    ("tenants", "Rankr's customers"),
    ("timeline", "Everything that happened"),
    ("timing", "Rules that make events from time"),
    ("webhooks", "What GoHighLevel sends"),
];

/// What any keyed operation may answer besides what its handler says.
const ANY_KEYED: &[(&str, &str)] = &[
    ("401", "The key is missing or wrong"),
    ("403", "The key may not do that"),
    ("429", "Too many wrong keys came from this address"),
    ("500", "Something went wrong here; trying again is safe"),
    ("503", "The request took too long, or the host is not ready"),
];

/// The API's `OpenAPI` 3.1 document.
#[must_use]
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(described()).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths {
            for method in METHODS {
                if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                    complete(operation, method, path);
                }
            }
        }
    }
    let used = |tag: &str| {
        let paths = document.get("paths").and_then(Value::as_object);
        let mut operations = paths.into_iter().flat_map(Map::values).filter_map(Value::as_object);
        operations
            .any(|item| item.values().any(|operation| operation.pointer("/tags/0") == Some(&json!(tag))))
    };
    let tags: Vec<Value> = TAGS
        .iter()
        .filter(|(name, _)| used(name))
        .map(|(name, about)| json!({"name": name, "description": about}))
        .collect();
    if let Some(whole) = document.as_object_mut() {
        whole.insert("tags".to_owned(), Value::Array(tags));
        let components = whole.entry("components").or_insert_with(|| json!({}));
        if let Some(components) = components.as_object_mut() {
            let about = "A key made by POST /v1/keys, or api.host_key of the configuration.";
            let scheme = json!({"type": "http", "scheme": "bearer", "description": about});
            components.insert("securitySchemes".to_owned(), json!({"key": scheme}));
        }
    }
    document
}

/// What the table decides belongs to the document too, and failures are problem documents.
fn complete(operation: &mut Map<String, Value>, method: &str, path: &str) {
    operation.insert("operationId".to_owned(), json!(operation_id(method, path)));
    let decision = accounts::rule(&method.to_uppercase(), path).map(|rule| rule.decision);
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    if let Some(Decision::Needs(_)) = decision {
        for (status, description) in ANY_KEYED {
            let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
            let response = json!({"description": description, "content": {"application/json": problem}});
            responses.entry(*status).or_insert(response);
        }
    }
    for (status, response) in responses.iter_mut() {
        let content = response.get_mut("content").and_then(Value::as_object_mut);
        if let Some(content) = content
            && status.starts_with(['4', '5'])
            && let Some(body) = content.remove("application/json")
        {
            content.insert("application/problem+json".to_owned(), body);
        }
    }
    match decision {
        Some(Decision::Needs(permission)) => {
            operation.insert("security".to_owned(), json!([{"key": []}]));
            operation.insert("x-permission".to_owned(), json!(permission.word()));
        }
        // An empty list says that nothing is needed, where none at all leaves it open.
        Some(Decision::Open(_)) | None => {
            operation.insert("security".to_owned(), json!([]));
        }
    }
}

/// `GET /v1/tenants/{tenant}` is `get_tenants_tenant`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let plain = |word: &str| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { Some(c) } else { (c == '-').then_some('_') };
        word.chars().filter_map(letter).collect()
    };
    words.fold(method.to_owned(), |id, word| id + "_" + &plain(word))
}

/// Shows this document: `OpenAPI` 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "The document", body = serde_json::Value)))]
pub(super) async fn show() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{RULES, rule};
    use std::collections::HashSet;

    /// Method, path and operation of everything that the document describes.
    fn operations() -> Vec<(String, String, Value)> {
        let document = openapi();
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    found.push((method.to_uppercase(), path.clone(), operation.clone()));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_has_a_row_in_the_table_and_every_row_a_route() {
        let operations = operations();
        for (method, path, _) in &operations {
            let known = rule(method, path).is_some();
            assert!(known, "{method} {path} has no row in accounts/table.rs, so nobody reaches it");
        }
        for rule in RULES {
            let known =
                operations.iter().any(|(method, path, _)| *method == rule.method && *path == rule.path);
            assert!(known, "{} {} is in the table and has no route", rule.method, rule.path);
        }
    }

    #[test]
    fn every_operation_says_what_it_does_what_it_needs_and_how_it_fails() {
        let tags: HashSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
        for (method, path, operation) in operations() {
            let named = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|it| it.len() > 10), "{named}: no summary");
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(tags.contains(tag), "{named}: the tag {tag} is not in TAGS");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2') || status.starts_with('3')),
                "{named}"
            );
            if path.starts_with("/v1/") {
                assert_eq!(operation["security"][0]["key"], json!([]), "{named}: security");
                assert!(responses.contains_key("401") && responses.contains_key("403"), "{named}");
            }
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                // People's pages fail as pages.
                if response.pointer("/content/text~1html").is_some() {
                    assert!(path.starts_with("/oauth/"), "{named} {status}");
                    continue;
                }
                let body = response.pointer("/content/application~1problem+json/schema/$ref");
                assert_eq!(body, Some(&json!("#/components/schemas/Problem")), "{named} {status}");
            }
            let in_path = path.matches('{').count();
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let described = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(described, in_path, "{named}: parameters of the path");
            for parameter in parameters {
                assert!(parameter["description"].as_str().is_some(), "{named}: {}", parameter["name"]);
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let operations = operations();
        let names: HashSet<_> =
            operations.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
        assert_eq!(names.len(), operations.len());
        assert_eq!(operation_id("get", "/v1/tenants/{tenant}"), "get_tenants_tenant");
    }
}
