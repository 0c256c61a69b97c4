//! The operations as people look them up: a listing with the class of each, and a search.

use super::operations::{OPERATIONS, Operation};
use crate::domain::EffectClass;
use serde::Serialize;

/// An operation as the API and the command line show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OperationListing {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// GET, POST, PUT or DELETE.
    pub method: &'static str,
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// The scope a token needs for it.
    pub scope: &'static str,
    /// `repeatable`, `findable` or `blind`: what becomes of its effect when the answer did not come. It is repeated; or
    /// what it made is looked for before it is repeated; or a person decides. A bare `call` that makes something is blind.
    pub class: &'static str,
    /// The value of its `Version` header.
    pub version: &'static str,
}

/// Creates whose effects are looked for before they are repeated; a bare `call` of one is blind like any other POST.
const FINDABLE: [&str; 4] =
    ["create_contact", "contact_create_task", "contact_create_note", "calendar_create_appointment"];

impl Operation {
    /// How often the effect of it may be sent.
    fn effect_class(&self) -> EffectClass {
        if FINDABLE.contains(&self.id) { EffectClass::Findable } else { self.class() }
    }

    fn listing(&self) -> OperationListing {
        OperationListing {
            id: self.id,
            method: self.method,
            path: self.path,
            scope: self.scope,
            class: self.effect_class().as_str(),
            version: self.version,
        }
    }
}

/// The operations whose id, path, method or scope holds each word of `search`, in the order of their ids.
#[must_use]
pub fn operations(search: &str) -> Vec<OperationListing> {
    let words: Vec<String> = search.split_whitespace().map(str::to_lowercase).collect();
    let mut found: Vec<OperationListing> = OPERATIONS
        .iter()
        .filter(|known| {
            let text = format!("{} {} {} {}", known.id, known.method, known.path, known.scope).to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        })
        .map(Operation::listing)
        .collect();
    found.sort_unstable_by_key(|known| known.id);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Fields, GhlId, RemoteEffect, RemoteOp, Value};
    use crate::ghl::{ResolvedEffect, request_of};

    #[test]
    fn an_operation_is_of_the_class_of_the_effects_that_call_it() {
        let id = GhlId::from("x");
        let mut compared = 0;
        for op in RemoteOp::ALL.iter().copied().filter(|op| *op != RemoteOp::Call) {
            let fields = Fields::from([
                ("workflow_id".into(), Value::Text("w".into())),
                ("email".into(), Value::Text("a@example.com".into())),
            ]);
            let effect = RemoteEffect { op, contact: None, object: None, fields, rankr_id: None };
            let resolved = ResolvedEffect { effect: &effect, contact: Some(&id), object: Some(&id) };
            let operation = request_of(&resolved).unwrap().operation;
            assert_eq!(operation.effect_class(), op.class(), "{}", operation.id);
            compared += 1;
        }
        assert_eq!(compared, RemoteOp::ALL.len() - 1);
    }

    #[test]
    fn a_search_finds_by_every_word() {
        let ids: Vec<_> = operations("POST task").into_iter().map(|known| known.id).collect();
        assert_eq!(ids, ["contact_create_task", "location_task_search"]);
        assert_eq!(operations("").len(), OPERATIONS.len());
        assert!(operations("no such thing").is_empty());
    }
}
