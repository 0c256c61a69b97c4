//! GHL's contact endpoints: `/contacts` with upsert, duplicates, tags and workflows.

use super::caller::Caller;
use super::refusal::Refusal;
use super::search::search_row;
use super::shape::{Change, Kind, born};
use super::state::{Object, State, new_id};
use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Shared = Extract<Arc<State>>;
type Body = Json<Map<String, Value>>;

/// Which contacts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing {
    location_id: Option<String>,
    limit: Option<usize>,
    skip: Option<usize>,
    start_after_id: Option<String>,
    email: Option<String>,
    number: Option<String>,
}

/// The body's location, which has to be the token's.
pub(super) fn take_location(caller: &Caller, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    match body.remove("locationId") {
        Some(Value::String(given)) => caller.owns(&given),
        _ => Err(Refusal::Invalid(vec!["locationId should not be empty".to_owned()])),
    }
}

fn query_location(caller: &Caller, listing: &Listing) -> Result<(), Refusal> {
    match listing.location_id.as_deref() {
        Some(given) => caller.owns(given),
        // A page without its location is refused as another's.
        None => Err(Refusal::OtherLocation),
    }
}

/// A stored contact's fields: custom fields are told as `{id, value}`, however they were given.
fn stored(mut given: Object) -> Object {
    if let Some(Value::Array(list)) = given.get_mut("customFields") {
        for item in list {
            let value =
                ["field_value", "value", "fieldValue"].into_iter().find_map(|name| item.get(name).cloned());
            *item = json!({"id": item.get("id"), "value": value});
        }
    }
    given
}

pub(super) async fn get(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.readonly")?;
    Ok(Json(json!({"contact": state.object(Kind::Contact, &id, &caller.location)?})))
}

pub(super) async fn create(
    Extract(state): Shared,
    caller: Caller,
    Json(mut body): Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    caller.needs("contacts.write")?;
    take_location(&caller, &mut body)?;
    if let Some((id, field)) = state.same_contact(&caller.location, &body, None) {
        return Err(Refusal::Duplicate { id, field });
    }
    let made = make(&state, &caller, body)?;
    wrote(&state, &caller, "create_contact", &made)?;
    Ok((StatusCode::CREATED, Json(json!({"contact": made}))))
}

fn make(state: &State, caller: &Caller, body: Object) -> Result<Object, Refusal> {
    Kind::Contact.check(&body, true)?;
    let id = new_id();
    let mut made = stored(body);
    made.extend(born(Kind::Contact, &id, &caller.location, None, &state.clock.now().to_rfc3339()));
    change(state, caller, &id, "create", made)
}

fn change(state: &State, caller: &Caller, id: &str, op: &str, after: Object) -> Result<Object, Refusal> {
    state.change(Change { kind: Kind::Contact, id, location: &caller.location, op, by: caller.by() }, after)
}

fn wrote(state: &State, caller: &Caller, operation: &str, object: &Object) -> Result<(), Refusal> {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    if caller.by() == "api" { state.wrote(operation, id, caller.request_id.as_deref()) } else { Ok(()) }
}

pub(super) async fn upsert(
    Extract(state): Shared,
    caller: Caller,
    Json(mut body): Body,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.write")?;
    take_location(&caller, &mut body)?;
    if ["email", "phone"].iter().all(|name| body.get(*name).is_none_or(Value::is_null)) {
        return Err(Refusal::Invalid(vec!["email or phone should not be empty".to_owned()]));
    }
    let known = state.same_contact(&caller.location, &body, None);
    let new = known.is_none();
    let contact = match known {
        Some((id, _)) => merge(&state, &caller, &id, body)?,
        None => make(&state, &caller, body)?,
    };
    wrote(&state, &caller, "upsert_contact", &contact)?;
    Ok(Json(json!({"new": new, "contact": contact, "traceId": uuid::Uuid::new_v4().to_string()})))
}

fn merge(state: &State, caller: &Caller, id: &str, body: Object) -> Result<Object, Refusal> {
    Kind::Contact.check(&body, false)?;
    let mut after = state.object(Kind::Contact, id, &caller.location)?;
    if let Some((other, field)) = state.same_contact(&caller.location, &body, Some(id)) {
        return Err(Refusal::Duplicate { id: other, field });
    }
    after.extend(stored(body));
    change(state, caller, id, "update", after)
}

pub(super) async fn update(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Body,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.write")?;
    let contact = merge(&state, &caller, &id, body)?;
    wrote(&state, &caller, "update_contact", &contact)?;
    Ok(Json(json!({"succeded": true, "contact": contact})))
}

