//! The audit: one row for each change that someone asked for, written with the change where it is one commit.

use super::{Connection, Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A change that someone asked for; no secrets, no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// Who: `host-key`, `local`, or `key:` and the key's id.
    pub actor: String,
    /// From which address.
    pub address: Option<String>,
    /// The verb, such as `tenant.pause`.
    pub action: String,
    /// What it was done to, by id.
    pub object: String,
    /// Whose that is.
    pub tenant: Option<TenantId>,
    /// `done`, `refused` or `failed`.
    pub result: &'static str,
    /// The HTTP status of what was refused or failed.
    pub status: Option<u16>,
    /// The request's id.
    pub request: Option<String>,
}

/// Writes the row in the caller's transaction; none: someone else writes it, or nobody has asked.
pub(super) async fn note(connection: &mut Connection, row: Option<&AuditRow>) -> Result<(), StoreError> {
    let Some(row) = row else { return Ok(()) };
    sqlx::query(
        "INSERT INTO audit (at, actor, address, action, object, tenant, result, status, request) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(row.at.millis())
    .bind(row.actor.clone())
    .bind(row.address.clone())
    .bind(row.action.clone())
    .bind(row.object.clone())
    .bind(row.tenant.as_ref().map(|id| id.as_str().to_owned()))
    .bind(row.result)
    .bind(row.status.map(i64::from))
    .bind(row.request.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only this action, or all of a noun: `tenant` finds `tenant.pause`.
    pub action: Option<String>,
    /// Only to this object.
    pub object: Option<String>,
    /// Only with this result.
    pub result: Option<String>,
    /// Only from this moment on.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub to: Option<Timestamp>,
}

/// A change as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AuditListing {
    /// Its number, growing.
    pub id: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Who: `host-key`, `local` (the command line at the database itself), or `key:` and the key's id.
    pub actor: String,
    /// From which address, where known.
    pub address: Option<String>,
    /// The verb, such as `tenant.pause`.
    pub action: String,
    /// What it was done to, by id.
    pub object: String,
    /// Whose that is.
    pub tenant: Option<String>,
    /// `done`, `refused` (the caller's fault) or `failed` (ours).
    pub result: String,
    /// The HTTP status of what was refused or failed.
    pub status: Option<i64>,
    /// The request's id, as `X-Request-Id` told it.
    pub request: Option<String>,
}

const LISTING: &str = "SELECT id, at, actor, address, action, object, tenant, result, status, request FROM audit \
    WHERE ($1 IS NULL OR tenant = $1) AND ($2 IS NULL OR actor = $2) \
    AND ($3 IS NULL OR action = $3 OR action LIKE $3 || '.%') AND ($4 IS NULL OR object = $4) \
    AND ($5 IS NULL OR result = $5) AND ($6 IS NULL OR at >= $6) AND ($7 IS NULL OR at < $7) \
    AND id < $8 ORDER BY id DESC LIMIT $9";

impl Store {
    /// Writes a row by itself, where the change has no commit of its own. Cross-tenant: the row names its tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_audit(&self, row: AuditRow) -> Result<(), StoreError> {
        self.writer.work(move |connection| Box::pin(async move { note(connection, Some(&row)).await })).await
    }

    /// A page of changes, newest first, before the given number. Cross-tenant unless the filter names one: the
    /// operator sees all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_audit(
        &self,
        filter: AuditFilter,
        before: i64,
        limit: i64,
    ) -> Result<Vec<AuditListing>, StoreError> {
        let rows = sqlx::query(LISTING)
            .bind(filter.tenant.map(|id| id.as_str().to_owned()))
            .bind(filter.actor)
            .bind(filter.action)
            .bind(filter.object)
            .bind(filter.result)
            .bind(filter.from.map(Timestamp::millis))
            .bind(filter.to.map(Timestamp::millis))
            .bind(before)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditListing {
                    id: row.try_get(0)?,
                    at: Timestamp::from_millis(row.try_get(1)?).to_rfc3339(),
                    actor: row.try_get(2)?,
                    address: row.try_get(3)?,
                    action: row.try_get(4)?,
                    object: row.try_get(5)?,
                    tenant: row.try_get(6)?,
                    result: row.try_get(7)?,
                    status: row.try_get(8)?,
                    request: row.try_get(9)?,
                })
            })
            .collect()
    }
}
