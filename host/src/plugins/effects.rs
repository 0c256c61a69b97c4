//! A reaction's effects, checked against the limits and what was granted, in the host's own words.

use super::bindings::effects as wit;
use super::convert::{fields_from_wit, kind_from_wit};
use super::error::RunFailure;
use super::limits::Limits;
use crate::domain::{
    Action, Effect, Fields, GhlId, LocalEffect, ObjectKind, RankrId, RemoteEffect, RemoteOp, Target,
    Timestamp, Value,
};
use std::collections::HashSet;

/// Bytes of a text in an effect; GHL's notes and our timeline hold no more.
const TEXT_BYTES: usize = 32 * 1024;
/// Bytes of an author's key.
const KEY_BYTES: usize = 128;

/// Takes a run's effects over, all or none.
pub(super) fn effects_from_wit(
    effects: Vec<wit::Effect>,
    limits: &Limits,
    grants: &HashSet<String>,
) -> Result<Vec<Effect>, RunFailure> {
    if effects.len() > limits.effects {
        let detail = format!("{} effects, {} are allowed", effects.len(), limits.effects);
        return Err(RunFailure::OutputTooLarge { detail });
    }
    let mut keys = HashSet::new();
    let mut taken = Vec::with_capacity(effects.len());
    for effect in effects {
        if let Some(key) = &effect.key {
            if key.is_empty() || key.len() > KEY_BYTES {
                return bad(format!("an effect's key must have 1 to {KEY_BYTES} bytes"));
            }
            if !keys.insert(key.clone()) {
                return bad(format!("two effects have the key {key}"));
            }
        }
        let action = action(effect.action, limits)?;
        let (word, capability) = match &action {
            Action::Local(local) => (local.word(), local.capability()),
            Action::Remote(remote) => (remote.op.as_str(), remote.op.capability()),
        };
        if !grants.contains(capability) {
            return Err(RunFailure::Denied { effect: word, capability });
        }
        taken.push(Effect { key: effect.key, action });
    }
    Ok(taken)
}

fn bad<T>(detail: String) -> Result<T, RunFailure> {
    Err(RunFailure::BadOutput { detail })
}

fn action(action: wit::Action, limits: &Limits) -> Result<Action, RunFailure> {
    use wit::Action as A;
    Ok(match action {
        A::SetRecord(_)
        | A::UpsertRankrTask(_)
        | A::CloseRankrTask(_)
        | A::AddEntry(_)
        | A::SendRankrEvent(_)
        | A::Schedule(_)
        | A::CancelSchedule(_) => Action::Local(local(action, limits)?),
        A::CreateContact(_)
        | A::UpsertContact(_)
        | A::UpdateContact(_)
        | A::DeleteContact(_)
        | A::AddTags(_)
        | A::RemoveTags(_)
        | A::StartWorkflow(_)
        | A::StopWorkflow(_) => Action::Remote(on_contact(action, limits)?),
        other => Action::Remote(on_object(other)?),
    })
}

fn local(action: wit::Action, limits: &Limits) -> Result<LocalEffect, RunFailure> {
    Ok(match action {
        wit::Action::SetRecord(it) => LocalEffect::SetRecord {
            kind: kind_from_wit(it.kind),
            id: it.id.map(RankrId::from),
            fields: fields_from_wit(it.fields, limits)?,
        },
        wit::Action::UpsertRankrTask(it) => {
            let mut fields = Fields::new();
            put(&mut fields, "title", Some(text("title", it.title)?));
            put(&mut fields, "body", it.body.map(|body| text("body", body)).transpose()?);
            put(&mut fields, "due_at", it.due.map(time));
            put(&mut fields, "completed", Some(Value::Boolean(it.completed)));
            LocalEffect::SetRecord { kind: ObjectKind::Task, id: Some(rankr_id(it.id)?), fields }
        }
        wit::Action::CloseRankrTask(id) => LocalEffect::SetRecord {
            kind: ObjectKind::Task,
            id: Some(rankr_id(id)?),
            fields: Fields::from([("completed".to_owned(), Value::Boolean(true))]),
        },
        wit::Action::AddEntry(it) => {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if it.kind.is_empty() || it.kind.len() > 64 || !it.kind.bytes().all(plain) {
                return bad(
                    "an entry's kind must have 1 to 64 lower-case letters, digits and hyphens".to_owned()
                );
            }
            text("title", it.title.clone())?;
            LocalEffect::AddEntry {
                kind: it.kind,
                title: it.title,
                details: fields_from_wit(it.details, limits)?,
            }
        }
        wit::Action::SendRankrEvent(it) => {
            if !it.event_type.starts_with("rankr.") || it.event_type.len() > 128 {
                return bad("an event for Rankr must have a type beginning with `rankr.`".to_owned());
            }
            LocalEffect::SendEvent { event_type: it.event_type, data: json("an event's data", &it.data)? }
        }
        wit::Action::Schedule(it) => LocalEffect::Schedule {
            key: schedule_key(it.key)?,
            at: Timestamp::from_millis(it.at),
            data: json("a schedule's data", &it.data)?,
        },
        wit::Action::CancelSchedule(key) => LocalEffect::CancelSchedule { key: schedule_key(key)? },
        _ => return bad("not a local effect".to_owned()),
    })
}

