//! `GET /v1/effects`: what runs asked for and what became of it; `GET /v1/rankr-events`: what plugins tell Rankr.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::Asked;
use super::state::ApiState;
use crate::domain::TenantId;
use crate::store::{EffectListing, RankrEventListing};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which effects.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EffectQuery {
    /// Whose.
    tenant: String,
    /// Only in this state: `waiting`, `sending`, `done`, `refused`, `dead`, `unclear`, `held`.
    state: Option<String>,
    /// Only of this event.
    sequence: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists a tenant's effects in the order of planning.
#[utoipa::path(get, path = "/v1/effects", tag = "effects", params(EffectQuery), security(("key" = [])),
    responses((status = 200, description = "A page of effects", body = Page<EffectListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<EffectQuery>,
) -> Result<Json<Page<EffectListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::after(query.after.as_deref())?;
    let tenant = TenantId::from(query.tenant);
    let items =
        state.store.list_effects(&tenant, query.state.as_deref(), query.sequence, after, limit).await?;
    Ok(Json(Page::new(items, limit, |effect| effect.id.to_string())))
}

/// Which events for Rankr.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RankrEventQuery {
    /// Whose.
    tenant: String,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists the events that plugins made for Rankr, in the order they were made.
#[utoipa::path(get, path = "/v1/rankr-events", tag = "effects", params(RankrEventQuery), security(("key" = [])),
    responses((status = 200, description = "A page of events", body = Page<RankrEventListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list_rankr_events(
    State(state): State<ApiState>,
    Asked(query): Asked<RankrEventQuery>,
) -> Result<Json<Page<RankrEventListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::after(query.after.as_deref())?;
    let items = state.store.list_rankr_events(&TenantId::from(query.tenant), after, limit).await?;
    Ok(Json(Page::new(items, limit, |event| event.id.to_string())))
}
