//! Who is let in: the bearer key of every `/v1` request.

use super::problem::Problem;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

/// Lets a request pass that carries the key.
pub(super) async fn require_key(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|key| state.host_key.is(key)) {
        Ok(next.run(request).await)
    } else {
        Err(Problem::unauthorized())
    }
}
