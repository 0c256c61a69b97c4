//! What became of each event: the feeder's pages, the open ones at a start, the listing.

use super::{Row, Store, StoreError};
use crate::domain::{Cause, Lane, Sequence, TenantId, Timestamp};
use crate::store::inbox::SlimEvent;
use serde::Serialize;
use sqlx::Row as _;
use std::sync::Arc;

/// An event and what became of it, as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EventListing {
    /// Its place in the order of ingest.
    pub sequence: i64,
    /// Whose it is.
    pub tenant: String,
    /// Through which connection it came.
    pub connection: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Why it exists.
    pub cause: String,
    /// The unit of order it belongs to.
    pub lane: String,
    /// The sender's id of the delivery.
    pub webhook_id: Option<String>,
    /// When it was received, RFC 3339.
    pub received_at: String,
    /// When it happened by its source's own time, RFC 3339.
    pub source_time: String,
    /// `received`, `waiting`, `done`, `dead`, or `held` while an assignment has not run on it.
    pub state: String,
    /// The place of its last run in the order of runs; absent before the first.
    pub run_order: Option<i64>,
    /// The event it was folded into: both were done in one run.
    pub folded_into: Option<i64>,
    /// Tries so far.
    pub attempts: i64,
}

const OPEN: &str = "SELECT i.sequence, i.tenant, i.lane, i.event_type, i.cause, coalesce(e.attempts, 0) AS attempts, \
    e.next_at FROM inbox i LEFT JOIN events e ON e.sequence = i.sequence \
    WHERE i.sequence > $1 AND (e.sequence IS NULL OR e.state NOT IN ('done', 'dead', 'held')) ORDER BY i.sequence LIMIT $2";

const OPEN_OF: &str = "SELECT i.sequence, i.tenant, i.lane, i.event_type, i.cause, coalesce(e.attempts, 0) AS attempts, \
    e.next_at FROM inbox i LEFT JOIN events e ON e.sequence = i.sequence WHERE i.tenant = $1 AND i.sequence >= $2 \
    AND i.sequence <= $3 AND (e.sequence IS NULL OR e.state NOT IN ('done', 'dead', 'held')) ORDER BY i.sequence LIMIT $4";

fn slim(row: &Row) -> Result<SlimEvent, StoreError> {
    let cause: String = row.try_get(4)?;
    Ok(SlimEvent {
        sequence: Sequence(row.try_get(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        lane: Lane::from(row.try_get::<String, _>(2)?),
        event_type: Arc::from(row.try_get::<String, _>(3)?),
        cause: Cause::parse(&cause)
            .ok_or_else(|| StoreError::Corrupt { what: "cause", detail: cause.clone() })?,
        attempts: row.try_get(5)?,
        not_before: row.try_get::<Option<i64>, _>(6)?.map(Timestamp::from_millis),
        only: None,
    })
}

impl Store {
    /// Events after `after` that have not ended, oldest first. Cross-tenant: the feeder works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_events(&self, after: Sequence, limit: i64) -> Result<Vec<SlimEvent>, StoreError> {
        let rows = sqlx::query(OPEN).bind(after.0).bind(limit).fetch_all(&self.readers).await?;
        rows.iter().map(slim).collect()
    }

    /// A tenant's events of these sequences, both included, that have not ended, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_events_of(
        &self,
        tenant: &TenantId,
        (from, upto): (Sequence, Sequence),
        limit: i64,
    ) -> Result<Vec<SlimEvent>, StoreError> {
        let query =
            sqlx::query(OPEN_OF).bind(tenant.as_str().to_owned()).bind(from.0).bind(upto.0).bind(limit);
        query.fetch_all(&self.readers).await?.iter().map(slim).collect()
    }

    /// The greatest place in the order of runs so far. Cross-tenant: there is one order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_run_order(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(run_order), 0) FROM events")
            .fetch_one(&self.readers)
            .await?)
    }

    /// The sequence up to which every event had ended when it was noted. Cross-tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_up_to(&self) -> Result<Sequence, StoreError> {
        let value: Option<i64> = sqlx::query_scalar("SELECT value FROM progress WHERE name = 'ended_up_to'")
            .fetch_optional(&self.readers)
            .await?;
        Ok(Sequence(value.unwrap_or(0)))
    }

    /// Notes the sequence up to which every event has ended, so that a start need not look at them. Cross-tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_ended_up_to(&self, sequence: Sequence) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO progress (name, value) VALUES ('ended_up_to', $1) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    )
                    .bind(sequence.0)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// How many events stand in each state. Cross-tenant: for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_events(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT coalesce(e.state, 'received'), count(*) FROM inbox i \
             LEFT JOIN events e ON e.sequence = i.sequence GROUP BY 1 ORDER BY 1",
        )
        .fetch_all(&self.readers)
        .await?)
    }
}
