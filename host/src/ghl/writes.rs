//! Writes for effects: an effect with its ids to one call, what GHL answered, and the look for what may have been made.

use super::client::{Ghl, GhlReply, GhlRequest};
use super::error::GhlError;
use super::operations::{Operation, operation};
use super::reads::object;
use crate::domain::{
    ConnectionId, Fields, GhlId, ObjectKind, ReadAnswer, ReadObject, ReadRequest, RemoteEffect, RemoteOp,
    Timestamp, Value,
};
use serde_json::{Map, Value as Json, json};

/// An effect whose targets are known.
#[derive(Clone, Copy, Debug)]
pub struct ResolvedEffect<'a> {
    /// What.
    pub effect: &'a RemoteEffect,
    /// GHL's id of the contact, where one is needed.
    pub contact: Option<&'a GhlId>,
    /// GHL's id of the object.
    pub object: Option<&'a GhlId>,
}

/// What a write made or changed, as GHL answered.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenObject {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id, where the answer or the request names it.
    pub id: Option<GhlId>,
    /// The fields that were asked for, with the values GHL keeps.
    pub fields: Fields,
}

/// Whether what a create may have made is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// These fit; the caller adopts one that is nobody's.
    Candidates(Vec<ReadObject>),
    /// There is no way to look.
    CanNotLook,
}

impl ResolvedEffect<'_> {
    fn contact(&self) -> Result<&str, String> {
        self.contact.map(GhlId::as_str).ok_or_else(|| "it needs a contact, and the event has none".to_owned())
    }

    fn object(&self) -> Result<&str, String> {
        self.object.map(GhlId::as_str).ok_or_else(|| "it needs an object to act on".to_owned())
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.effect.fields.get(field).and_then(Value::as_text)
    }
}

/// The call of an effect.
///
/// # Errors
/// What the effect lacks, in words for its author.
pub fn request_of(resolved: &ResolvedEffect<'_>) -> Result<GhlRequest, String> {
    let fields = &resolved.effect.fields;
    let call = |id: &'static str, parameters: &[&str]| {
        operation(id)
            .map(|operation| GhlRequest::new(operation, parameters))
            .ok_or_else(|| format!("no operation {id}"))
    };
    Ok(match resolved.effect.op {
        RemoteOp::CreateContact => call("create_contact", &[])?.body(contact_body(fields, true)),
        RemoteOp::UpsertContact => call("upsert_contact", &[])?.body(contact_body(fields, true)),
        RemoteOp::UpdateContact => {
            call("update_contact", &[resolved.contact()?])?.body(contact_body(fields, false))
        }
        RemoteOp::DeleteContact => call("delete_contact", &[resolved.contact()?])?,
        RemoteOp::AddTags => {
            call("contact_add_tags", &[resolved.contact()?])?.body(renamed(fields, &[("tags", "tags")]))
        }
        RemoteOp::RemoveTags => {
            call("contact_remove_tags", &[resolved.contact()?])?.body(renamed(fields, &[("tags", "tags")]))
        }
        RemoteOp::CreateTask => {
            call("contact_create_task", &[resolved.contact()?])?.body(renamed(fields, TASK))
        }
        RemoteOp::UpdateTask => call("contact_update_task", &[resolved.contact()?, resolved.object()?])?
            .body(renamed(fields, TASK)),
        RemoteOp::CompleteTask => {
            call("contact_update_task_completed", &[resolved.contact()?, resolved.object()?])?
                .body(renamed(fields, &[("completed", "completed")]))
        }
        RemoteOp::DeleteTask => call("contact_delete_task", &[resolved.contact()?, resolved.object()?])?,
        RemoteOp::CreateNote => {
            call("contact_create_note", &[resolved.contact()?])?.body(renamed(fields, NOTE))
        }
        RemoteOp::UpdateNote => call("contact_update_note", &[resolved.contact()?, resolved.object()?])?
            .body(renamed(fields, NOTE)),
        RemoteOp::DeleteNote => call("contact_delete_note", &[resolved.contact()?, resolved.object()?])?,
        RemoteOp::CreateAppointment => {
            let mut body = renamed(fields, APPOINTMENT);
            if let Some(body) = body.as_object_mut() {
                body.insert("contactId".to_owned(), json!(resolved.contact()?));
                body.insert("locationId".to_owned(), json!("{locationId}"));
            }
            call("calendar_create_appointment", &[])?.body(body)
        }
        RemoteOp::UpdateAppointment => {
            call("calendar_edit_appointment", &[resolved.object()?])?.body(renamed(fields, APPOINTMENT))
        }
        RemoteOp::StartWorkflow | RemoteOp::StopWorkflow => {
            let workflow = resolved.text("workflow_id").ok_or("it names no workflow")?;
            let id = if resolved.effect.op == RemoteOp::StartWorkflow {
                "add_contact_to_workflow"
            } else {
                "delete_contact_from_workflow"
            };
            call(id, &[resolved.contact()?, workflow])?.body(renamed(fields, &[("at", "eventStartTime")]))
        }
        RemoteOp::Call => call_of(fields)?,
    })
}

