//! One run of a lane: payloads into the mirror, mappings over the merged object, reactions to what they made of it,
//! everything into one commit.

use super::arrived::Arrived;
use super::compare::Comparison;
use super::held::{Aftermath, Again};
use super::merge::{FieldChange, Record};
use super::merged::MergedObject;
use super::payload::Payload;
use super::reads;
use super::rerun::Changed;
use super::rounds::{Interface, Progress};
use super::runs::{PluginRunner, RunEnd};
use super::writes::run_row;
use crate::domain::{
    Answers, AssignmentId, ConnectionId, Event, EventKind, GhlId, Lane, ObjectKind, ObjectRef, RankrId,
    ReadRequest, TenantId, Timestamp, Value,
};
use crate::store::{
    AnsweredRow, Creating, EventCommit, LoadedContext, MirrorRow, ObjectKey, Store, StoreError,
};
use crate::tenants::{ActiveVersion, Breakers};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A retry waits at least this long, and doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long an event waits at most for a create of ours that may be what it tells of.
const LONGEST_HOLD: Duration = Duration::from_secs(10);
/// How long it waits before it looks again.
const HOLD: Duration = Duration::from_secs(1);

/// What a journey ends with.
#[derive(Debug)]
pub(super) enum Finished {
    /// All of it is to be committed, and then breakers are to be told.
    Ended(EventCommit, Aftermath),
    /// Only that it waits is to be committed; it is tried again then.
    Retry(EventCommit, Timestamp),
    /// Nothing is to be committed; it is looked at again then.
    Hold(Timestamp),
    /// GHL has to be asked first.
    Reads {
        /// What.
        requests: Vec<ReadRequest>,
        /// Who wants to know.
        asker: Asker,
    },
}

/// Who wants to know something of GHL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The host itself; it goes on without an answer where it may not ask.
    Host,
    /// These plugins.
    Plugins(String),
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Plugins(names) => write!(f, "plugin {names}"),
        }
    }
}

/// Why a journey stopped before its end.
pub(super) enum Stop {
    Retry(Timestamp),
    Reads(Vec<ReadRequest>, Asker),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a run starts from.
pub(super) struct Journey<'a> {
    pub(super) store: &'a Store,
    pub(super) runner: &'a dyn PluginRunner,
    pub(super) versions: &'a [ActiveVersion],
    pub(super) contexts: &'a HashMap<ObjectKey, LoadedContext>,
    /// What GHL answered for these events.
    pub(super) answers: Arc<Answers>,
    pub(super) lane: &'a Lane,
    pub(super) now: Timestamp,
    pub(super) run_order: i64,
    /// After this long a retryable failure becomes final, so that a lane is never held for good.
    pub(super) give_up_after: Duration,
    pub(super) breakers: &'a Breakers,
    /// The held run that this is, if it is one.
    pub(super) again: Option<Again>,
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
    if first.payload.shape.change != EventKind::Snapshot
        || first.payload.object.is_none()
        || first.rerun.is_some()
    {
        return 1;
    }
    events.iter().take_while(|next| next.payload.object == first.payload.object).count()
}

