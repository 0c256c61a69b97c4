//! `/v1/effects`: what runs asked for, what became of it, and what people decide about it; `GET /v1/rankr-events`: what
//! plugins tell Rankr.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::domain::{GhlId, TenantId};
use crate::effects::Decided;
use crate::store::{EffectDetail, EffectListing, RankrEventListing};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which effects.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EffectQuery {
    /// Whose.
    tenant: String,
    /// Only in this state: `waiting`, `sending`, `done`, `refused`, `dead`, `unclear`, `held`, `cancelled`.
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

/// Shows an effect with its content and its sendings.
#[utoipa::path(get, path = "/v1/effects/{id}", tag = "effects", security(("key" = [])),
    params(("id" = i64, Path, description = "The effect's number")),
    responses((status = 200, description = "The effect", body = EffectDetail),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such effect", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<i64>,
) -> Result<Json<EffectDetail>, Problem> {
    found(&state, &caller, id).await.map(Json)
}

/// The effect, if the caller reaches its tenant.
async fn found(state: &ApiState, caller: &Caller, id: i64) -> Result<EffectDetail, Problem> {
    let effect = state.store.effect_detail(id).await?;
    effect
        .filter(|found| caller.sees(&TenantId::from(found.effect.tenant.as_str())))
        .ok_or_else(|| Problem::not_found(format!("There is no effect {id}.")))
}

/// What became of an effect of which nobody knows whether it was done.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, tag = "decision", rename_all = "snake_case")]
pub(super) enum Decision {
    /// It was done.
    Done {
        /// GHL's id of what it made; needed where others wait for it.
        ghl_id: Option<String>,
    },
    /// It was not done; it is sent once more.
    Repeat,
}

/// Settles an unclear effect: it was done, or it is sent once more.
#[utoipa::path(post, path = "/v1/effects/{id}/decide", tag = "effects", request_body = Decision, security(("key" = [])),
    params(("id" = i64, Path, description = "The effect's number")),
    responses((status = 200, description = "Decided; the effect as it stands", body = EffectDetail),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such effect", body = Problem),
        (status = 409, description = "It is not unclear", body = Problem),
        (status = 422, description = "The id of what it made is needed", body = Problem)))]
pub(super) async fn decide(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<i64>,
    Told(decision): Told<Decision>,
) -> Result<Json<EffectDetail>, Problem> {
    let decided = match decision {
        Decision::Done { ghl_id } => Decided::Done(ghl_id.filter(|id| !id.is_empty()).map(GhlId::from)),
        Decision::Repeat => Decided::Repeat,
    };
    take(&state, (&caller, id), &decided).await
}

/// Tries a refused or dead effect again, as it was planned.
#[utoipa::path(post, path = "/v1/effects/{id}/retry", tag = "effects", security(("key" = [])),
    params(("id" = i64, Path, description = "The effect's number")),
    responses((status = 200, description = "It waits to be sent", body = EffectDetail),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such effect", body = Problem),
        (status = 409, description = "It is neither refused nor dead", body = Problem)))]
pub(super) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<i64>,
) -> Result<Json<EffectDetail>, Problem> {
    take(&state, (&caller, id), &Decided::Retry).await
}

/// Why an effect is not to be done.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancelling {
    /// For the timeline; up to 500 characters.
    reason: Option<String>,
}

/// Cancels an effect that waits.
#[utoipa::path(post, path = "/v1/effects/{id}/cancel", tag = "effects", request_body = Cancelling,
    security(("key" = [])), params(("id" = i64, Path, description = "The effect's number")),
    responses((status = 200, description = "Cancelled", body = EffectDetail),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such effect", body = Problem),
        (status = 409, description = "It does not wait any more", body = Problem)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<i64>,
    Told(cancelling): Told<Cancelling>,
) -> Result<Json<EffectDetail>, Problem> {
    let reason = super::problem::reason(cancelling.reason)?;
    take(&state, (&caller, id), &Decided::Cancel(reason)).await
}

async fn take(
    state: &ApiState,
    (caller, id): (&Caller, i64),
    decided: &Decided,
) -> Result<Json<EffectDetail>, Problem> {
    let effect = found(state, caller, id).await?;
    let tenant = TenantId::from(effect.effect.tenant);
    let audit = caller.row(&id.to_string(), Some(&tenant));
    state.decisions.decide((&tenant, id), decided, audit).await?;
    found(state, caller, id).await.map(Json)
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
