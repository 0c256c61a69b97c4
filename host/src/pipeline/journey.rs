//! One run of a lane: payloads into the mirror, mappings over the merged object, everything into one commit.

use super::merge::{FieldChange, Record};
use super::mirror::{Change, Mirror};
use super::payload::{self, Payload};
use super::runs::{MappingCall, ObjectState, PluginRunner, RunEnd};
use super::writes::run_row;
use crate::domain::{
    ConnectionId, Event, EventKind, Fields, GhlId, ObjectKind, ObjectRef, RankrId, TenantId, Timestamp,
};
use crate::store::{DeadLetterRow, EventCommit, LoadedContext, MirrorRow, ObjectKey, StoreError};
use crate::tenants::ActiveVersion;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A retry waits at least this long, and doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// After this long a retryable failure becomes final, so that a lane is never held for good.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// An event with its body taken apart.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) event: Event,
    pub(super) payload: Payload,
    pub(super) attempts: i64,
}

/// What a journey ends with.
#[derive(Debug)]
pub(super) struct Finished {
    /// What to commit.
    pub(super) commit: EventCommit,
    /// When to try again, if nothing of it ended.
    pub(super) retry_at: Option<Timestamp>,
}

/// What a run starts from and builds up.
pub(super) struct Journey<'a> {
    pub(super) runner: &'a dyn PluginRunner,
    pub(super) versions: &'a [ActiveVersion],
    pub(super) contexts: &'a HashMap<ObjectKey, LoadedContext>,
    pub(super) now: Timestamp,
    pub(super) run_order: i64,
}

/// A record under way, with what it was.
pub(super) struct Working {
    pub(super) id: RankrId,
    pub(super) linked: bool,
    pub(super) record: Record,
    pub(super) existed: bool,
    pub(super) touched: bool,
}

/// Which contexts the events of one run need.
pub(super) fn keys(tenant: &TenantId, connection: &ConnectionId, payload: &Payload) -> Vec<ObjectKey> {
    let key = |kind, id: &GhlId| ObjectKey {
        tenant: tenant.clone(),
        connection: connection.clone(),
        kind,
        ghl_id: id.clone(),
    };
    let mut keys: Vec<ObjectKey> = payload.object.iter().map(|object| key(object.kind, &object.id)).collect();
    if let Some(contact) = &payload.contact
        && payload.object.as_ref().is_none_or(|object| object.kind != ObjectKind::Contact)
    {
        keys.push(key(ObjectKind::Contact, contact));
    }
    keys
}

/// How many of the events at the head belong into one run: snapshots of one object, else one.
pub(super) fn foldable(events: &[Arrived]) -> usize {
    let Some(first) = events.first() else { return 0 };
    if first.payload.shape.change != EventKind::Snapshot || first.payload.object.is_none() {
        return 1;
    }
    events.iter().take_while(|next| next.payload.object == first.payload.object).count()
}

