//! `/v1/assignments`: which version of which plugin a tenant's events meet, and acts on that.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::domain::{AssignmentId, PluginName, TenantId};
use crate::store::{ActivationRow, AssignmentFilter, AssignmentRow, StoreError};
use crate::tenants::{ActivationRequest, BreakerState, OnFailure};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Activations an assignment is shown with.
const HISTORY: i64 = 50;

/// A version with its configuration and grants, active or once active.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ActivationListing {
    /// Its id.
    id: String,
    /// The version's id.
    version: String,
    /// The version's own version, SemVer.
    semver: String,
    /// `active` or `off`.
    mode: String,
    /// Its configuration.
    config: serde_json::Value,
    /// Granted capabilities.
    grants: serde_json::Value,
    /// What becomes of events it finally fails on: `dead-letter` or `hold`.
    on_failure: String,
    /// Who activated it: `api`, `configuration` or `folder`.
    source: String,
    /// The activation a roll back goes to.
    previous: Option<String>,
    /// When it was activated, RFC 3339.
    activated_at: String,
}

/// A tenant's use of a plugin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AssignmentListing {
    /// Its id.
    id: String,
    /// Whose it is.
    tenant: String,
    /// Which plugin.
    plugin: String,
    /// `on` or `off`.
    state: &'static str,
    /// The activation that runs while it is on.
    current: Option<ActivationListing>,
    /// Whether it runs, or waits because it failed on many contacts.
    breaker: BreakerState,
    /// Events it has not run on yet, though everything else of them is done.
    held: i64,
    /// How many of those it failed on; they and what is behind them in their lanes wait for a person.
    held_failed: i64,
    /// When it was made, RFC 3339.
    created_at: String,
}

/// An assignment with its history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AssignmentDetail {
    #[serde(flatten)]
    assignment: AssignmentListing,
    /// Its activations, the newest first; up to 50.
    activations: Vec<ActivationListing>,
}

/// Which assignments.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AssignmentQuery {
    /// Whose; all if not given.
    tenant: Option<String>,
    /// Only of this plugin.
    plugin: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// What is to be activated.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Activate {
    /// For whom.
    tenant: String,
    /// Which plugin; may be left out where the version is named by its id.
    plugin: Option<String>,
    /// The version's id or its semantic version; the one deployed last if not given.
    version: Option<String>,
    /// The configuration, as the plugin's schema has it.
    #[serde(default = "no_choices")]
    config: serde_json::Value,
    /// Granted capabilities.
    #[serde(default)]
    grants: Vec<String>,
    /// What becomes of events it finally fails on: `dead-letter` (they are kept for a person and the lane goes on) or
    /// `hold` (they wait, and the assignment's later events of the same lane behind them).
    on_failure: Option<String>,
    /// `active`; `shadow` and `canary` are not offered yet.
    mode: Option<String>,
}

fn no_choices() -> serde_json::Value {
    serde_json::json!({})
}

/// What came of an activation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Activated {
    #[serde(flatten)]
    assignment: AssignmentListing,
    /// Whether anything changed; the same activation again changes nothing.
    changed: bool,
    /// Grants that the plugin does not ask for; least is best.
    unused_grants: Vec<String>,
}

/// Lists assignments in the order of their ids.
#[utoipa::path(get, path = "/v1/assignments", tag = "plugins", params(AssignmentQuery), security(("key" = [])),
    responses((status = 200, description = "A page of assignments", body = Page<AssignmentListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<AssignmentQuery>,
) -> Result<Json<Page<AssignmentListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let plugin = query.plugin.map(PluginName::from);
    let filter = AssignmentFilter {
        plugin: plugin.as_ref(),
        after: query.after.as_deref().unwrap_or_default(),
        limit,
    };
    let tenant = caller.narrow(query.tenant)?;
    let mut items = Vec::new();
    for row in state.store.list_assignments(tenant.as_ref(), filter).await? {
        items.push(listing(&state, row).await?);
    }
    Ok(Json(Page::new(items, limit, |assignment| assignment.id.clone())))
}

