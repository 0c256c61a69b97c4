//! Query string, path and body as types; what is wrong with them is a problem document too.

use super::problem::Problem;
use super::state::ApiState;
use crate::domain::Timestamp;
use axum::Json;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// What a request asks for in its query string.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Problem::bad_parameter(format!("{}.", rejection.body_text()))),
        }
    }
}

/// The parts of a path that are named in its template.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Problem::bad_parameter(format!("{}.", rejection.body_text()))),
        }
    }
}

/// A JSON body.
pub(super) struct Told<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(told)) => Ok(Self(told)),
            Err(rejection) => Err(bad_json(&rejection, state.body_limit_bytes)),
        }
    }
}

fn bad_json(rejection: &JsonRejection, limit_bytes: usize) -> Problem {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::not_json(),
        JsonRejection::BytesRejection(BytesRejection::FailedToBufferBody(
            FailedToBufferBody::LengthLimitError(_),
        )) => Problem::too_large(limit_bytes),
        other => Problem::bad_body(format!("{}.", other.body_text())),
    }
}

/// A time of the query string.
pub(super) fn time(name: &str, asked: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = asked else { return Ok(None) };
    match Timestamp::parse(text) {
        Some(at) => Ok(Some(at)),
        None => Err(Problem::bad_parameter(format!(
            "{name} is {text:?}: give RFC 3339, such as 2026-01-02T03:04:05Z"
        ))),
    }
}