impl Journey<'_> {
    /// Runs the events, which are one event or adjacent snapshots of one object, oldest first.
    pub(super) async fn run(&self, events: &[Arrived]) -> Result<Finished, StoreError> {
        let mut commit = EventCommit::default();
        let Some(newest) = events.iter().max_by_key(|it| (it.event.source_time, it.event.sequence)) else {
            return Ok(Finished { commit, retry_at: None });
        };
        let object = newest.payload.object.as_ref();
        let mut mirror = self.mirror(newest, object)?;
        let mut changes = Vec::with_capacity(events.len());
        for arrived in events {
            changes.push(apply(&mut mirror, arrived));
        }
        let contact = newest.payload.contact.clone().or_else(|| {
            object.filter(|object| object.kind == ObjectKind::Contact).map(|object| object.id.clone())
        });
        let mut records: BTreeMap<ObjectKind, Working> = BTreeMap::new();
        if let Some(contact) = &contact {
            records.insert(ObjectKind::Contact, self.working(&newest.event, ObjectKind::Contact, contact)?);
        }
        if let Some(object) = object.filter(|object| object.kind != ObjectKind::Contact) {
            records.insert(object.kind, self.working(&newest.event, object.kind, &object.id)?);
        }
        let deleted = changes.iter().any(|change| change.deleted);
        let mapped = self
            .map_all(
                events,
                newest,
                &MergedObject { mirror: &mirror, changes: &changes, contact: contact.as_ref(), deleted },
                &mut records,
                &mut commit,
            )
            .await;
        let field_changes = match mapped {
            Ok(changes) => changes,
            Err(retry_at) => return Ok(self.waiting(events, retry_at)),
        };
        if let Some(object) = object {
            let kind = object.kind;
            if let Some(working) = records.get_mut(&kind) {
                let now_deleted = mirror.deleted_at();
                if working.record.deleted_at != now_deleted && working.existed {
                    working.record.deleted_at = now_deleted;
                    working.touched = true;
                }
            }
            commit.mirror.push(MirrorRow {
                tenant: newest.event.tenant.clone(),
                connection: newest.event.connection.clone(),
                kind,
                ghl_id: object.id.clone(),
                contact: contact.clone(),
                fields: mirror.to_stored().map_err(|error| StoreError::corrupt("mirror", &error))?,
                deleted_at: mirror.deleted_at(),
            });
        }
        let contact_record = records.get(&ObjectKind::Contact).map(|working| working.id.clone());
        self.write_records(newest, object, contact.as_ref(), records, &mut commit)?;
        self.write_timeline(
            events,
            &changes,
            contact_record.as_ref(),
            (newest.event.sequence, &field_changes),
            &mut commit,
        )?;
        self.write_events(events, newest.event.sequence, &mut commit);
        Ok(Finished { commit, retry_at: None })
    }

    fn mirror(&self, newest: &Arrived, object: Option<&ObjectRef>) -> Result<Mirror, StoreError> {
        let stored = object
            .and_then(|object| self.context(&newest.event, object.kind, &object.id))
            .and_then(|context| context.mirror.as_ref());
        match stored {
            Some((fields, deleted_at)) => Mirror::from_stored(fields, *deleted_at)
                .map_err(|error| StoreError::corrupt("mirror", &error)),
            None => Ok(Mirror::default()),
        }
    }

    fn context(&self, event: &Event, kind: ObjectKind, id: &GhlId) -> Option<&LoadedContext> {
        self.contexts.get(&ObjectKey {
            tenant: event.tenant.clone(),
            connection: event.connection.clone(),
            kind,
            ghl_id: id.clone(),
        })
    }

    fn working(&self, event: &Event, kind: ObjectKind, id: &GhlId) -> Result<Working, StoreError> {
        let context = self.context(event, kind, id);
        let linked = context.and_then(|context| context.rankr_id.clone());
        let stored = context.and_then(|context| context.record.as_ref());
        let record = match stored {
            Some((fields, provenance, deleted_at)) => Record::from_stored(fields, provenance, *deleted_at)
                .map_err(|error| StoreError::corrupt("record", &error))?,
            None => Record::default(),
        };
        Ok(Working {
            linked: linked.is_some(),
            id: linked.unwrap_or_else(|| RankrId::new(format!("rk_{}", uuid::Uuid::now_v7().simple()))),
            record,
            existed: stored.is_some(),
            touched: false,
        })
    }

    /// Runs every mapping that wants the event; `Err` names the moment to try the whole event again.
    async fn map_all(
        &self,
        events: &[Arrived],
        newest: &Arrived,
        merged: &MergedObject<'_>,
        records: &mut BTreeMap<ObjectKind, Working>,
        commit: &mut EventCommit,
    ) -> Result<Vec<FieldChange>, Timestamp> {
        let mut field_changes = Vec::new();
        if merged.changes.iter().all(|change| change.stale) && !merged.changes.is_empty() {
            return Ok(field_changes);
        }
        let fields = merged.mirror.fields();
        for active in self.versions.iter().filter(|active| active.wants(&newest.event.event_type)) {
            let result = self.runner.map(self.call(newest, active, merged, &fields, records)).await;
            let (end, detail) = match result.end.clone() {
                RunEnd::Mapped { kind, fields } => match records.get_mut(&kind) {
                    Some(working) => {
                        let (sequence, at) = (newest.event.sequence, newest.event.source_time);
                        let changes = working.record.merge(fields, sequence, at, &active.version);
                        working.touched |= !changes.is_empty() || !working.existed;
                        field_changes.extend(changes);
                        (None, None)
                    }
                    None => (
                        Some("no-such-record"),
                        Some(format!("the mapping names a {} record, but the event has none", kind.as_str())),
                    ),
                },
                RunEnd::Failed { detail } => (Some(result.outcome), Some(detail)),
                RunEnd::Again { after, detail } => match self.again(events, after) {
                    Some(retry_at) => return Err(retry_at),
                    None => (Some(result.outcome), Some(detail)),
                },
            };
            commit.runs.push(run_row(newest, active, &result, detail.clone(), self.now));
            if let Some(outcome) = end {
                commit.dead_letters.push(DeadLetterRow {
                    sequence: newest.event.sequence,
                    tenant: active.tenant.clone(),
                    assignment: active.assignment.clone(),
                    version: active.version.clone(),
                    outcome,
                    detail: detail.unwrap_or_default(),
                    at: self.now,
                });
            }
        }
        Ok(field_changes)
    }

    fn call<'c>(
        &self,
        newest: &'c Arrived,
        active: &'c ActiveVersion,
        merged: &'c MergedObject<'c>,
        fields: &'c Fields,
        records: &'c BTreeMap<ObjectKind, Working>,
    ) -> MappingCall<'c> {
        let object = newest.payload.object.as_ref();
        let kind = object.map_or(ObjectKind::Contact, |object| object.kind);
        let mut changed: Vec<&str> =
            merged.changes.iter().flat_map(|change| change.changed.keys().map(String::as_str)).collect();
        changed.sort_unstable();
        changed.dedup();
        MappingCall {
            active,
            event: &newest.event,
            now: self.now,
            contact: merged.contact.map(GhlId::as_str),
            object: object.map(|object| ObjectState {
                object,
                deleted: merged.deleted,
                fields,
                changed,
                echo: Vec::new(),
            }),
            current: records
                .get(&kind)
                .filter(|working| working.existed)
                .map(|working| (kind, &working.id, &working.record.fields)),
        }
    }

    /// When to try again after a retryable failure; `None` once it has been tried long enough.
    fn again(&self, events: &[Arrived], after: Duration) -> Option<Timestamp> {
        let first = events.first()?;
        if self.now.since(first.event.received_at) >= GIVE_UP_AFTER {
            return None;
        }
        let doublings = u32::try_from(first.attempts.clamp(0, 16)).unwrap_or(0);
        let pause = SHORTEST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE).max(after);
        Some(self.now.plus(pause))
    }
}

/// The object after all events of the run.
struct MergedObject<'a> {
    mirror: &'a Mirror,
    changes: &'a [Change],
    contact: Option<&'a GhlId>,
    deleted: bool,
}

fn apply(mirror: &mut Mirror, arrived: &Arrived) -> Change {
    if arrived.payload.object.is_none() {
        return Change::default();
    }
    let (at, sequence) = (arrived.event.source_time, arrived.event.sequence);
    match arrived.payload.shape.change {
        EventKind::Delete => mirror.delete(at),
        EventKind::Snapshot | EventKind::Partial | EventKind::Happening => {
            mirror.apply(arrived.payload.fields.clone(), at, sequence)
        }
    }
}

/// Takes an event's body apart; a body that is no object counts as a happening without fields.
pub(super) fn arrive(event: Event, attempts: i64) -> Arrived {
    let payload = payload::read(&event.body).unwrap_or_else(|| Payload {
        shape: crate::domain::shape_of(&event.event_type),
        object: None,
        contact: None,
        fields: Fields::new(),
    });
    Arrived { event, payload, attempts }
}
