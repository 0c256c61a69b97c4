//! GHL's endpoints for what belongs to a contact: tasks, notes, appointments; and a location's task search and custom
//! fields.

use super::caller::Caller;
use super::refusal::Refusal;
use super::shape::{Change, Kind, born};
use super::state::{Object, State, new_id};
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Shared = Extract<Arc<State>>;
type Body = Json<Map<String, Value>>;
type Answer = Result<Json<Value>, Refusal>;
type Created = Result<(StatusCode, Json<Value>), Refusal>;

fn of_contact(state: &State, caller: &Caller, kind: Kind, contact: &str) -> Result<Vec<Object>, Refusal> {
    caller.needs("contacts.readonly")?;
    state.object(Kind::Contact, contact, &caller.location)?;
    let of = |object: &Object| object.get("contactId").and_then(Value::as_str) == Some(contact);
    Ok(state.objects(kind, &caller.location, of))
}

/// An object of a contact; that of another contact is as good as none.
fn child(state: &State, caller: &Caller, kind: Kind, contact: &str, id: &str) -> Result<Object, Refusal> {
    let object = state.object(kind, id, &caller.location)?;
    if object.get("contactId").and_then(Value::as_str) == Some(contact) {
        Ok(object)
    } else {
        Err(Refusal::not_found(kind, id))
    }
}

struct Write<'a> {
    state: &'a State,
    caller: &'a Caller,
    kind: Kind,
    operation: &'a str,
}

impl Write<'_> {
    fn create(&self, contact: &str, body: Object) -> Result<Object, Refusal> {
        self.state.object(Kind::Contact, contact, &self.caller.location)?;
        self.kind.check(&body, true)?;
        let id = new_id();
        let now = self.state.clock.now().to_rfc3339();
        let mut made = born(self.kind, &id, &self.caller.location, Some(contact), &now);
        made.extend(body);
        self.change(&id, "create", made)
    }

    fn update(&self, id: &str, mut after: Object, body: Object, op: &str) -> Result<Object, Refusal> {
        self.kind.check(&body, false)?;
        after.extend(body);
        self.change(id, op, after)
    }

    fn change(&self, id: &str, op: &str, after: Object) -> Result<Object, Refusal> {
        let (location, by) = (self.caller.location.as_str(), self.caller.by());
        let after = self.state.change(Change { kind: self.kind, id, location, op, by }, after)?;
        if by == "api" {
            self.state.wrote(self.operation, id, self.caller.request_id.as_deref())?;
        }
        Ok(after)
    }
}

fn write<'a>(
    state: &'a State,
    caller: &'a Caller,
    kind: Kind,
    operation: &'a str,
    scope: &str,
) -> Result<Write<'a>, Refusal> {
    caller.needs(scope)?;
    Ok(Write { state, caller, kind, operation })
}

/// A task's update: done now and not before is a completion.
fn task_op(before: &Object, body: &Object) -> &'static str {
    let done = |object: &Object| object.get("completed") == Some(&Value::Bool(true));
    if done(body) && !done(before) { "complete" } else { "update" }
}

pub(super) async fn tasks(Extract(state): Shared, caller: Caller, Path(contact): Path<String>) -> Answer {
    Ok(Json(json!({"tasks": of_contact(&state, &caller, Kind::Task, &contact)?})))
}

pub(super) async fn task(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
) -> Answer {
    caller.needs("contacts.readonly")?;
    Ok(Json(json!({"task": child(&state, &caller, Kind::Task, &contact, &id)?})))
}

pub(super) async fn create_task(
    Extract(state): Shared,
    caller: Caller,
    Path(contact): Path<String>,
    Json(body): Body,
) -> Created {
    let write = write(&state, &caller, Kind::Task, "contact_create_task", "contacts.write")?;
    Ok((StatusCode::CREATED, Json(json!({"task": write.create(&contact, body)?}))))
}

pub(super) async fn update_task(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
    Json(body): Body,
) -> Answer {
    let write = write(&state, &caller, Kind::Task, "contact_update_task", "contacts.write")?;
    let before = child(&state, &caller, Kind::Task, &contact, &id)?;
    let op = task_op(&before, &body);
    Ok(Json(json!({"task": write.update(&id, before, body, op)?})))
}

pub(super) async fn complete_task(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
    Json(body): Body,
) -> Answer {
    let write = write(&state, &caller, Kind::Task, "contact_update_task_completed", "contacts.write")?;
    let before = child(&state, &caller, Kind::Task, &contact, &id)?;
    let Some(completed) = body.get("completed") else {
        return Err(Refusal::Invalid(vec!["completed should not be empty".to_owned()]));
    };
    let body = Object::from_iter([("completed".to_owned(), completed.clone())]);
    let op = task_op(&before, &body);
    Ok(Json(json!({"task": write.update(&id, before, body, op)?})))
}

pub(super) async fn delete_task(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
) -> Answer {
    let write = write(&state, &caller, Kind::Task, "contact_delete_task", "contacts.write")?;
    let before = child(&state, &caller, Kind::Task, &contact, &id)?;
    write.change(&id, "delete", before)?;
    Ok(Json(json!({"succeded": true})))
}

