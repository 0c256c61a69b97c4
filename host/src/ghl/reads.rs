//! Reads for runs: a look-up as the contract knows it to one call of GHL's, and its answer back.

use super::client::{Ghl, GhlRequest};
use super::error::GhlError;
use super::operations::operation;
use crate::domain::{ConnectionId, Fields, GhlId, ObjectKind, ReadAnswer, ReadObject, ReadRequest, Value};
use serde_json::{Value as Json, json};

/// Rows asked for in one page.
const PAGE: u32 = 100;

/// Asks GHL, on behalf of whoever `wanted_by` names; what it refuses for good is an answer too.
///
/// # Errors
/// What may go better another time, and what the operator has to mend.
pub async fn answer(
    ghl: &Ghl,
    connection: &ConnectionId,
    request: &ReadRequest,
    wanted_by: &str,
) -> Result<ReadAnswer, GhlError> {
    let Some(Asked { call, at, kind }) = asked(request) else {
        return Ok(ReadAnswer::Refused("GHL is not asked for this".to_owned()));
    };
    match ghl.read(connection, &call).await {
        Ok(reply) => Ok(ReadAnswer::Objects(objects(reply.json, at, kind))),
        Err(GhlError::NotFound { .. }) => Ok(ReadAnswer::Objects(Vec::new())),
        Err(error @ GhlError::MissingScope { .. }) => {
            Ok(ReadAnswer::Refused(format!("{error}; {wanted_by} wants it")))
        }
        Err(error @ (GhlError::Refused { .. } | GhlError::Closed(_))) => {
            Ok(ReadAnswer::Refused(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

struct Asked {
    call: GhlRequest,
    /// Where in the answer the object or the list of objects stands.
    at: &'static str,
    kind: ObjectKind,
}

fn asked(request: &ReadRequest) -> Option<Asked> {
    let call = |id: &str, parameters: &[&str]| Some(GhlRequest::new(operation(id)?, parameters));
    let (call, at, kind) = match request {
        ReadRequest::Contact { contact } => {
            (call("get_contact", &[contact.as_str()])?, "contact", ObjectKind::Contact)
        }
        ReadRequest::FindContacts { email, phone } => {
            let mut call = call("contact_find_duplicate", &[])?.query("locationId", "{locationId}");
            if let Some(email) = email {
                call = call.query("email", email.clone());
            }
            if let Some(phone) = phone {
                call = call.query("number", phone.clone());
            }
            (call, "contact", ObjectKind::Contact)
        }
        ReadRequest::BusinessContacts { business } => {
            let call = call("get_contacts_by_business_id", &[business.as_str()])?
                .query("locationId", "{locationId}")
                .query("limit", PAGE.to_string());
            (call, "contacts", ObjectKind::Contact)
        }
        ReadRequest::Tasks { contact } => {
            (call("contact_get_all_tasks", &[contact.as_str()])?, "tasks", ObjectKind::Task)
        }
        ReadRequest::Task { contact, id } => {
            (call("contact_get_task", &[contact.as_str(), id.as_str()])?, "task", ObjectKind::Task)
        }
        ReadRequest::Notes { contact } => {
            (call("contact_get_all_notes", &[contact.as_str()])?, "notes", ObjectKind::Note)
        }
        ReadRequest::Note { contact, id } => {
            (call("contact_get_note", &[contact.as_str(), id.as_str()])?, "note", ObjectKind::Note)
        }
        ReadRequest::Appointments { contact } => {
            (call("get_appointments_for_contact", &[contact.as_str()])?, "events", ObjectKind::Appointment)
        }
        ReadRequest::FindTasks { query } => {
            let body = json!({"query": query, "limit": PAGE, "skip": 0});
            (call("location_task_search", &[])?.body(body), "tasks", ObjectKind::Task)
        }
        ReadRequest::Record { .. }
        | ReadRequest::RankrIdOf { .. }
        | ReadRequest::GhlIdOf { .. }
        | ReadRequest::Timeline { .. }
        | ReadRequest::State { .. } => return None,
    };
    Some(Asked { call, at, kind })
}

/// The objects of an answer, which holds one or a list; null is none.
pub(super) fn objects(mut answer: Json, at: &str, kind: ObjectKind) -> Vec<ReadObject> {
    match answer.get_mut(at).map(Json::take) {
        Some(Json::Array(rows)) => rows.into_iter().filter_map(|row| object(row, kind)).collect(),
        Some(row @ Json::Object(_)) => object(row, kind).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// One object; its custom fields become one field each, as in events.
pub(super) fn object(row: Json, kind: ObjectKind) -> Option<ReadObject> {
    let Json::Object(mut row) = row else { return None };
    let id = ["id", "_id"].into_iter().find_map(|name| row.remove(name));
    let id = GhlId::from(id?.as_str()?);
    let mut fields = Fields::new();
    for (name, value) in row {
        if name == "customFields" {
            crate::domain::flatten_custom_fields(&value, &mut fields);
        } else if name != "locationId" {
            fields.insert(name, Value::from(value));
        }
    }
    Some(ReadObject { kind, id, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_and_lists_are_read_the_same() {
        let row = json!({"id": "t", "title": "Call", "locationId": "l", "completed": false});
        let one = objects(json!({"task": row}), "task", ObjectKind::Task);
        assert_eq!(objects(json!({"tasks": [row]}), "tasks", ObjectKind::Task), one);
        assert_eq!(one[0].fields.len(), 2);
        assert_eq!(objects(json!({"contact": null}), "contact", ObjectKind::Contact), []);
    }
}
