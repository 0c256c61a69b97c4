//! GHL's contact endpoints: GET, POST, PUT, DELETE `/contacts`.

use super::refusal::Refusal;
use super::state::State;
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The location the request's token opens; GHL checks the version header first.
fn location(state: &State, headers: &HeaderMap) -> Result<String, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match header("version") {
        None => return Err(Refusal::Unauthorized("version header was not found.")),
        Some("2021-04-15" | "2021-07-28" | "2023-02-21" | "v3") => {}
        Some(_) => return Err(Refusal::Unauthorized("version header is invalid")),
    }
    header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .and_then(|token| state.location_of(token))
        .ok_or(Refusal::Unauthorized("Invalid token: access token is invalid"))
}

fn own(state: &State, headers: &HeaderMap, id: &str) -> Result<Map<String, Value>, Refusal> {
    let location = location(state, headers)?;
    let contact = state.contact(id)?;
    if contact.location_id == location { Ok(contact.fields) } else { Err(Refusal::OtherLocation) }
}

pub(super) async fn get(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"contact": own(&state, &headers, &id)?})))
}

pub(super) async fn create(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
    Json(mut body): Json<Map<String, Value>>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let location = location(&state, &headers)?;
    match body.remove("locationId") {
        Some(Value::String(given)) if given == location => {}
        Some(_) => return Err(Refusal::OtherLocation),
        None => {
            return Err(Refusal::Invalid(vec!["locationId should not be empty".to_owned()]));
        }
    }
    Ok((StatusCode::CREATED, Json(json!({"contact": state.create(&location, body, "api")?}))))
}

pub(super) async fn update(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Json<Value>, Refusal> {
    own(&state, &headers, &id)?;
    Ok(Json(json!({"succeded": true, "contact": state.update(&id, &body, "api")?})))
}

pub(super) async fn delete(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    own(&state, &headers, &id)?;
    state.delete(&id, "api")?;
    Ok(Json(json!({"succeded": true})))
}
