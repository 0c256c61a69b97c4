//! How an effect ends, in one commit: its state, the link, what GHL answered, the timeline, and the event that tells of it.

use super::perform::{Performer, mark};
use super::queue::Next;
use super::resolve::contact_of;
use crate::domain::{Fields, OWN_DELETION, ObjectKind, RemoteEffect, RemoteOp, Timestamp, Value, dedupe_key};
use crate::ghl::{ResolvedEffect, WrittenObject};
use crate::store::{
    AnsweredRow, EffectMark, EffectStep, EventCommit, InboxRow, LinkRow, OpenEffect, Store, StoreError,
    TimelineRow,
};
use crate::tenants::Assignments;
use std::sync::Arc;

/// How an effect ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) state: &'static str,
    pub(super) outcome: &'static str,
    pub(super) written: Option<WrittenObject>,
    pub(super) detail: Option<String>,
}

impl End {
    pub(super) fn done(written: WrittenObject) -> Self {
        Self { state: "done", outcome: "done", written: Some(written), detail: None }
    }

    /// It was done by an earlier sending.
    pub(super) fn found(written: WrittenObject) -> Self {
        let detail = "it was found in GHL after its answer was lost".to_owned();
        Self { state: "done", outcome: "found", written: Some(written), detail: Some(detail) }
    }

    /// GHL or the host says no, for good.
    pub(super) fn refused(why: String) -> Self {
        Self { state: "refused", outcome: "refused", written: None, detail: Some(why) }
    }

    /// It was tried long enough.
    pub(super) fn dead(why: String) -> Self {
        Self { state: "dead", outcome: "failed", written: None, detail: Some(why) }
    }

    /// Nobody knows; a person decides.
    pub(super) fn unclear(why: &str) -> Self {
        Self { state: "unclear", outcome: "unclear", written: None, detail: Some(why.to_owned()) }
    }
}

impl Performer {
    /// Ends an effect that stands at that number of attempts; what it held goes on.
    pub(super) async fn end(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        attempts: i64,
        end: End,
    ) -> Result<Next, StoreError> {
        let ending = Ending {
            store: &self.parts.store,
            assignments: &self.parts.assignments,
            now: self.parts.clock.now(),
        };
        let ghl_id = end.written.as_ref().and_then(|written| written.id.clone());
        let (state, outcome) = (end.state, end.outcome);
        let step = EffectStep::Ended { state, ghl_id, outcome, detail: end.detail.clone() };
        let mut commit = ending.commit(open, effect, &end, mark(open, attempts, step, ending.now));
        commit.timeline.push(ending.entry(open, effect, &end, attempts).await?);
        self.parts.store.commit_event(commit).await?;
        metrics::counter!("mapwright_effects_total", "op" => effect.op.as_str(), "state" => state)
            .increment(1);
        if state != "unclear" && effect.op.makes() {
            self.parts.changed.tell(self.parts.store.waiting_after(&open.effect_key).await?);
        }
        Ok(Next::Gone)
    }
}

/// What ends an effect, whether GHL's answer or a person's word.
pub(super) struct Ending<'a> {
    pub(super) store: &'a Store,
    pub(super) assignments: &'a Assignments,
    pub(super) now: Timestamp,
}

