//! `GET /v1/records`: Rankr's copies, each field with its provenance.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::Asked;
use super::state::ApiState;
use crate::domain::{ObjectKind, TenantId};
use crate::store::RecordListing;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Which records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordQuery {
    /// Whose.
    tenant: String,
    /// Only of this kind: `contact`, `task`, `note`, `appointment`.
    kind: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists a tenant's records in the order of kind and id.
#[utoipa::path(get, path = "/v1/records", tag = "records", params(RecordQuery), security(("key" = [])),
    responses((status = 200, description = "A page of records", body = Page<RecordListing>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<RecordQuery>,
) -> Result<Json<Page<RecordListing>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = match query.after.as_deref() {
        None => None,
        Some(text) => {
            let (kind, id) = text.split_once('/').ok_or_else(|| {
                Problem::bad_parameter(format!("after is {text:?}: give the `next` of the page before"))
            })?;
            Some((kind.to_owned(), id.to_owned()))
        }
    };
    let tenant = TenantId::from(query.tenant);
    let kind = query.kind.as_deref().map(ObjectKind::parse);
    let items = state.store.list_records(&tenant, kind, after, limit).await?;
    Ok(Json(Page::new(items, limit, |record| format!("{}/{}", record.kind, record.id))))
}
