//! Effects: the stored plans, and the outbox of those that wait for GHL.

use super::rows::{self, Binder, Shape};
use super::{Connection, Store, StoreError};
use crate::domain::{
    AssignmentId, Cause, ConnectionId, EffectClass, GhlId, Lane, Sequence, TenantId, Timestamp, VersionId,
};
use serde::Serialize;
use sqlx::Row as _;

/// An effect as it is planned.
#[derive(Clone, Debug)]
pub struct EffectRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is done.
    pub connection: ConnectionId,
    /// Which assignment asked for it.
    pub assignment: AssignmentId,
    /// Which version.
    pub version: VersionId,
    /// On which event.
    pub sequence: Sequence,
    /// The same for the same effect, however often it is planned.
    pub effect_key: String,
    /// The author's name for it.
    pub author_key: Option<String>,
    /// The lane whose order it keeps.
    pub lane: Lane,
    /// GHL's id of the event's contact.
    pub contact: Option<GhlId>,
    /// The event's cause.
    pub cause: Cause,
    /// What is to be done, its word.
    pub op: &'static str,
    /// How often it may be sent; none for local ones.
    pub class: Option<EffectClass>,
    /// Whether it makes an object in GHL.
    pub makes: bool,
    /// What is to be done, JSON.
    pub content: String,
    /// What the plugin asked for, JSON, where a rerun made something else of it.
    pub asked: Option<String>,
    /// The effect whose result it names.
    pub after_key: Option<String>,
    /// How it stands: `waiting`, `done` or `refused`.
    pub state: &'static str,
    /// Why it is refused.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

const EFFECTS: Shape = Shape {
    head: "INSERT INTO effects (tenant, connection, assignment, version, sequence, effect_key, author_key, lane, contact, \
           cause, op, class, makes, content, after_key, state, attempts, detail, created_at, ended_at, asked)",
    columns: 21,
    tail: "ON CONFLICT (effect_key) DO NOTHING",
};

fn bind(row: &EffectRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.connection.as_str().to_owned())
        .add(row.assignment.as_str().to_owned())
        .add(row.version.as_str().to_owned())
        .add(row.sequence.0)
        .add(row.effect_key.clone())
        .add(row.author_key.clone())
        .add(row.lane.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.cause.as_str())
        .add(row.op)
        .add(row.class.map(EffectClass::as_str))
        .add(i64::from(row.makes))
        .add(row.content.clone())
        .add(row.after_key.clone())
        .add(row.state)
        .add(0_i64)
        .add(row.detail.clone())
        .add(row.at.millis())
        .add((row.state != "waiting").then(|| row.at.millis()))
        .add(row.asked.clone());
}

/// Writes plans in the caller's transaction.
pub(super) async fn insert(connection: &mut Connection, rows: &[&EffectRow]) -> Result<(), StoreError> {
    rows::insert(connection, EFFECTS, rows, |row, to| bind(row, to)).await
}

/// An effect as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EffectListing {
    /// Its number, growing as plans are stored.
    pub id: i64,
    /// Whose it is.
    pub tenant: String,
    /// The event it was planned on.
    pub sequence: i64,
    /// Which assignment asked for it.
    pub assignment: String,
    /// The same for the same effect.
    pub effect_key: String,
    /// GHL's id of the event's contact.
    pub contact: Option<String>,
    /// What is to be done: `create_task` and so on.
    pub op: String,
    /// `repeatable`, `findable` or `blind`; absent for what is done here.
    pub class: Option<String>,
    /// `waiting`, `sending`, `done`, `refused`, `dead`, `unclear`, `held` or `cancelled`.
    pub state: String,
    /// Tries so far.
    pub attempts: i64,
    /// GHL's id of what it made or changed.
    pub ghl_id: Option<String>,
    /// Why it did not end well, or waits.
    pub detail: Option<String>,
    /// When it was planned, RFC 3339.
    pub created_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

macro_rules! listed {
    () => {
        "SELECT id, tenant, sequence, assignment, effect_key, contact, op, class, state, attempts, ghl_id, detail, \
         created_at, ended_at FROM effects "
    };
}
const LISTING: &str = concat!(
    listed!(),
    "WHERE tenant = $1 AND ($2 IS NULL OR state = $2) AND ($3 IS NULL OR sequence = $3) AND id > $4 ORDER BY id LIMIT $5"
);
const ONE: &str = concat!(listed!(), "WHERE id = $1");

/// An effect with everything that is known of it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EffectDetail {
    /// What the listing shows.
    #[serde(flatten)]
    pub effect: EffectListing,
    /// The author's name for it.
    pub author_key: Option<String>,
    /// The version that asked for it.
    pub version: String,
    /// What is to be done: targets and values.
    pub content: serde_json::Value,
    /// The key of the effect whose result it names.
    pub waits_for: Option<String>,
    /// When it is tried next, RFC 3339.
    pub next_at: Option<String>,
    /// Its sendings, oldest first.
    pub attempt_log: Vec<AttemptListing>,
}

/// One sending of an effect.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AttemptListing {
    /// When it was sent, RFC 3339.
    pub sent_at: String,
    /// When its outcome was known, RFC 3339.
    pub answered_at: Option<String>,
    /// `done`, `found`, `refused`, `failed`, `no-answer`, `interrupted` and so on; absent while it is under way.
    pub outcome: Option<String>,
    /// Why it did not go well.
    pub detail: Option<String>,
}

