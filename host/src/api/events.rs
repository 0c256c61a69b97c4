//! `/v1/events`: what came in and what became of it; events from Rankr come in here.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Told};
use super::state::ApiState;
use crate::domain::{ConnectionId, GhlId, RankrId, Sequence, TenantId, Timestamp};
use crate::store::EventListing;
use crate::webhooks::RankrEvent;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only this tenant's.
    tenant: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists events in the order of ingest.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventQuery), security(("key" = [])),
    responses((status = 200, description = "A page of events", body = Page<EventListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<EventQuery>,
) -> Result<Json<Page<EventListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = Sequence(page::after(query.after.as_deref())?);
    let tenant = caller.narrow(query.tenant)?;
    let items = state.store.list_events(tenant.as_ref(), after, limit).await?;
    Ok(Json(Page::new(items, limit, |event| event.sequence.to_string())))
}

/// An event that Rankr tells of.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEvent {
    /// Whose it is.
    tenant: String,
    /// Its type: `rankr.` and lower-case letters, digits, dots, hyphens.
    #[serde(rename = "type")]
    event_type: String,
    /// On which connection; may be left out where the tenant has one.
    connection: Option<String>,
    /// Rankr's id of the contact.
    contact: Option<String>,
    /// GHL's id of the contact, where Rankr knows it.
    ghl_contact: Option<String>,
    /// When it happened, RFC 3339; now if not given.
    occurred_at: Option<String>,
    /// Its data; plugins get it as it is.
    #[serde(default)]
    data: serde_json::Value,
}

/// Where an event stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Taken {
    /// Its place in the order of ingest.
    sequence: i64,
    /// Whether the same was told before under the same key.
    duplicate: bool,
}

/// Takes an event from Rankr; the same `Idempotency-Key` again is the same event.
#[utoipa::path(post, path = "/v1/events", tag = "events", request_body = NewEvent, security(("key" = [])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 bytes, another for each event")),
    responses((status = 202, description = "Kept", body = Taken),
        (status = 200, description = "Kept before", body = Taken),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant or connection", body = Problem),
        (status = 422, description = "The Idempotency-Key was used for another event", body = Problem)))]
pub(super) async fn take(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Told(event): Told<NewEvent>,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    caller.of(&TenantId::from(event.tenant.as_str()))?;
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Problem::bad_parameter("Send an Idempotency-Key header, another for each event."))?;
    let occurred_at = match event.occurred_at.as_deref() {
        None => None,
        Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
            Problem::bad_parameter(format!(
                "occurred_at is {text:?}: give RFC 3339, such as 2026-01-02T03:04:05Z"
            ))
        })?),
    };
    let event = RankrEvent {
        tenant: TenantId::from(event.tenant),
        event_type: event.event_type,
        connection: event.connection.map(ConnectionId::from),
        contact: event.contact.map(RankrId::from),
        ghl_contact: event.ghl_contact.map(GhlId::from),
        occurred_at,
        data: event.data,
    };
    let (sequence, duplicate) = state.rankr.take(key, event).await?;
    let status = if duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Taken { sequence, duplicate })))
}
