//! Polled connections: how far each was polled, and each of its objects as it was last seen. Both are written together with
//! the events they stand for.

use super::inbox::InboxRow;
use super::rows::{self, Binder, Shape};
use super::{Connection, EventCommit, Row, Store, StoreError};
use crate::domain::{ConnectionId, GhlId, LocationId, ObjectKind, TenantId, Timestamp};
use sqlx::Row as _;
use std::collections::HashMap;
use std::time::Duration;

/// How far a connection was polled.
#[derive(Clone, Debug)]
pub struct PollingRow {
    /// Which connection.
    pub connection: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Watermarks and cursors, JSON.
    pub progress: String,
    /// Passes that ended well.
    pub passes: i64,
    /// When the last pass began.
    pub began_at: Option<Timestamp>,
    /// When the last pass ended.
    pub ended_at: Option<Timestamp>,
    /// When the next is due.
    pub next_at: Timestamp,
    /// When the first complete pass ended.
    pub backfilled_at: Option<Timestamp>,
    /// What was changed in GHL before this moment has been found.
    pub covers_until: Option<Timestamp>,
    /// Events by kind of object, JSON.
    pub found: String,
    /// Calls of GHL so far.
    pub calls: i64,
    /// Why the last pass could not go on.
    pub failure: Option<String>,
    /// Since when.
    pub failed_at: Option<Timestamp>,
    /// What the key could read when it was last tried, JSON.
    pub self_test: Option<String>,
}

/// An object as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct PolledRow {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// GHL's id of its contact.
    pub contact: Option<GhlId>,
    /// The same for the same state.
    pub version: String,
    /// Fingerprints of parts that have event types of their own.
    pub parts: String,
    /// When it was so, by GHL's time or our own.
    pub source_time: Timestamp,
    /// How often it changed.
    pub changes: i64,
    /// The last complete listing it was seen in.
    pub round: i64,
    /// When an appointment begins.
    pub starts_at: Option<Timestamp>,
    /// When what belongs to a contact was last read.
    pub visited_at: Option<Timestamp>,
    /// By what order it is read next.
    pub due_at: i64,
    /// When it was found deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A step of a pass: what was found and how far it goes, one commit.
#[derive(Clone, Debug)]
pub struct PollingStep {
    /// How far.
    pub polling: PollingRow,
    /// Objects as they were seen now.
    pub seen: Vec<PolledRow>,
    /// Contacts with writes of ours whose echo has not come are read next.
    pub touch_answered: bool,
}

/// Where a missing object is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// What it is.
    pub kind: ObjectKind,
    /// Seen last in a listing before this one.
    pub round: i64,
    /// Appointments that begin between these moments only.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// A connection that is to be polled now.
#[derive(Clone, Debug)]
pub struct DuePolling {
    /// Which.
    pub connection: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// GHL's location.
    pub location: LocationId,
    /// `checking`, `active` or `reconnect-needed`.
    pub state: String,
    /// Scopes, space separated.
    pub scopes: String,
}

/// An echo that has not come after this long is not hurried any more.
const EXPECTED: Duration = Duration::from_secs(3600);

const POLLING: Shape = Shape {
    head: "INSERT INTO polling (connection, tenant, progress, passes, began_at, ended_at, next_at, backfilled_at, \
           covers_until, found, calls, failure, failed_at, self_test)",
    columns: 14,
    tail: "ON CONFLICT (connection) DO UPDATE SET progress = excluded.progress, passes = excluded.passes, \
           began_at = excluded.began_at, ended_at = excluded.ended_at, next_at = excluded.next_at, \
           backfilled_at = excluded.backfilled_at, covers_until = excluded.covers_until, found = excluded.found, \
           calls = excluded.calls, failure = excluded.failure, failed_at = excluded.failed_at, \
           self_test = excluded.self_test",
};

const POLLED: Shape = Shape {
    head: "INSERT INTO polled (connection, kind, ghl_id, tenant, contact, version, parts, source_time, changes, round, \
           starts_at, visited_at, due_at, deleted_at)",
    columns: 14,
    tail: "ON CONFLICT (connection, kind, ghl_id) DO UPDATE SET contact = excluded.contact, version = excluded.version, \
           parts = excluded.parts, source_time = excluded.source_time, changes = excluded.changes, \
           round = excluded.round, starts_at = excluded.starts_at, visited_at = excluded.visited_at, \
           due_at = excluded.due_at, deleted_at = excluded.deleted_at",
};

