//! What plugins remember and what they asked to be woken for; what runs were answered; events for Rankr.

use super::inbox::InboxRow;
use super::rows::{self, Binder, Shape};
use super::{Connection, Store, StoreError};
use crate::domain::{
    AssignmentId, ConnectionId, GhlId, Lane, PluginName, RankrId, Sequence, TenantId, Timestamp,
};
use serde::Serialize;
use sqlx::Row as _;
use std::collections::HashMap;

/// A state value to keep.
#[derive(Clone, Debug)]
pub struct StateRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin's.
    pub plugin: PluginName,
    /// The number of the state's layout.
    pub schema: u32,
    /// GHL's id of the contact; empty for the tenant's.
    pub contact: Option<GhlId>,
    /// The key.
    pub key: String,
    /// The value; none removes it.
    pub value: Option<Vec<u8>>,
    /// The version the run had read: the whole commit is refused when it is another now.
    pub seen: Option<i64>,
}

type StatePlace = (String, String, i64, String, String);

impl StateRow {
    fn place(&self) -> StatePlace {
        (
            self.tenant.as_str().to_owned(),
            self.plugin.as_str().to_owned(),
            i64::from(self.schema),
            self.contact.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            self.key.clone(),
        )
    }
}

/// Versions this group of commits has written already.
#[derive(Default)]
pub(super) struct Versions(HashMap<StatePlace, i64>);

impl Versions {
    /// Whether every value that these rows' runs had read is still the same; if so they count as written.
    pub(super) async fn admit(
        &mut self,
        connection: &mut Connection,
        rows: &[StateRow],
    ) -> Result<bool, StoreError> {
        let mut current = Vec::with_capacity(rows.len());
        for row in rows {
            let place = row.place();
            let version = match self.0.get(&place) {
                Some(version) => *version,
                None => sqlx::query_scalar(
                    "SELECT version FROM plugin_state WHERE tenant = $1 AND plugin = $2 AND state_schema = $3 \
                     AND contact = $4 AND key = $5",
                )
                .bind(place.0.clone())
                .bind(place.1.clone())
                .bind(place.2)
                .bind(place.3.clone())
                .bind(place.4.clone())
                .fetch_optional(&mut *connection)
                .await?
                .unwrap_or(0),
            };
            if row.seen.is_some_and(|seen| seen != version) {
                return Ok(false);
            }
            current.push((place, version + 1));
        }
        self.0.extend(current);
        Ok(true)
    }
}

