//! `/v1/backups`: backups of this host, made while it runs.

use super::page::Page;
use super::problem::Problem;
use super::state::ApiState;
use crate::backup::{BackupError, BackupReport};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Makes a backup in `backup.folder` and answers when it is verified; the host goes on meanwhile.
#[utoipa::path(post, path = "/v1/backups", tag = "backups", security(("key" = [])),
    responses((status = 201, description = "Made", body = BackupReport),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 409, description = "Another one is being made", body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
) -> Result<(StatusCode, Json<BackupReport>), Problem> {
    Ok((StatusCode::CREATED, Json(state.backups.make().await?)))
}

/// Lists the backups in `backup.folder`, oldest first; all on one page.
#[utoipa::path(get, path = "/v1/backups", tag = "backups", security(("key" = [])),
    responses((status = 200, description = "The backups", body = Page<BackupReport>),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Page<BackupReport>>, Problem> {
    Ok(Json(Page { items: state.backups.list()?, next: None }))
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        if matches!(error, BackupError::Busy) {
            return Self::busy(error.to_string());
        }
        tracing::error!(error = &error as &dyn std::error::Error, "a backup could not be made or read");
        Self::internal()
    }
}
