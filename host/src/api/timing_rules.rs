//! `/v1/timing-rules`: what is to happen when so much time has passed, or at a time of the calendar.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::domain::{TenantId, Timestamp, TimingSpec};
use crate::schedule::{Preview, RuleError};
use crate::store::TimingRuleRow;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Which rules.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RuleQuery {
    /// Whose.
    tenant: String,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// A rule to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRule {
    /// Whose.
    tenant: String,
    /// The rule.
    rule: TimingSpec,
}

/// A rule and what became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TimingRule {
    /// Its id.
    id: String,
    /// Whose it is.
    tenant: String,
    /// The rule.
    rule: serde_json::Value,
    /// `api`, or `configuration`: that one is changed there.
    origin: String,
    /// Slots up to here are none of its, RFC 3339.
    since: String,
    /// When it looks next, RFC 3339; null: not before something changes.
    next_at: Option<String>,
    /// Events it made.
    fired: i64,
    /// The slot of the last of them, RFC 3339.
    last_slot: Option<String>,
    /// When a person last changed it, RFC 3339.
    updated_at: String,
}

impl From<TimingRuleRow> for TimingRule {
    fn from(row: TimingRuleRow) -> Self {
        Self {
            id: row.id,
            tenant: row.tenant.as_str().to_owned(),
            rule: serde_json::from_str(&row.spec).unwrap_or_default(),
            origin: row.origin,
            since: row.since.to_rfc3339(),
            next_at: row.cursor.next_at.map(Timestamp::to_rfc3339),
            fired: row.fired,
            last_slot: row.last_slot.map(Timestamp::to_rfc3339),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// Lists a tenant's timing rules by id.
#[utoipa::path(get, path = "/v1/timing-rules", tag = "timing", params(RuleQuery), security(("key" = [])),
    responses((status = 200, description = "A page of rules", body = Page<TimingRule>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<RuleQuery>,
) -> Result<Json<Page<TimingRule>>, Problem> {
    let limit = page::limit(query.limit)?;
    let tenant = TenantId::from(query.tenant);
    let after = query.after.as_deref().unwrap_or_default();
    let rows = state.store.list_timing_rules(&tenant, after, limit).await?;
    let items = rows.into_iter().map(TimingRule::from).collect();
    Ok(Json(Page::new(items, limit, |rule: &TimingRule| rule.id.clone())))
}

/// Makes a timing rule; it begins now.
#[utoipa::path(post, path = "/v1/timing-rules", tag = "timing", request_body = NewRule, security(("key" = [])),
    responses((status = 201, description = "Made", body = TimingRule),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant or connection", body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Told(new): Told<NewRule>,
) -> Result<(StatusCode, Json<TimingRule>), Problem> {
    let tenant = TenantId::from(new.tenant);
    caller.of(&tenant)?;
    let row = state.timing_rules.create(&tenant, &new.rule).await?;
    caller.about(&row.id, Some(&tenant));
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// The rule of that id, where the caller reaches whose it is.
async fn seen(state: &ApiState, caller: &Caller, id: &str) -> Result<TimingRuleRow, Problem> {
    let row = state.timing_rules.get(id).await?;
    if !caller.sees(&row.tenant) {
        return Err(RuleError::Unknown(format!("there is no timing rule {id:?}")).into());
    }
    caller.about(id, Some(&row.tenant));
    Ok(row)
}

/// Shows a timing rule.
#[utoipa::path(get, path = "/v1/timing-rules/{id}", tag = "timing", params(("id" = String, Path, description = "The rule's id")),
    security(("key" = [])),
    responses((status = 200, description = "The rule", body = TimingRule),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such rule", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<TimingRule>, Problem> {
    Ok(Json(seen(&state, &caller, &id).await?.into()))
}

/// Changes a timing rule; give it whole. What it told of before is not told again.
#[utoipa::path(put, path = "/v1/timing-rules/{id}", tag = "timing", params(("id" = String, Path, description = "The rule's id")),
    request_body = TimingSpec, security(("key" = [])),
    responses((status = 200, description = "Changed", body = TimingRule),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such rule or connection", body = Problem),
        (status = 409, description = "The rule stands in the configuration", body = Problem)))]
pub(super) async fn change(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
    Told(rule): Told<TimingSpec>,
) -> Result<Json<TimingRule>, Problem> {
    seen(&state, &caller, &id).await?;
    Ok(Json(state.timing_rules.change(&id, &rule).await?.into()))
}

/// Removes a timing rule; events it made go on.
#[utoipa::path(delete, path = "/v1/timing-rules/{id}", tag = "timing", params(("id" = String, Path, description = "The rule's id")),
    security(("key" = [])),
    responses((status = 204, description = "Removed"),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such rule", body = Problem),
        (status = 409, description = "The rule stands in the configuration", body = Problem)))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    seen(&state, &caller, &id).await?;
    state.timing_rules.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a rule's next slots and how many contacts, tasks or appointments each concerns by what is known now.
#[utoipa::path(get, path = "/v1/timing-rules/{id}/preview", tag = "timing", params(("id" = String, Path, description = "The rule's id")),
    security(("key" = [])),
    responses((status = 200, description = "What it would do", body = Preview),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such rule", body = Problem)))]
pub(super) async fn preview(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<Preview>, Problem> {
    let row = seen(&state, &caller, &id).await?;
    Ok(Json(state.timing_rules.preview(&row).await?))
}
