//! Dead letters: assignments that failed for good on an event, until a person or a retry settles them.

use super::{Row, Store, StoreError};
use crate::domain::{Sequence, TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A dead letter as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeadLetterListing {
    /// Whose it is.
    pub tenant: String,
    /// On which event.
    pub sequence: i64,
    /// The event's type.
    pub event_type: String,
    /// The event's lane.
    pub lane: String,
    /// Which assignment failed.
    pub assignment: String,
    /// The plugin it uses.
    pub plugin: Option<String>,
    /// The version that failed last.
    pub version: String,
    /// The outcome's word: `trap`, `out-of-fuel`, `unmappable` and so on.
    pub outcome: String,
    /// What failed, with the plugin's own backtrace where there is one.
    pub detail: String,
    /// When it failed last, RFC 3339.
    pub died_at: String,
    /// When it was settled, RFC 3339.
    pub resolved_at: Option<String>,
    /// `retried` or `dismissed`.
    pub resolution: Option<String>,
    /// Why a person dismissed it.
    pub reason: Option<String>,
    /// The rerun that tries it now.
    pub retrying: Option<String>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only these: open, resolved; all if none.
    pub open: Option<bool>,
    /// Only of this assignment.
    pub assignment: Option<String>,
    /// Only of this plugin.
    pub plugin: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Only of this event.
    pub sequence: Option<i64>,
    /// After this event and assignment.
    pub after: (i64, String),
}

const LISTING: &str = "SELECT d.tenant, d.sequence, coalesce(i.event_type, ''), coalesce(i.lane, ''), d.assignment, a.plugin, \
    d.version, d.outcome, d.detail, d.died_at, d.resolved_at, d.resolution, d.reason, \
    (SELECT r.id FROM reruns r WHERE r.tenant = d.tenant AND r.sequence = d.sequence AND r.kind = 'retry' \
     AND r.state = 'waiting' AND r.assignments = json_array(d.assignment) LIMIT 1) \
    FROM dead_letters d LEFT JOIN inbox i ON i.sequence = d.sequence LEFT JOIN assignments a ON a.id = d.assignment \
    WHERE d.tenant = $1 AND (d.sequence, d.assignment) > ($2, $3) AND ($4 IS NULL OR (d.resolved_at IS NULL) = $4) \
    AND ($5 IS NULL OR d.assignment = $5) AND ($6 IS NULL OR a.plugin = $6) AND ($7 IS NULL OR d.outcome = $7) \
    AND ($8 IS NULL OR d.sequence = $8) ORDER BY d.sequence, d.assignment LIMIT $9";

fn listing(row: &Row) -> Result<DeadLetterListing, StoreError> {
    Ok(DeadLetterListing {
        tenant: row.try_get(0)?,
        sequence: row.try_get(1)?,
        event_type: row.try_get(2)?,
        lane: row.try_get(3)?,
        assignment: row.try_get(4)?,
        plugin: row.try_get(5)?,
        version: row.try_get(6)?,
        outcome: row.try_get(7)?,
        detail: row.try_get(8)?,
        died_at: Timestamp::from_millis(row.try_get(9)?).to_rfc3339(),
        resolved_at: row.try_get::<Option<i64>, _>(10)?.map(|at| Timestamp::from_millis(at).to_rfc3339()),
        resolution: row.try_get(11)?,
        reason: row.try_get(12)?,
        retrying: row.try_get(13)?,
    })
}

impl Store {
    /// A page of a tenant's dead letters in the order of their events.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_dead_letters(
        &self,
        tenant: &TenantId,
        filter: &DeadLetterFilter,
        limit: i64,
    ) -> Result<Vec<DeadLetterListing>, StoreError> {
        let rows = sqlx::query(LISTING)
            .bind(tenant.as_str().to_owned())
            .bind(filter.after.0)
            .bind(filter.after.1.clone())
            .bind(filter.open.map(i64::from))
            .bind(filter.assignment.clone())
            .bind(filter.plugin.clone())
            .bind(filter.outcome.clone())
            .bind(filter.sequence)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(listing).collect()
    }

    /// One dead letter. Cross-tenant: who asks looks whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dead_letter(
        &self,
        sequence: Sequence,
        assignment: &str,
    ) -> Result<Option<DeadLetterListing>, StoreError> {
        let tenant: Option<String> =
            sqlx::query_scalar("SELECT tenant FROM dead_letters WHERE sequence = $1 AND assignment = $2")
                .bind(sequence.0)
                .bind(assignment.to_owned())
                .fetch_optional(&self.readers)
                .await?;
        let Some(tenant) = tenant else { return Ok(None) };
        let filter = DeadLetterFilter {
            assignment: Some(assignment.to_owned()),
            sequence: Some(sequence.0),
            ..DeadLetterFilter::default()
        };
        Ok(self.list_dead_letters(&TenantId::from(tenant), &filter, 1).await?.pop())
    }
}
