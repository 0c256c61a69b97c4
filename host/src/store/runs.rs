//! Runs: which version was called on which event, and how it ended.

use super::filter::Filter;
use super::{Row, Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A run as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RunListing {
    /// Its number, growing as runs are written.
    pub id: i64,
    /// Whose it is.
    pub tenant: String,
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

const HEAD: &str = "SELECT id, tenant, sequence, assignment, version, interface, outcome, detail, fuel, micros, ran_at, log, \
    rerun FROM runs";

pub(super) fn listing(tenant: &TenantId, sequence: Option<i64>, after: i64, limit: i64) -> Filter {
    let mut sql = Filter::new(HEAD);
    match sequence {
        Some(sequence) => {
            sql.and("sequence = ?", sequence);
            sql.and("+tenant = ?", tenant.as_str().to_owned());
        }
        None => sql.and("tenant = ?", tenant.as_str().to_owned()),
    }
    sql.and("id > ?", after);
    sql.with(" ORDER BY id LIMIT ?", limit);
    sql
}

fn run(row: &Row) -> Result<RunListing, StoreError> {
    let log: Option<String> = row.try_get(11)?;
    Ok(RunListing {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        sequence: row.try_get(2)?,
        assignment: row.try_get(3)?,
        version: row.try_get(4)?,
        interface: row.try_get(5)?,
        outcome: row.try_get(6)?,
        detail: row.try_get(7)?,
        fuel: row.try_get(8)?,
        micros: row.try_get(9)?,
        ran_at: Timestamp::from_millis(row.try_get(10)?).to_rfc3339(),
        log: log.and_then(|text| serde_json::from_str(&text).ok()),
        rerun: row.try_get(12)?,
    })
}

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
        listing(tenant, sequence, after, limit).rows(self).await?.iter().map(run).collect()
    }

    /// One run. Cross-tenant: the run says whose it is, and who asks is checked against that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, id: i64) -> Result<Option<RunListing>, StoreError> {
        let mut sql = Filter::new(HEAD);
        sql.and("id = ?", id);
        sql.rows(self).await?.first().map(run).transpose()
    }
}