/// A call of the catalogue: parameters fill the path, the rest goes into the query.
fn call_of(fields: &Fields) -> Result<GhlRequest, String> {
    let id = fields.get("operation").and_then(Value::as_text).unwrap_or_default();
    let operation: &'static Operation =
        operation(id).ok_or_else(|| format!("the catalogue has no operation {id:?}"))?;
    let mut given = match fields.get("parameters") {
        Some(Value::Json(Json::Object(given))) => given.clone(),
        _ => Map::new(),
    };
    let mut request = GhlRequest::new(operation, &[]);
    for part in operation.path.split('/') {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { continue };
        if name == "locationId" {
            continue;
        }
        match given.remove(name) {
            Some(Json::String(value)) => request.parameters.push(value),
            _ => return Err(format!("{id} needs the parameter {name}, a text")),
        }
    }
    if let Some(name) = given.keys().next() {
        return Err(format!("{id} has no parameter {name}"));
    }
    request.body = match fields.get("body") {
        Some(Value::Json(body)) => Some(body.clone()),
        _ => None,
    };
    Ok(request)
}

const TASK: &[(&str, &str)] = &[
    ("title", "title"),
    ("body", "body"),
    ("due", "dueDate"),
    ("completed", "completed"),
    ("assigned_to", "assignedTo"),
];
const NOTE: &[(&str, &str)] = &[("body", "body")];
const APPOINTMENT: &[(&str, &str)] = &[
    ("calendar_id", "calendarId"),
    ("title", "title"),
    ("start", "startTime"),
    ("end", "endTime"),
    ("status", "appointmentStatus"),
    ("assigned_to", "assignedUserId"),
];

/// The contract's names to GHL's; times without fractions of a second, which GHL does not take everywhere.
fn renamed(fields: &Fields, names: &[(&str, &str)]) -> Json {
    let mut body = Map::new();
    for (ours, theirs) in names {
        let Some(value) = fields.get(*ours) else { continue };
        let value = match value {
            Value::Text(text) if matches!(*ours, "due" | "start" | "end" | "at") => {
                json!(whole_seconds(text))
            }
            other => serde_json::to_value(other).unwrap_or_default(),
        };
        body.insert((*theirs).to_owned(), value);
    }
    Json::Object(body)
}

fn whole_seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// A contact's fields under GHL's names; `customFields.ID` become GHL's list.
fn contact_body(fields: &Fields, with_location: bool) -> Json {
    let mut body = Map::new();
    let mut custom = Vec::new();
    for (name, value) in fields {
        let value = serde_json::to_value(value).unwrap_or_default();
        match name.strip_prefix("customFields.") {
            Some(id) => custom.push(json!({"id": id, "field_value": value})),
            None => {
                body.insert(name.clone(), value);
            }
        }
    }
    if !custom.is_empty() {
        body.insert("customFields".to_owned(), Json::Array(custom));
    }
    if with_location {
        body.insert("locationId".to_owned(), json!("{locationId}"));
    }
    Json::Object(body)
}