const SELECT: &str = "SELECT kind, ghl_id, contact, version, parts, source_time, changes, round, starts_at, visited_at, \
    due_at, deleted_at FROM polled";

fn bind_polling(row: &PollingRow, to: &mut Binder) {
    to.add(row.connection.as_str().to_owned())
        .add(row.tenant.as_str().to_owned())
        .add(row.progress.clone())
        .add(row.passes)
        .add(row.began_at.map(Timestamp::millis))
        .add(row.ended_at.map(Timestamp::millis))
        .add(row.next_at.millis())
        .add(row.backfilled_at.map(Timestamp::millis))
        .add(row.covers_until.map(Timestamp::millis))
        .add(row.found.clone())
        .add(row.calls)
        .add(row.failure.clone())
        .add(row.failed_at.map(Timestamp::millis))
        .add(row.self_test.clone());
}

fn bind_polled((polling, row): &(&PollingRow, &PolledRow), to: &mut Binder) {
    to.add(polling.connection.as_str().to_owned())
        .add(row.kind.as_str())
        .add(row.ghl_id.as_str().to_owned())
        .add(polling.tenant.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.version.clone())
        .add(row.parts.clone())
        .add(row.source_time.millis())
        .add(row.changes)
        .add(row.round)
        .add(row.starts_at.map(Timestamp::millis))
        .add(row.visited_at.map(Timestamp::millis))
        .add(row.due_at)
        .add(row.deleted_at.map(Timestamp::millis));
}

fn polled(row: &Row) -> Result<PolledRow, StoreError> {
    let kind: String = row.try_get(0)?;
    let id: String = row.try_get(1)?;
    let contact: Option<String> = row.try_get(2)?;
    let time = |place: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(place)?.map(Timestamp::from_millis))
    };
    Ok(PolledRow {
        kind: ObjectKind::parse(&kind),
        ghl_id: GhlId::from(id),
        contact: contact.map(GhlId::from),
        version: row.try_get(3)?,
        parts: row.try_get(4)?,
        source_time: time(5)?.unwrap_or_default(),
        changes: row.try_get(6)?,
        round: row.try_get(7)?,
        starts_at: time(8)?,
        visited_at: time(9)?,
        due_at: row.try_get(10)?,
        deleted_at: time(11)?,
    })
}

