//! `/v1/keys`: who else may use the API.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::accounts::NewKey;
use crate::domain::{KeyId, TenantId, Timestamp};
use crate::store::ApiKeyRow;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

/// A key, without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ApiKey {
    /// Its id.
    id: String,
    /// What it is for.
    name: String,
    /// `owner`, `operator`, `rankr` or `viewer`.
    role: String,
    /// The only tenant it reaches; null: all.
    tenant: Option<String>,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    /// When it was made, RFC 3339.
    created_at: String,
    /// From when on it opens nothing.
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    last_used_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
}

impl ApiKey {
    fn of(row: ApiKeyRow, now: Timestamp) -> Self {
        let state = match row {
            ApiKeyRow { revoked_at: Some(_), .. } => "revoked",
            ApiKeyRow { expires_at: Some(at), .. } if at <= now => "expired",
            _ => "active",
        };
        Self {
            id: row.id.to_string(),
            name: row.name,
            role: row.role,
            tenant: row.tenant.map(|id| id.to_string()),
            state,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.map(Timestamp::to_rfc3339),
            last_used_at: row.last_used_at.map(Timestamp::to_rfc3339),
            revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// Which keys.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists keys, oldest first; also those that open nothing any more.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(KeyQuery), security(("key" = [])),
    responses((status = 200, description = "A page of keys", body = Page<ApiKey>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<KeyQuery>,
) -> Result<Json<Page<ApiKey>>, Problem> {
    let limit = page::limit(query.limit)?;
    let now = state.clock.now();
    let rows = state.accounts.list(query.after.as_deref().unwrap_or_default(), limit).await?;
    let items = rows.into_iter().map(|row| ApiKey::of(row, now)).collect();
    Ok(Json(Page::new(items, limit, |key| key.id.clone())))
}

/// A key to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// What it is for, 1 to 100 characters.
    name: String,
    /// `owner`, `operator`, `rankr` or `viewer`.
    role: String,
    /// The only tenant it shall reach; all if not given.
    tenant: Option<String>,
    /// From when on it opens nothing, RFC 3339; never if not given.
    expires_at: Option<String>,
}

/// A key that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct MadeKey {
    /// The key; it is shown here and never again.
    key: String,
    #[serde(flatten)]
    about: ApiKey,
}

/// Makes a key and shows it, once.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest, security(("key" = [])),
    responses((status = 201, description = "The key, shown this once", body = MadeKey),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Told(asked): Told<KeyRequest>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let expires_at = match asked.expires_at.as_deref() {
        None => None,
        Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
            Problem::bad_body(format!("expires_at is {text:?}: give RFC 3339, such as 2027-01-02T03:04:05Z"))
        })?),
    };
    let id = KeyId::generate();
    let tenant = asked.tenant.map(TenantId::from);
    if let Some(tenant) = &tenant {
        caller.of(tenant)?;
    }
    let audit = caller.row(id.as_str(), tenant.as_ref());
    let new = NewKey { name: asked.name, role: asked.role, tenant, expires_at };
    let made = state.accounts.create(id, new, audit).await?;
    let key = made.key.expose_secret().to_owned();
    let about = ApiKey::of(made.row, state.clock.now());
    Ok((StatusCode::CREATED, Json(MadeKey { key, about })))
}

/// Revokes a key: from the next request on it opens nothing.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", security(("key" = [])),
    params(("id" = String, Path, description = "The key's id, ky_…")),
    responses((status = 200, description = "The key, revoked", body = ApiKey),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such key", body = Problem)))]
pub(super) async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<ApiKey>, Problem> {
    let id = KeyId::from(id);
    let row = state.accounts.revoke(&id, caller.row(id.as_str(), None)).await?;
    Ok(Json(ApiKey::of(row, state.clock.now())))
}
