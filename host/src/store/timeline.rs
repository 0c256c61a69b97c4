//! The timeline: everything that happened to a contact.

use super::filter::Filter;
use super::{Row, Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A timeline entry as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TimelineListing {
    /// Its number, growing as entries are written.
    pub id: i64,
    /// Whose it is.
    pub tenant: String,
    /// Rankr's id of the contact it belongs to.
    pub contact: Option<String>,
    /// When it happened, RFC 3339.
    pub at: String,
    /// The event it came from.
    pub sequence: i64,
    /// `event`, `entry` or `effect`.
    pub kind: String,
    /// What happened.
    pub entry: serde_json::Value,
}

impl TimelineListing {
    /// When it happened, milliseconds since 1970.
    #[must_use]
    pub fn millis(&self) -> i64 {
        Timestamp::parse(&self.at).unwrap_or_default().millis()
    }
}

/// In which order entries are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimelineOrder {
    /// As they were written: who follows the timeline misses nothing.
    #[default]
    Written,
    /// What happened last comes first.
    Newest,
    /// What happened first comes first.
    Oldest,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct TimelineFilter {
    /// Only of this contact, by Rankr's id.
    pub contact: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// In which order.
    pub order: TimelineOrder,
    /// After the entry of that time and number; only the number counts in the order of writing.
    pub after: Option<(i64, i64)>,
}

const HEAD: &str = "SELECT id, tenant, contact, at, sequence, kind, entry FROM timeline";

pub(super) fn listing(tenant: &TenantId, filter: &TimelineFilter, limit: i64) -> Filter {
    let mut sql = Filter::new(HEAD);
    sql.and("tenant = ?", tenant.as_str().to_owned());
    if let Some(contact) = &filter.contact {
        sql.and("contact = ?", contact.clone());
    }
    if let Some(kind) = &filter.kind {
        sql.and("+kind = ?", kind.clone());
    }
    // In the order of writing, times are looked at on the way and not searched for.
    let (from, to) = match filter.order {
        TimelineOrder::Written => ("+at >= ?", "+at < ?"),
        TimelineOrder::Newest | TimelineOrder::Oldest => ("at >= ?", "at < ?"),
    };
    if let Some(at) = filter.from {
        sql.and(from, at.millis());
    }
    if let Some(at) = filter.to {
        sql.and(to, at.millis());
    }
    let order = match (filter.order, filter.after) {
        (TimelineOrder::Written, after) => {
            sql.and("id > ?", after.map_or(0, |(_, id)| id));
            " ORDER BY id"
        }
        (TimelineOrder::Newest, after) => {
            if let Some(after) = after {
                sql.and_pair("(at, id) < (?, ?)", after);
            }
            " ORDER BY at DESC, id DESC"
        }
        (TimelineOrder::Oldest, after) => {
            if let Some(after) = after {
                sql.and_pair("(at, id) > (?, ?)", after);
            }
            " ORDER BY at, id"
        }
    };
    sql.text(order);
    sql.with(" LIMIT ?", limit);
    sql
}

fn entry(row: &Row) -> Result<TimelineListing, StoreError> {
    let entry: String = row.try_get(6)?;
    Ok(TimelineListing {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        contact: row.try_get(2)?,
        at: Timestamp::from_millis(row.try_get(3)?).to_rfc3339(),
        sequence: row.try_get(4)?,
        kind: row.try_get(5)?,
        entry: serde_json::from_str(&entry).map_err(|error| StoreError::corrupt("timeline entry", &error))?,
    })
}

impl Store {
    /// A page of a tenant's timeline.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_timeline(
        &self,
        tenant: &TenantId,
        filter: &TimelineFilter,
        limit: i64,
    ) -> Result<Vec<TimelineListing>, StoreError> {
        listing(tenant, filter, limit).rows(self).await?.iter().map(entry).collect()
    }

    /// All entries of an event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timeline_of(
        &self,
        tenant: &TenantId,
        sequence: i64,
    ) -> Result<Vec<TimelineListing>, StoreError> {
        of_event(tenant, sequence).rows(self).await?.iter().map(entry).collect()
    }
}

pub(super) fn of_event(tenant: &TenantId, sequence: i64) -> Filter {
    let mut sql = Filter::new(HEAD);
    sql.and("sequence = ?", sequence);
    sql.and("+tenant = ?", tenant.as_str().to_owned());
    sql.text(" ORDER BY id");
    sql
}
