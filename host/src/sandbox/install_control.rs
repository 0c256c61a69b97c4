//! `/_sandbox` for installs: agencies, approvals, lives of tokens, and what people do to an app behind its back.

use super::consent::{Approval, install_body};
use super::installs::{Agency, Change, Place};
use super::refusal::Refusal;
use super::state::{OauthSettings, State};
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

type Shared = Extract<Arc<State>>;

/// A location, or where none is named an agency.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    location_id: Option<String>,
    company_id: Option<String>,
    /// Revoking: refresh tokens too.
    #[serde(default)]
    all: bool,
    /// Uninstalling: of which app.
    #[serde(default)]
    app_id: String,
    /// Uninstalling: nobody is told.
    #[serde(default)]
    silent: bool,
}

impl Where {
    fn place(&self, state: &State) -> Place {
        let location_id = self.location_id.clone();
        let company_id = self.company_id.clone().unwrap_or_else(|| {
            state.lock().0.installs.company_of(location_id.as_deref().unwrap_or_default())
        });
        Place { company_id, location_id }
    }
}

/// `PUT /_sandbox/agencies`.
pub(super) async fn set_agency(
    Extract(state): Shared,
    Json(agency): Json<Agency>,
) -> Result<StatusCode, Refusal> {
    state.keep_alone([Change::Agency { agency }])?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a location is changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocationChange {
    active: Option<bool>,
    plan: Option<String>,
}

/// `PUT /_sandbox/locations/{id}`: pauses a location, or moves it to another plan.
pub(super) async fn set_location(
    Extract(state): Shared,
    Path(id): Path<String>,
    Json(change): Json<LocationChange>,
) -> Result<StatusCode, Refusal> {
    if change.plan.as_deref().is_some_and(|plan| !matches!(plan, "live" | "sandbox")) {
        return Err(Refusal::Invalid(vec!["plan must be live or sandbox".to_owned()]));
    }
    let agency = {
        let guard = state.lock();
        let company = guard.0.installs.company_of(&id);
        guard.0.installs.agencies.get(&company).cloned()
    };
    let Some(mut agency) = agency else {
        return Err(Refusal::NotFound(format!("Location with id {id} is in no agency")));
    };
    for location in agency.locations.iter_mut().filter(|location| location.id == id) {
        location.active = change.active.unwrap_or(location.active);
        if let Some(plan) = &change.plan {
            location.plan.clone_from(plan);
        }
    }
    state.keep_alone([Change::Agency { agency }])?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /_sandbox/oauth/approval`: what is approved without a person; empty: nothing.
pub(super) async fn approval(Extract(state): Shared, Json(approval): Json<Approval>) -> StatusCode {
    state.lock().0.oauth.approval = approval;
    StatusCode::NO_CONTENT
}

/// `PUT /_sandbox/oauth/settings`.
pub(super) async fn settings(Extract(state): Shared, Json(settings): Json<OauthSettings>) -> StatusCode {
    state.lock().0.oauth = settings;
    StatusCode::NO_CONTENT
}

/// `POST /_sandbox/oauth/revoke`: access tokens end now; with `all` refresh tokens are dead too, but the app stays.
pub(super) async fn revoke(Extract(state): Shared, Json(asked): Json<Where>) -> Result<StatusCode, Refusal> {
    let place = asked.place(&state);
    state.keep_alone([Change::Revoked { place, all: asked.all }])?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /_sandbox/oauth/uninstall`: a person takes an app off.
pub(super) async fn uninstall(
    Extract(state): Shared,
    Json(asked): Json<Where>,
) -> Result<StatusCode, Refusal> {
    let place = asked.place(&state);
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    let Some(app) = inner.installs.app(&asked.app_id).cloned() else {
        return Err(Refusal::NotFound(format!("App with id {} not found", asked.app_id)));
    };
    let body = install_body("UNINSTALL", &place.company_id, place.location_id.as_deref(), "");
    state.keep(inner, journal, [Change::Uninstalled { app_id: app.app_id.clone(), place }])?;
    if !asked.silent {
        state.tell(inner, journal, &app, body)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A message to be sent as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    app_id: String,
    body: Value,
}

/// `POST /_sandbox/events`: sends an event of any type to an app, signed, with what every message has.
pub(super) async fn send_event(
    Extract(state): Shared,
    Json(message): Json<Message>,
) -> Result<Json<Value>, Refusal> {
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    let Some(app) = inner.installs.app(&message.app_id).cloned() else {
        return Err(Refusal::NotFound(format!("App with id {} not found", message.app_id)));
    };
    let webhook_id = state.tell(inner, journal, &app, message.body)?;
    Ok(Json(json!({"webhook_id": webhook_id})))
}
