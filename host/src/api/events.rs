//! `GET /v1/events`: what came in and what became of it.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::Asked;
use super::state::ApiState;
use crate::domain::{Sequence, TenantId};
use crate::store::EventListing;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

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
        (status = 401, description = "The key is missing or wrong", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<EventQuery>,
) -> Result<Json<Page<EventListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = Sequence(page::after(query.after.as_deref())?);
    let tenant = query.tenant.map(TenantId::from);
    let items = state.store.list_events(tenant.as_ref(), after, limit).await?;
    Ok(Json(Page::new(items, limit, |event| event.sequence.to_string())))
}
