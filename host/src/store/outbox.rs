//! The outbox: effects that wait for GHL, how they go on, and what GHL answered.

use super::{Connection, Store, StoreError};
use crate::domain::{
    AssignmentId, Cause, ConnectionId, GhlId, Lane, ObjectKind, Sequence, TenantId, Timestamp,
};
use sqlx::Row as _;

/// How a sent effect ended, or that it goes on.
#[derive(Clone, Debug)]
pub enum EffectMark {
    /// It is about to be sent, for the given time.
    Sending {
        /// Which.
        id: i64,
        /// When.
        at: Timestamp,
    },
    /// It is tried again then.
    Waiting {
        /// Which.
        id: i64,
        /// When.
        until: Timestamp,
        /// Whether the try counts.
        counts: bool,
        /// Why.
        detail: String,
    },
    /// It has ended.
    Ended {
        /// Which.
        id: i64,
        /// `done`, `refused`, `dead`, `unclear`, or `held` until what it names is settled.
        state: &'static str,
        /// GHL's id of what it made or changed.
        ghl_id: Option<GhlId>,
        /// Why it did not end well.
        detail: Option<String>,
        /// When.
        at: Timestamp,
    },
}

/// Marks effects in the caller's transaction.
pub(super) async fn mark(connection: &mut Connection, marks: &[&EffectMark]) -> Result<(), StoreError> {
    for mark in marks {
        let query = match mark {
            EffectMark::Sending { id, at } => sqlx::query(
                "UPDATE effects SET state = 'sending', sending_at = $2, attempts = attempts + 1 \
                 WHERE id = $1 AND state IN ('waiting', 'sending')",
            )
            .bind(*id)
            .bind(at.millis()),
            EffectMark::Waiting { id, until, counts, detail } => sqlx::query(
                "UPDATE effects SET state = 'waiting', next_at = $2, attempts = attempts - $3, detail = $4 \
                 WHERE id = $1 AND state IN ('waiting', 'sending')",
            )
            .bind(*id)
            .bind(until.millis())
            .bind(i64::from(!*counts))
            .bind(detail.clone()),
            EffectMark::Ended { id, state, ghl_id, detail, at } => sqlx::query(
                "UPDATE effects SET state = $2, ghl_id = coalesce($3, ghl_id), detail = $4, ended_at = $5, next_at = NULL \
                 WHERE id = $1 AND state IN ('waiting', 'sending', 'unclear')",
            )
            .bind(*id)
            .bind(*state)
            .bind(ghl_id.as_ref().map(|id| id.as_str().to_owned()))
            .bind(detail.clone())
            .bind((*state != "held").then(|| at.millis())),
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What GHL answered to one of our writes, kept beside the mirror until its echo came.
#[derive(Clone, Debug)]
pub struct AnsweredRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection.
    pub connection: ConnectionId,
    /// What kind of object.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// GHL's id of its contact.
    pub contact: Option<GhlId>,
    /// A JSON merge patch (RFC 7396) of what is kept.
    pub patch: String,
}

/// Merges answers in the caller's transaction.
pub(super) async fn answered(connection: &mut Connection, rows: &[&AnsweredRow]) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "INSERT INTO mirror (tenant, connection, kind, ghl_id, contact, fields, answered) \
             VALUES ($1, $2, $3, $4, $5, '{}', json_patch('{}', $6)) ON CONFLICT (connection, kind, ghl_id) DO UPDATE SET \
             contact = coalesce(mirror.contact, excluded.contact), answered = json_patch(coalesce(mirror.answered, '{}'), $6)",
        )
        .bind(row.tenant.as_str().to_owned())
        .bind(row.connection.as_str().to_owned())
        .bind(row.kind.as_str())
        .bind(row.ghl_id.as_str().to_owned())
        .bind(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .bind(row.patch.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// An effect at the head of its lane, ready to be looked at.
#[derive(Clone, Debug)]
pub struct OpenEffect {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is done.
    pub connection: ConnectionId,
    /// Which assignment asked for it.
    pub assignment: AssignmentId,
    /// On which event.
    pub sequence: Sequence,
    /// The same for the same effect.
    pub effect_key: String,
    /// The author's name for it.
    pub author_key: Option<String>,
    /// The lane whose order it keeps.
    pub lane: Lane,
    /// GHL's id of the event's contact.
    pub contact: Option<GhlId>,
    /// The event's cause.
    pub cause: Cause,
    /// What is to be done, JSON.
    pub content: String,
    /// The effect whose result it names.
    pub after_key: Option<String>,
    /// Whether it was being sent when the process ended.
    pub sending_since: Option<Timestamp>,
    /// Tries so far.
    pub attempts: i64,
    /// When it is due.
    pub due: Option<Timestamp>,
    /// When it was planned.
    pub created_at: Timestamp,
}

const HEADS: &str = "SELECT id, tenant, connection, assignment, sequence, effect_key, author_key, lane, contact, cause, \
    content, after_key, CASE state WHEN 'sending' THEN sending_at END, attempts, next_at, created_at FROM effects e \
    WHERE state IN ('waiting', 'sending') AND tenant NOT IN (SELECT id FROM tenants WHERE state = 'paused') AND NOT EXISTS (SELECT 1 FROM effects ahead WHERE ahead.lane = e.lane \
    AND ahead.id < e.id AND ahead.state IN ('waiting', 'sending')) ORDER BY id LIMIT $1";

impl Store {
    /// The first open effect of each lane, oldest first, but for paused tenants'. Cross-tenant: the outbox works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_heads(&self, limit: i64) -> Result<Vec<OpenEffect>, StoreError> {
        let rows = sqlx::query(HEADS).bind(limit).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                let cause: String = row.try_get(9)?;
                Ok(OpenEffect {
                    id: row.try_get(0)?,
                    tenant: TenantId::from(row.try_get::<String, _>(1)?),
                    connection: ConnectionId::from(row.try_get::<String, _>(2)?),
                    assignment: AssignmentId::from(row.try_get::<String, _>(3)?),
                    sequence: Sequence(row.try_get(4)?),
                    effect_key: row.try_get(5)?,
                    author_key: row.try_get(6)?,
                    lane: Lane::from(row.try_get::<String, _>(7)?),
                    contact: row.try_get::<Option<String>, _>(8)?.map(GhlId::from),
                    cause: Cause::parse(&cause)
                        .ok_or_else(|| StoreError::Corrupt { what: "cause", detail: cause.clone() })?,
                    content: row.try_get(10)?,
                    after_key: row.try_get(11)?,
                    sending_since: row.try_get::<Option<i64>, _>(12)?.map(Timestamp::from_millis),
                    attempts: row.try_get(13)?,
                    due: row.try_get::<Option<i64>, _>(14)?.map(Timestamp::from_millis),
                    created_at: Timestamp::from_millis(row.try_get(15)?),
                })
            })
            .collect()
    }

    /// How many effects wait or are being sent. Cross-tenant: for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_open_effects(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM effects WHERE state IN ('waiting', 'sending')")
            .fetch_one(&self.readers)
            .await?)
    }
}
