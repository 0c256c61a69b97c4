//! What belongs to one event besides its runs, effects and entries: what it read, its final failures, deliveries of the
//! same id that said something else.

use super::filter::Filter;
use super::{Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// Something GHL was asked for an event, and what it answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ReadListing {
    /// What was asked.
    pub request: serde_json::Value,
    /// What was answered.
    pub answer: serde_json::Value,
    /// When, RFC 3339.
    pub read_at: String,
}

/// A final failure of an event.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FailureListing {
    /// Which assignment failed.
    pub assignment: String,
    /// Which version ran.
    pub version: String,
    /// How it failed.
    pub outcome: String,
    /// What failed.
    pub detail: String,
    /// When, RFC 3339.
    pub died_at: String,
    /// When it was settled, RFC 3339.
    pub resolved_at: Option<String>,
}

/// A delivery with the id of one that was stored before, but another body: kept aside, not processed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ConflictListing {
    /// Its number, growing as they come.
    pub id: i64,
    /// Whose it is.
    pub tenant: String,
    /// The event that has the id.
    pub sequence: i64,
    /// The sender's id of the delivery.
    pub webhook_id: Option<String>,
    /// When it came, RFC 3339.
    pub received_at: String,
    /// Its body, where personal data may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

const CONFLICTS: &str =
    "SELECT id, tenant, sequence, webhook_id, received_at, body FROM conflicting_deliveries";

pub(super) fn conflicts(tenant: &TenantId, after: i64, limit: i64) -> Filter {
    let mut sql = Filter::new(CONFLICTS);
    sql.and("tenant = ?", tenant.as_str().to_owned());
    sql.and("id > ?", after);
    sql.with(" ORDER BY id LIMIT ?", limit);
    sql
}

pub(super) fn conflicts_of(tenant: &TenantId, sequence: i64) -> Filter {
    let mut sql = Filter::new(CONFLICTS);
    sql.and("sequence = ?", sequence);
    sql.and("+tenant = ?", tenant.as_str().to_owned());
    sql.text(" ORDER BY id");
    sql
}

async fn conflict_rows(sql: Filter, store: &Store) -> Result<Vec<ConflictListing>, StoreError> {
    let rows = sql.rows(store).await?;
    rows.iter()
        .map(|row| {
            Ok(ConflictListing {
                id: row.try_get(0)?,
                tenant: row.try_get(1)?,
                sequence: row.try_get(2)?,
                webhook_id: row.try_get(3)?,
                received_at: Timestamp::from_millis(row.try_get(4)?).to_rfc3339(),
                body: Some(row.try_get(5)?),
            })
        })
        .collect()
}

impl Store {
    /// What was asked for an event, and what was answered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reads_of(&self, tenant: &TenantId, sequence: i64) -> Result<Vec<ReadListing>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT request, answer, read_at FROM run_reads WHERE sequence = $1 AND tenant = $2 ORDER BY request",
        )
        .bind(sequence)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        let json = |text: &str| {
            serde_json::from_str(text)
                .map_err(|error: serde_json::Error| StoreError::corrupt("answer", &error))
        };
        rows.into_iter()
            .map(|(request, answer, at)| {
                Ok(ReadListing {
                    request: json(&request)?,
                    answer: json(&answer)?,
                    read_at: Timestamp::from_millis(at).to_rfc3339(),
                })
            })
            .collect()
    }

    /// The final failures of an event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failures_of(
        &self,
        tenant: &TenantId,
        sequence: i64,
    ) -> Result<Vec<FailureListing>, StoreError> {
        let rows: Vec<(String, String, String, String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT assignment, version, outcome, detail, died_at, resolved_at FROM dead_letters \
             WHERE sequence = $1 AND tenant = $2 ORDER BY assignment",
        )
        .bind(sequence)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(assignment, version, outcome, detail, died_at, resolved_at)| FailureListing {
                assignment,
                version,
                outcome,
                detail,
                died_at: Timestamp::from_millis(died_at).to_rfc3339(),
                resolved_at: resolved_at.map(|at| Timestamp::from_millis(at).to_rfc3339()),
            })
            .collect())
    }

    /// A page of a tenant's conflicting deliveries.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_conflicts(
        &self,
        tenant: &TenantId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ConflictListing>, StoreError> {
        conflict_rows(conflicts(tenant, after, limit), self).await
    }

    /// Deliveries with the id of an event that said something else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conflicts_of(
        &self,
        tenant: &TenantId,
        sequence: i64,
    ) -> Result<Vec<ConflictListing>, StoreError> {
        conflict_rows(conflicts_of(tenant, sequence), self).await
    }
}