pub(super) async fn notes(Extract(state): Shared, caller: Caller, Path(contact): Path<String>) -> Answer {
    Ok(Json(json!({"notes": of_contact(&state, &caller, Kind::Note, &contact)?})))
}

pub(super) async fn note(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
) -> Answer {
    caller.needs("contacts.readonly")?;
    Ok(Json(json!({"note": child(&state, &caller, Kind::Note, &contact, &id)?})))
}

pub(super) async fn create_note(
    Extract(state): Shared,
    caller: Caller,
    Path(contact): Path<String>,
    Json(body): Body,
) -> Created {
    let write = write(&state, &caller, Kind::Note, "contact_create_note", "contacts.write")?;
    Ok((StatusCode::CREATED, Json(json!({"note": write.create(&contact, body)?}))))
}

pub(super) async fn update_note(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
    Json(body): Body,
) -> Answer {
    let write = write(&state, &caller, Kind::Note, "contact_update_note", "contacts.write")?;
    let before = child(&state, &caller, Kind::Note, &contact, &id)?;
    Ok(Json(json!({"note": write.update(&id, before, body, "update")?})))
}

pub(super) async fn delete_note(
    Extract(state): Shared,
    caller: Caller,
    Path((contact, id)): Path<(String, String)>,
) -> Answer {
    let write = write(&state, &caller, Kind::Note, "contact_delete_note", "contacts.write")?;
    let before = child(&state, &caller, Kind::Note, &contact, &id)?;
    write.change(&id, "delete", before)?;
    Ok(Json(json!({"succeded": true})))
}

pub(super) async fn appointments(
    Extract(state): Shared,
    caller: Caller,
    Path(contact): Path<String>,
) -> Answer {
    Ok(Json(json!({"events": of_contact(&state, &caller, Kind::Appointment, &contact)?})))
}

pub(super) async fn appointment(Extract(state): Shared, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs("calendars/events.readonly")?;
    Ok(Json(json!({"appointment": state.object(Kind::Appointment, &id, &caller.location)?})))
}

pub(super) async fn create_appointment(
    Extract(state): Shared,
    caller: Caller,
    Json(mut body): Body,
) -> Result<Json<Value>, Refusal> {
    let write =
        write(&state, &caller, Kind::Appointment, "calendar_create_appointment", "calendars/events.write")?;
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    match (text(body.remove("locationId")), text(body.remove("contactId"))) {
        (Some(location), Some(contact)) => {
            caller.owns(&location)?;
            Ok(Json(Value::Object(write.create(&contact, body)?)))
        }
        _ => Err(Refusal::Invalid(vec!["locationId and contactId should not be empty".to_owned()])),
    }
}

pub(super) async fn update_appointment(
    Extract(state): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Body,
) -> Answer {
    let write =
        write(&state, &caller, Kind::Appointment, "calendar_edit_appointment", "calendars/events.write")?;
    let before = state.object(Kind::Appointment, &id, &caller.location)?;
    Ok(Json(Value::Object(write.update(&id, before, body, "update")?)))
}

pub(super) async fn search_tasks(
    Extract(state): Shared,
    caller: Caller,
    Path(location): Path<String>,
    Json(body): Body,
) -> Answer {
    caller.needs("locations/tasks.readonly")?;
    caller.owns(&location)?;
    let query = body.get("query").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let completed = body.get("completed").and_then(Value::as_bool);
    let number = |name: &str, otherwise: usize| {
        body.get(name).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok()).unwrap_or(otherwise)
    };
    let texts = |name: &str| -> Vec<String> {
        let list = body.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let (contacts, people) = (texts("contactId"), texts("assignedTo"));
    let fits = |task: &Object| {
        let of = |name: &str, asked: &[String]| {
            let own = task.get(name).and_then(Value::as_str);
            asked.is_empty() || own.is_some_and(|own| asked.iter().any(|it| it == own))
        };
        let title = task.get("title").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        title.contains(&query)
            && of("contactId", &contacts)
            && of("assignedTo", &people)
            && completed.is_none_or(|asked| task.get("completed").and_then(Value::as_bool) == Some(asked))
    };
    let rows: Vec<Object> = state
        .objects(Kind::Task, &location, fits)
        .into_iter()
        .skip(number("skip", 0))
        .take(number("limit", 25).min(100))
        .map(|mut task| {
            let id = task.remove("id").unwrap_or_default();
            task.insert("_id".to_owned(), id);
            task
        })
        .collect();
    Ok(Json(json!({"tasks": rows})))
}

pub(super) async fn custom_fields(
    Extract(_state): Shared,
    caller: Caller,
    Path(location): Path<String>,
) -> Answer {
    caller.needs("locations/customFields.readonly")?;
    caller.owns(&location)?;
    let field = |id: &str, name: &str, key: &str, data_type: &str| {
        json!({"id": id, "name": name, "fieldKey": format!("contact.{key}"), "dataType": data_type, "position": 0,
            "model": "contact", "locationId": location})
    };
    Ok(Json(json!({"customFields": [
        field("cfShoeSize0000000001", "Shoe size", "shoe_size", "NUMERICAL"),
        field("cfInterests000000001", "Interests", "interests", "MULTIPLE_OPTIONS"),
    ]})))
}
