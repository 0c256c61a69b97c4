//! `POST /v1/events/{sequence}/reprocess` and `GET /v1/reruns/{id}`: events run again, compared with what was done.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{Named, Told};
use super::state::ApiState;
use crate::domain::{AssignmentId, RerunKind, Sequence, TenantId};
use crate::store::RerunListing;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::time::Duration;

/// Machine time a request waits for its rerun to end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How an event is to be run again.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reprocessing {
    /// For these assignments; all that want the event if none is named.
    #[serde(default)]
    assignments: Vec<String>,
    /// Whether the plan is only compared with what was done, and nothing performed.
    #[serde(default)]
    dry_run: bool,
}

/// Runs an event again with the present active versions and compares what they ask for with what was done: what is equal
/// is left alone, a changed create becomes an update, other changes are performed, and what is not asked for any more is
/// listed, never undone. Answers when that has ended, or after ten seconds with where it stands.
#[utoipa::path(post, path = "/v1/events/{sequence}/reprocess", tag = "events", request_body = Reprocessing,
    security(("key" = [])), params(("sequence" = i64, Path, description = "The event")),
    responses((status = 200, description = "It has run; `result` holds the comparison", body = RerunListing),
        (status = 202, description = "It waits for its turn", body = RerunListing),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such event", body = Problem),
        (status = 409, description = "It can't be run again as it stands", body = Problem)))]
pub(super) async fn reprocess(
    State(state): State<ApiState>,
    caller: Caller,
    Named(sequence): Named<i64>,
    Told(asked): Told<Reprocessing>,
) -> Result<(StatusCode, Json<RerunListing>), Problem> {
    let original = state.store.original(Sequence(sequence)).await?;
    let original = original
        .filter(|original| caller.sees(&original.tenant))
        .ok_or_else(|| Problem::not_found(format!("There is no event {sequence}.")))?;
    let audit = caller.row(&sequence.to_string(), Some(&original.tenant));
    let assignments = asked.assignments.into_iter().map(AssignmentId::from).collect();
    let kind = if asked.dry_run { RerunKind::Compare } else { RerunKind::Reprocess };
    let which = (Sequence(sequence), assignments);
    let id = state.reruns.reprocess(&original.tenant, which, kind, audit).await?;
    answer(&state, &id).await
}

/// Shows a rerun.
#[utoipa::path(get, path = "/v1/reruns/{id}", tag = "events", security(("key" = [])),
    params(("id" = String, Path, description = "The rerun")),
    responses((status = 200, description = "The rerun", body = RerunListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such rerun", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<RerunListing>, Problem> {
    let rerun = state.store.rerun(&id).await?;
    let rerun = rerun.filter(|rerun| caller.sees(&TenantId::from(rerun.tenant.as_str())));
    rerun.map(Json).ok_or_else(|| Problem::not_found(format!("There is no rerun {id}.")))
}

/// A rerun once it has ended, or where it stands after a while.
pub(super) async fn answer(state: &ApiState, id: &str) -> Result<(StatusCode, Json<RerunListing>), Problem> {
    let rerun = state.reruns.wait(id, LONGEST_WAIT).await?;
    let rerun = rerun.ok_or_else(Problem::internal)?;
    let status = if rerun.state == "waiting" { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(rerun)))
}