fn on_contact(action: wit::Action, limits: &Limits) -> Result<RemoteEffect, RunFailure> {
    use wit::Action as A;
    let tags = |tags: Vec<String>| -> Result<Fields, RunFailure> {
        if tags.is_empty() {
            return bad("an effect on tags names none".to_owned());
        }
        Ok(Fields::from([("tags".to_owned(), Value::List(tags))]))
    };
    let (op, contact, fields, rankr_id) = match action {
        A::CreateContact(it) => {
            (RemoteOp::CreateContact, None, fields_from_wit(it.fields, limits)?, it.rankr_id)
        }
        A::UpsertContact(it) => {
            (RemoteOp::UpsertContact, None, fields_from_wit(it.fields, limits)?, it.rankr_id)
        }
        A::UpdateContact(it) => {
            (RemoteOp::UpdateContact, it.contact, fields_from_wit(it.fields, limits)?, None)
        }
        A::DeleteContact(it) => (RemoteOp::DeleteContact, Some(it), Fields::new(), None),
        A::AddTags(it) => (RemoteOp::AddTags, it.contact, tags(it.tags)?, None),
        A::RemoveTags(it) => (RemoteOp::RemoveTags, it.contact, tags(it.tags)?, None),
        A::StartWorkflow(it) => (RemoteOp::StartWorkflow, it.contact.clone(), workflow(it)?, None),
        A::StopWorkflow(it) => (RemoteOp::StopWorkflow, it.contact.clone(), workflow(it)?, None),
        _ => return bad("not an effect on a contact".to_owned()),
    };
    Ok(RemoteEffect {
        op,
        contact: contact.map(target),
        object: None,
        fields,
        rankr_id: rankr_id.map(RankrId::from),
    })
}

fn workflow(it: wit::WorkflowRun) -> Result<Fields, RunFailure> {
    let mut fields = Fields::new();
    put(&mut fields, "workflow_id", Some(text("workflow-id", it.workflow_id)?));
    put(&mut fields, "at", it.at.map(time));
    Ok(fields)
}

fn on_object(action: wit::Action) -> Result<RemoteEffect, RunFailure> {
    use wit::Action as A;
    let mut fields = Fields::new();
    let mut rankr = None;
    let optional =
        |name: &'static str, value: Option<String>| value.map(|value| text(name, value)).transpose();
    let (op, contact, object) = match action {
        A::CreateTask(it) => {
            put(&mut fields, "title", Some(text("title", it.title)?));
            put(&mut fields, "body", optional("body", it.body)?);
            put(&mut fields, "due", Some(time(it.due)));
            put(&mut fields, "completed", Some(Value::Boolean(it.completed)));
            put(&mut fields, "assigned_to", optional("assigned-to", it.assigned_to)?);
            rankr = it.rankr_id;
            (RemoteOp::CreateTask, it.contact, None)
        }
        A::UpdateTask(it) => {
            put(&mut fields, "title", optional("title", it.title)?);
            put(&mut fields, "body", optional("body", it.body)?);
            put(&mut fields, "due", it.due.map(time));
            put(&mut fields, "assigned_to", optional("assigned-to", it.assigned_to)?);
            (RemoteOp::UpdateTask, None, Some(it.task))
        }
        A::CompleteTask(task) => {
            put(&mut fields, "completed", Some(Value::Boolean(true)));
            (RemoteOp::CompleteTask, None, Some(task))
        }
        A::ReopenTask(task) => {
            put(&mut fields, "completed", Some(Value::Boolean(false)));
            (RemoteOp::CompleteTask, None, Some(task))
        }
        A::DeleteTask(task) => (RemoteOp::DeleteTask, None, Some(task)),
        A::CreateNote(it) => {
            put(&mut fields, "body", Some(text("body", it.body)?));
            rankr = it.rankr_id;
            (RemoteOp::CreateNote, it.contact, None)
        }
        A::UpdateNote(it) => {
            put(&mut fields, "body", Some(text("body", it.body)?));
            (RemoteOp::UpdateNote, None, Some(it.note))
        }
        A::DeleteNote(note) => (RemoteOp::DeleteNote, None, Some(note)),
        A::CreateAppointment(it) => {
            put(&mut fields, "calendar_id", Some(text("calendar-id", it.calendar_id)?));
            put(&mut fields, "title", optional("title", it.title)?);
            put(&mut fields, "start", Some(time(it.start)));
            put(&mut fields, "end", it.end.map(time));
            put(&mut fields, "status", optional("status", it.status)?);
            put(&mut fields, "assigned_to", optional("assigned-to", it.assigned_to)?);
            rankr = it.rankr_id;
            (RemoteOp::CreateAppointment, it.contact, None)
        }
        A::UpdateAppointment(it) => {
            put(&mut fields, "title", optional("title", it.title)?);
            put(&mut fields, "start", it.start.map(time));
            put(&mut fields, "end", it.end.map(time));
            put(&mut fields, "status", optional("status", it.status)?);
            (RemoteOp::UpdateAppointment, None, Some(it.appointment))
        }
        A::Call(it) => {
            put(&mut fields, "operation", Some(text("operation", it.operation)?));
            let parameters: serde_json::Map<String, serde_json::Value> =
                fields_from_wit(it.parameters, &Limits::default())?
                    .into_iter()
                    .map(|(name, value)| (name, serde_json::to_value(value).unwrap_or_default()))
                    .collect();
            put(&mut fields, "parameters", Some(Value::Json(parameters.into())));
            put(
                &mut fields,
                "body",
                it.body.map(|body| json("a call's body", &body)).transpose()?.map(Value::Json),
            );
            (RemoteOp::Call, None, None)
        }
        _ => return bad("not an effect on an object".to_owned()),
    };
    Ok(RemoteEffect {
        op,
        contact: contact.map(target),
        object: object.map(target),
        fields,
        rankr_id: rankr.map(RankrId::from),
    })
}

