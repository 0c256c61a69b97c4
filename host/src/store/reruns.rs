//! Reruns: what people asked to have run again, what is known of the event, and how it came out.

use super::rows::{self, Binder, Shape};
use super::{Connection, Store, StoreError};
use crate::domain::{AssignmentId, Cause, ConnectionId, Lane, RerunKind, Sequence, TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;
use std::sync::Arc;

/// A rerun that is asked for.
#[derive(Clone, Debug)]
pub struct RerunRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which event is run again.
    pub sequence: Sequence,
    /// Why.
    pub kind: RerunKind,
    /// For which assignments, JSON; empty: all.
    pub assignments: String,
    /// Who asked.
    pub asked_by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// How a rerun came out.
#[derive(Clone, Debug)]
pub struct RerunEnd {
    /// Which.
    pub id: String,
    /// `done` or `failed`.
    pub state: &'static str,
    /// The comparison, JSON.
    pub result: String,
    /// When.
    pub at: Timestamp,
}

/// A dead letter that is settled.
#[derive(Clone, Debug)]
pub struct ResolvedRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// On which event.
    pub sequence: Sequence,
    /// Which assignment had failed.
    pub assignment: AssignmentId,
    /// `retried` or `dismissed`.
    pub resolution: &'static str,
    /// Why a person dismissed it.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

const RERUNS: Shape = Shape {
    head: "INSERT INTO reruns (id, tenant, sequence, kind, assignments, state, asked_by, asked_at)",
    columns: 8,
    tail: "ON CONFLICT (id) DO NOTHING",
};

fn bind(row: &RerunRow, to: &mut Binder) {
    to.add(row.id.clone())
        .add(row.tenant.as_str().to_owned())
        .add(row.sequence.0)
        .add(row.kind.as_str())
        .add(row.assignments.clone())
        .add("waiting")
        .add(row.asked_by.clone())
        .add(row.at.millis());
}

/// Writes new reruns in the caller's transaction.
pub(super) async fn ask(connection: &mut Connection, rows: &[&RerunRow]) -> Result<(), StoreError> {
    rows::insert(connection, RERUNS, rows, |row, to| bind(row, to)).await
}

/// Writes how reruns came out in the caller's transaction.
pub(super) async fn end(connection: &mut Connection, ends: &[&RerunEnd]) -> Result<(), StoreError> {
    for end in ends {
        sqlx::query(
            "UPDATE reruns SET state = $2, result = $3, ended_at = $4 WHERE id = $1 AND state = 'waiting'",
        )
        .bind(end.id.clone())
        .bind(end.state)
        .bind(end.result.clone())
        .bind(end.at.millis())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Settles dead letters in the caller's transaction; an event all of whose dead letters did well after all is done.
pub(super) async fn resolve(connection: &mut Connection, rows: &[&ResolvedRow]) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "UPDATE dead_letters SET resolved_at = $4, resolution = $5, reason = $6 \
             WHERE sequence = $1 AND assignment = $2 AND tenant = $3 AND resolved_at IS NULL",
        )
        .bind(row.sequence.0)
        .bind(row.assignment.as_str().to_owned())
        .bind(row.tenant.as_str().to_owned())
        .bind(row.at.millis())
        .bind(row.resolution)
        .bind(row.reason.clone())
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "UPDATE events SET state = 'done' WHERE sequence = $1 AND state = 'dead' AND NOT EXISTS \
             (SELECT 1 FROM dead_letters d WHERE d.sequence = $1 AND (d.resolved_at IS NULL OR d.resolution <> 'retried'))",
        )
        .bind(row.sequence.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// An event that is run again, as it came and as it ended.
#[derive(Clone, Debug)]
pub struct Original {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it came.
    pub connection: ConnectionId,
    /// Its type.
    pub event_type: Arc<str>,
    /// Why it exists.
    pub cause: Cause,
    /// Its lane at ingest.
    pub lane: Lane,
    /// When it came.
    pub received_at: Timestamp,
    /// When it happened.
    pub source_time: Timestamp,
    /// The payload as it came.
    pub body: Arc<str>,
    /// `received`, `waiting`, `done` or `dead`.
    pub state: String,
    /// The event it was folded into.
    pub folded_into: Option<Sequence>,
    /// What it changed in the mirror, JSON.
    pub changed: Option<String>,
}

/// An effect that was planned on an event before.
#[derive(Clone, Debug)]
pub struct PriorEffect {
    /// Its number.
    pub id: i64,
    /// Which assignment asked for it.
    pub assignment: AssignmentId,
    /// Its key.
    pub effect_key: String,
    /// The author's name for it.
    pub author_key: Option<String>,
    /// What was done, JSON.
    pub content: String,
    /// What was asked for, JSON.
    pub asked: String,
    /// How it stands.
    pub state: String,
}

/// A rerun as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RerunListing {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The event that is run again.
    pub sequence: i64,
    /// `retry`, `reprocess` or `compare`.
    pub kind: String,
    /// For which assignments; empty: all.
    pub assignments: Vec<String>,
    /// `waiting`, `done` or `failed`.
    pub state: String,
    /// Who asked.
    pub asked_by: Option<String>,
    /// When, RFC 3339.
    pub asked_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
    /// What it came to: effects that are `equal`, `changed`, `new` and `no_longer_asked_for`, the records' `changes`,
    /// and what `failed`.
    pub result: Option<serde_json::Value>,
}

impl Store {
    /// The event of that sequence as it came and as it ended. Cross-tenant: who asks looks whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn original(&self, sequence: Sequence) -> Result<Option<Original>, StoreError> {
        let row = sqlx::query(
            "SELECT i.tenant, i.connection, i.event_type, i.cause, i.lane, i.received_at, i.source_time, i.body, \
             coalesce(e.state, 'received'), e.folded_into, e.changed FROM inbox i LEFT JOIN events e \
             ON e.sequence = i.sequence WHERE i.sequence = $1",
        )
        .bind(sequence.0)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let cause: String = row.try_get(3)?;
        Ok(Some(Original {
            tenant: TenantId::from(row.try_get::<String, _>(0)?),
            connection: ConnectionId::from(row.try_get::<String, _>(1)?),
            event_type: Arc::from(row.try_get::<String, _>(2)?),
            cause: Cause::parse(&cause)
                .ok_or_else(|| StoreError::Corrupt { what: "cause", detail: cause.clone() })?,
            lane: Lane::from(row.try_get::<String, _>(4)?),
            received_at: Timestamp::from_millis(row.try_get(5)?),
            source_time: Timestamp::from_millis(row.try_get(6)?),
            body: Arc::from(row.try_get::<String, _>(7)?),
            state: row.try_get(8)?,
            folded_into: row.try_get::<Option<i64>, _>(9)?.map(Sequence),
            changed: row.try_get(10)?,
        }))
    }

    /// Effects that were planned on an event, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prior_effects(
        &self,
        tenant: &TenantId,
        sequence: Sequence,
    ) -> Result<Vec<PriorEffect>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, assignment, effect_key, author_key, content, coalesce(asked, content), state FROM effects \
             WHERE sequence = $1 AND tenant = $2 ORDER BY id",
        )
        .bind(sequence.0)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PriorEffect {
                    id: row.try_get(0)?,
                    assignment: AssignmentId::from(row.try_get::<String, _>(1)?),
                    effect_key: row.try_get(2)?,
                    author_key: row.try_get(3)?,
                    content: row.try_get(4)?,
                    asked: row.try_get(5)?,
                    state: row.try_get(6)?,
                })
            })
            .collect()
    }

    /// Assignments whose reaction was run on an event, however it ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reacted(
        &self,
        tenant: &TenantId,
        sequence: Sequence,
    ) -> Result<Vec<AssignmentId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT assignment FROM runs WHERE sequence = $1 AND tenant = $2 AND interface = 'reaction'",
        )
        .bind(sequence.0)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(AssignmentId::from).collect())
    }

    /// Assignments that failed for good on an event and are not settled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettled(
        &self,
        tenant: &TenantId,
        sequence: Sequence,
    ) -> Result<Vec<AssignmentId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT assignment FROM dead_letters WHERE sequence = $1 AND tenant = $2 AND resolved_at IS NULL",
        )
        .bind(sequence.0)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(AssignmentId::from).collect())
    }

    /// A tenant's rerun.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rerun(&self, id: &str) -> Result<Option<RerunListing>, StoreError> {
        let row = sqlx::query(
            "SELECT id, tenant, sequence, kind, assignments, state, asked_by, asked_at, ended_at, result FROM reruns \
             WHERE id = $1",
        )
        .bind(id.to_owned())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let assignments: String = row.try_get(4)?;
        let result: Option<String> = row.try_get(9)?;
        Ok(Some(RerunListing {
            id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            sequence: row.try_get(2)?,
            kind: row.try_get(3)?,
            assignments: serde_json::from_str(&assignments)
                .map_err(|error| StoreError::corrupt("list of assignments", &error))?,
            state: row.try_get(5)?,
            asked_by: row.try_get(6)?,
            asked_at: Timestamp::from_millis(row.try_get(7)?).to_rfc3339(),
            ended_at: row.try_get::<Option<i64>, _>(8)?.map(|at| Timestamp::from_millis(at).to_rfc3339()),
            result: result
                .map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|error| StoreError::corrupt("comparison", &error))?,
        }))
    }
}
