//! Records as people and programs look at them.

use super::filter::Filter;
use super::{Row, Store, StoreError};
use crate::domain::{ObjectKind, Provenances, TenantId, Timestamp, read_provenances};
use serde::Serialize;
use sqlx::Row as _;

/// A record as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RecordListing {
    /// Whose it is.
    pub tenant: String,
    /// What it is.
    pub kind: String,
    /// Rankr's id.
    pub id: String,
    /// Through which connection it is linked.
    pub connection: Option<String>,
    /// GHL's id, if it is linked.
    pub ghl_id: Option<String>,
    /// Its fields by name.
    pub fields: serde_json::Value,
    /// For each field: event, version, source time and previous value.
    #[schema(value_type = Object)]
    pub provenance: Provenances,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// When its object was deleted, RFC 3339.
    pub deleted_at: Option<String>,
    /// Its place in the order of changes.
    #[serde(skip)]
    pub place: (i64, i64),
}

/// A link of a record with a GHL object.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LinkListing {
    /// Through which connection.
    pub connection: String,
    /// GHL's id.
    pub ghl_id: String,
    /// When it was made, RFC 3339.
    pub made_at: String,
}

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// Only of this kind.
    pub kind: Option<ObjectKind>,
    /// Only what is linked with this id of GHL's.
    pub ghl_id: Option<String>,
    /// Only contacts with this e-mail address.
    pub email: Option<String>,
    /// Only contacts with this phone number.
    pub phone: Option<String>,
    /// Where the page begins, and so its order.
    pub page: RecordPage,
}

/// The order of a list of records, and where the page begins.
#[derive(Clone, Debug)]
pub enum RecordPage {
    /// By kind and id, after these.
    ById(Option<(String, String)>),
    /// By the time of the last change, after this place.
    ByChange((i64, i64)),
}

impl Default for RecordPage {
    fn default() -> Self {
        Self::ById(None)
    }
}

const HEAD: &str = "SELECT r.tenant, r.kind, r.id, l.connection, l.ghl_id, r.fields, r.provenance, r.updated_at, \
    r.deleted_at, r.rowid FROM records r LEFT JOIN links l ON l.rowid = (SELECT x.rowid FROM links x \
    WHERE x.tenant = r.tenant AND x.kind = r.kind AND x.rankr_id = r.id ORDER BY x.rowid DESC LIMIT 1)";

pub(super) fn listing(tenant: &TenantId, filter: &RecordFilter, limit: i64) -> Filter {
    let tenant = tenant.as_str().to_owned();
    let mut sql = Filter::new(HEAD);
    sql.and("r.tenant = ?", tenant.clone());
    if let Some(kind) = filter.kind {
        sql.and("r.kind = ?", kind.as_str());
    }
    if let Some(ghl_id) = &filter.ghl_id {
        sql.text(" AND (r.kind, r.id) IN (SELECT kind, rankr_id FROM links WHERE ");
        sql.with("tenant = ?", tenant);
        sql.with(" AND ghl_id = ?)", ghl_id.clone());
    }
    if let Some(email) = &filter.email {
        sql.and("r.kind = 'contact' AND r.fields ->> '$.email' = ?", email.clone());
    }
    if let Some(phone) = &filter.phone {
        sql.and("r.kind = 'contact' AND r.fields ->> '$.phone' = ?", phone.clone());
    }
    match &filter.page {
        RecordPage::ById(after) => {
            if let Some(after) = after {
                sql.and_pair("(r.kind, r.id) > (?, ?)", after.clone());
            }
            sql.text(" ORDER BY r.kind, r.id");
        }
        RecordPage::ByChange(after) => {
            sql.and_pair("(r.updated_at, r.rowid) > (?, ?)", *after);
            sql.text(" ORDER BY r.updated_at, r.rowid");
        }
    }
    sql.with(" LIMIT ?", limit);
    sql
}

pub(super) fn one(tenant: &TenantId, kind: ObjectKind, id: &str) -> Filter {
    let mut sql = Filter::new(HEAD);
    sql.and("r.tenant = ?", tenant.as_str().to_owned());
    sql.and("r.kind = ?", kind.as_str());
    sql.and("r.id = ?", id.to_owned());
    sql
}

fn record(row: &Row) -> Result<RecordListing, StoreError> {
    let parse =
        |text: String| serde_json::from_str(&text).map_err(|error| StoreError::corrupt("record", &error));
    let updated_at: i64 = row.try_get(7)?;
    Ok(RecordListing {
        tenant: row.try_get(0)?,
        kind: row.try_get(1)?,
        id: row.try_get(2)?,
        connection: row.try_get(3)?,
        ghl_id: row.try_get(4)?,
        fields: parse(row.try_get(5)?)?,
        provenance: read_provenances(row.try_get(6)?)
            .map_err(|error| StoreError::corrupt("record", &error))?,
        updated_at: Timestamp::from_millis(updated_at).to_rfc3339(),
        deleted_at: row.try_get::<Option<i64>, _>(8)?.map(|at| Timestamp::from_millis(at).to_rfc3339()),
        place: (updated_at, row.try_get(9)?),
    })
}

impl Store {
    /// A page of a tenant's records.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_records(
        &self,
        tenant: &TenantId,
        filter: &RecordFilter,
        limit: i64,
    ) -> Result<Vec<RecordListing>, StoreError> {
        listing(tenant, filter, limit).rows(self).await?.iter().map(record).collect()
    }

    /// One record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        id: &str,
    ) -> Result<Option<RecordListing>, StoreError> {
        one(tenant, kind, id).rows(self).await?.first().map(record).transpose()
    }

    /// A record's links, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_of(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        id: &str,
    ) -> Result<Vec<LinkListing>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT connection, ghl_id, made_at FROM links WHERE tenant = $1 AND kind = $2 AND rankr_id = $3 \
             ORDER BY made_at DESC",
        )
        .bind(tenant.as_str().to_owned())
        .bind(kind.as_str())
        .bind(id.to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(connection, ghl_id, made_at)| LinkListing {
                connection,
                ghl_id,
                made_at: Timestamp::from_millis(made_at).to_rfc3339(),
            })
            .collect())
    }

    /// Rankr's ids of the contacts that GHL calls by that id, on one connection or on any of the tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contacts_called(
        &self,
        tenant: &TenantId,
        ghl_id: &str,
        connection: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let mut sql = Filter::new("SELECT rankr_id FROM links");
        sql.and("tenant = ?", tenant.as_str().to_owned());
        sql.and("ghl_id = ?", ghl_id.to_owned());
        sql.text(" AND +kind = 'contact'");
        if let Some(connection) = connection {
            sql.and("+connection = ?", connection.to_owned());
        }
        sql.rows(self).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
