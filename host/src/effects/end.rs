//! How an effect ends, in one commit: its state, the link, what GHL answered, the timeline, and the event that tells of it.

use super::perform::Performer;
use crate::domain::{
    Fields, OWN_DELETION, ObjectKind, ReadObject, RemoteEffect, RemoteOp, Timestamp, Value, dedupe_key,
};
use crate::ghl::{ResolvedEffect, WrittenObject};
use crate::store::{
    AnsweredRow, EffectMark, EventCommit, InboxRow, LinkRow, OpenEffect, StoreError, TimelineRow,
};
use std::sync::Arc;

/// How an effect ended.
pub(super) struct End {
    state: &'static str,
    written: Option<WrittenObject>,
    detail: Option<String>,
}

impl End {
    pub(super) fn done(written: WrittenObject) -> Self {
        Self { state: "done", written: Some(written), detail: None }
    }

    /// GHL or the host says no, for good.
    pub(super) fn refused(why: String) -> Self {
        Self { state: "refused", written: None, detail: Some(why) }
    }

    /// It was tried long enough.
    pub(super) fn dead(why: String) -> Self {
        Self { state: "dead", written: None, detail: Some(why) }
    }

    /// Nobody knows; a person decides.
    pub(super) fn unclear(why: &str) -> Self {
        Self { state: "unclear", written: None, detail: Some(why.to_owned()) }
    }

    /// It waits for a person to settle what it names.
    pub(super) fn held() -> Self {
        let detail = "what it names is unclear; it waits until that is settled".to_owned();
        Self { state: "held", written: None, detail: Some(detail) }
    }
}

impl Performer {
    /// Ends an effect.
    pub(super) async fn end(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        end: End,
    ) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let ghl_id = end.written.as_ref().and_then(|written| written.id.clone());
        let mut commit = EventCommit::default();
        commit.marks.push(EffectMark::Ended {
            id: open.id,
            state: end.state,
            ghl_id: ghl_id.clone(),
            detail: end.detail.clone(),
            at: now,
        });
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
            commit.answered.extend(self.answered_row(open, &unresolved, written, now));
        }
        if end.state != "held" {
            let contact = match &open.contact {
                Some(contact) => {
                    let store = &self.parts.store;
                    store.rankr_id_of(&open.tenant, &open.connection, ObjectKind::Contact, contact).await?
                }
                None => None,
            };
            commit.timeline.push(TimelineRow {
                tenant: open.tenant.clone(),
                contact,
                at: now,
                sequence: open.sequence,
                kind: "effect",
                entry: serde_json::json!({
                    "effect": open.effect_key, "op": effect.op, "state": end.state, "detail": end.detail,
                    "object": ghl_id.as_ref().map(|id| serde_json::json!({"kind": effect.op.kind(), "id": id})),
                    "fields": shown(effect),
                })
                .to_string(),
            });
            commit.inbox.extend(self.tell(open, effect, &end, now));
        }
        metrics::counter!("mapwright_effects_total", "op" => effect.op.as_str(), "state" => end.state)
            .increment(1);
        self.parts.store.commit_event(commit).await
    }

    /// The event that tells the assignment how its effect ended, if it wants to know.
    fn tell(&self, open: &OpenEffect, effect: &RemoteEffect, end: &End, now: Timestamp) -> Option<InboxRow> {
        let event_type = match end.state {
            "done" => "effect-done",
            "refused" | "dead" => "effect-failed",
            _ => return None,
        };
        let versions = self.parts.assignments.of(&open.tenant);
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
            dedupe: dedupe_key(&["effect", &open.effect_key, event_type]),
            tenant: open.tenant.clone(),
            connection: open.connection.clone(),
            event_type: Arc::from(event_type),
            cause: open.cause,
            lane: open.lane.clone(),
            webhook_id: None,
            received_at: now,
            source_time: now,
            body: Arc::from(body.to_string()),
        })
    }

    /// What GHL answered, kept beside the mirror until its echo came.
    pub(super) fn answered_row(
        &self,
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

    /// Whether an object is linked to nothing, was made by no effect of ours, and was not known before that time.
    pub(super) async fn is_nobodys(
        &self,
        open: &OpenEffect,
        candidate: &ReadObject,
        earliest: Timestamp,
    ) -> Result<bool, StoreError> {
        let store = &self.parts.store;
        let (kind, id) = (candidate.kind, &candidate.id);
        if store.rankr_id_of(&open.tenant, &open.connection, kind, id).await?.is_some()
            || store.was_made(&open.tenant, &open.connection, id).await?
        {
            return Ok(false);
        }
        let added = candidate.fields.get("dateAdded").and_then(Value::as_text).and_then(Timestamp::parse);
        if added.is_some_and(|added| added < earliest) {
            return Ok(false);
        }
        let known = store.mirrored(&open.tenant, &open.connection, kind, id).await?;
        Ok(known.is_none_or(|(_, fields)| first_seen(&fields).is_none_or(|seen| seen >= earliest)))
    }
}

/// The oldest source time among a mirror's fields.
fn first_seen(fields: &str) -> Option<Timestamp> {
    let stamped: std::collections::BTreeMap<String, (serde_json::Value, Timestamp, i64)> =
        serde_json::from_str(fields).ok()?;
    stamped.into_values().map(|(_, at, _)| at).min()
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
