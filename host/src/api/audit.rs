//! `GET /v1/audit`: who changed what.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::Asked;
use super::state::ApiState;
use crate::domain::Timestamp;
use crate::store::{AuditFilter, AuditListing};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which changes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only to this tenant's things.
    tenant: Option<String>,
    /// Only by this actor: `host-key`, `local`, or `key:` and a key's id.
    actor: Option<String>,
    /// Only this verb, such as `tenant.pause`, or all of a noun, such as `tenant`.
    action: Option<String>,
    /// Only to the thing of this id.
    object: Option<String>,
    /// Only with this result: `done`, `refused` or `failed`.
    result: Option<String>,
    /// Only from this moment on, RFC 3339.
    from: Option<String>,
    /// Only before this moment, RFC 3339.
    to: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists changes, newest first: who did what to which thing, when, and how it ended.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery), security(("key" = [])),
    responses((status = 200, description = "A page of changes", body = Page<AuditListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<Page<AuditListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = match query.after.as_deref() {
        None => i64::MAX,
        given => page::after(given)?,
    };
    let filter = AuditFilter {
        tenant: caller.narrow(query.tenant)?,
        actor: query.actor,
        action: query.action,
        object: query.object,
        result: query.result,
        from: moment("from", query.from)?,
        to: moment("to", query.to)?,
    };
    let items = state.store.list_audit(filter, before, limit).await?;
    Ok(Json(Page::new(items, limit, |change| change.id.to_string())))
}

fn moment(name: &str, asked: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = asked else { return Ok(None) };
    let parsed = Timestamp::parse(&text);
    parsed.map(Some).ok_or_else(|| {
        Problem::bad_parameter(format!("{name} is {text:?}: give RFC 3339, such as 2026-01-02T03:04:05Z"))
    })
}
