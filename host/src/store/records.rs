//! Records, links and the mirror: what a run starts from, and the listing.

use super::{Store, StoreError};
use crate::domain::{ConnectionId, GhlId, ObjectKind, RankrId, TenantId, Timestamp};
use sqlx::Row as _;
use std::collections::HashMap;

/// Which GHL object, for loading what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is known.
    pub connection: ConnectionId,
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
}

/// What is known of an object before a run.
#[derive(Clone, Debug, Default)]
pub struct LoadedContext {
    /// The mirror's stamped fields, JSON, and when the object was deleted.
    pub mirror: Option<(String, Option<Timestamp>)>,
    /// GHL's id of its contact, as far as it is known.
    pub contact: Option<GhlId>,
    /// What GHL answered to our last writes, JSON.
    pub answered: Option<String>,
    /// Since when something is being made on this contact by one of our writes.
    pub making_since: Option<Timestamp>,
    /// Of a contact that is not known: the contacts that our writes are making on its connection.
    pub creating: Vec<Creating>,
    /// Rankr's id, if it is linked.
    pub rankr_id: Option<RankrId>,
    /// The record's fields and provenance, JSON, and when it was deleted.
    pub record: Option<(String, String, Option<Timestamp>)>,
}

/// A contact that is being made by one of our writes.
#[derive(Clone, Debug)]
pub struct Creating {
    /// Its e-mail.
    pub email: Option<String>,
    /// Its phone.
    pub phone: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// What is being made is read in the snapshot that the links are read in: a create that has ended is linked there.
const CONTEXT: &str = "SELECT k.key, m.fields, m.deleted_at, m.answered, l.rankr_id, r.fields, r.provenance, r.deleted_at, \
    m.contact, CASE k.value ->> 2 WHEN 'contact' THEN (SELECT min(e.sending_at) FROM effects e WHERE e.state = 'sending' \
        AND e.connection = k.value ->> 1 AND e.contact = k.value ->> 3 AND e.makes = 1) END, \
    CASE WHEN k.value ->> 2 = 'contact' AND m.fields IS NULL AND l.rankr_id IS NULL THEN (SELECT json_group_array(\
        json_array(e.content -> 'fields' ->> 'email', e.content -> 'fields' ->> 'phone', e.sending_at)) FROM effects e \
        WHERE e.state = 'sending' AND e.connection = k.value ->> 1 AND e.tenant = k.value ->> 0 \
        AND e.op IN ('create_contact', 'upsert_contact')) END \
    FROM json_each($1) k \
    LEFT JOIN mirror m ON m.connection = k.value ->> 1 AND m.kind = k.value ->> 2 AND m.ghl_id = k.value ->> 3 \
    LEFT JOIN links l ON l.tenant = k.value ->> 0 AND l.kind = k.value ->> 2 AND l.connection = k.value ->> 1 \
        AND l.ghl_id = k.value ->> 3 \
    LEFT JOIN records r ON r.tenant = k.value ->> 0 AND r.kind = k.value ->> 2 AND r.id = l.rankr_id";

impl Store {
    /// What is known of these objects, one statement for all. Cross-tenant: each key names its tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load_contexts(
        &self,
        keys: &[ObjectKey],
    ) -> Result<HashMap<ObjectKey, LoadedContext>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let list: Vec<[&str; 4]> = keys
            .iter()
            .map(|key| [key.tenant.as_str(), key.connection.as_str(), key.kind.as_str(), key.ghl_id.as_str()])
            .collect();
        let list = serde_json::to_string(&list).map_err(|error| StoreError::corrupt("object key", &error))?;
        let rows = sqlx::query(CONTEXT).bind(list).fetch_all(&self.readers).await?;
        let mut found = HashMap::with_capacity(keys.len());
        for row in rows {
            let place: i64 = row.try_get(0)?;
            let Some(key) = usize::try_from(place).ok().and_then(|place| keys.get(place)) else {
                continue;
            };
            let mirror_fields: Option<String> = row.try_get(1)?;
            let mirror_deleted: Option<i64> = row.try_get(2)?;
            let record_fields: Option<String> = row.try_get(5)?;
            let provenance: Option<String> = row.try_get(6)?;
            let record_deleted: Option<i64> = row.try_get(7)?;
            let context = LoadedContext {
                mirror: mirror_fields.map(|fields| (fields, mirror_deleted.map(Timestamp::from_millis))),
                contact: row.try_get::<Option<String>, _>(8)?.map(GhlId::from),
                answered: row.try_get(3)?,
                creating: creating(row.try_get(10)?)?,
                making_since: row.try_get::<Option<i64>, _>(9)?.map(Timestamp::from_millis),
                rankr_id: row.try_get::<Option<String>, _>(4)?.map(RankrId::from),
                record: record_fields.zip(provenance).map(|(fields, provenance)| {
                    (fields, provenance, record_deleted.map(Timestamp::from_millis))
                }),
            };
            found.insert(key.clone(), context);
        }
        Ok(found)
    }
}

fn creating(json: Option<&str>) -> Result<Vec<Creating>, StoreError> {
    let Some(json) = json.filter(|json| *json != "[]") else { return Ok(Vec::new()) };
    let all: Vec<(Option<String>, Option<String>, i64)> =
        serde_json::from_str(json).map_err(|error| StoreError::corrupt("effect", &error))?;
    let creating = |(email, phone, since)| Creating { email, phone, since: Timestamp::from_millis(since) };
    Ok(all.into_iter().map(creating).collect())
}
