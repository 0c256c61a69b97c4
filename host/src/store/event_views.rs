//! Events as people and programs look at them: lists by what is asked for, and one with its payload.

use super::events::EventListing;
use super::filter::Filter;
use super::{Row, Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use sqlx::Row as _;

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only in this state.
    pub state: Option<EventState>,
    /// Only of this contact, by Rankr's id; the tenant must be given.
    pub contact: Option<String>,
    /// The newest first.
    pub newest_first: bool,
    /// After the event of that sequence, in the order of the list.
    pub after: Option<i64>,
}

/// How an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventState {
    /// Stored, not begun.
    Received,
    /// To be tried again.
    Waiting,
    /// Ended well.
    Done,
    /// At least one plugin finally failed.
    Dead,
}

impl EventState {
    /// The state for a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "received" => Some(Self::Received),
            "waiting" => Some(Self::Waiting),
            "done" => Some(Self::Done),
            "dead" => Some(Self::Dead),
            _ => None,
        }
    }
}

/// An event with what it brought.
#[derive(Clone, Debug)]
pub struct EventDetail {
    /// The event.
    pub event: EventListing,
    /// The payload as it came.
    pub body: String,
    /// When it is tried again.
    pub next_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str = "i.sequence, i.tenant, i.connection, i.event_type, i.cause, i.lane, i.webhook_id, i.received_at, \
    i.source_time, coalesce(e.state, 'received'), e.run_order, e.folded_into, coalesce(e.attempts, 0)";
const HEAD: &str = "SELECT i.sequence, i.tenant, i.connection, i.event_type, i.cause, i.lane, i.webhook_id, i.received_at, \
    i.source_time, coalesce(e.state, 'received'), e.run_order, e.folded_into, coalesce(e.attempts, 0) \
    FROM inbox i LEFT JOIN events e ON e.sequence = i.sequence";
/// Those that were begun, through what is kept of how they ended.
const BEGUN: &str = "SELECT i.sequence, i.tenant, i.connection, i.event_type, i.cause, i.lane, i.webhook_id, i.received_at, \
    i.source_time, e.state, e.run_order, e.folded_into, e.attempts FROM events e CROSS JOIN inbox i ON i.sequence = e.sequence";
/// Up to there every event had ended when it was noted, so that those not begun lie behind it.
const NOT_BEGUN: &str = "e.sequence IS NULL AND i.sequence > coalesce((SELECT value FROM progress WHERE name = 'ended_up_to'), 0)";

/// The statements whose pages together, in their order, are the page.
pub(super) fn listing(filter: &EventFilter, limit: i64) -> Vec<Filter> {
    let tenant = filter.tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
    let mut parts = Vec::new();
    if let (Some(tenant), Some(contact)) = (&tenant, &filter.contact) {
        let mut sql = Filter::new(HEAD);
        sql.text(" AND i.sequence IN (SELECT sequence FROM timeline WHERE ");
        sql.with("tenant = ?", tenant.clone());
        sql.with(" AND contact = ?)", contact.clone());
        sql.and("+i.tenant = ?", tenant.clone());
        match filter.state {
            None => {}
            Some(EventState::Received) => sql.text(" AND e.sequence IS NULL"),
            Some(state) => sql.and("e.state = ?", word(state)),
        }
        parts.push((sql, "i.sequence"));
    } else if tenant.is_none() && filter.state.is_none() {
        parts.push((Filter::new(HEAD), "i.sequence"));
    } else {
        if filter.state != Some(EventState::Received) {
            let mut sql = Filter::new(BEGUN);
            // Said as text, so that the partial index over what is not done can be used.
            match filter.state {
                Some(EventState::Waiting) => sql.text(" AND e.state = 'waiting' AND e.state <> 'done'"),
                Some(EventState::Dead) => sql.text(" AND e.state = 'dead' AND e.state <> 'done'"),
                Some(EventState::Done) => sql.text(" AND +e.state = 'done'"),
                Some(EventState::Received) | None => {}
            }
            if let Some(tenant) = &tenant {
                let open = matches!(filter.state, Some(EventState::Waiting | EventState::Dead));
                sql.and(if open { "+e.tenant = ?" } else { "e.tenant = ?" }, tenant.clone());
            }
            parts.push((sql, "e.sequence"));
        }
        if matches!(filter.state, None | Some(EventState::Received)) {
            let mut sql = Filter::new(HEAD);
            sql.text(" AND ");
            sql.text(NOT_BEGUN);
            if let Some(tenant) = &tenant {
                sql.and("i.tenant = ?", tenant.clone());
            }
            parts.push((sql, "i.sequence"));
        }
    }
    parts
        .into_iter()
        .map(|(mut sql, column)| {
            match (filter.after, filter.newest_first) {
                (Some(after), false) => sql.with(&format!(" AND {column} > ?"), after),
                (Some(after), true) => sql.with(&format!(" AND {column} < ?"), after),
                (None, _) => {}
            }
            sql.text(&format!(" ORDER BY {column}{}", if filter.newest_first { " DESC" } else { "" }));
            sql.with(" LIMIT ?", limit);
            sql
        })
        .collect()
}

fn word(state: EventState) -> &'static str {
    match state {
        EventState::Received => "received",
        EventState::Waiting => "waiting",
        EventState::Done => "done",
        EventState::Dead => "dead",
    }
}