/// One assignment with its history.
#[utoipa::path(get, path = "/v1/assignments/{id}", tag = "plugins", security(("key" = [])),
    params(("id" = String, Path, description = "The assignment's id")),
    responses((status = 200, description = "The assignment", body = AssignmentDetail),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such assignment", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<AssignmentDetail>, Problem> {
    let row = found(&state, &caller, &id).await?;
    let activations = state.store.activations_of(&row.tenant, &row.id, HISTORY).await?;
    let activations: Result<Vec<_>, StoreError> = activations.into_iter().map(activation).collect();
    Ok(Json(AssignmentDetail { assignment: listing(&state, row).await?, activations: activations? }))
}

/// Activates a version of a plugin for a tenant: what the plugin asks for is held against the grants, the plugin
/// checks and prepares the configuration in the sandbox, and from the next event on this version runs. Runs under way
/// finish on the version before.
#[utoipa::path(post, path = "/v1/assignments", tag = "plugins", security(("key" = [])), request_body = Activate,
    responses((status = 201, description = "The tenant's first activation of this plugin", body = Activated),
        (status = 200, description = "Activated", body = Activated),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant, plugin or version", body = Problem),
        (status = 422, description = "Configuration or grants are refused; `errors` names the places", body = Problem)))]
pub(super) async fn activate(
    State(state): State<ApiState>,
    caller: Caller,
    Told(asked): Told<Activate>,
) -> Result<(StatusCode, Json<Activated>), Problem> {
    match asked.mode.as_deref() {
        None | Some("active") => {}
        Some(mode @ ("shadow" | "canary")) => {
            let detail =
                format!("The mode {mode:?} is not offered by this version of the host; give \"active\".");
            return Err(Problem::refused("mode-not-offered", &[("/mode", detail)]));
        }
        Some(mode) => {
            let detail = format!("There is no mode {mode:?}; give \"active\".");
            return Err(Problem::refused("unknown-mode", &[("/mode", detail)]));
        }
    }
    let on_failure = match asked.on_failure.as_deref() {
        None => OnFailure::default(),
        Some(word) => OnFailure::parse(word).ok_or_else(|| {
            let detail = format!("There is no policy {word:?}; give \"dead-letter\" or \"hold\".");
            Problem::refused("unknown-policy", &[("/on_failure", detail)])
        })?,
    };
    let tenant = TenantId::from(asked.tenant);
    caller.about("", Some(&tenant));
    caller.of(&tenant)?;
    let request = ActivationRequest {
        tenant: tenant.clone(),
        plugin: asked.plugin.map(PluginName::from),
        version: asked.version,
        config: asked.config.to_string(),
        grants: asked.grants,
        on_failure,
    };
    let done = state.deployer.activate(request).await?;
    caller.about(done.assignment.as_str(), Some(&tenant));
    let row = found(&state, &caller, done.assignment.as_str()).await?;
    let status = if done.first { StatusCode::CREATED } else { StatusCode::OK };
    let activated = Activated {
        assignment: listing(&state, row).await?,
        changed: done.changed,
        unused_grants: done.unused_grants,
    };
    Ok((status, Json(activated)))
}

/// Goes back to the activation before the present one, with its own configuration and grants; from the next event on.
#[utoipa::path(post, path = "/v1/assignments/{id}/rollback", tag = "plugins", security(("key" = [])),
    params(("id" = String, Path, description = "The assignment's id")),
    responses((status = 200, description = "Rolled back", body = AssignmentListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such assignment", body = Problem),
        (status = 409, description = "Nothing was active before, or someone else changed it meanwhile", body = Problem)))]