/// Writes state values in the caller's transaction; a removed one keeps its version, so that nobody mistakes it.
pub(super) async fn put_state(connection: &mut Connection, rows: &[&StateRow]) -> Result<(), StoreError> {
    for row in rows {
        let place = row.place();
        sqlx::query(
            "INSERT INTO plugin_state (tenant, plugin, state_schema, contact, key, value, version) \
             VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (tenant, plugin, state_schema, contact, key) \
             DO UPDATE SET value = excluded.value, version = plugin_state.version + 1",
        )
        .bind(place.0)
        .bind(place.1)
        .bind(place.2)
        .bind(place.3)
        .bind(place.4)
        .bind(row.value.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// A later run a plugin asked for.
#[derive(Clone, Debug)]
pub struct ScheduleRow {
    /// Which assignment asked.
    pub assignment: AssignmentId,
    /// GHL's id of the contact.
    pub contact: Option<GhlId>,
    /// The author's name for it.
    pub key: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// On which connection.
    pub connection: ConnectionId,
    /// In which lane.
    pub lane: Lane,
    /// When; none cancels it.
    pub at: Option<Timestamp>,
    /// What it brings along, JSON.
    pub data: String,
}

/// Writes and cancels schedules in the caller's transaction.
pub(super) async fn put_schedules(
    connection: &mut Connection,
    rows: &[&ScheduleRow],
) -> Result<(), StoreError> {
    for row in rows {
        let contact = row.contact.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default();
        let Some(at) = row.at else {
            sqlx::query("DELETE FROM schedules WHERE assignment = $1 AND contact = $2 AND key = $3")
                .bind(row.assignment.as_str().to_owned())
                .bind(contact)
                .bind(row.key.clone())
                .execute(&mut *connection)
                .await?;
            continue;
        };
        sqlx::query(
            "INSERT INTO schedules (assignment, contact, key, tenant, connection, lane, at, data) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (assignment, contact, key) \
             DO UPDATE SET at = excluded.at, data = excluded.data, lane = excluded.lane, connection = excluded.connection",
        )
        .bind(row.assignment.as_str().to_owned())
        .bind(contact)
        .bind(row.key.clone())
        .bind(row.tenant.as_str().to_owned())
        .bind(row.connection.as_str().to_owned())
        .bind(row.lane.as_str().to_owned())
        .bind(at.millis())
        .bind(row.data.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// An event for Rankr.
#[derive(Clone, Debug)]
pub struct RankrEventRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// On which event it was made.
    pub sequence: Sequence,
    /// Which assignment made it.
    pub assignment: AssignmentId,
    /// Rankr's id of the contact.
    pub contact: Option<RankrId>,
    /// Its type.
    pub event_type: String,
    /// Its data, JSON.
    pub data: String,
    /// When.
    pub at: Timestamp,
}

const RANKR_EVENTS: Shape = Shape {
    head: "INSERT INTO rankr_events (tenant, sequence, assignment, contact, event_type, data, created_at)",
    columns: 7,
    tail: "",
};

fn bind_rankr_event(row: &RankrEventRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.sequence.0)
        .add(row.assignment.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.event_type.clone())
        .add(row.data.clone())
        .add(row.at.millis());
}

/// Writes events for Rankr in the caller's transaction.
pub(super) async fn put_rankr_events(
    connection: &mut Connection,
    rows: &[&RankrEventRow],
) -> Result<(), StoreError> {
    rows::insert(connection, RANKR_EVENTS, rows, |row, to| bind_rankr_event(row, to)).await
}

/// What a run was answered.
#[derive(Clone, Debug)]
pub struct RunReadRow {
    /// The event it ran on.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked, JSON.
    pub request: String,
    /// What was answered, JSON.
    pub answer: String,
    /// When.
    pub at: Timestamp,
}

const RUN_READS: Shape = Shape {
    head: "INSERT INTO run_reads (sequence, request, tenant, answer, read_at)",
    columns: 5,
    tail: "ON CONFLICT (sequence, request) DO UPDATE SET answer = excluded.answer, read_at = excluded.read_at",
};

/// Writes what runs were answered in the caller's transaction.
pub(super) async fn put_reads(connection: &mut Connection, rows: &[&RunReadRow]) -> Result<(), StoreError> {
    rows::insert(connection, RUN_READS, rows, |row, to| {
        to.add(row.sequence.0)
            .add(row.request.clone())
            .add(row.tenant.as_str().to_owned())
            .add(row.answer.clone())
            .add(row.at.millis());
    })
    .await
}

/// An event for Rankr as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RankrEventListing {
    /// Its number, growing as events are made.
    pub id: i64,
    /// Whose it is.
    pub tenant: String,
    /// The event it was made on.
    pub sequence: i64,
    /// Rankr's id of the contact.
    pub contact: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its data.
    pub data: serde_json::Value,
    /// When, RFC 3339.
    pub created_at: String,
}

impl Store {
    /// A state value and its version; 0 where it was never written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plugin_state(
        &self,
        tenant: &TenantId,
        plugin: &str,
        schema: u32,
        contact: Option<&GhlId>,
        key: &str,
    ) -> Result<(Option<Vec<u8>>, i64), StoreError> {
        let row: Option<(Option<Vec<u8>>, i64)> = sqlx::query_as(
            "SELECT value, version FROM plugin_state WHERE tenant = $1 AND plugin = $2 AND state_schema = $3 \
             AND contact = $4 AND key = $5",
        )
        .bind(tenant.as_str().to_owned())
        .bind(plugin.to_owned())
        .bind(i64::from(schema))
        .bind(contact.map(|id| id.as_str().to_owned()).unwrap_or_default())
        .bind(key.to_owned())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.unwrap_or((None, 0)))
    }

    /// Schedules that are due, oldest first, but for paused tenants'. Cross-tenant: one clock wakes all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_schedules(&self, now: Timestamp, limit: i64) -> Result<Vec<ScheduleRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT assignment, contact, key, tenant, connection, lane, at, data FROM schedules WHERE at <= $1 \
             AND tenant NOT IN (SELECT id FROM tenants WHERE state = 'paused') ORDER BY at LIMIT $2",
        )
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let contact: String = row.try_get(1)?;
                Ok(ScheduleRow {
                    assignment: AssignmentId::from(row.try_get::<String, _>(0)?),
                    contact: (!contact.is_empty()).then(|| GhlId::from(contact)),
                    key: row.try_get(2)?,
                    tenant: TenantId::from(row.try_get::<String, _>(3)?),
                    connection: ConnectionId::from(row.try_get::<String, _>(4)?),
                    lane: Lane::from(row.try_get::<String, _>(5)?),
                    at: Some(Timestamp::from_millis(row.try_get(6)?)),
                    data: row.try_get(7)?,
                })
            })
            .collect()
    }

    /// When the next schedule is due, but for paused tenants'. Cross-tenant: one clock wakes all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_schedule(&self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT at FROM schedules WHERE tenant NOT IN (SELECT id FROM tenants WHERE state = 'paused') \
             ORDER BY at LIMIT 1",
        )
        .fetch_optional(&self.readers)
        .await?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Makes due schedules into events and takes them off the list, in one commit; `TenantId` is each row's own.
    ///
    /// # Errors
    /// When the database fails; then nothing of it is stored.
    pub async fn fire_schedules(
        &self,
        fired: Vec<(ScheduleRow, Option<InboxRow>)>,
    ) -> Result<(), StoreError> {
        let mut commit = super::EventCommit::default();
        for (mut schedule, event) in fired {
            schedule.at = None;
            commit.schedules.push(schedule);
            commit.inbox.extend(event);
        }
        self.commit_event(commit).await
    }

    /// How many schedules a contact has of an assignment. Cross-tenant: an assignment is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_schedules(
        &self,
        assignment: &AssignmentId,
        contact: &GhlId,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM schedules WHERE assignment = $1 AND contact = $2")
            .bind(assignment.as_str().to_owned())
            .bind(contact.as_str().to_owned())
            .fetch_one(&self.readers)
            .await?)
    }

    /// A page of a tenant's events for Rankr, in the order they were made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_rankr_events(
        &self,
        tenant: &TenantId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RankrEventListing>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, tenant, sequence, contact, event_type, data, created_at FROM rankr_events \
             WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(tenant.as_str().to_owned())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let data: String = row.try_get(5)?;
                Ok(RankrEventListing {
                    id: row.try_get(0)?,
                    tenant: row.try_get(1)?,
                    sequence: row.try_get(2)?,
                    contact: row.try_get(3)?,
                    event_type: row.try_get(4)?,
                    data: serde_json::from_str(&data)
                        .map_err(|error| StoreError::corrupt("event", &error))?,
                    created_at: Timestamp::from_millis(row.try_get(6)?).to_rfc3339(),
                })
            })
            .collect()
    }
}
