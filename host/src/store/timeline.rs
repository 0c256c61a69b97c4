//! The timeline: everything that happened to a contact, newest last.

use super::{Store, StoreError};
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
    /// `event` and so on.
    pub kind: String,
    /// What happened.
    pub entry: serde_json::Value,
}

const LISTING: &str = "SELECT id, tenant, contact, at, sequence, kind, entry FROM timeline \
    WHERE tenant = $1 AND ($2 IS NULL OR contact = $2) AND id > $3 ORDER BY id LIMIT $4";

impl Store {
    /// A page of a tenant's timeline in the order of writing, after the given number; one contact's if named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_timeline(
        &self,
        tenant: &TenantId,
        contact: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<TimelineListing>, StoreError> {
        let rows = sqlx::query(LISTING)
            .bind(tenant.as_str().to_owned())
            .bind(contact.map(str::to_owned))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let entry: String = row.try_get(6)?;
                Ok(TimelineListing {
                    id: row.try_get(0)?,
                    tenant: row.try_get(1)?,
                    contact: row.try_get(2)?,
                    at: Timestamp::from_millis(row.try_get(3)?).to_rfc3339(),
                    sequence: row.try_get(4)?,
                    kind: row.try_get(5)?,
                    entry: serde_json::from_str(&entry)
                        .map_err(|error| StoreError::corrupt("timeline entry", &error))?,
                })
            })
            .collect()
    }
}
