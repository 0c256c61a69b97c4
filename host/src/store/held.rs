//! Held runs and breakers: which part of which event waits, and why.

use super::inbox::SlimEvent;
use super::rows::{self, Binder, Shape};
use super::{Connection, Row, Store, StoreError};
use crate::domain::{AssignmentId, Cause, Lane, Sequence, TenantId, Timestamp, VersionId};
use sqlx::Row as _;
use std::sync::Arc;

/// Why a run is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldReason {
    /// The assignment's breaker is open.
    Breaker,
    /// It failed, and its policy is to hold.
    Failure,
    /// One before it in its lane is held.
    Behind,
}

impl HeldReason {
    /// The reason's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Failure => "failure",
            Self::Behind => "behind",
        }
    }
}

/// A part of an event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Which assignment has not run.
    pub assignment: AssignmentId,
    /// On which event.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which lane it will.
    pub lane: Lane,
    /// Why not yet.
    pub reason: HeldReason,
    /// What the event changed, JSON of the pipeline room.
    pub changed: String,
    /// Of a failure: the version, the outcome's word and what failed.
    pub failure: Option<(VersionId, &'static str, String)>,
    /// Since when.
    pub at: Timestamp,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRow {
    /// Whose breaker.
    pub assignment: AssignmentId,
    /// Whose assignment.
    pub tenant: TenantId,
    /// Since when it is open.
    pub opened_at: Timestamp,
    /// When one held run is tried.
    pub probe_at: Timestamp,
    /// Probes that failed since it opened.
    pub probes: u32,
    /// How many contacts it failed on when it opened.
    pub contacts: i64,
    /// The outcome's word of the last failure.
    pub outcome: String,
}

/// Held runs of one assignment in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLane {
    /// Which assignment.
    pub assignment: AssignmentId,
    /// Which lane.
    pub lane: Lane,
    /// How many are held.
    pub held: usize,
    /// Whether one of them failed and waits for a person.
    pub failed: bool,
}

const HELD: Shape = Shape {
    head: "INSERT INTO held_runs (assignment, sequence, tenant, lane, reason, changed, version, outcome, detail, held_at)",
    columns: 10,
    tail: "ON CONFLICT (assignment, sequence) DO UPDATE SET reason = excluded.reason, version = excluded.version, \
           outcome = excluded.outcome, detail = excluded.detail",
};

/// Writes what is held from now on.
pub(super) async fn hold(connection: &mut Connection, held: &[&HeldRow]) -> Result<(), StoreError> {
    rows::insert(connection, HELD, held, |row, to: &mut Binder| {
        let failure = row.failure.as_ref();
        to.add(row.assignment.as_str().to_owned())
            .add(row.sequence.0)
            .add(row.tenant.as_str().to_owned())
            .add(row.lane.as_str().to_owned())
            .add(row.reason.as_str())
            .add(row.changed.clone())
            .add(failure.map(|(version, _, _)| version.as_str().to_owned()))
            .add(failure.map(|(_, outcome, _)| *outcome))
            .add(failure.map(|(_, _, detail)| detail.clone()))
            .add(row.at.millis());
    })
    .await
}

/// Takes off what is held no more, and says of each event how it stands now.
pub(super) async fn let_go(
    connection: &mut Connection,
    gone: &[&(AssignmentId, Sequence)],
) -> Result<(), StoreError> {
    for (assignment, sequence) in gone {
        sqlx::query("DELETE FROM held_runs WHERE assignment = $1 AND sequence = $2")
            .bind(assignment.as_str().to_owned())
            .bind(sequence.0)
            .execute(&mut *connection)
            .await?;
        settle_event(connection, *sequence).await?;
    }
    Ok(())
}