impl Ending<'_> {
    /// The end's commit but for its timeline entry.
    pub(super) fn commit(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        end: &End,
        mark: EffectMark,
    ) -> EventCommit {
        let now = self.now;
        let ghl_id = end.written.as_ref().and_then(|written| written.id.clone());
        let mut commit = EventCommit::default();
        let attempts = mark.attempts.unwrap_or(open.attempts);
        commit.marks.push(mark);
        if let (Some(rankr_id), Some(ghl_id)) = (&effect.rankr_id, &ghl_id)
            && effect.op.makes()
        {
            commit.links.push(LinkRow {
                tenant: open.tenant.clone(),
                kind: effect.op.kind(),
                connection: open.connection.clone(),
                ghl_id: ghl_id.clone(),
                rankr_id: rankr_id.clone(),
                at: now,
            });
        }
        if let Some(written) = &end.written {
            let unresolved = ResolvedEffect { effect, contact: open.contact.as_ref(), object: None };
            commit.answered.extend(Performer::answered_row(open, &unresolved, written, now));
        }
        commit.inbox.extend(self.tell(open, effect, end, attempts));
        commit
    }

    /// The timeline entry of an end.
    pub(super) async fn entry(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        end: &End,
        attempts: i64,
    ) -> Result<TimelineRow, StoreError> {
        let contact = contact_of(self.store, open).await?;
        let id = end.written.as_ref().and_then(|written| written.id.as_ref());
        Ok(TimelineRow {
            tenant: open.tenant.clone(),
            contact,
            at: self.now,
            sequence: open.sequence,
            kind: "effect",
            entry: serde_json::json!({
                "effect": open.effect_key, "op": effect.op, "state": end.state, "detail": end.detail,
                "object": id.map(|id| serde_json::json!({"kind": effect.op.kind(), "id": id})),
                "fields": shown(effect), "attempt": attempts,
            })
            .to_string(),
        })
    }

    /// The event that tells the assignment how its effect ended, if it wants to know.
    fn tell(&self, open: &OpenEffect, effect: &RemoteEffect, end: &End, attempts: i64) -> Option<InboxRow> {
        let event_type = match end.state {
            "done" => "effect-done",
            "refused" | "dead" => "effect-failed",
            _ => return None,
        };
        let versions = self.assignments.of(&open.tenant);
        versions.iter().find(|active| {
            active.assignment == open.assignment && active.reacts && active.wants(event_type)
        })?;
        let body = serde_json::json!({
            "type": event_type, "assignment": open.assignment, "contactId": open.contact,
            "effect": {
                "key": open.author_key, "op": effect.op, "state": end.state, "detail": end.detail,
                "id": end.written.as_ref().and_then(|written| written.id.as_ref()),
            },
        });
        Some(InboxRow {
            dedupe: dedupe_key(&["effect", &open.effect_key, event_type, &attempts.to_string()]),
            tenant: open.tenant.clone(),
            connection: open.connection.clone(),
            event_type: Arc::from(event_type),
            cause: open.cause,
            lane: open.lane.clone(),
            webhook_id: None,
            received_at: self.now,
            source_time: self.now,
            body: Arc::from(body.to_string()),
        })
    }
}

impl Performer {
    /// What GHL answered, kept beside the mirror until its echo came.
    pub(super) fn answered_row(
        open: &OpenEffect,
        resolved: &ResolvedEffect<'_>,
        written: &WrittenObject,
        at: Timestamp,
    ) -> Option<AnsweredRow> {
        let op = resolved.effect.op;
        let fields = match op {
            RemoteOp::DeleteContact | RemoteOp::DeleteTask | RemoteOp::DeleteNote => {
                Fields::from([(OWN_DELETION.to_owned(), Value::Boolean(true))])
            }
            RemoteOp::StartWorkflow | RemoteOp::StopWorkflow | RemoteOp::Call => return None,
            _ => written.fields.clone(),
        };
        let id = written.id.clone()?;
        let contact = match written.kind {
            ObjectKind::Contact => Some(id.clone()),
            _ => resolved.contact.or(open.contact.as_ref()).cloned(),
        };
        let mut patch = serde_json::Map::new();
        patch.insert(format!("e{}", open.id), serde_json::json!([at, fields]));
        Some(AnsweredRow {
            tenant: open.tenant.clone(),
            connection: open.connection.clone(),
            kind: written.kind,
            ghl_id: id,
            contact,
            patch: serde_json::Value::Object(patch).to_string(),
        })
    }
}

/// What the timeline shows of an effect's values.
fn shown(effect: &RemoteEffect) -> Fields {
    const SHOWN: &[&str] = &["title", "body", "due", "completed", "start", "status", "tags"];
    effect
        .fields
        .iter()
        .filter(|(name, _)| SHOWN.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
