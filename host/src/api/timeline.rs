//! `GET /v1/timeline`: everything that happened, to one contact or to all of a tenant's.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::Asked;
use super::state::ApiState;
use crate::domain::TenantId;
use crate::store::TimelineListing;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// Whose.
    tenant: String,
    /// Only of this contact, by Rankr's id.
    contact: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists timeline entries in the order they were written.
#[utoipa::path(get, path = "/v1/timeline", tag = "timeline", params(TimelineQuery), security(("key" = [])),
    responses((status = 200, description = "A page of entries", body = Page<TimelineListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<TimelineQuery>,
) -> Result<Json<Page<TimelineListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::after(query.after.as_deref())?;
    let tenant = TenantId::from(query.tenant);
    let items = state.store.list_timeline(&tenant, query.contact.as_deref(), after, limit).await?;
    Ok(Json(Page::new(items, limit, |entry| entry.id.to_string())))
}
