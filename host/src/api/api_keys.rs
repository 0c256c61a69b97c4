//! Connections with an API key: made, given another key, and how far they were polled.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{Named, Told};
use super::state::ApiState;
use crate::domain::{ConnectionId, LocationId, TenantId};
use crate::sync::{KeyConnection, PollingView};
use crate::tenants::{ApiKeyError, NewApiKey};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;

/// A location and its key.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKeyConnection {
    /// Whose it is.
    tenant: String,
    /// `live` or `sandbox`.
    environment: String,
    /// GHL's id of the location.
    location: String,
    /// The key: GHL's private integration token.
    #[schema(value_type = String)]
    api_key: SecretString,
    /// The scopes the key was given, space separated; `contacts.readonly` among them.
    scopes: String,
}

/// Another key.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherKey {
    /// The key: GHL's private integration token.
    #[schema(value_type = String)]
    api_key: SecretString,
    /// The scopes it was given; those of the key before if not given.
    scopes: Option<String>,
}

/// Connects a location by API key. The key is tried with one real read for each scope before this answers; GHL sends no
/// webhooks for such connections, so they are polled.
#[utoipa::path(post, path = "/v1/connections/api-key", tag = "connections", request_body = NewKeyConnection,
    security(("key" = [])),
    responses((status = 201, description = "Made; `state` tells whether it is connected", body = KeyConnection),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key of this API is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant", body = Problem),
        (status = 409, description = "The location has a connection already", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 422, description = "GHL does not take the API key", body = Problem)))]
pub(super) async fn add(
    State(state): State<ApiState>,
    caller: Caller,
    Told(new): Told<NewKeyConnection>,
) -> Result<(StatusCode, Json<KeyConnection>), Problem> {
    let tenant = TenantId::from(new.tenant);
    caller.of(&tenant)?;
    caller.about(&new.location, Some(&tenant));
    let new = NewApiKey {
        id: None,
        tenant,
        environment: new.environment,
        location: LocationId::from(new.location),
        key: new.api_key,
        scopes: new.scopes,
    };
    Ok((StatusCode::CREATED, Json(good(state.connecting.add(new).await?)?)))
}

/// Gives a connection another key, as when it was rotated in GHL; it is tried before this answers.
#[utoipa::path(put, path = "/v1/connections/{id}/api-key", tag = "connections", request_body = OtherKey,
    params(("id" = String, Path, description = "The connection")), security(("key" = [])),
    responses((status = 200, description = "Taken; `state` tells whether it is connected", body = KeyConnection),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key of this API is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such connection with an API key", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 422, description = "GHL does not take the API key", body = Problem)))]
pub(super) async fn replace(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
    Told(other): Told<OtherKey>,
) -> Result<Json<KeyConnection>, Problem> {
    let id = ConnectionId::from(id);
    let tenant = own(&state, &caller, &id).await?;
    caller.about(id.as_str(), Some(&tenant));
    let done = state.connecting.replace(&id, &other.api_key, other.scopes.as_deref()).await?;
    Ok(Json(good(done)?))
}

/// How far a connection was polled: passes, what they found, when the next is due, what went wrong.
#[utoipa::path(get, path = "/v1/connections/{id}/polling", tag = "connections",
    params(("id" = String, Path, description = "The connection")), security(("key" = [])),
    responses((status = 200, description = "How far it was polled", body = PollingView),
        (status = 401, description = "The key of this API is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such connection, or it is not polled", body = Problem)))]
pub(super) async fn polling(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<PollingView>, Problem> {
    let id = ConnectionId::from(id);
    own(&state, &caller, &id).await?;
    Ok(Json(state.connecting.view(&id).await?))
}

/// The tenant of a connection; another tenant's is as good as none.
async fn own(state: &ApiState, caller: &Caller, id: &ConnectionId) -> Result<TenantId, Problem> {
    let tenant = state.connecting.tenant(id).await?;
    if caller.sees(&tenant) {
        Ok(tenant)
    } else {
        Err(Problem::not_found(format!("there is no connection {id}")))
    }
}

/// A connection whose key GHL refused is kept, and the answer says what to do.
fn good(connection: KeyConnection) -> Result<KeyConnection, Problem> {
    match (connection.state.as_str(), &connection.failure) {
        ("reconnect-needed", Some(failure)) => Err(Problem::key_refused(format!(
            "Connection {} is kept, but not connected: {failure}. What each scope answered is at /v1/connections/{}/polling.",
            connection.id, connection.id
        ))),
        _ => Ok(connection),
    }
}

impl From<ApiKeyError> for Problem {
    fn from(error: ApiKeyError) -> Self {
        let detail = error.to_string();
        match error {
            ApiKeyError::Invalid(_) => Self::bad_parameter(detail),
            ApiKeyError::Unknown(_) => Self::not_found(detail),
            ApiKeyError::Taken { .. } => Self::location_taken(detail),
            ApiKeyError::Credential(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an API key could not be kept");
                Self::internal()
            }
            ApiKeyError::Store(error) => error.into(),
        }
    }
}