pub(super) async fn roll_back(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<AssignmentListing>, Problem> {
    let row = found(&state, &caller, &id).await?;
    caller.about(&id, Some(&row.tenant));
    state.deployer.roll_back(&row).await?;
    Ok(Json(listing(&state, found(&state, &caller, &id).await?).await?))
}

/// Switches an assignment off: its plugin runs on no event from now on. What it had scheduled is cancelled when due.
#[utoipa::path(post, path = "/v1/assignments/{id}/off", tag = "plugins", security(("key" = [])),
    params(("id" = String, Path, description = "The assignment's id")),
    responses((status = 200, description = "It is off", body = AssignmentListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such assignment", body = Problem)))]
pub(super) async fn off(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<AssignmentListing>, Problem> {
    switch(&state, &caller, &id, false).await
}

/// Switches an assignment on again, with the activation it had. Events that came while it was off are not caught up.
#[utoipa::path(post, path = "/v1/assignments/{id}/on", tag = "plugins", security(("key" = [])),
    params(("id" = String, Path, description = "The assignment's id")),
    responses((status = 200, description = "It is on", body = AssignmentListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such assignment", body = Problem),
        (status = 409, description = "It has no activation", body = Problem)))]
pub(super) async fn on(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<AssignmentListing>, Problem> {
    switch(&state, &caller, &id, true).await
}

/// What becomes of held runs.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    /// What becomes of those it failed on: `again` has them run again, `dead-letter` gives them up so that those behind
    /// them go on; `again` if not given.
    failed: Option<String>,
}

/// Closes the assignment's breaker and has what it holds run now, in the order of each lane.
#[utoipa::path(post, path = "/v1/assignments/{id}/resume", tag = "plugins", security(("key" = [])), request_body = Resume,
    params(("id" = String, Path, description = "The assignment's id")),
    responses((status = 200, description = "It goes on", body = AssignmentListing),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such assignment", body = Problem),
        (status = 422, description = "There is no such choice", body = Problem)))]
pub(super) async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
    Told(asked): Told<Resume>,
) -> Result<Json<AssignmentListing>, Problem> {
    let row = found(&state, &caller, &id).await?;
    caller.about(&id, Some(&row.tenant));
    match asked.failed.as_deref() {
        None | Some("again") => state.breakers.resume(&row.tenant, &row.id).await?,
        Some("dead-letter") => state.breakers.give_up_failed(&row.tenant, &row.id).await?,
        Some(other) => {
            let detail = format!("There is no choice {other:?}; give \"again\" or \"dead-letter\".");
            return Err(Problem::refused("unknown-choice", &[("/failed", detail)]));
        }
    }
    Ok(Json(listing(&state, row).await?))
}

async fn switch(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    on: bool,
) -> Result<Json<AssignmentListing>, Problem> {
    let row = found(state, caller, id).await?;
    caller.about(id, Some(&row.tenant));
    state.deployer.switch(&row, on).await?;
    Ok(Json(listing(state, found(state, caller, id).await?).await?))
}

async fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<AssignmentRow, Problem> {
    let row = state.store.assignment(&AssignmentId::new(id)).await?;
    // Another tenant's is as good as none.
    row.filter(|row| caller.sees(&row.tenant)).ok_or_else(|| {
        Problem::not_found(format!("There is no assignment {id:?}; GET /v1/assignments?tenant= lists them."))
    })
}

async fn listing(state: &ApiState, row: AssignmentRow) -> Result<AssignmentListing, Problem> {
    let current = match &row.current {
        Some(id) => state.store.activation(&row.tenant, id).await?.map(activation).transpose()?,
        None => None,
    };
    let (held, held_failed) = state.store.count_held_runs(&row.tenant, &row.id).await?;
    Ok(AssignmentListing {
        breaker: state.breakers.state_of(&row.id),
        held,
        held_failed,
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        plugin: row.plugin.to_string(),
        state: if row.on { "on" } else { "off" },
        current,
        created_at: row.created_at.to_rfc3339(),
    })
}

fn activation(row: ActivationRow) -> Result<ActivationListing, StoreError> {
    let corrupt = |what| move |error: serde_json::Error| StoreError::corrupt(what, &error);
    Ok(ActivationListing {
        id: row.id.to_string(),
        version: row.version.to_string(),
        semver: row.semver,
        mode: row.mode,
        config: serde_json::from_str(&row.config).map_err(corrupt("configuration"))?,
        grants: serde_json::from_str(&row.grants).map_err(corrupt("grants"))?,
        on_failure: row.on_failure,
        source: row.source,
        previous: row.previous.map(|id| id.to_string()),
        activated_at: row.activated_at.to_rfc3339(),
    })
}
