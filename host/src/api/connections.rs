//! `/v1/connections`: what is connected and how it fares; links that connect and reconnect; never a token.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, Told};
use super::state::ApiState;
use crate::domain::{AppId, ConnectionId, TenantId, Timestamp};
use crate::store::{AuthorizationRow, ConnectionDetail};
use crate::tenants::{ConnectError, ConnectRequest, Link};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// A connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ConnectionDocument {
    /// Its id.
    id: String,
    /// Whose it is.
    tenant: String,
    /// Through which app; null with an API key.
    app: Option<String>,
    /// `live` or `sandbox`.
    environment: String,
    /// GHL's location.
    location: String,
    /// GHL's agency, where known.
    company: Option<String>,
    /// `oauth`, `api-key`, or `fixed` for one of the configuration.
    kind: String,
    /// `connecting` until the first read worked, `active`, `reconnect-needed`, `suspended` or `closed`.
    state: String,
    /// Granted or declared scopes.
    scopes: Vec<String>,
    /// Scopes that GHL refused all the same.
    lacking_scopes: Vec<String>,
    /// Whether an agency's token mints this connection's.
    through_agency: bool,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it was last authorised.
    connected_at: Option<String>,
    /// When it was closed.
    closed_at: Option<String>,
    /// Why it was closed.
    closed_reason: Option<String>,
    /// Its access token's times; null where it has none that ends.
    token: Option<TokenDocument>,
    /// How the first real read went.
    first_read: Option<serde_json::Value>,
    /// An address that leads to GHL's page whenever it is opened; there while a person has to reconnect it.
    reconnect_link: Option<String>,
}

/// The times of an access token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TokenDocument {
    /// When it was last refreshed or given.
    refreshed_at: Option<String>,
    /// When it ends.
    expires_at: Option<String>,
    /// When it is refreshed; null: not by itself.
    refresh_at: Option<String>,
    /// How the last refresh failed, since the last that went well.
    last_failure: Option<serde_json::Value>,
}

fn text(at: Timestamp) -> String {
    at.to_rfc3339()
}

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

fn json(kept: Option<String>) -> Option<serde_json::Value> {
    kept.and_then(|kept| serde_json::from_str(&kept).ok())
}

fn document(state: &ApiState, row: ConnectionDetail) -> Result<ConnectionDocument, Problem> {
    let waits = row.state == "reconnect-needed" && row.kind == "oauth";
    let reconnect_link = waits.then(|| state.connections.ready_link(&row.id)).transpose()?;
    let token = (row.expires_at.is_some() || row.failure.is_some()).then(|| TokenDocument {
        refreshed_at: row.issued_at.map(text),
        expires_at: row.expires_at.map(text),
        refresh_at: row.refresh_at.map(text),
        last_failure: json(row.failure),
    });
    Ok(ConnectionDocument {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        app: row.app,
        environment: row.environment,
        location: row.location.to_string(),
        company: row.company,
        kind: row.kind,
        state: row.state,
        scopes: words(&row.scopes),
        lacking_scopes: words(&row.lacking),
        through_agency: row.agency.is_some(),
        created_at: text(row.created_at),
        connected_at: row.connected_at.map(text),
        closed_at: row.closed_at.map(text),
        closed_reason: row.closed_reason,
        token,
        first_read: json(row.test),
        reconnect_link,
    })
}

/// A connection; another tenant's is as good as none.
async fn own(state: &ApiState, caller: &Caller, id: String) -> Result<ConnectionDetail, Problem> {
    let id = ConnectionId::from(id);
    let row = state.connections.find(&id).await?;
    if caller.sees(&row.tenant) { Ok(row) } else { Err(ConnectError::UnknownConnection(id).into()) }
}

/// Which connections.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionQuery {
    /// Only this tenant's.
    tenant: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists connections in the order of their ids.
#[utoipa::path(get, path = "/v1/connections", tag = "connections", params(ConnectionQuery), security(("key" = [])),
    responses((status = 200, description = "A page of connections", body = Page<ConnectionDocument>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<ConnectionQuery>,
) -> Result<Json<Page<ConnectionDocument>>, Problem> {
    let limit = page::limit(query.limit)?;
    let tenant = caller.narrow(query.tenant)?;
    let after = query.after.unwrap_or_default();
    let rows = state.store.list_connections(tenant.as_ref(), &after, limit).await?;
    let items = rows.into_iter().map(|row| document(&state, row)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(Page::new(items, limit, |connection| connection.id.clone())))
}

/// Shows a connection.
#[utoipa::path(get, path = "/v1/connections/{id}", tag = "connections", security(("key" = [])),
    params(("id" = String, Path, description = "The connection's id")),
    responses((status = 200, description = "The connection", body = ConnectionDocument),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such connection", body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<ConnectionDocument>, Problem> {
    let row = own(&state, &caller, id).await?;
    Ok(Json(document(&state, row)?))
}

/// What is to be connected.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    /// For whom.
    tenant: String,
    /// Through which app.
    app: String,
    /// Scopes to ask for, space separated; the app's if left out.
    scopes: Option<String>,
}

/// A link for a person to open.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LinkDocument {
    /// The attempt's id, as in `/v1/connection-attempts`.
    attempt: String,
    /// The address at GHL; good for one use.
    url: String,
    /// Until when it is good, RFC 3339.
    expires_at: String,
    /// Scopes it asks for.
    scopes: Vec<String>,
}