/// Writes steps in the caller's transaction.
pub(super) async fn write(connection: &mut Connection, steps: &[&PollingStep]) -> Result<(), StoreError> {
    for step in steps {
        let polling = &step.polling;
        rows::insert(connection, POLLING, &[polling], |row, to| bind_polling(row, to)).await?;
        let seen: Vec<_> = step.seen.iter().map(|row| (polling, row)).collect();
        rows::insert(connection, POLLED, &seen, bind_polled).await?;
        if step.touch_answered {
            sqlx::query(
                "UPDATE polled SET due_at = 0 WHERE connection = $1 AND tenant = $2 AND kind = 'contact' \
                 AND deleted_at IS NULL AND ghl_id IN (SELECT m.contact FROM mirror m WHERE m.connection = $1 \
                 AND m.answered <> '{}' AND (SELECT max(w.value ->> 0) FROM json_each(m.answered) w) > $3)",
            )
            .bind(polling.connection.as_str().to_owned())
            .bind(polling.tenant.as_str().to_owned())
            .bind(polling.began_at.unwrap_or_default().minus(EXPECTED).millis())
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

impl Store {
    /// Commits a step of a pass with the events it found. Cross-tenant: a step names its tenant.
    ///
    /// # Errors
    /// When the commit failed: then nothing of it is stored.
    pub async fn commit_polling(&self, step: PollingStep, found: Vec<InboxRow>) -> Result<(), StoreError> {
        let commit = EventCommit { inbox: found, polling: vec![step], ..EventCommit::default() };
        self.commit_event(commit).await
    }

    /// Connections with an API key whose next pass is due. Cross-tenant: the poller works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_pollings(&self, now: Timestamp) -> Result<Vec<DuePolling>, StoreError> {
        let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(
            "SELECT c.id, c.tenant, c.location, c.state, c.scopes FROM connections c \
             LEFT JOIN polling p ON p.connection = c.id WHERE c.kind = 'api-key' \
             AND c.state IN ('checking', 'active', 'reconnect-needed') AND coalesce(p.next_at, 0) <= $1 ORDER BY c.id",
        )
        .bind(now.millis())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(connection, tenant, location, state, scopes)| DuePolling {
                connection: ConnectionId::from(connection),
                tenant: TenantId::from(tenant),
                location: LocationId::from(location),
                state,
                scopes,
            })
            .collect())
    }

    /// How far a connection was polled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn polling(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
    ) -> Result<Option<PollingRow>, StoreError> {
        let row = sqlx::query(
            "SELECT progress, passes, began_at, ended_at, next_at, backfilled_at, covers_until, found, calls, failure, \
             failed_at, self_test FROM polling WHERE connection = $1 AND tenant = $2",
        )
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let time = |place: usize| -> Result<Option<Timestamp>, StoreError> {
            Ok(row.try_get::<Option<i64>, _>(place)?.map(Timestamp::from_millis))
        };
        Ok(Some(PollingRow {
            connection: connection.clone(),
            tenant: tenant.clone(),
            progress: row.try_get(0)?,
            passes: row.try_get(1)?,
            began_at: time(2)?,
            ended_at: time(3)?,
            next_at: time(4)?.unwrap_or_default(),
            backfilled_at: time(5)?,
            covers_until: time(6)?,
            found: row.try_get(7)?,
            calls: row.try_get(8)?,
            failure: row.try_get(9)?,
            failed_at: time(10)?,
            self_test: row.try_get(11)?,
        }))
    }

    /// These objects as they were last seen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn polled(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ObjectKind,
        ids: &[&str],
    ) -> Result<HashMap<GhlId, PolledRow>, StoreError> {
        let list = serde_json::to_string(ids).map_err(|error| StoreError::corrupt("object id", &error))?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE connection = $1 AND tenant = $2 AND kind = $3 AND ghl_id IN (SELECT value FROM json_each($4))"
        )))
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .bind(kind.as_str())
        .bind(list)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| polled(row).map(|row| (row.ghl_id.clone(), row))).collect()
    }

    /// What is known to belong to a contact and is not deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn polled_of_contact(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        contact: &GhlId,
    ) -> Result<Vec<PolledRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE connection = $1 AND tenant = $2 AND contact = $3 AND contact IS NOT NULL AND deleted_at IS NULL"
        )))
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .bind(contact.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(polled).collect()
    }

    /// Objects that the last complete listing did not show.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn polled_missing(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        missing: Missing,
        limit: i64,
    ) -> Result<Vec<PolledRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE connection = $1 AND tenant = $2 AND kind = $3 AND round < $4 AND deleted_at IS NULL \
             AND ($5 IS NULL OR starts_at BETWEEN $5 AND $6) ORDER BY round, ghl_id LIMIT $7"
        )))
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .bind(missing.kind.as_str())
        .bind(missing.round)
        .bind(missing.window.map(|(from, _)| from.millis()))
        .bind(missing.window.map(|(_, to)| to.millis()))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(polled).collect()
    }

    /// Contacts by the order in which what belongs to them is to be read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn polled_due(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<PolledRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE connection = $1 AND tenant = $2 AND kind = 'contact' AND deleted_at IS NULL AND due_at < $3 \
             ORDER BY due_at, ghl_id LIMIT $4"
        )))
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .bind(before.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(polled).collect()
    }

    /// The oldest visit of all contacts, 0 where one was never visited; none where there is no contact.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_visit(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT min(coalesce(visited_at, 0)) FROM polled WHERE connection = $1 AND tenant = $2 \
             AND kind = 'contact' AND deleted_at IS NULL",
        )
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .fetch_one(&self.readers)
        .await?;
        Ok(oldest.map(Timestamp::from_millis))
    }

    /// Makes the next pass due at once and forgets how the key was tried.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hasten_polling(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
    ) -> Result<(), StoreError> {
        let (tenant, connection) = (tenant.as_str().to_owned(), connection.as_str().to_owned());
        self.writer
            .work(move |writing| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE polling SET next_at = 0, self_test = NULL, failure = NULL, failed_at = NULL \
                         WHERE connection = $1 AND tenant = $2",
                    )
                    .bind(connection)
                    .bind(tenant)
                    .execute(writing)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Stores what a key could read, and when the next pass is due; `TenantId` is the connection's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_polling(&self, polling: PollingRow) -> Result<(), StoreError> {
        let step = PollingStep { polling, seen: Vec::new(), touch_answered: false };
        self.commit_polling(step, Vec::new()).await
    }
}