fn listing(row: &super::Row) -> Result<EffectListing, StoreError> {
    Ok(EffectListing {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        sequence: row.try_get(2)?,
        assignment: row.try_get(3)?,
        effect_key: row.try_get(4)?,
        contact: row.try_get(5)?,
        op: row.try_get(6)?,
        class: row.try_get(7)?,
        state: row.try_get(8)?,
        attempts: row.try_get(9)?,
        ghl_id: row.try_get(10)?,
        detail: row.try_get(11)?,
        created_at: Timestamp::from_millis(row.try_get(12)?).to_rfc3339(),
        ended_at: rfc3339(row.try_get(13)?),
    })
}

/// When it was sent and answered, its outcome and why.
type AttemptRow = (i64, Option<i64>, Option<String>, Option<String>);

fn rfc3339(millis: Option<i64>) -> Option<String> {
    millis.map(|at| Timestamp::from_millis(at).to_rfc3339())
}

/// What is known of an effect that another names.
#[derive(Clone, Debug)]
pub struct MadeBy {
    /// How it stands.
    pub state: String,
    /// GHL's id of what it made.
    pub ghl_id: Option<GhlId>,
    /// GHL's id of the contact it was planned on.
    pub contact: Option<GhlId>,
}

impl Store {
    /// A page of a tenant's effects in the order of planning, after the given number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_effects(
        &self,
        tenant: &TenantId,
        state: Option<&str>,
        sequence: Option<i64>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EffectListing>, StoreError> {
        let rows = sqlx::query(LISTING)
            .bind(tenant.as_str().to_owned())
            .bind(state.map(str::to_owned))
            .bind(sequence)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(listing).collect()
    }

    /// An effect with everything that is known of it. Cross-tenant: who asks looks whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn effect_detail(&self, id: i64) -> Result<Option<EffectDetail>, StoreError> {
        let Some(row) = sqlx::query(ONE).bind(id).fetch_optional(&self.readers).await? else {
            return Ok(None);
        };
        let effect = listing(&row)?;
        let (author_key, version, content, waits_for, next_at): (
            Option<String>,
            String,
            String,
            Option<String>,
            Option<i64>,
        ) = sqlx::query_as(
            "SELECT author_key, version, content, after_key, next_at FROM effects WHERE id = $1",
        )
        .bind(id)
        .fetch_one(&self.readers)
        .await?;
        let attempts: Vec<AttemptRow> = sqlx::query_as(
            "SELECT sent_at, answered_at, outcome, detail FROM effect_attempts WHERE effect = $1 ORDER BY id",
        )
        .bind(id)
        .fetch_all(&self.readers)
        .await?;
        let attempt = |(sent_at, answered_at, outcome, detail): AttemptRow| AttemptListing {
            sent_at: Timestamp::from_millis(sent_at).to_rfc3339(),
            answered_at: rfc3339(answered_at),
            outcome,
            detail,
        };
        Ok(Some(EffectDetail {
            effect,
            author_key,
            version,
            content: serde_json::from_str(&content).map_err(|error| StoreError::corrupt("effect", &error))?,
            waits_for,
            next_at: rfc3339(next_at),
            attempt_log: attempts.into_iter().map(attempt).collect(),
        }))
    }

    /// How the effect of that key stands. Cross-tenant: the key names event and assignment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn effect_by_key(&self, effect_key: &str) -> Result<Option<MadeBy>, StoreError> {
        let row: Option<(String, Option<String>, Option<String>)> =
            sqlx::query_as("SELECT state, ghl_id, contact FROM effects WHERE effect_key = $1")
                .bind(effect_key.to_owned())
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.map(|(state, ghl_id, contact)| MadeBy {
            state,
            ghl_id: ghl_id.map(GhlId::from),
            contact: contact.map(GhlId::from),
        }))
    }

    /// The key of the newest making effect with that author's key by this assignment in this lane. Cross-tenant: an
    /// assignment is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_made_by(
        &self,
        assignment: &AssignmentId,
        lane: &Lane,
        author_key: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT effect_key FROM effects WHERE assignment = $1 AND lane = $2 AND author_key = $3 AND makes = 1 \
             AND state <> 'refused' ORDER BY id DESC LIMIT 1",
        )
        .bind(assignment.as_str().to_owned())
        .bind(lane.as_str().to_owned())
        .bind(author_key.to_owned())
        .fetch_optional(&self.readers)
        .await?)
    }

    /// Remote effects of an assignment on a contact since then. Cross-tenant: an assignment is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_recent_effects(
        &self,
        assignment: &AssignmentId,
        contact: &GhlId,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM effects WHERE assignment = $1 AND contact = $2 AND created_at > $3 \
             AND class IS NOT NULL AND state <> 'refused'",
        )
        .bind(assignment.as_str().to_owned())
        .bind(contact.as_str().to_owned())
        .bind(since.millis())
        .fetch_one(&self.readers)
        .await?)
    }

    /// Whether an effect of ours made this object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_made(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        id: &GhlId,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM effects WHERE ghl_id = $1 AND makes = 1 AND connection = $2 AND tenant = $3)",
        )
        .bind(id.as_str().to_owned())
        .bind(connection.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .fetch_one(&self.readers)
        .await?)
    }
}
