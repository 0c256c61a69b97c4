//! `/_sandbox`: registering apps, issuing tokens, switching faults and limits, asking whether all is sent.

use super::caller::Grant;
use super::limits::{Limits, Script};
use super::refusal::Refusal;
use super::shape::{Change, Kind};
use super::state::{App, Faults, State};
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What a token is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    location_id: String,
    /// Space separated; left out for a person, who may do everything and counts as no program.
    scopes: Option<String>,
}

/// Which business a contact belongs to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Business {
    location_id: String,
    business_id: String,
    business_name: String,
}

pub(super) async fn keys(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    Json(json!({"ed25519": state.signer.public_pem()}))
}

pub(super) async fn register(
    Extract(state): Extract<Arc<State>>,
    Json(app): Json<App>,
) -> Result<StatusCode, Refusal> {
    state.register(app)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn token(
    Extract(state): Extract<Arc<State>>,
    Json(asked): Json<NewToken>,
) -> Result<Json<Value>, Refusal> {
    let scopes = asked.scopes.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
    let token = state.issue_token(&Grant { location: asked.location_id, scopes })?;
    Ok(Json(json!({"access_token": token})))
}

/// Puts a contact into a business, as people do on the contact's page; GHL's API has no write for its name.
pub(super) async fn set_business(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    Json(business): Json<Business>,
) -> Result<StatusCode, Refusal> {
    let mut contact = state.object(Kind::Contact, &id, &business.location_id)?;
    contact.insert("businessId".to_owned(), json!(business.business_id));
    contact.insert("businessName".to_owned(), json!(business.business_name));
    let change =
        Change { kind: Kind::Contact, id: &id, location: &business.location_id, op: "update", by: "user" };
    state.change(change, contact)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn faults(Extract(state): Extract<Arc<State>>, Json(faults): Json<Faults>) -> StatusCode {
    state.lock().0.faults = faults;
    StatusCode::NO_CONTENT
}

pub(super) async fn script(Extract(state): Extract<Arc<State>>, Json(script): Json<Script>) -> StatusCode {
    state.lock().0.script = script;
    StatusCode::NO_CONTENT
}

pub(super) async fn limits(Extract(state): Extract<Arc<State>>, Json(limits): Json<Limits>) -> StatusCode {
    state.lock().0.limits = limits;
    StatusCode::NO_CONTENT
}

/// How far the search index is behind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexDelay {
    /// Product milliseconds.
    delay_millis: u64,
}

pub(super) async fn index(Extract(state): Extract<Arc<State>>, Json(asked): Json<IndexDelay>) -> StatusCode {
    state.lock().0.index.set_delay(Duration::from_millis(asked.delay_millis));
    StatusCode::NO_CONTENT
}

pub(super) async fn pending(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    Json(json!({"pending": state.pending()}))
}
