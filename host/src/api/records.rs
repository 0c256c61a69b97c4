//! `GET /v1/records`: Rankr's copies, each field with its provenance; one with its links.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, Named, time};
use super::state::ApiState;
use crate::domain::{ObjectKind, TenantId};
use crate::store::{LinkListing, RecordFilter, RecordListing, RecordPage};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Records read by one statement while a page is filled.
const STEP: i64 = 500;
/// Records looked at for one page; a page that found less goes on from there.
const MOST: usize = 10_000;

/// Which records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordQuery {
    /// Whose.
    tenant: String,
    /// Only of this kind: `contact`, `task`, `note`, `appointment`.
    kind: Option<String>,
    /// Only what is linked with this id of GHL's.
    ghl_id: Option<String>,
    /// Only contacts with this e-mail address, as the record has it.
    email: Option<String>,
    /// Only contacts with this phone number, as the record has it.
    phone: Option<String>,
    /// Only where this field has the `value`.
    field: Option<String>,
    /// The value of `field`, as text.
    value: Option<String>,
    /// Only what changed at or after this time, RFC 3339, in the order of changes.
    updated_since: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// Lists a tenant's records in the order of kind and id, or of changes. A page may have fewer than asked for and still
/// a next one.
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
    let tenant = TenantId::from(query.tenant.clone());
    if query.field.is_some() != query.value.is_some() {
        return Err(Problem::bad_parameter("give field and value together"));
    }
    let mut filter = RecordFilter {
        kind: query.kind.as_deref().map(kind).transpose()?,
        ghl_id: query.ghl_id.clone(),
        email: query.email.clone(),
        phone: query.phone.clone(),
        page: first_page(&query)?,
    };
    let wanted = usize::try_from(limit).unwrap_or_default();
    let step = if query.field.is_none() { limit } else { STEP };
    let mut items = Vec::new();
    let mut looked = 0;
    loop {
        let rows = state.store.list_records(&tenant, &filter, step).await?;
        let last = i64::try_from(rows.len()).is_ok_and(|count| count < step);
        for row in rows {
            looked += 1;
            filter.page = match filter.page {
                RecordPage::ById(_) => RecordPage::ById(Some((row.kind.clone(), row.id.clone()))),
                RecordPage::ByChange(_) => RecordPage::ByChange(row.place),
            };
            if fits(&row, &query) {
                items.push(row);
            }
            if items.len() == wanted {
                return Ok(Json(Page { items, next: key(&filter.page) }));
            }
        }
        if last || looked >= MOST {
            return Ok(Json(Page { items, next: if last { None } else { key(&filter.page) } }));
        }
    }
}

fn kind(word: &str) -> Result<ObjectKind, Problem> {
    match ObjectKind::parse(word) {
        ObjectKind::Other if word != "other" => Err(Problem::bad_parameter(format!(
            "kind is {word:?}: give contact, task, note, appointment, opportunity, message or other"
        ))),
        kind => Ok(kind),
    }
}

fn first_page(query: &RecordQuery) -> Result<RecordPage, Problem> {
    let wrong =
        |text: &str| Problem::bad_parameter(format!("after is {text:?}: give the `next` of the page before"));
    let Some(since) = time("updated_since", query.updated_since.as_deref())? else {
        let after = match query.after.as_deref() {
            None => None,
            Some(text) => {
                let (kind, id) = text.split_once('/').ok_or_else(|| wrong(text))?;
                Some((kind.to_owned(), id.to_owned()))
            }
        };
        return Ok(RecordPage::ById(after));
    };
    match query.after.as_deref() {
        None => Ok(RecordPage::ByChange((since.millis(), i64::MIN))),
        Some(text) => {
            let place =
                text.split_once('.').and_then(|(at, row)| Some((at.parse().ok()?, row.parse().ok()?)));
            Ok(RecordPage::ByChange(place.ok_or_else(|| wrong(text))?))
        }
    }
}

fn key(page: &RecordPage) -> Option<String> {
    match page {
        RecordPage::ById(after) => after.as_ref().map(|(kind, id)| format!("{kind}/{id}")),
        RecordPage::ByChange((at, row)) => Some(format!("{at}.{row}")),
    }
}

/// Whether the asked field has the asked value; a list has each of its values.
fn fits(record: &RecordListing, query: &RecordQuery) -> bool {
    let (Some(field), Some(wanted)) = (&query.field, &query.value) else { return true };
    let is = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text == wanted,
        serde_json::Value::Null => false,
        other => serde_json::to_string(other).is_ok_and(|text| text == *wanted),
    };
    match record.fields.get(field) {
        Some(serde_json::Value::Array(items)) => items.iter().any(is),
        value => value.is_some_and(is),
    }
}

/// Whose record.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OneQuery {
    /// Whose.
    tenant: String,
}

/// A record with its links.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RecordDetail {
    #[serde(flatten)]
    record: RecordListing,
    /// Its links with GHL objects, the newest first; earlier ones are its history.
    links: Vec<LinkListing>,
}

/// Shows a record, where each field came from, and its links.
#[utoipa::path(get, path = "/v1/records/{kind}/{id}", tag = "records", security(("key" = [])),
    params(("kind" = String, Path, description = "`contact`, `task`, `note`, `appointment`"),
        ("id" = String, Path, description = "Rankr's id"), OneQuery),
    responses((status = 200, description = "The record", body = RecordDetail),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem),
        (status = 404, description = "No such record", body = Problem)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    Named((word, id)): Named<(String, String)>,
    Asked(query): Asked<OneQuery>,
) -> Result<Json<RecordDetail>, Problem> {
    let tenant = TenantId::from(query.tenant);
    let kind = kind(&word)?;
    let record = state
        .store
        .record(&tenant, kind, &id)
        .await?
        .ok_or_else(|| Problem::not_found(format!("Tenant {tenant} has no {word} record {id:?}.")))?;
    let links = state.store.links_of(&tenant, kind, &id).await?;
    Ok(Json(RecordDetail { record, links }))
}
