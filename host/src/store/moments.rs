//! The moments that timing rules count from: one row for each task, appointment and contact, kept with its mirror.

use super::rows::{self, Binder, Shape};
use super::{Connection, Store, StoreError};
use crate::domain::{ConnectionId, GhlId, ObjectKind, RankrId, TenantId, Timestamp};
use sqlx::Row as _;

/// The moment of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is known.
    pub connection: ConnectionId,
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// GHL's id of its contact.
    pub contact: Option<GhlId>,
    /// When it is due, starts, or was last active; none: it does not count.
    pub at: Option<Timestamp>,
}

const MOMENTS: Shape = Shape {
    head: "INSERT INTO moments (tenant, connection, kind, ghl_id, contact, at, change)",
    columns: 7,
    // A contact's activity only moves on; what says the same as before changes nothing.
    tail: "ON CONFLICT (connection, kind, ghl_id) DO UPDATE SET contact = excluded.contact, at = excluded.at, \
           change = excluded.change WHERE moments.contact IS NOT excluded.contact OR (moments.at IS NOT excluded.at \
           AND NOT (moments.kind = 'contact' AND excluded.at IS NOT NULL AND coalesce(moments.at, excluded.at) > excluded.at))",
};

/// Writes moments in the caller's transaction, each change under a number of its own.
pub(super) async fn put(connection: &mut Connection, rows: &[&MomentRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query_scalar(
        "INSERT INTO progress (name, value) VALUES ('moments', $1) \
         ON CONFLICT (name) DO UPDATE SET value = progress.value + excluded.value RETURNING value",
    )
    .bind(count)
    .fetch_one(&mut *connection)
    .await?;
    let numbered: Vec<(i64, &MomentRow)> = (last - count + 1..).zip(rows.iter().copied()).collect();
    rows::insert(connection, MOMENTS, &numbered, bind).await
}

fn bind((change, row): &(i64, &MomentRow), to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.connection.as_str().to_owned())
        .add(row.kind.as_str())
        .add(row.ghl_id.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.at.map(Timestamp::millis))
        .add(*change);
}

/// A changed moment, as far as telling whether it matters needs it.
#[derive(Clone, Debug)]
pub struct ChangedMoment {
    /// Its row.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is of.
    pub kind: ObjectKind,
    /// When.
    pub at: Timestamp,
    /// The number of the change.
    pub change: i64,
}

/// An object that may be told of, with what is known of its contact.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where the next page begins.
    pub place: Place,
    /// Through which connection it is known.
    pub connection: ConnectionId,
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id of it.
    pub ghl_id: GhlId,
    /// GHL's id of its contact; none: not known yet.
    pub contact: Option<GhlId>,
    /// Its moment.
    pub at: Option<Timestamp>,
    /// Whether its contact is deleted.
    pub gone: bool,
    /// Rankr's id of its contact.
    pub rankr_id: Option<RankrId>,
    /// The record of its contact, JSON.
    pub record: Option<String>,
    /// The object's mirrored fields, JSON; none for contacts.
    pub mirror: Option<String>,
}

/// The place of an object in the order of moments, or of a contact in the order of contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A moment and its row.
    Moment(i64, i64),
    /// A connection and GHL's id of a contact.
    Contact(String, String),
}

const OBJECTS: &str = "SELECT m.at, m.id, m.connection, m.kind, m.ghl_id, m.contact, \
    c.id IS NOT NULL AND c.at IS NULL AS gone, l.rankr_id, r.fields, o.fields \
    FROM moments m \
    LEFT JOIN moments c ON c.connection = m.connection AND c.kind = 'contact' AND c.ghl_id = m.contact \
    LEFT JOIN links l ON l.tenant = m.tenant AND l.kind = 'contact' AND l.connection = m.connection AND l.ghl_id = m.contact \
    LEFT JOIN records r ON r.tenant = l.tenant AND r.kind = 'contact' AND r.id = l.rankr_id \
    LEFT JOIN mirror o ON o.connection = m.connection AND o.kind = m.kind AND o.ghl_id = m.ghl_id AND m.kind <> 'contact' ";

pub(super) const OF_RANGE: &str = "WHERE m.tenant = $1 AND m.kind = $2 AND (m.at, m.id) > ($3, $4) AND m.at <= $5 \
    ORDER BY m.at, m.id LIMIT $6";
pub(super) const OF_ROWS: &str = "WHERE m.id IN (SELECT value FROM json_each($1)) AND m.tenant = $2";

/// Contacts in the order of their links, which never moves.
pub(super) const CONTACTS: &str = "SELECT l.connection, l.ghl_id, c.at, c.id IS NOT NULL AND c.at IS NULL AS gone, l.rankr_id, \
    r.fields FROM links l \
    LEFT JOIN moments c ON c.connection = l.connection AND c.kind = 'contact' AND c.ghl_id = l.ghl_id \
    LEFT JOIN records r ON r.tenant = l.tenant AND r.kind = 'contact' AND r.id = l.rankr_id \
    WHERE l.tenant = $1 AND l.kind = 'contact' AND (l.connection, l.ghl_id) > ($2, $3) \
    ORDER BY l.connection, l.ghl_id LIMIT $4";