/// What a write made or changed, as far as GHL's answer says; only the fields that were asked for, since only they are
/// our own doing.
#[must_use]
pub fn written(resolved: &ResolvedEffect<'_>, request: &GhlRequest, reply: &GhlReply) -> WrittenObject {
    let op = resolved.effect.op;
    let kind = op.kind();
    let root = match kind {
        ObjectKind::Contact => "contact",
        ObjectKind::Task => "task",
        ObjectKind::Note => "note",
        _ => "appointment",
    };
    let answered = reply.json.get(root).or(Some(&reply.json)).cloned().and_then(|row| object(row, kind));
    let named = match kind {
        ObjectKind::Contact => resolved.contact,
        _ => resolved.object,
    };
    let sent = request.body.as_ref().and_then(Json::as_object);
    let mut fields = Fields::new();
    for (name, value) in sent.into_iter().flatten() {
        if matches!(name.as_str(), "locationId" | "contactId") {
            continue;
        }
        if name == "customFields" {
            let mut asked = Fields::new();
            crate::domain::flatten_custom_fields(value, &mut asked);
            fields.extend(asked);
            continue;
        }
        let kept = answered.as_ref().and_then(|object| object.fields.get(name)).cloned();
        fields.insert(name.clone(), kept.unwrap_or_else(|| Value::from(value.clone())));
    }
    let tags = reply.json.get("tags").cloned().map(Value::from);
    if let (RemoteOp::AddTags | RemoteOp::RemoveTags, Some(tags)) = (op, tags) {
        fields.insert("tags".to_owned(), tags);
    }
    let id = answered.map(|object| object.id).filter(|_| op.makes()).or_else(|| named.cloned());
    WrittenObject { kind, id, fields }
}

/// Looks for what a create may have made, by its natural key.
///
/// # Errors
/// When GHL could not be asked.
pub async fn find(
    ghl: &Ghl,
    connection: &ConnectionId,
    resolved: &ResolvedEffect<'_>,
) -> Result<Found, GhlError> {
    let Some(request) = natural_read(resolved) else { return Ok(Found::CanNotLook) };
    match super::reads::answer(ghl, connection, &request, "the host").await? {
        ReadAnswer::Objects(rows) => {
            Ok(Found::Candidates(rows.into_iter().filter(|row| same(resolved.effect, row)).collect()))
        }
        _ => Ok(Found::CanNotLook),
    }
}

fn natural_read(resolved: &ResolvedEffect<'_>) -> Option<ReadRequest> {
    let contact = resolved.contact.cloned();
    Some(match resolved.effect.op {
        RemoteOp::CreateContact => {
            let text = |name: &str| resolved.text(name).map(str::to_owned);
            let email = text("email");
            let phone = if email.is_some() { None } else { text("phone") };
            ReadRequest::FindContacts { email, phone }
        }
        RemoteOp::CreateTask => ReadRequest::Tasks { contact: contact? },
        RemoteOp::CreateNote => ReadRequest::Notes { contact: contact? },
        RemoteOp::CreateAppointment => ReadRequest::Appointments { contact: contact? },
        _ => return None,
    })
}

/// Whether a row has the natural key of what was to be made: task (title, due date), note (body), appointment (calendar,
/// start), contact (what it was looked up by).
fn same(effect: &RemoteEffect, row: &ReadObject) -> bool {
    let ours = |name: &str| effect.fields.get(name).and_then(Value::as_text);
    let theirs = |name: &str| row.fields.get(name).and_then(Value::as_text);
    let same_time = |ours: Option<&str>, theirs: Option<&str>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => match (moment(ours), moment(theirs)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        },
        (None, None) => true,
        _ => false,
    };
    match effect.op {
        RemoteOp::CreateContact => true,
        RemoteOp::CreateTask => ours("title") == theirs("title") && same_time(ours("due"), theirs("dueDate")),
        RemoteOp::CreateNote => ours("body") == theirs("body"),
        RemoteOp::CreateAppointment => {
            ours("calendar_id") == theirs("calendarId") && same_time(ours("start"), theirs("startTime"))
        }
        _ => false,
    }
}