impl From<Link> for LinkDocument {
    fn from(link: Link) -> Self {
        Self {
            attempt: link.id.to_string(),
            url: link.url,
            expires_at: text(link.expires_at),
            scopes: words(&link.scopes),
        }
    }
}

/// Makes a link that connects a location of the person's choice for a tenant.
#[utoipa::path(post, path = "/v1/connections/authorize", tag = "connections", request_body = NewLink, security(("key" = [])),
    responses((status = 201, description = "A link", body = LinkDocument),
        (status = 400, description = "Something of it is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such tenant or app", body = Problem),
        (status = 409, description = "The app has no client id and secret", body = Problem)))]
pub(super) async fn authorize(
    State(state): State<ApiState>,
    caller: Caller,
    Told(new): Told<NewLink>,
) -> Result<(StatusCode, Json<LinkDocument>), Problem> {
    let tenant = TenantId::from(new.tenant);
    caller.of(&tenant)?;
    caller.about(&new.app, Some(&tenant));
    let request = ConnectRequest { tenant, app: AppId::from(new.app), scopes: new.scopes };
    Ok((StatusCode::CREATED, Json(state.connections.authorize(request).await?.into())))
}

/// Makes a link that connects the connection's location again.
#[utoipa::path(post, path = "/v1/connections/{id}/reconnect", tag = "connections", security(("key" = [])),
    params(("id" = String, Path, description = "The connection's id")),
    responses((status = 201, description = "A link", body = LinkDocument),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such connection", body = Problem),
        (status = 409, description = "It is not connected by authorisation", body = Problem)))]
pub(super) async fn reconnect(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<(StatusCode, Json<LinkDocument>), Problem> {
    let row = own(&state, &caller, id).await?;
    caller.about(row.id.as_str(), Some(&row.tenant));
    let link = state.connections.reconnect(&row.id).await?;
    Ok((StatusCode::CREATED, Json(link.into())))
}

/// Closes a connection: its tokens are destroyed, what waits to go out is refused, what was stored stays.
#[utoipa::path(post, path = "/v1/connections/{id}/close", tag = "connections", security(("key" = [])),
    params(("id" = String, Path, description = "The connection's id")),
    responses((status = 200, description = "It is closed", body = ConnectionDocument),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such connection", body = Problem)))]
pub(super) async fn close(
    State(state): State<ApiState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<ConnectionDocument>, Problem> {
    let row = own(&state, &caller, id).await?;
    caller.about(row.id.as_str(), Some(&row.tenant));
    state.connections.close(&row.id, "it was closed by request").await?;
    Ok(Json(document(&state, state.connections.find(&row.id).await?)?))
}

/// Which attempts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptQuery {
    /// Whose.
    tenant: String,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// An attempt to connect.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AttemptDocument {
    /// Its id.
    id: String,
    /// For whom.
    tenant: String,
    /// Through which app.
    app: String,
    /// The connection it reconnects.
    connection: Option<String>,
    /// Scopes it asks for.
    scopes: Vec<String>,
    /// `waiting`, `expired`, `exchanging`, `connected` or `failed`.
    outcome: String,
    /// When the link was made, RFC 3339.
    created_at: String,
    /// Until when the link is good.
    expires_at: String,
    /// When it was used.
    used_at: Option<String>,
    /// When it ended.
    ended_at: Option<String>,
    /// The step that failed.
    step: Option<String>,
    /// GHL's status at that step.
    status: Option<i64>,
    /// What was said, secrets left out.
    detail: Option<String>,
    /// Ids of what it connected.
    connected: serde_json::Value,
}

fn attempt(row: AuthorizationRow, now: Timestamp) -> AttemptDocument {
    let expired = row.outcome == "waiting" && row.expires_at <= now;
    AttemptDocument {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        app: row.app.to_string(),
        connection: row.connection.map(|id| id.to_string()),
        scopes: words(&row.scopes),
        outcome: if expired { "expired".to_owned() } else { row.outcome },
        created_at: text(row.created_at),
        expires_at: text(row.expires_at),
        used_at: row.used_at.map(text),
        ended_at: row.ended_at.map(text),
        step: row.step,
        status: row.status,
        detail: row.detail,
        connected: json(Some(row.connected)).unwrap_or_default(),
    }
}

/// Lists a tenant's attempts to connect, the newest first, with the step that failed and what GHL said.
#[utoipa::path(get, path = "/v1/connection-attempts", tag = "connections", params(AttemptQuery), security(("key" = [])),
    responses((status = 200, description = "A page of attempts", body = Page<AttemptDocument>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn attempts(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<AttemptQuery>,
) -> Result<Json<Page<AttemptDocument>>, Problem> {
    let limit = page::limit(query.limit)?;
    let tenant = TenantId::from(query.tenant);
    caller.of(&tenant)?;
    let rows = state.store.list_authorizations(&tenant, query.after.as_deref(), limit).await?;
    let now = state.clock.now();
    let items = rows.into_iter().map(|row| attempt(row, now)).collect();
    Ok(Json(Page::new(items, limit, |attempt: &AttemptDocument| attempt.id.clone())))
}