pub(super) const CHANGED: &str =
    "SELECT id, tenant, kind, at, change FROM moments WHERE change > $1 ORDER BY change LIMIT $2";
pub(super) const FIRST: &str = "SELECT min(at) FROM moments WHERE tenant = $1 AND kind = $2 AND at > $3";

/// The whole statement of objects under a condition.
pub(super) fn objects(condition: &str) -> String {
    format!("{OBJECTS}{condition}")
}

fn object(row: &super::Row) -> Result<Candidate, StoreError> {
    let at: Option<i64> = row.try_get(0)?;
    let kind: String = row.try_get(3)?;
    Ok(Candidate {
        place: Place::Moment(at.unwrap_or_default(), row.try_get(1)?),
        connection: ConnectionId::from(row.try_get::<String, _>(2)?),
        kind: ObjectKind::parse(&kind),
        ghl_id: GhlId::from(row.try_get::<String, _>(4)?),
        contact: row.try_get::<Option<String>, _>(5)?.map(GhlId::from),
        at: at.map(Timestamp::from_millis),
        gone: row.try_get(6)?,
        rankr_id: row.try_get::<Option<String>, _>(7)?.map(RankrId::from),
        record: row.try_get(8)?,
        mirror: row.try_get(9)?,
    })
}

impl Store {
    /// Changes of moments after that number, oldest first. Cross-tenant: one look finds what came late for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changed_moments(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<(Vec<ChangedMoment>, Option<i64>), StoreError> {
        let rows = sqlx::query(CHANGED).bind(after).bind(limit).fetch_all(&self.readers).await?;
        let mut changed = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows {
            let change: i64 = row.try_get(4)?;
            last = Some(change);
            // What does not count any more can't come late.
            let Some(at) = row.try_get::<Option<i64>, _>(3)? else { continue };
            let kind: String = row.try_get(2)?;
            changed.push(ChangedMoment {
                id: row.try_get(0)?,
                tenant: TenantId::from(row.try_get::<String, _>(1)?),
                kind: ObjectKind::parse(&kind),
                at: Timestamp::from_millis(at),
                change,
            });
        }
        Ok((changed, last))
    }

    /// Up to which change of moments was looked at. Cross-tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moments_seen(&self) -> Result<i64, StoreError> {
        let seen: Option<i64> = sqlx::query_scalar("SELECT value FROM progress WHERE name = 'moments_seen'")
            .fetch_optional(&self.readers)
            .await?;
        Ok(seen.unwrap_or(0))
    }

    /// The tenant's objects of a kind whose moments lie behind `after` and not behind `upto`, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn objects_between(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        (after, upto): ((i64, i64), Timestamp),
        limit: i64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(objects(OF_RANGE)))
            .bind(tenant.as_str().to_owned())
            .bind(kind.as_str())
            .bind(after.0)
            .bind(after.1)
            .bind(upto.millis())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(object).collect()
    }

    /// The tenant's objects of these rows of moments.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn objects_of(&self, tenant: &TenantId, rows: &[i64]) -> Result<Vec<Candidate>, StoreError> {
        let list = serde_json::to_string(rows).map_err(|error| StoreError::corrupt("moment", &error))?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(objects(OF_ROWS)))
            .bind(list)
            .bind(tenant.as_str().to_owned())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(object).collect()
    }

    /// The tenant's contacts after that place, in an order that never moves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contacts_after(
        &self,
        tenant: &TenantId,
        (connection, ghl_id): (&str, &str),
        limit: i64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let rows = sqlx::query(CONTACTS)
            .bind(tenant.as_str().to_owned())
            .bind(connection.to_owned())
            .bind(ghl_id.to_owned())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let (connection, ghl_id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                Ok(Candidate {
                    place: Place::Contact(connection.clone(), ghl_id.clone()),
                    connection: ConnectionId::from(connection),
                    kind: ObjectKind::Contact,
                    contact: Some(GhlId::from(ghl_id.as_str())),
                    ghl_id: GhlId::from(ghl_id),
                    at: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::from_millis),
                    gone: row.try_get(3)?,
                    rankr_id: row.try_get::<Option<String>, _>(4)?.map(RankrId::from),
                    record: row.try_get(5)?,
                    mirror: None,
                })
            })
            .collect()
    }

    /// The tenant's first moment of a kind after that time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_moment(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        after: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(FIRST)
            .bind(tenant.as_str().to_owned())
            .bind(kind.as_str())
            .bind(after.millis())
            .fetch_one(&self.readers)
            .await?;
        Ok(at.map(Timestamp::from_millis))
    }
}
