//! An object after all events of a run: the mirror with their payloads, what changed, what of it is echo.

use super::arrived::Arrived;
use super::echo::Answered;
use super::journey::Journey;
use super::mirror::{Change, Mirror};
use super::reads;
use crate::domain::{
    EventKind, Fields, GhlId, OWN_DELETION, ObjectKind, ObjectRef, ReadRequest, Sequence, Timestamp, Value,
};
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};

/// The object after all events of the run.
pub(super) struct MergedObject<'a> {
    pub(super) mirror: Mirror,
    pub(super) fields: Fields,
    pub(super) changes: Vec<Change>,
    /// Changed fields that only repeat what GHL answered to us.
    pub(super) echo: BTreeSet<String>,
    /// Whether the deletion is our own.
    pub(super) own_deletion: bool,
    /// What of the answers to our writes is to be forgotten.
    pub(super) settled: Option<String>,
    pub(super) object: Option<&'a ObjectRef>,
    pub(super) contact: Option<GhlId>,
    pub(super) deleted: bool,
}

impl MergedObject<'_> {
    /// Whether everything the events say was known to be older than what is there.
    pub(super) fn all_stale(&self) -> bool {
        !self.changes.is_empty() && self.changes.iter().all(|change| change.stale)
    }

    /// Names of the changed fields, sorted.
    pub(super) fn changed(&self) -> BTreeSet<&str> {
        self.changes.iter().flat_map(|change| change.changed.keys().map(String::as_str)).collect()
    }

    /// What the changed fields were before the first event that changed them, as far as they were known.
    pub(super) fn previous(&self) -> BTreeMap<&str, &Value> {
        let mut previous = BTreeMap::new();
        for (name, before) in self.changes.iter().flat_map(|change| &change.changed) {
            previous.entry(name.as_str()).or_insert(before.as_ref());
        }
        previous.into_iter().filter_map(|(name, before)| Some((name, before?))).collect()
    }

    /// Whether anything is left for a reaction: a happening, a deletion by others, a change that is no echo.
    pub(super) fn is_news(&self) -> bool {
        match self.object {
            None => true,
            Some(_) if self.deleted => !self.own_deletion,
            // Times that GHL sets itself are no news without another change.
            Some(_) => self
                .changed()
                .into_iter()
                .any(|name| !self.echo.contains(name) && !matches!(name, "dateAdded" | "dateUpdated")),
        }
    }
}

impl Journey<'_> {
    /// The events' payloads into the mirror; `Err` names what GHL has to be asked first.
    pub(super) fn merge<'e>(
        &self,
        events: &'e [Arrived],
        newest: &'e Arrived,
    ) -> Result<Result<MergedObject<'e>, Vec<ReadRequest>>, StoreError> {
        let object = newest.payload.object.as_ref();
        let context = object.and_then(|object| self.context(&newest.event, object.kind, &object.id));
        let corrupt = |error: serde_json::Error| StoreError::corrupt("mirror", &error);
        let mut mirror = match context.and_then(|context| context.mirror.as_ref()) {
            Some((fields, deleted_at)) => Mirror::from_stored(fields, *deleted_at).map_err(corrupt)?,
            None => Mirror::default(),
        };
        let answered = match context.and_then(|context| context.answered.as_deref()) {
            Some(text) => Answered::from_stored(text).map_err(corrupt)?,
            None => Answered::default(),
        };
        if let Some(rerun) = &newest.rerun {
            let contact = newest.payload.contact.clone();
            return Ok(Ok(rerun.changed.merged((mirror, &newest.payload), object, contact)));
        }
        let mut changes: Vec<Change> = events.iter().map(|arrived| apply(&mut mirror, arrived)).collect();
        if let Some(request) = reads::confirming(events, &mirror) {
            let Some(answer) = self.answers.get(&request) else { return Ok(Err(vec![request])) };
            if let Some((fields, at)) = reads::confirmed(answer, &mirror) {
                let at = at.unwrap_or(newest.event.source_time).max(newest.event.source_time);
                let confirmed = mirror.apply(fields, at, newest.event.sequence);
                if let Some(last) = changes.last_mut() {
                    last.changed.extend(confirmed.changed);
                }
            }
        }
        let fields = mirror.fields();
        let echo = changes
            .iter()
            .flat_map(|change| change.changed.keys())
            .filter(|name| {
                fields.get(*name).is_some_and(|value| answered.repeats(name, value, newest.event.source_time))
            })
            .cloned()
            .collect();
        let deleted = changes.iter().any(|change| change.deleted);
        // An id is never used again: a deletion of ours is known whenever GHL tells of it.
        let own_deletion =
            deleted && answered.repeats(OWN_DELETION, &Value::Boolean(true), Timestamp::default());
        let settled = answered.settled(&fields, mirror.deleted_at().is_some(), self.now);
        let contact = newest.payload.contact.clone().or_else(|| {
            object.filter(|object| object.kind == ObjectKind::Contact).map(|object| object.id.clone())
        });
        Ok(Ok(MergedObject {
            mirror,
            fields,
            changes,
            echo,
            own_deletion,
            settled,
            object,
            contact,
            deleted,
        }))
    }
}

fn apply(mirror: &mut Mirror, arrived: &Arrived) -> Change {
    if arrived.payload.object.is_none() {
        return Change::default();
    }
    let (at, sequence): (Timestamp, Sequence) = (arrived.event.source_time, arrived.event.sequence);
    match arrived.payload.shape.change {
        EventKind::Delete => mirror.delete(at),
        EventKind::Snapshot | EventKind::Partial | EventKind::Happening => {
            mirror.apply(arrived.payload.fields.clone(), at, sequence)
        }
    }
}