/// An event of which something was held: held still, dead if an assignment finally failed on it, else done.
async fn settle_event(connection: &mut Connection, sequence: Sequence) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE events SET state = CASE WHEN EXISTS (SELECT 1 FROM held_runs h WHERE h.sequence = $1) THEN 'held' \
         WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.sequence = $1 AND d.resolved_at IS NULL) THEN 'dead' \
         ELSE 'done' END WHERE sequence = $1 AND state = 'held'",
    )
    .bind(sequence.0)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// All open breakers. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn breakers(&self) -> Result<Vec<BreakerRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT assignment, tenant, opened_at, probe_at, probes, contacts, outcome FROM breakers ORDER BY assignment",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(BreakerRow {
                    assignment: AssignmentId::from(row.try_get::<String, _>(0)?),
                    tenant: TenantId::from(row.try_get::<String, _>(1)?),
                    opened_at: Timestamp::from_millis(row.try_get(2)?),
                    probe_at: Timestamp::from_millis(row.try_get(3)?),
                    probes: u32::try_from(row.try_get::<i64, _>(4)?).unwrap_or(u32::MAX),
                    contacts: row.try_get(5)?,
                    outcome: row.try_get(6)?,
                })
            })
            .collect()
    }

    /// Stores an open breaker; `TenantId` is the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_breaker(&self, row: BreakerRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO breakers (assignment, tenant, opened_at, probe_at, probes, contacts, outcome) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (assignment) DO UPDATE SET \
                         probe_at = excluded.probe_at, probes = excluded.probes, outcome = excluded.outcome",
                    )
                    .bind(row.assignment.as_str().to_owned())
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.opened_at.millis())
                    .bind(row.probe_at.millis())
                    .bind(i64::from(row.probes))
                    .bind(row.contacts)
                    .bind(row.outcome)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Closes a breaker.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_breaker(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
    ) -> Result<(), StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM breakers WHERE assignment = $1 AND tenant = $2")
                        .bind(assignment)
                        .bind(tenant)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// How much is held, by assignment and lane. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_lanes(&self) -> Result<Vec<HeldLane>, StoreError> {
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT assignment, lane, count(*), sum(CASE WHEN reason = 'failure' THEN 1 ELSE 0 END) \
             FROM held_runs GROUP BY assignment, lane",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(assignment, lane, held, failed)| HeldLane {
                assignment: AssignmentId::from(assignment),
                lane: Lane::from(lane),
                held: usize::try_from(held).unwrap_or(0),
                failed: failed > 0,
            })
            .collect())
    }

    /// Held runs of an assignment after a sequence, in the order of ingest, but none of lanes in which one failed.
    /// Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_page(
        &self,
        assignment: &AssignmentId,
        after: Sequence,
        limit: i64,
    ) -> Result<Vec<SlimEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT h.sequence, h.tenant, h.lane, i.event_type, i.cause FROM held_runs h \
             JOIN inbox i ON i.sequence = h.sequence WHERE h.assignment = $1 AND h.sequence > $2 AND NOT EXISTS \
             (SELECT 1 FROM held_runs f WHERE f.assignment = h.assignment AND f.lane = h.lane AND f.reason = 'failure') \
             ORDER BY h.sequence LIMIT $3",
        )
        .bind(assignment.as_str().to_owned())
        .bind(after.0)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| slim(row, assignment)).collect()
    }

    /// The first held run of a lane: of the lane that was held first, or of a later one the more often it was asked
    /// for. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probe(
        &self,
        assignment: &AssignmentId,
        tried: u32,
    ) -> Result<Option<SlimEvent>, StoreError> {
        let first: Vec<i64> = sqlx::query_scalar(
            "SELECT min(sequence) AS first FROM held_runs WHERE assignment = $1 GROUP BY lane \
             HAVING sum(CASE WHEN reason = 'failure' THEN 1 ELSE 0 END) = 0 ORDER BY first LIMIT 16",
        )
        .bind(assignment.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        let place = usize::try_from(tried).unwrap_or(0).checked_rem(first.len()).unwrap_or(0);
        let Some(sequence) = first.get(place) else { return Ok(None) };
        let page = self.held_page(assignment, Sequence(sequence - 1), 1).await?;
        Ok(page.into_iter().next())
    }

    /// What the events of these held runs changed, JSON, by assignment and sequence; nothing for what is held no more.
    /// Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_change(
        &self,
        assignment: &AssignmentId,
        sequence: Sequence,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT changed FROM held_runs WHERE assignment = $1 AND sequence = $2")
            .bind(assignment.as_str().to_owned())
            .bind(sequence.0)
            .fetch_optional(&self.readers)
            .await?)
    }

    /// How many runs of an assignment are held, and how many of them failed and wait for a person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_held_runs(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
    ) -> Result<(i64, i64), StoreError> {
        Ok(sqlx::query_as(
            "SELECT count(*), coalesce(sum(CASE WHEN reason = 'failure' THEN 1 ELSE 0 END), 0) FROM held_runs \
             WHERE tenant = $1 AND assignment = $2",
        )
        .bind(tenant.as_str().to_owned())
        .bind(assignment.as_str().to_owned())
        .fetch_one(&self.readers)
        .await?)
    }

    /// Has the failed ones among an assignment's held runs be run again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_failed(&self, tenant: &TenantId, assignment: &AssignmentId) -> Result<(), StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE held_runs SET reason = 'behind' WHERE tenant = $1 AND assignment = $2 AND reason = 'failure'",
                    )
                    .bind(tenant)
                    .bind(assignment)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Makes dead letters of the failed ones among an assignment's held runs, so that those behind them go on; gives
    /// their lanes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bury_failed(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
        at: Timestamp,
    ) -> Result<Vec<Lane>, StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO dead_letters (sequence, assignment, tenant, version, outcome, detail, died_at) \
                         SELECT sequence, assignment, tenant, coalesce(version, ''), coalesce(outcome, ''), \
                         coalesce(detail, ''), $3 FROM held_runs WHERE tenant = $1 AND assignment = $2 AND reason = 'failure' \
                         ON CONFLICT (sequence, assignment) DO UPDATE SET version = excluded.version, \
                         outcome = excluded.outcome, detail = excluded.detail, died_at = excluded.died_at, resolved_at = NULL",
                    )
                    .bind(tenant.clone())
                    .bind(assignment.clone())
                    .bind(at.millis())
                    .execute(&mut *connection)
                    .await?;
                    let gone: Vec<(i64, String)> = sqlx::query_as(
                        "DELETE FROM held_runs WHERE tenant = $1 AND assignment = $2 AND reason = 'failure' \
                         RETURNING sequence, lane",
                    )
                    .bind(tenant)
                    .bind(assignment)
                    .fetch_all(&mut *connection)
                    .await?;
                    let mut lanes = Vec::with_capacity(gone.len());
                    for (sequence, lane) in gone {
                        settle_event(&mut *connection, Sequence(sequence)).await?;
                        lanes.push(Lane::from(lane));
                    }
                    Ok(lanes)
                })
            })
            .await
    }
}

fn slim(row: &Row, assignment: &AssignmentId) -> Result<SlimEvent, StoreError> {
    let cause: String = row.try_get(4)?;
    Ok(SlimEvent {
        sequence: Sequence(row.try_get(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        lane: Lane::from(row.try_get::<String, _>(2)?),
        event_type: Arc::from(row.try_get::<String, _>(3)?),
        cause: Cause::parse(&cause)
            .ok_or_else(|| StoreError::Corrupt { what: "cause", detail: cause.clone() })?,
        attempts: 0,
        not_before: None,
        only: Some(assignment.clone()),
    })
}
