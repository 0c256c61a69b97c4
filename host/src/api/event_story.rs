//! `GET /v1/events/{sequence}`: the whole story of one event; `GET /v1/conflicting-deliveries`.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named};
use super::state::ApiState;
use super::timeline::TimelineEntry;
use crate::domain::{TenantId, Timestamp};
use crate::store::{ConflictListing, EffectListing, EventListing, FailureListing, ReadListing, RunListing};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Runs and effects of an event that are shown; an event has far fewer.
const SHOWN: i64 = 1000;

/// Everything that is known of an event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventStory {
    #[serde(flatten)]
    event: EventListing,
    /// When it is tried again, RFC 3339.
    next_at: Option<String>,
    /// When it ended, RFC 3339.
    ended_at: Option<String>,
    /// The payload as it came; as text where it is no JSON.
    payload: serde_json::Value,
    /// Events that were done in one run with this one.
    folded: Vec<i64>,
    /// Calls of plugins, with what they logged.
    runs: Vec<RunListing>,
    /// What GHL was asked for it, and answered.
    reads: Vec<ReadListing>,
    /// What plugins asked for, and what became of it.
    effects: Vec<EffectListing>,
    /// Final failures.
    dead_letters: Vec<FailureListing>,
    /// What the timeline says of it.
    timeline: Vec<TimelineEntry>,
    /// Deliveries with the same id but another body: kept aside, not processed.
    conflicting_deliveries: Vec<ConflictListing>,
}

/// Shows the whole story of an event: payload, runs, reads, effects, failures, timeline.
#[utoipa::path(get, path = "/v1/events/{sequence}", tag = "events", security(("key" = [])),
    params(("sequence" = i64, Path, description = "The event's place in the order of ingest")),
    responses((status = 200, description = "The event", body = EventStory),
        (status = 400, description = "The number is none", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such event", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(sequence): Named<String>,
) -> Result<Json<EventStory>, Problem> {
    let sequence = page::number("the event's sequence", &sequence)?;
    let store = &state.store;
    let detail = store
        .event_detail(sequence)
        .await?
        .filter(|detail| caller.sees(&TenantId::from(detail.event.tenant.as_str())))
        .ok_or_else(|| Problem::not_found(format!("There is no event {sequence}.")))?;
    let tenant = TenantId::from(detail.event.tenant.as_str());
    let payload = serde_json::from_str(&detail.body).unwrap_or(serde_json::Value::String(detail.body));
    Ok(Json(EventStory {
        next_at: detail.next_at.map(Timestamp::to_rfc3339),
        ended_at: detail.ended_at.map(Timestamp::to_rfc3339),
        payload,
        folded: store.folded_into(&tenant, sequence).await?,
        runs: store.list_runs(&tenant, Some(sequence), 0, SHOWN).await?,
        reads: store.reads_of(&tenant, sequence).await?,
        effects: store.list_effects(&tenant, None, Some(sequence), 0, SHOWN).await?,
        dead_letters: store.failures_of(&tenant, sequence).await?,
        timeline: store.timeline_of(&tenant, sequence).await?.into_iter().map(TimelineEntry::from).collect(),
        conflicting_deliveries: store.conflicts_of(&tenant, sequence).await?,
        event: detail.event,
    }))
}

/// Which deliveries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ConflictQuery {
    /// Whose.
    tenant: String,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists deliveries that had the id of an earlier one but another body, in the order they came. Bodies are in the
/// event's story.
#[utoipa::path(get, path = "/v1/conflicting-deliveries", tag = "events", params(ConflictQuery), security(("key" = [])),
    responses((status = 200, description = "A page of deliveries", body = Page<ConflictListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list_conflicts(
    State(state): State<ApiState>,
    Asked(query): Asked<ConflictQuery>,
) -> Result<Json<Page<ConflictListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::after(query.after.as_deref())?;
    let mut items = state.store.list_conflicts(&TenantId::from(query.tenant), after, limit).await?;
    for item in &mut items {
        item.body = None;
    }
    Ok(Json(Page::new(items, limit, |delivery| delivery.id.to_string())))
}
