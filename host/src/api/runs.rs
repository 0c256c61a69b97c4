//! `GET /v1/runs`: which plugin version was called on which event, how it ended, what it logged.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named};
use super::state::ApiState;
use crate::domain::TenantId;
use crate::store::RunListing;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which runs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    /// Whose.
    tenant: String,
    /// Only on this event.
    sequence: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists a tenant's runs in the order they were written.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunQuery), security(("key" = [])),
    responses((status = 200, description = "A page of runs", body = Page<RunListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<RunQuery>,
) -> Result<Json<Page<RunListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::after(query.after.as_deref())?;
    let items = state.store.list_runs(&TenantId::from(query.tenant), query.sequence, after, limit).await?;
    Ok(Json(Page::new(items, limit, |run| run.id.to_string())))
}

/// Shows a run.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", security(("key" = [])),
    params(("id" = i64, Path, description = "The run's number")),
    responses((status = 200, description = "The run", body = RunListing),
        (status = 400, description = "The number is none", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such run", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<RunListing>, Problem> {
    let id = page::number("the run's number", &id)?;
    let run = state.store.run(id).await?.filter(|run| caller.sees(&TenantId::from(run.tenant.as_str())));
    Ok(Json(run.ok_or_else(|| Problem::not_found(format!("There is no run {id}.")))?))
}
