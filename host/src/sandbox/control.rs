//! `/_sandbox`: registering apps, acting as a person in the CRM, switching faults, asking whether all is sent.

use super::refusal::Refusal;
use super::state::{App, Faults, State};
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A contact made by a person.
#[derive(Debug, Deserialize)]
pub(super) struct NewContact {
    location_id: String,
    fields: Map<String, Value>,
}

/// Which location a token is for.
#[derive(Debug, Deserialize)]
pub(super) struct NewToken {
    location_id: String,
}

pub(super) async fn keys(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    Json(json!({"ed25519": state.signer.public_pem()}))
}

pub(super) async fn register(Extract(state): Extract<Arc<State>>, Json(app): Json<App>) -> StatusCode {
    state.register(app);
    StatusCode::NO_CONTENT
}

pub(super) async fn token(Extract(state): Extract<Arc<State>>, Json(asked): Json<NewToken>) -> Json<Value> {
    Json(json!({"access_token": state.issue_token(&asked.location_id)}))
}

pub(super) async fn create(
    Extract(state): Extract<Arc<State>>,
    Json(contact): Json<NewContact>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"contact": state.create(&contact.location_id, contact.fields, "user")?})))
}

pub(super) async fn update(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    Json(fields): Json<Map<String, Value>>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"contact": state.update(&id, &fields, "user")?})))
}

pub(super) async fn delete(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    state.delete(&id, "user")?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn faults(Extract(state): Extract<Arc<State>>, Json(faults): Json<Faults>) -> StatusCode {
    state.set_faults(faults);
    StatusCode::NO_CONTENT
}

pub(super) async fn pending(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    Json(json!({"pending": state.pending()}))
}