pub(super) async fn delete(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.write")?;
    let contact = state.object(Kind::Contact, &id, &caller.location)?;
    let gone = change(&state, &caller, &id, "delete", contact)?;
    wrote(&state, &caller, "delete_contact", &gone)?;
    Ok(Json(json!({"succeded": true})))
}

pub(super) async fn list(
    Extract(state): Shared,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.readonly")?;
    query_location(&caller, &listing)?;
    let all = state.objects(Kind::Contact, &caller.location, |_| true);
    let total = all.len();
    let after = listing.start_after_id.as_deref();
    let page: Vec<Object> = all
        .into_iter()
        .filter(|contact| after.is_none_or(|after| contact.get("id").and_then(Value::as_str) > Some(after)))
        .take(listing.limit.unwrap_or(20).min(100))
        .collect();
    let last = page.last().and_then(|contact| contact.get("id")).cloned();
    Ok(Json(json!({"count": page.len(), "meta": {"total": total, "startAfterId": last}, "contacts": page})))
}

pub(super) async fn duplicate(
    Extract(state): Shared,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.readonly")?;
    query_location(&caller, &listing)?;
    let mut given = Object::new();
    for (name, value) in [("email", listing.email), ("phone", listing.number)] {
        if let Some(value) = value {
            given.insert(name.to_owned(), json!(value));
        }
    }
    let found = state.same_contact(&caller.location, &given, None);
    let contact = found.map(|(id, _)| state.object(Kind::Contact, &id, &caller.location)).transpose()?;
    Ok(Json(json!({"contact": contact})))
}

pub(super) async fn of_business(
    Extract(state): Shared,
    caller: Caller,
    Path(business): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.readonly")?;
    query_location(&caller, &listing)?;
    let of = |contact: &Object| contact.get("businessId").and_then(Value::as_str) == Some(&business);
    let all = state.objects(Kind::Contact, &caller.location, of);
    let count = all.len();
    let limit = listing.limit.unwrap_or(25).min(100);
    let rows: Vec<Object> = all
        .into_iter()
        .skip(listing.skip.unwrap_or(0))
        .take(limit)
        .map(|contact| search_row(contact, &[]))
        .collect();
    Ok(Json(json!({"contacts": rows, "count": count})))
}

fn tags_of(contact: &Object) -> Vec<String> {
    let tags = contact.get("tags").and_then(Value::as_array);
    tags.into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
}

fn change_tags(
    state: &State,
    caller: &Caller,
    id: &str,
    body: &Map<String, Value>,
    adds: bool,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.write")?;
    let mut contact = state.object(Kind::Contact, id, &caller.location)?;
    let given = tags_of(body);
    if given.is_empty() {
        return Err(Refusal::Invalid(vec!["tags should not be empty".to_owned()]));
    }
    let before = tags_of(&contact);
    let mut tags = before.clone();
    if adds {
        tags.extend(given.into_iter().filter(|tag| !before.contains(tag)));
    } else {
        tags.retain(|tag| !given.contains(tag));
    }
    contact.insert("tags".into(), json!(tags));
    if tags != before {
        change(state, caller, id, "tags", contact.clone())?;
    }
    wrote(state, caller, if adds { "contact_add_tags" } else { "contact_remove_tags" }, &contact)?;
    Ok(Json(json!({"tags": tags})))
}

pub(super) async fn add_tags(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    Ok((StatusCode::CREATED, change_tags(&state, &caller, &id, &body, true)?))
}

pub(super) async fn remove_tags(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Body,
) -> Result<Json<Value>, Refusal> {
    change_tags(&state, &caller, &id, &body, false)
}

pub(super) async fn start_workflow(
    Extract(state): Shared,
    caller: Caller,
    Path((id, _workflow)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    caller.needs("contacts.write")?;
    let contact = state.object(Kind::Contact, &id, &caller.location)?;
    wrote(&state, &caller, "add_contact_to_workflow", &contact)?;
    Ok((StatusCode::CREATED, Json(json!({"succeded": true}))))
}

pub(super) async fn stop_workflow(
    Extract(state): Shared,
    caller: Caller,
    Path((id, _workflow)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.write")?;
    let contact = state.object(Kind::Contact, &id, &caller.location)?;
    wrote(&state, &caller, "delete_contact_from_workflow", &contact)?;
    Ok(Json(json!({"succeded": true})))
}
