//! Runs: which version was called on which event, and how it ended.

use super::{Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A run as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RunListing {
    /// Its number, growing as runs are written.
    pub id: i64,
    /// The event it ran on.
    pub sequence: i64,
    /// For which assignment.
    pub assignment: String,
    /// Which version.
    pub version: String,
    /// `mapping` or `reaction`.
    pub interface: String,
    /// `mapped`, or how it failed.
    pub outcome: String,
    /// What failed.
    pub detail: Option<String>,
    /// Fuel used.
    pub fuel: i64,
    /// Machine time, microseconds.
    pub micros: i64,
    /// When, RFC 3339.
    pub ran_at: String,
    /// What it logged.
    pub log: Option<serde_json::Value>,
    /// The event that asked for it, where its own was run again.
    pub rerun: Option<i64>,
}

const LISTING: &str = "SELECT id, sequence, assignment, version, interface, outcome, detail, fuel, micros, ran_at, log, rerun \
    FROM runs WHERE tenant = $1 AND ($2 IS NULL OR sequence = $2) AND id > $3 ORDER BY id LIMIT $4";

impl Store {
    /// A page of a tenant's runs in the order of writing, after the given number; one event's if named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_runs(
        &self,
        tenant: &TenantId,
        sequence: Option<i64>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RunListing>, StoreError> {
        let query =
            sqlx::query(LISTING).bind(tenant.as_str().to_owned()).bind(sequence).bind(after).bind(limit);
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                let log: Option<String> = row.try_get(10)?;
                Ok(RunListing {
                    id: row.try_get(0)?,
                    sequence: row.try_get(1)?,
                    assignment: row.try_get(2)?,
                    version: row.try_get(3)?,
                    interface: row.try_get(4)?,
                    outcome: row.try_get(5)?,
                    detail: row.try_get(6)?,
                    fuel: row.try_get(7)?,
                    micros: row.try_get(8)?,
                    ran_at: Timestamp::from_millis(row.try_get(9)?).to_rfc3339(),
                    log: log.and_then(|text| serde_json::from_str(&text).ok()),
                    rerun: row.try_get(11)?,
                })
            })
            .collect()
    }
}