fn target(target: wit::Target) -> Target {
    match target {
        wit::Target::Ghl(id) => Target::Ghl(GhlId::from(id)),
        wit::Target::Rankr(id) => Target::Rankr(RankrId::from(id)),
        wit::Target::MadeBy(key) => Target::MadeBy(key),
    }
}

fn put(fields: &mut Fields, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value);
    }
}

fn time(millis: i64) -> Value {
    Value::Text(Timestamp::from_millis(millis).to_rfc3339())
}

fn text(name: &str, value: String) -> Result<Value, RunFailure> {
    if value.len() > TEXT_BYTES {
        return bad(format!("{name} has {} bytes, {TEXT_BYTES} are allowed", value.len()));
    }
    Ok(Value::Text(value))
}

fn rankr_id(id: String) -> Result<RankrId, RunFailure> {
    if id.is_empty() || id.len() > KEY_BYTES {
        return bad(format!("an id of Rankr's must have 1 to {KEY_BYTES} bytes"));
    }
    Ok(RankrId::from(id))
}

fn schedule_key(key: String) -> Result<String, RunFailure> {
    if key.is_empty() || key.len() > KEY_BYTES {
        return bad(format!("a schedule's key must have 1 to {KEY_BYTES} bytes"));
    }
    Ok(key)
}

fn json(what: &str, text: &str) -> Result<serde_json::Value, RunFailure> {
    if text.len() > TEXT_BYTES {
        return bad(format!("{what} has {} bytes, {TEXT_BYTES} are allowed", text.len()));
    }
    serde_json::from_str(text)
        .map_err(|error| RunFailure::BadOutput { detail: format!("{what} is no valid JSON: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: Option<&str>, body: &str) -> wit::Effect {
        let draft = wit::NoteDraft { contact: None, body: body.into(), rankr_id: None };
        wit::Effect { key: key.map(str::to_owned), action: wit::Action::CreateNote(draft) }
    }

    fn taken(effects: Vec<wit::Effect>, grants: &[&str]) -> Result<Vec<Effect>, RunFailure> {
        let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        effects_from_wit(effects, &Limits::default(), &grants)
    }

    #[test]
    fn what_was_not_granted_is_refused_whole() {
        let granted = ["crm.notes.write"];
        assert_eq!(taken(vec![note(None, "a")], &granted).unwrap().len(), 1);
        assert_eq!(taken(vec![note(None, "a")], &[]).unwrap_err().outcome(), "denied");
        let task = wit::Effect { key: None, action: wit::Action::DeleteTask(wit::Target::Ghl("t".into())) };
        let error = taken(vec![note(None, "a"), task], &granted).unwrap_err();
        assert!(error.to_string().contains("crm.tasks.write"), "{error}");
    }

    #[test]
    fn a_flood_double_keys_and_long_texts_are_refused() {
        let granted = ["crm.notes.write"];
        let refused = |effects| taken(effects, &granted).unwrap_err().outcome();
        assert_eq!(refused(vec![note(None, "a"); 101]), "output-too-large");
        assert_eq!(refused(vec![note(Some("k"), "a"), note(Some("k"), "b")]), "bad-output");
        assert_eq!(refused(vec![note(None, &"x".repeat(TEXT_BYTES + 1))]), "bad-output");
    }
}
