//! `/v1/plugins`: what is deployed, and deploying.

use super::auth::Caller;
use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named};
use super::state::ApiState;
use crate::domain::{PluginName, VersionId};
use crate::tenants::{FolderReport, Version};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// A plugin and its newest version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginListing {
    /// Its name.
    name: String,
    /// How many versions of it are deployed.
    versions: i64,
    /// In how many assignments one of them is active.
    active_assignments: i64,
    /// The version deployed last.
    newest: Version,
}

/// A plugin's versions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginVersions {
    /// Its name.
    name: String,
    /// Its versions, the one deployed last first; up to 1000.
    versions: Vec<Version>,
}

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PluginQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Deploys a plugin: the body is the .wasm file. It is checked whole, described under limits and stored; no tenant's
/// events meet it before it is activated. A file that is refused changes nothing.
#[utoipa::path(post, path = "/v1/plugins", tag = "plugins", security(("key" = [])),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The .wasm file"),
    responses((status = 201, description = "Deployed as a new version", body = Version),
        (status = 200, description = "This very file is deployed already", body = Version),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 413, description = "The file is too large", body = Problem),
        (status = 422, description = "The file is no plugin this host can run", body = Problem)))]
pub(super) async fn deploy(
    State(state): State<ApiState>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Version>), Problem> {
    let body = body.map_err(|_too_long_or_broken| Problem::upload_too_large(state.upload_bytes))?;
    let deployed = state.deployer.deploy(body.to_vec()).await?;
    caller.about(deployed.version.id.as_str(), None);
    let status = if deployed.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(deployed.version)))
}

/// Lists plugins in the order of their names.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", params(PluginQuery), security(("key" = [])),
    responses((status = 200, description = "A page of plugins", body = Page<PluginListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<PluginQuery>,
) -> Result<Json<Page<PluginListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let found = state.store.list_plugins(query.after.as_deref().unwrap_or_default(), limit).await?;
    let items: Result<Vec<_>, Problem> = found
        .into_iter()
        .map(|plugin| {
            Ok(PluginListing {
                name: plugin.newest.plugin.to_string(),
                versions: plugin.versions,
                active_assignments: plugin.active_assignments,
                newest: Version::try_from(plugin.newest)?,
            })
        })
        .collect();
    Ok(Json(Page::new(items?, limit, |plugin| plugin.name.clone())))
}

/// A plugin's versions, the one deployed last first.
#[utoipa::path(get, path = "/v1/plugins/{plugin}", tag = "plugins", security(("key" = [])),
    params(("plugin" = String, Path, description = "The plugin's name")),
    responses((status = 200, description = "Its versions", body = PluginVersions),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such plugin is deployed", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    Named(plugin): Named<String>,
) -> Result<Json<PluginVersions>, Problem> {
    let found = state.store.versions_of(&PluginName::new(&plugin), None).await?;
    if found.is_empty() {
        return Err(Problem::not_found(format!(
            "No plugin {plugin:?} is deployed; GET /v1/plugins lists them."
        )));
    }
    let versions: Result<Vec<_>, _> = found.into_iter().map(Version::try_from).collect();
    Ok(Json(PluginVersions { name: plugin, versions: versions? }))
}

/// One version: what the plugin says of itself, what it asks for and imports.
#[utoipa::path(get, path = "/v1/plugins/versions/{id}", tag = "plugins", security(("key" = [])),
    params(("id" = String, Path, description = "The version's id, `sha256:…`")),
    responses((status = 200, description = "The version", body = Version),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such version is deployed", body = Problem)))]
pub(super) async fn show_version(
    State(state): State<ApiState>,
    Named(id): Named<String>,
) -> Result<Json<Version>, Problem> {
    let found = state.store.version_summary(&VersionId::new(&id)).await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(format!(
            "No version {id:?} is deployed; ids begin with `sha256:` and have 64 digits."
        ))
    })?;
    Ok(Json(Version::try_from(found)?))
}

/// What became of the files in the watched folder.
#[utoipa::path(get, path = "/v1/plugins/folder", tag = "plugins", security(("key" = [])),
    responses((status = 200, description = "Its files, each deployed, refused with the reason, or being written", body = FolderReport),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn folder(State(state): State<ApiState>) -> Json<FolderReport> {
    Json(state.folder.report())
}
