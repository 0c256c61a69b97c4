//! What a finished run writes: records and links, timeline entries, the events' ends.

use super::arrived::Arrived;
use super::journey::{Journey, Working};
use super::merge::FieldChange;
use super::merged::MergedObject;
use super::mirror::Change;
use super::runs::RunResult;
use crate::domain::{ObjectKind, RankrId, ReadRequest, Sequence, Timestamp};
use crate::store::{
    DeadLetterRow, EventCommit, EventEnd, EventRow, RecordRow, RunReadRow, RunRow, StoreError, TimelineRow,
};
use crate::tenants::ActiveVersion;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the timeline keeps of an event.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    cause: crate::domain::Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<EntryObject<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<&'a str, &'a crate::domain::Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [FieldChange],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize)]
struct EntryObject<'a> {
    kind: ObjectKind,
    id: &'a str,
}

/// Payload fields worth showing for objects that are no contacts.
const DETAILS: &[&str] = &[
    "title",
    "body",
    "dueDate",
    "completed",
    "startTime",
    "endTime",
    "appointmentStatus",
    "name",
    "status",
    "messageType",
    "direction",
    "message",
    "invoiceNumber",
    "amount",
    "amountPaid",
    "currency",
    "monetaryValue",
    "unreadCount",
    "duration",
];

impl Journey<'_> {
    pub(super) fn waiting(&self, events: &[Arrived], retry_at: Timestamp) -> EventCommit {
        let mut commit = EventCommit::default();
        for arrived in events {
            commit.events.push(self.event_row(arrived, EventEnd::Waiting(retry_at), None));
        }
        commit
    }

    pub(super) fn write_records(
        &self,
        newest: &Arrived,
        merged: &MergedObject<'_>,
        records: BTreeMap<ObjectKind, Working>,
        commit: &mut EventCommit,
    ) -> Result<(), StoreError> {
        for (kind, working) in records {
            let ghl_id = match kind {
                ObjectKind::Contact => merged.contact.as_ref(),
                _ => merged.object.map(|object| &object.id),
            };
            let Some(ghl_id) = ghl_id else { continue };
            // A contact is linked as soon as it is seen, so that its timeline has an owner.
            if !working.linked && (working.touched || kind == ObjectKind::Contact) {
                commit.links.push(self.link(newest, kind, &working, ghl_id));
            }
            if working.touched {
                let (fields, provenance) =
                    working.record.to_stored().map_err(|error| StoreError::corrupt("record", &error))?;
                commit.records.push(RecordRow {
                    tenant: newest.event.tenant.clone(),
                    kind,
                    id: working.id,
                    fields,
                    provenance,
                    at: self.now,
                    deleted_at: working.record.deleted_at,
                });
            }
        }
        Ok(())
    }

    pub(super) fn write_timeline(
        &self,
        events: &[Arrived],
        changes: &[Change],
        contact: Option<&RankrId>,
        (changed_by, field_changes): (Sequence, &[FieldChange]),
        commit: &mut EventCommit,
    ) -> Result<(), StoreError> {
        for (arrived, change) in events.iter().zip(changes) {
            let object = arrived.payload.object.as_ref();
            let details = match object {
                Some(object) if object.kind == ObjectKind::Contact => BTreeMap::new(),
                _ => DETAILS
                    .iter()
                    .filter_map(|name| Some((*name, arrived.payload.fields.get(*name)?)))
                    .collect(),
            };
            let entry = Entry {
                event_type: &arrived.event.event_type,
                cause: arrived.event.cause,
                object: object.map(|object| EntryObject { kind: object.kind, id: object.id.as_str() }),
                details,
                changes: if arrived.event.sequence == changed_by { field_changes } else { &[] },
                stale: change.stale,
            };
            let row = TimelineRow {
                tenant: arrived.event.tenant.clone(),
                contact: contact.cloned(),
                at: arrived.event.source_time,
                sequence: arrived.event.sequence,
                kind: "event",
                entry: serde_json::to_string(&entry)
                    .map_err(|error| StoreError::corrupt("timeline entry", &error))?,
            };
            commit.timeline.push(row);
        }
        Ok(())
    }

    /// What GHL answered for these events, so that the run can be made again.
    pub(super) fn write_reads(&self, newest: &Arrived, commit: &mut EventCommit) -> Result<(), StoreError> {
        let json = |error: serde_json::Error| StoreError::corrupt("answer", &error);
        for (request, answer) in self.answers.iter().filter(|(request, _)| ReadRequest::is_remote(request)) {
            commit.reads.push(RunReadRow {
                sequence: newest.own(),
                tenant: newest.event.tenant.clone(),
                request: serde_json::to_string(request).map_err(json)?,
                answer: serde_json::to_string(answer).map_err(json)?,
                at: self.now,
            });
        }
        Ok(())
    }

    pub(super) fn write_events(
        &self,
        events: &[Arrived],
        into: Sequence,
        mut changed: Option<String>,
        commit: &mut EventCommit,
    ) {
        let end = if !commit.held.is_empty() {
            EventEnd::Held
        } else if commit.dead_letters.is_empty() {
            EventEnd::Done
        } else {
            EventEnd::Dead
        };
        for arrived in events {
            let row = if arrived.event.sequence == into {
                self.event_row(arrived, end, changed.take())
            } else {
                self.event_row(arrived, EventEnd::Folded(into), None)
            };
            commit.events.push(row);
        }
    }

    pub(super) fn event_row(&self, arrived: &Arrived, end: EventEnd, changed: Option<String>) -> EventRow {
        EventRow {
            sequence: arrived.own(),
            tenant: arrived.event.tenant.clone(),
            end,
            run_order: self.run_order,
            attempts: arrived.attempts + 1,
            changed,
            at: self.now,
        }
    }
}

/// A final failure, kept for a person.
pub(super) fn dead_letter(
    newest: &Arrived,
    active: &ActiveVersion,
    outcome: &'static str,
    detail: Option<String>,
    at: Timestamp,
) -> DeadLetterRow {
    DeadLetterRow {
        sequence: newest.event.sequence,
        tenant: active.tenant.clone(),
        assignment: active.assignment.clone(),
        version: active.version.clone(),
        outcome,
        detail: detail.unwrap_or_default(),
        at,
    }
}

pub(super) fn run_row(
    newest: &Arrived,
    active: &ActiveVersion,
    interface: &'static str,
    result: &RunResult,
    detail: Option<String>,
    at: Timestamp,
) -> RunRow {
    RunRow {
        sequence: newest.event.sequence,
        tenant: active.tenant.clone(),
        assignment: active.assignment.clone(),
        version: active.version.clone(),
        interface,
        outcome: result.outcome,
        detail,
        fuel: i64::try_from(result.fuel).unwrap_or(i64::MAX),
        micros: i64::try_from(result.took.as_micros()).unwrap_or(i64::MAX),
        at,
        log: result.log.clone(),
        rerun: newest.rerun.as_ref().map(|rerun| rerun.own),
    }
}