/// Seconds since 1970; GHL keeps no fractions of what was sent without.
fn moment(text: &str) -> Option<i64> {
    Timestamp::parse(text).map(|at| at.millis().div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(fields: &[(&str, &str)]) -> RemoteEffect {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned())))
            .collect();
        RemoteEffect { op: RemoteOp::CreateTask, contact: None, object: None, fields, rankr_id: None }
    }

    #[test]
    fn a_task_is_asked_for_in_ghls_words() {
        let effect = task(&[("title", "Call"), ("due", "2026-01-02T03:04:05.678Z")]);
        let contact = GhlId::from("c1");
        let resolved = ResolvedEffect { effect: &effect, contact: Some(&contact), object: None };
        let request = request_of(&resolved).unwrap();
        assert_eq!(
            (request.operation.id, request.parameters.as_slice()),
            ("contact_create_task", ["c1".to_owned()].as_slice())
        );
        assert_eq!(request.body, Some(json!({"title": "Call", "dueDate": "2026-01-02T03:04:05Z"})));
        let reply = GhlReply {
            json: json!({"task": {"id": "t1", "title": "Call", "dueDate": "2026-01-02T03:04:05.000Z", "contactId": "c1"}}),
        };
        let made = written(&resolved, &request, &reply);
        assert_eq!(made.id, Some(GhlId::from("t1")));
        assert_eq!(made.fields.get("dueDate"), Some(&Value::Text("2026-01-02T03:04:05.000Z".into())));
        assert_eq!(made.fields.len(), 2);
        let without = ResolvedEffect { effect: &effect, contact: None, object: None };
        assert!(request_of(&without).unwrap_err().contains("contact"));
    }

    #[test]
    fn what_was_made_is_known_by_its_natural_key() {
        let effect = task(&[("title", "Call"), ("due", "2026-01-02T03:04:05.678Z")]);
        let row = |title: &str, due: &str| ReadObject {
            kind: ObjectKind::Task,
            id: GhlId::from("t"),
            fields: Fields::from([
                ("title".into(), Value::Text(title.into())),
                ("dueDate".into(), Value::Text(due.into())),
            ]),
        };
        assert!(same(&effect, &row("Call", "2026-01-02T04:04:05+01:00")));
        assert!(!same(&effect, &row("Call", "2026-01-02T03:04:06Z")));
        assert!(!same(&effect, &row("Called", "2026-01-02T03:04:05Z")));
    }

    #[test]
    fn custom_fields_go_as_ghl_takes_them() {
        let fields = Fields::from([
            ("city".into(), Value::Null),
            ("customFields.f1".into(), Value::List(vec!["a".into()])),
        ]);
        assert_eq!(
            contact_body(&fields, false),
            json!({"city": null, "customFields": [{"id": "f1", "field_value": ["a"]}]})
        );
    }

    #[test]
    fn a_call_fills_its_path_and_refuses_strange_parameters() {
        let call = |parameters: Json| {
            call_of(&Fields::from([
                ("operation".into(), Value::Text("contact_get_task".into())),
                ("parameters".into(), Value::Json(parameters)),
            ]))
        };
        assert_eq!(call(json!({"contactId": "c", "taskId": "t"})).unwrap().parameters, ["c", "t"]);
        assert!(call(json!({"contactId": "c"})).unwrap_err().contains("taskId"));
        assert!(
            call(json!({"contactId": "c", "taskId": "t", "x": 1})).unwrap_err().contains("no parameter x")
        );
    }
}
