//! `/v1/dead-letters`: what failed for good, retried or dismissed by people.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::{Problem, reason};
use super::query::{Asked, Named, Told};
use super::reruns::answer;
use super::state::ApiState;
use crate::domain::{AssignmentId, Sequence, TenantId};
use crate::pipeline::RetryFilter;
use crate::store::{DeadLetterFilter, DeadLetterListing, RerunListing, RunListing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Which dead letters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLetterQuery {
    /// Whose.
    tenant: String,
    /// `open`, `resolved` or `all`; open if not given.
    state: Option<String>,
    /// Only of this assignment.
    assignment: Option<String>,
    /// Only of this plugin.
    plugin: Option<String>,
    /// Only with this outcome: `trap`, `out-of-fuel`, `unmappable` and so on.
    outcome: Option<String>,
    /// Only of this event.
    sequence: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists a tenant's dead letters in the order of their events.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead-letters", params(DeadLetterQuery), security(("key" = [])),
    responses((status = 200, description = "A page of dead letters", body = Page<DeadLetterListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<DeadLetterQuery>,
) -> Result<Json<Page<DeadLetterListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let open = match query.state.as_deref() {
        None | Some("open") => Some(true),
        Some("resolved") => Some(false),
        Some("all") => None,
        Some(other) => {
            return Err(Problem::bad_parameter(format!("state is {other:?}: give open, resolved or all")));
        }
    };
    let filter = DeadLetterFilter {
        open,
        assignment: query.assignment,
        plugin: query.plugin,
        outcome: query.outcome,
        sequence: query.sequence,
        after: after(query.after.as_deref())?,
    };
    let items = state.store.list_dead_letters(&TenantId::from(query.tenant), &filter, limit).await?;
    Ok(Json(Page::new(items, limit, |letter| format!("{}/{}", letter.sequence, letter.assignment))))
}

fn after(asked: Option<&str>) -> Result<(i64, String), Problem> {
    let Some(text) = asked else { return Ok((0, String::new())) };
    text.split_once('/')
        .and_then(|(sequence, assignment)| Some((sequence.parse().ok()?, assignment.to_owned())))
        .ok_or_else(|| {
            Problem::bad_parameter(format!("after is {text:?}: give the `next` of the page before"))
        })
}

/// A dead letter with its runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeadLetterDetail {
    #[serde(flatten)]
    letter: DeadLetterListing,
    /// The assignment's runs on the event, oldest first, each with its log and its own backtrace.
    runs: Vec<RunListing>,
}

/// Shows a dead letter with its runs, their logs and backtraces.
#[utoipa::path(get, path = "/v1/dead-letters/{sequence}/{assignment}", tag = "dead-letters", security(("key" = [])),
    params(("sequence" = i64, Path, description = "The event"), ("assignment" = String, Path, description = "The assignment")),
    responses((status = 200, description = "The dead letter", body = DeadLetterDetail),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such dead letter", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Named((sequence, assignment)): Named<(i64, String)>,
) -> Result<Json<DeadLetterDetail>, Problem> {
    detail(&state, &caller, (sequence, &assignment)).await.map(Json)
}

/// The dead letter, if the caller reaches its tenant.
async fn found(
    state: &ApiState,
    caller: &Caller,
    (sequence, assignment): (i64, &str),
) -> Result<DeadLetterListing, Problem> {
    let letter = state.store.dead_letter(Sequence(sequence), assignment).await?;
    letter.filter(|letter| caller.sees(&TenantId::from(letter.tenant.as_str()))).ok_or_else(|| {
        Problem::not_found(format!("There is no dead letter of {assignment} on event {sequence}."))
    })
}

async fn detail(
    state: &ApiState,
    caller: &Caller,
    (sequence, assignment): (i64, &str),
) -> Result<DeadLetterDetail, Problem> {
    let letter = found(state, caller, (sequence, assignment)).await?;
    let tenant = TenantId::from(letter.tenant.as_str());
    let mut runs = state.store.list_runs(&tenant, Some(sequence), 0, 1000).await?;
    runs.retain(|run| run.assignment == assignment);
    Ok(DeadLetterDetail { letter, runs })
}

/// Runs the event again for the assignment, with its present active version; answers when that has ended, or after ten
/// seconds with where it stands.
#[utoipa::path(post, path = "/v1/dead-letters/{sequence}/{assignment}/retry", tag = "dead-letters", security(("key" = [])),
    params(("sequence" = i64, Path, description = "The event"), ("assignment" = String, Path, description = "The assignment")),
    responses((status = 200, description = "It has run; `state` tells how it ended", body = RerunListing),
        (status = 202, description = "It waits for its turn", body = RerunListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such dead letter", body = Problem),
        (status = 409, description = "It is settled, or retried already, or has no active version", body = Problem)))]
