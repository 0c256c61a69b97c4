//! `GET /v1/operations`: what this host can ask of GHL.

use super::page::Page;
use super::problem::Problem;
use super::query::Asked;
use crate::ghl::{OperationListing, operations};
use axum::Json;
use axum::extract::Path;
use serde::Deserialize;

/// Which operations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationQuery {
    /// Words that id, method, path or scope hold, each of them.
    search: Option<String>,
}

/// Lists the operations of GHL that this host can call, with scope, class and version; all on one page.
#[utoipa::path(get, path = "/v1/operations", tag = "operations", params(OperationQuery), security(("key" = [])),
    responses((status = 200, description = "The operations", body = Page<OperationListing>),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    Asked(query): Asked<OperationQuery>,
) -> Result<Json<Page<OperationListing>>, Problem> {
    let items = operations(&query.search.unwrap_or_default());
    Ok(Json(Page { items, next: None }))
}

/// One operation.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations", params(("id" = String, Path, description = "Its id")),
    security(("key" = [])),
    responses((status = 200, description = "The operation", body = OperationListing),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such operation", body = Problem)))]
pub(super) async fn show(Path(id): Path<String>) -> Result<Json<OperationListing>, Problem> {
    let found = operations(&id).into_iter().find(|known| known.id == id);
    found.map(Json).ok_or_else(|| {
        Problem::not_found(format!("This host knows no operation {id:?}; GET /v1/operations lists them."))
    })
}