fn event(row: &Row) -> Result<EventListing, StoreError> {
    Ok(EventListing {
        sequence: row.try_get(0)?,
        tenant: row.try_get(1)?,
        connection: row.try_get(2)?,
        event_type: row.try_get(3)?,
        cause: row.try_get(4)?,
        lane: row.try_get(5)?,
        webhook_id: row.try_get(6)?,
        received_at: Timestamp::from_millis(row.try_get(7)?).to_rfc3339(),
        source_time: Timestamp::from_millis(row.try_get(8)?).to_rfc3339(),
        state: row.try_get(9)?,
        run_order: row.try_get(10)?,
        folded_into: row.try_get(11)?,
        attempts: row.try_get(12)?,
    })
}

impl Store {
    /// A page of events; `TenantId` is the filter's, all tenants' when it names none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_events(
        &self,
        filter: &EventFilter,
        limit: i64,
    ) -> Result<Vec<EventListing>, StoreError> {
        let mut found: Vec<EventListing> = Vec::new();
        for part in listing(filter, limit) {
            for row in part.rows(self).await? {
                found.push(event(&row)?);
            }
        }
        // An event that began between the statements is in both.
        found.sort_by_key(|event| event.sequence);
        found.dedup_by_key(|event| event.sequence);
        if filter.newest_first {
            found.reverse();
        }
        found.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(found)
    }

    /// The first sequence that was received at or after that time; sequences and times grow together. Cross-tenant:
    /// there is one order of ingest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_received(&self, at: Timestamp) -> Result<i64, StoreError> {
        let mut high: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) + 1 FROM inbox")
            .fetch_one(&self.readers)
            .await?;
        let mut low = 1;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<(i64, i64)> = sqlx::query_as(
                "SELECT sequence, received_at FROM inbox WHERE sequence >= $1 ORDER BY sequence LIMIT 1",
            )
            .bind(middle)
            .fetch_optional(&self.readers)
            .await?;
            match found {
                Some((sequence, received_at)) if received_at < at.millis() => low = sequence + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// An event with its payload. Cross-tenant: the event says whose it is, and who asks is checked against that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn event_detail(&self, sequence: i64) -> Result<Option<EventDetail>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, i.body, e.next_at, e.ended_at FROM inbox i \
             LEFT JOIN events e ON e.sequence = i.sequence WHERE i.sequence = $1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sequence).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(EventDetail {
            event: event(&row)?,
            body: row.try_get(13)?,
            next_at: row.try_get::<Option<i64>, _>(14)?.map(Timestamp::from_millis),
            ended_at: row.try_get::<Option<i64>, _>(15)?.map(Timestamp::from_millis),
        }))
    }

    /// Events that were done in one run with that one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn folded_into(&self, tenant: &TenantId, sequence: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT sequence FROM events WHERE folded_into = $1 AND tenant = $2 ORDER BY sequence",
        )
        .bind(sequence)
        .bind(tenant.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?)
    }
}
