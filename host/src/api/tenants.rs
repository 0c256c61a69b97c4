//! `/v1/tenants`: Rankr's customers; made, listed, paused, resumed.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::domain::TenantId;
use crate::store::TenantListing;
use crate::tenants::TenantState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

/// Which tenants.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TenantQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists tenants in the order of their ids; a key of one tenant sees this one.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(TenantQuery), security(("key" = [])),
    responses((status = 200, description = "A page of tenants", body = Page<TenantListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<TenantQuery>,
) -> Result<Json<Page<TenantListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let only = caller.narrow(None)?;
    let after = query.after.as_deref().unwrap_or_default();
    let items = state.roster.list(only.as_ref(), after, limit).await?;
    Ok(Json(Page::new(items, limit, |tenant| tenant.id.clone())))
}

/// A tenant to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantRequest {
    /// Its id: 1 to 64 letters, digits, hyphens, underscores and dots; made up if not given.
    id: Option<String>,
    /// Its name, for people.
    name: String,
}

/// Makes a tenant; connections and plugins are given to it afterwards.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = TenantRequest, security(("key" = [])),
    responses((status = 201, description = "The tenant", body = TenantListing),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 409, description = "There is one of that id", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Told(asked): Told<TenantRequest>,
) -> Result<(StatusCode, Json<TenantListing>), Problem> {
    let id = asked.id.map_or_else(TenantId::generate, TenantId::from);
    let audit = caller.row(id.as_str(), Some(&id));
    Ok((StatusCode::CREATED, Json(state.roster.create(id, &asked.name, audit).await?)))
}

/// Shows a tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", security(("key" = [])),
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, description = "The tenant", body = TenantListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(tenant): Named<String>,
) -> Result<Json<TenantListing>, Problem> {
    let tenant = TenantId::from(tenant);
    caller.of(&tenant)?;
    Ok(Json(state.roster.get(&tenant).await?))
}

/// Pauses a tenant: what comes in is stored, nothing runs, nothing is sent, nothing fires, until it is resumed. What
/// is under way ends. It survives a restart.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pause", tag = "tenants", security(("key" = [])),
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, description = "The tenant, paused", body = TenantListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant", body = Problem)))]
pub(super) async fn pause(
    State(state): State<ApiState>,
    caller: Caller,
    Named(tenant): Named<String>,
) -> Result<Json<TenantListing>, Problem> {
    set_state(&state, &caller, tenant, TenantState::Paused).await
}

/// Resumes a tenant: what waited goes on in its order.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/resume", tag = "tenants", security(("key" = [])),
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, description = "The tenant, active", body = TenantListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant", body = Problem)))]
pub(super) async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    Named(tenant): Named<String>,
) -> Result<Json<TenantListing>, Problem> {
    set_state(&state, &caller, tenant, TenantState::Active).await
}

async fn set_state(
    state: &ApiState,
    caller: &Caller,
    tenant: String,
    to: TenantState,
) -> Result<Json<TenantListing>, Problem> {
    let tenant = TenantId::from(tenant);
    caller.of(&tenant)?;
    let audit = caller.row(tenant.as_str(), Some(&tenant));
    Ok(Json(state.roster.set_state(&tenant, to, audit).await?))
}
