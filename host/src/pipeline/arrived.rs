//! An event on its way through the pipeline, with its body taken apart.

use super::merge::{FieldChange, Record};
use super::payload::{self, Payload};
use super::rerun::Rerun;
use crate::domain::{AssignmentId, Event, Fields, Sequence, Timestamp, VersionId};
use std::sync::Arc;

/// An event with its body taken apart.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) event: Event,
    pub(super) payload: Payload,
    pub(super) attempts: i64,
    /// Set where the event is run again.
    pub(super) rerun: Option<Arc<Rerun>>,
    /// The only assignment that runs; it was held before.
    pub(super) only: Option<AssignmentId>,
}

impl Arrived {
    /// The sequence under which it is under way: its own, or that of the event that asks for the rerun.
    pub(super) fn own(&self) -> Sequence {
        self.rerun.as_ref().map_or(self.event.sequence, |rerun| rerun.own)
    }

    /// Since when it is under way.
    pub(super) fn since(&self) -> Timestamp {
        self.rerun.as_ref().map_or(self.event.received_at, |rerun| rerun.asked_at)
    }

    /// When it was run first; about then it was received.
    pub(super) fn first_run(&self, now: Timestamp) -> Timestamp {
        if self.rerun.is_some() { self.event.received_at } else { now }
    }

    /// A plugin's fields into a record; those of a rerun overwrite nothing newer.
    pub(super) fn merge(&self, record: &mut Record, fields: Fields, version: &VersionId) -> Vec<FieldChange> {
        let (sequence, at) = (self.event.sequence, self.event.source_time);
        match &self.rerun {
            Some(_) => record.merge_older(fields, sequence, at, version),
            None => record.merge(fields, sequence, at, version),
        }
    }

    /// A record's fields as the event finds it, or found it when it first ran; none where it was not there.
    pub(super) fn before(&self, record: &Record) -> Option<Fields> {
        let Some(rerun) = &self.rerun else { return Some(record.fields.clone()) };
        let before = rerun.before(&record.fields, &record.provenance);
        (!before.is_empty()).then_some(before)
    }
}

/// Takes an event's body apart; a body that is no object counts as a happening without fields.
pub(super) fn arrive(event: Event, attempts: i64) -> Arrived {
    let payload = payload::read(&event.body).unwrap_or_else(|| Payload {
        shape: crate::domain::shape_of(&event.event_type),
        object: None,
        contact: None,
        assignment: None,
        fields: Fields::new(),
        is_own: false,
    });
    Arrived { event, payload, attempts, rerun: None, only: None }
}
