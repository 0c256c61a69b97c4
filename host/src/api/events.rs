//! `/v1/events`: what came in and what became of it; events from Rankr come in here.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Told, time};
use super::state::ApiState;
use crate::domain::{Cause, ConnectionId, GhlId, RankrId, TenantId, Timestamp};
use crate::store::{EventFilter, EventListing, EventState};
use crate::webhooks::RankrEvent;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Events read by one statement while a page is filled.
const STEP: i64 = 500;
/// Events looked at for one page; a page that found less goes on from there.
const MOST: usize = 10_000;
/// Events that were stored together may stand so far out of the order of their times.
const DISORDER: Duration = Duration::from_secs(60);

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// Only this tenant's.
    tenant: Option<String>,
    /// Only `received`, `waiting`, `done` or `dead`.
    state: Option<String>,
    /// Only of this type; a `*` at the end stands for anything.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Only of this cause: `live`, `rankr`, `timing` and so on.
    cause: Option<String>,
    /// Only of this lane.
    lane: Option<String>,
    /// Only of this contact, by Rankr's id; name the tenant too.
    contact: Option<String>,
    /// Only what was received not before this time, RFC 3339.
    from: Option<String>,
    /// Only what was received before this time, RFC 3339.
    to: Option<String>,
    /// `oldest` (the default) or `newest` first, in the order of ingest.
    order: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists events in the order of ingest. A page may have fewer than asked for, or none, and still a next one.
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
    let tenant = caller.narrow(query.tenant.clone())?;
    let mut filter = filter(&query, tenant)?;
    let (from, to) = (time("from", query.from.as_deref())?, time("to", query.to.as_deref())?);
    begin_at(&state, &mut filter, (from, to)).await?;
    let received = |event: &EventListing| Timestamp::parse(&event.received_at).unwrap_or_default();
    let newest_first = filter.newest_first;
    let is_beyond = |event: &EventListing| match (newest_first, from, to) {
        (true, Some(from), _) => received(event) < from.minus(DISORDER),
        (false, _, Some(to)) => received(event) >= to.plus(DISORDER),
        _ => false,
    };
    let fits = |event: &EventListing| {
        let received = received(event);
        query.event_type.as_deref().is_none_or(|wanted| page::is_like(&event.event_type, wanted))
            && query.cause.as_deref().is_none_or(|cause| event.cause == cause)
            && query.lane.as_deref().is_none_or(|lane| event.lane == lane)
            && from.is_none_or(|from| received >= from)
            && to.is_none_or(|to| received < to)
    };
    let plain = [&query.event_type, &query.cause, &query.lane, &query.from, &query.to];
    let step = if plain.iter().all(|given| given.is_none()) { limit } else { STEP };
    let wanted = usize::try_from(limit).unwrap_or_default();
    let mut items = Vec::new();
    let mut looked = 0;
    loop {
        let rows = state.store.list_events(&filter, step).await?;
        let last = i64::try_from(rows.len()).is_ok_and(|count| count < step);
        for event in rows {
            if is_beyond(&event) {
                return Ok(Json(Page { items, next: None }));
            }
            looked += 1;
            filter.after = Some(event.sequence);
            if fits(&event) {
                items.push(event);
            }
            if items.len() == wanted {
                return Ok(Json(Page { items, next: filter.after.map(|after| after.to_string()) }));
            }
        }
        if last || looked >= MOST {
            let next = if last { None } else { filter.after.map(|after| after.to_string()) };
            return Ok(Json(Page { items, next }));
        }
    }
}

/// Begins where the asked times begin.
async fn begin_at(
    state: &ApiState,
    filter: &mut EventFilter,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
) -> Result<(), Problem> {
    match (filter.newest_first, from, to) {
        (false, Some(from), _) => {
            let begin = state.store.first_received(from.minus(DISORDER)).await? - 1;
            filter.after = Some(filter.after.map_or(begin, |after| after.max(begin)));
        }
        (true, _, Some(to)) => {
            let begin = state.store.first_received(to.plus(DISORDER)).await?;
            filter.after = Some(filter.after.map_or(begin, |after| after.min(begin)));
        }
        _ => {}
    }
    Ok(())
}

fn filter(query: &EventQuery, tenant: Option<TenantId>) -> Result<EventFilter, Problem> {
    let newest_first = match query.order.as_deref() {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(other) => {
            return Err(Problem::bad_parameter(format!("order is {other:?}: give oldest or newest")));
        }
    };
    if query.contact.is_some() && tenant.is_none() {
        return Err(Problem::bad_parameter("contact is given without tenant: name whose contact it is"));
    }
    if let Some(cause) = query.cause.as_deref()
        && Cause::parse(cause).is_none()
    {
        return Err(Problem::bad_parameter(format!(
            "cause is {cause:?}: give live, rankr, timing, schedule, backfill, reconcile or test"
        )));
    }
    let state = match query.state.as_deref() {
        None => None,
        Some(word) => Some(EventState::parse(word).ok_or_else(|| {
            Problem::bad_parameter(format!("state is {word:?}: give received, waiting, done or dead"))
        })?),
    };
    let after = query.after.as_deref().map(|after| page::after(Some(after))).transpose()?;
    Ok(EventFilter { tenant, state, contact: query.contact.clone(), newest_first, after })
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