pub(super) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Named((sequence, assignment)): Named<(i64, String)>,
) -> Result<(StatusCode, Json<RerunListing>), Problem> {
    let letter = found(&state, &caller, (sequence, &assignment)).await?;
    let tenant = TenantId::from(letter.tenant);
    let audit = caller.row(&format!("{sequence}/{assignment}"), Some(&tenant));
    let which = (Sequence(sequence), &AssignmentId::from(assignment));
    let id = state.reruns.retry(&tenant, which, audit).await?;
    answer(&state, &id).await
}

/// Which dead letters are to be retried; at least the tenant.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryMany {
    /// Whose.
    tenant: String,
    /// Only of this assignment.
    assignment: Option<String>,
    /// Only of this plugin.
    plugin: Option<String>,
    /// Only with this outcome.
    outcome: Option<String>,
    /// Only of this event.
    sequence: Option<i64>,
}

/// What is being retried.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RetriedMany {
    /// How many; a thousand at the most, ask again for more.
    count: usize,
    /// The reruns.
    reruns: Vec<String>,
}

/// Retries the open dead letters that fit, up to a thousand, each in its lane's order.
#[utoipa::path(post, path = "/v1/dead-letters/retry", tag = "dead-letters", request_body = RetryMany, security(("key" = [])),
    responses((status = 202, description = "They wait for their turn", body = RetriedMany),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn retry_many(
    State(state): State<ApiState>,
    caller: Caller,
    Told(asked): Told<RetryMany>,
) -> Result<(StatusCode, Json<RetriedMany>), Problem> {
    let tenant = TenantId::from(asked.tenant);
    caller.of(&tenant)?;
    let audit = caller.row("", Some(&tenant));
    let filter = RetryFilter {
        assignment: asked.assignment,
        plugin: asked.plugin,
        outcome: asked.outcome,
        sequence: asked.sequence,
        ..RetryFilter::default()
    };
    let reruns = state.reruns.retry_all(&tenant, &filter, audit).await?;
    Ok((StatusCode::ACCEPTED, Json(RetriedMany { count: reruns.len(), reruns })))
}

/// Why a dead letter needs no retry.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismissal {
    /// For those who look later; up to 500 characters.
    reason: String,
}

/// Settles a dead letter without a retry.
#[utoipa::path(post, path = "/v1/dead-letters/{sequence}/{assignment}/dismiss", tag = "dead-letters",
    request_body = Dismissal, security(("key" = [])),
    params(("sequence" = i64, Path, description = "The event"), ("assignment" = String, Path, description = "The assignment")),
    responses((status = 200, description = "It is settled", body = DeadLetterDetail),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "There is no such dead letter", body = Problem),
        (status = 409, description = "It is settled already", body = Problem)))]
pub(super) async fn dismiss(
    State(state): State<ApiState>,
    caller: Caller,
    Named((sequence, assignment)): Named<(i64, String)>,
    Told(dismissal): Told<Dismissal>,
) -> Result<Json<DeadLetterDetail>, Problem> {
    let why = reason(Some(dismissal.reason))?
        .ok_or_else(|| Problem::bad_body("reason is empty: say why no retry is needed"))?;
    let letter = found(&state, &caller, (sequence, &assignment)).await?;
    let tenant = TenantId::from(letter.tenant);
    let audit = caller.row(&format!("{sequence}/{assignment}"), Some(&tenant));
    let which = (Sequence(sequence), &AssignmentId::from(assignment.as_str()));
    state.reruns.dismiss(&tenant, which, (&why, audit)).await?;
    detail(&state, &caller, (sequence, &assignment)).await.map(Json)
}