impl Journey<'_> {
    /// Runs the events, which are one event or adjacent snapshots of one object, oldest first.
    pub(super) async fn run(&self, events: &[Arrived]) -> Result<Finished, StoreError> {
        let Some(newest) = events.iter().max_by_key(|it| (it.event.source_time, it.event.sequence)) else {
            return Ok(Finished::Ended(EventCommit::default(), Aftermath::default()));
        };
        if let Some(why) = newest.rerun.as_ref().and_then(|rerun| rerun.idle()) {
            return Ok(Finished::Ended(self.idle(newest, why)?, Aftermath::default()));
        }
        let merged = if let Some(again) = &self.again {
            self.merged_again(newest, &again.change)?
        } else {
            if let Some(until) = self.hold_for_create(newest) {
                return Ok(Finished::Hold(until));
            }
            match self.merge(events, newest)? {
                Ok(merged) => merged,
                Err(requests) => return Ok(Finished::Reads { requests, asker: Asker::Host }),
            }
        };
        let (requests, asker) = self.declared_reads(newest, &merged);
        if !requests.is_empty() {
            return Ok(Finished::Reads { requests, asker });
        }
        match self.run_plugins(events, newest, merged).await {
            Ok((commit, failed)) => {
                let aftermath = Aftermath::of(newest, self.lane, (&commit, &failed));
                Ok(Finished::Ended(commit, aftermath))
            }
            // Of an event that has ended but for this run nothing is to be said; its lane waits.
            Err(Stop::Retry(at)) if self.again.is_some() => Ok(Finished::Hold(at)),
            Err(Stop::Retry(at)) => Ok(Finished::Retry(self.waiting(events, at), at)),
            Err(Stop::Reads(requests, asker)) => Ok(Finished::Reads { requests, asker }),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    async fn run_plugins(
        &self,
        events: &[Arrived],
        newest: &Arrived,
        merged: MergedObject<'_>,
    ) -> Result<(EventCommit, Vec<AssignmentId>), Stop> {
        let mut progress = Progress {
            records: BTreeMap::new(),
            answers: Arc::clone(&self.answers),
            commit: EventCommit::default(),
            comparison: Comparison::default(),
            failed: Vec::new(),
        };
        let mut keep = |kind, id: &GhlId| -> Result<(), StoreError> {
            progress.records.insert(kind, self.working(&newest.event, kind, id)?);
            Ok(())
        };
        if let Some(contact) = &merged.contact {
            keep(ObjectKind::Contact, contact)?;
        }
        if let Some(object) = merged.object.filter(|object| object.kind != ObjectKind::Contact) {
            keep(object.kind, &object.id)?;
        }
        let kind = merged.object.map_or(ObjectKind::Contact, |object| object.kind);
        let found = progress.records.get(&kind).filter(|it| it.existed);
        let before = found.and_then(|it| Some((it.id.clone(), newest.before(&it.record)?)));
        let changes = self.map_all(events, newest, &merged, &mut progress).await?;
        let first_time = newest.rerun.is_none() && self.again.is_none();
        if let Some(object) = merged.object.filter(|_| first_time) {
            self.keep_mirror(newest, object, &merged, &mut progress)?;
        }
        if newest.rerun.is_none() {
            progress.commit.moments = self.moments(events, newest, &merged);
        }
        self.react_all(events, newest, &merged, (kind, before), &mut progress).await?;
        let contact = progress.contact();
        let Progress { records, mut commit, comparison, failed, .. } = progress;
        self.write_records(newest, &merged, records, &mut commit)?;
        if let Some(rerun) = &newest.rerun {
            self.write_reads(newest, &mut commit)?;
            let commit = self.end_rerun((newest, rerun), (comparison, changes), contact, commit)?;
            return Ok((commit, failed));
        }
        if let Some(again) = &self.again {
            // Mirror, timeline and the event's end were written when everyone else ran.
            self.write_reads(newest, &mut commit)?;
            if commit.held.is_empty() {
                commit.let_go.push((again.assignment.clone(), newest.event.sequence));
            }
            return Ok((commit, failed));
        }
        self.write_timeline(
            events,
            &merged.changes,
            contact.as_ref(),
            (newest.event.sequence, &changes),
            &mut commit,
        )?;
        self.write_reads(newest, &mut commit)?;
        let changed = Changed::of(&merged, &newest.payload);
        let changed = changed.map(|changed| serde_json::to_string(&changed)).transpose();
        let changed = changed.map_err(|error| StoreError::corrupt("list of changes", &error))?;
        self.write_events(events, newest.event.sequence, changed, &mut commit);
        Ok((commit, failed))
    }

    /// An event about something new waits, a little, for a create of ours on the same contact: it may be what it tells of.
    fn hold_for_create(&self, newest: &Arrived) -> Option<Timestamp> {
        let object = newest.payload.object.as_ref()?;
        let context = self.context(&newest.event, object.kind, &object.id);
        if newest.payload.shape.change == EventKind::Delete
            || newest.rerun.is_some()
            || context.is_some_and(|known| known.mirror.is_some() || known.rankr_id.is_some())
        {
            return None;
        }
        let since = if object.kind == ObjectKind::Contact {
            let text = |name: &str| newest.payload.fields.get(name).and_then(Value::as_text);
            let (email, phone) = (text("email"), text("phone"));
            let is_it = |creating: &&Creating| {
                let same = email.zip(creating.email.as_deref());
                same.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
                    || (phone.is_some() && phone == creating.phone.as_deref())
            };
            context?.creating.iter().filter(is_it).map(|creating| creating.since).min()
        } else {
            let contact = newest.payload.contact.as_ref()?;
            self.context(&newest.event, ObjectKind::Contact, contact)?.making_since
        }?;
        (self.now.since(since) < LONGEST_HOLD).then(|| self.now.plus(HOLD))
    }

    /// Declared reads of the versions that want the event, as far as they are not answered.
    fn declared_reads(&self, newest: &Arrived, merged: &MergedObject<'_>) -> (Vec<ReadRequest>, Asker) {
        let (mut missing, mut names) = (Vec::new(), Vec::new());
        if merged.all_stale() || merged.deleted {
            return (missing, Asker::Host);
        }
        let reacts = self.reacts_to(newest, merged);
        let mapping = self.wanting(newest, Interface::Mapping);
        for active in mapping.chain(self.wanting(newest, Interface::Reaction).filter(|_| reacts)) {
            let before = missing.len();
            let declared = reads::declared(active, merged.contact.as_ref(), &merged.fields);
            missing.extend(declared.into_iter().filter(|request| !self.answers.contains_key(request)));
            if missing.len() > before && !names.contains(&active.plugin.as_str()) {
                names.push(active.plugin.as_str());
            }
        }
        missing.sort_unstable();
        missing.dedup();
        (missing, Asker::Plugins(names.join(", ")))
    }

    /// The active versions that want the event and have that interface.
    pub(super) fn wanting(
        &self,
        newest: &Arrived,
        interface: Interface,
    ) -> impl Iterator<Item = &ActiveVersion> {
        self.versions.iter().filter(move |active| {
            let has = match interface {
                Interface::Mapping => active.maps,
                Interface::Reaction => active.reacts,
            };
            has && active.wants(&newest.event.event_type)
                && newest.payload.assignment.as_ref().is_none_or(|only| *only == active.assignment)
                && newest.rerun.as_ref().is_none_or(|rerun| rerun.runs(&active.assignment, interface))
        })
    }

    pub(super) fn context(&self, event: &Event, kind: ObjectKind, id: &GhlId) -> Option<&LoadedContext> {
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

    /// Runs every mapping that wants the event.
    async fn map_all(
        &self,
        events: &[Arrived],
        newest: &Arrived,
        merged: &MergedObject<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<FieldChange>, Stop> {
        let mut field_changes = Vec::new();
        if merged.all_stale() {
            return Ok(field_changes);
        }
        for active in self.wanting(newest, Interface::Mapping) {
            if !self.may_run(newest, merged, active, &mut progress.commit)? {
                continue;
            }
            let kind = merged.object.map_or(ObjectKind::Contact, |object| object.kind);
            let result =
                self.rounds(newest, merged, (Interface::Mapping, active), (kind, None), progress).await?;
            let (end, detail) = match result.end.clone() {
                RunEnd::Mapped { kind, fields } => match progress.records.get_mut(&kind) {
                    Some(working) => {
                        let changes = newest.merge(&mut working.record, fields, &active.version);
                        working.touched |= !changes.is_empty() || !working.existed;
                        field_changes.extend(changes);
                        (None, None)
                    }
                    // Nothing for nobody is no fault.
                    None if fields.is_empty() => (None, None),
                    None => (
                        Some("no-such-record"),
                        Some(format!("the mapping names a {} record, but the event has none", kind.as_str())),
                    ),
                },
                other => self.failure(events, &result, other)?,
            };
            let commit = &mut progress.commit;
            self.keep_state(active, &result, end.is_none(), commit);
            commit.runs.push(run_row(newest, active, "mapping", &result, detail.clone(), self.now));
            if let Some(outcome) = end {
                self.fail((newest, merged, active), (outcome, detail), progress).await?;
            }
        }
        Ok(field_changes)
    }

    fn keep_mirror(
        &self,
        newest: &Arrived,
        object: &ObjectRef,
        merged: &MergedObject<'_>,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        if let Some(working) = progress.records.get_mut(&object.kind) {
            let deleted_at = merged.mirror.deleted_at();
            if working.record.deleted_at != deleted_at && working.existed {
                working.record.deleted_at = deleted_at;
                working.touched = true;
            }
        }
        let (tenant, connection) = (newest.event.tenant.clone(), newest.event.connection.clone());
        let commit = &mut progress.commit;
        if let Some(patch) = &merged.settled {
            commit.answered.push(AnsweredRow {
                tenant: tenant.clone(),
                connection: connection.clone(),
                kind: object.kind,
                ghl_id: object.id.clone(),
                contact: merged.contact.clone(),
                patch: patch.clone(),
            });
        }
        commit.mirror.push(MirrorRow {
            tenant,
            connection,
            kind: object.kind,
            ghl_id: object.id.clone(),
            contact: merged.contact.clone(),
            fields: merged.mirror.to_stored().map_err(|error| StoreError::corrupt("mirror", &error))?,
            deleted_at: merged.mirror.deleted_at(),
        });
        Ok(())
    }

    /// When to try again after a retryable failure; `None` once it has been tried long enough.
    pub(super) fn again(&self, events: &[Arrived], after: Duration) -> Option<Timestamp> {
        let first = events.first()?;
        if self.now.since(first.since()) >= self.give_up_after {
            return None;
        }
        Some(self.now.plus(pause(first.attempts).max(after)))
    }
}

/// How long to wait after so many tries.
pub(super) fn pause(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 16)).unwrap_or(0);
    SHORTEST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}
