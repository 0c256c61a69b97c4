//! Objects as the lists and searches of GHL give them, brought to the one shape that its webhooks have.

use crate::domain::{GhlId, ObjectKind, Timestamp};
use serde_json::{Map, Value as Json, json};

/// An object as it is now, its fields as a webhook would name them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub id: GhlId,
    /// GHL's id of its contact; none for contacts.
    pub contact: Option<GhlId>,
    /// Its fields; null where GHL says it is empty.
    pub fields: Map<String, Json>,
    /// When it last changed, where GHL says so.
    pub updated: Option<Timestamp>,
    /// When it was made, where GHL says so.
    pub added: Option<Timestamp>,
}

/// Fields of a contact that its webhooks tell.
const CONTACT: &[&str] = &[
    "address1",
    "city",
    "state",
    "companyName",
    "country",
    "source",
    "dateAdded",
    "dateOfBirth",
    "dnd",
    "dndSettings",
    "email",
    "name",
    "firstName",
    "lastName",
    "phone",
    "phoneLabel",
    "postalCode",
    "tags",
    "website",
    "timezone",
    "gender",
    "assignedTo",
    "customFields",
];
const TASK: &[&str] = &["title", "body", "dueDate", "completed", "assignedTo", "dateAdded"];
const NOTE: &[&str] = &["body", "dateAdded"];
const APPOINTMENT: &[&str] = &[
    "address",
    "title",
    "calendarId",
    "groupId",
    "appointmentStatus",
    "assignedUserId",
    "users",
    "notes",
    "source",
    "startTime",
    "endTime",
    "dateAdded",
    "dateUpdated",
];

impl Snapshot {
    /// The snapshot of a row; none when it has no id.
    #[must_use]
    pub(super) fn of(kind: ObjectKind, row: &Json) -> Option<Self> {
        let row = row.as_object()?;
        let text = |name: &str| row.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        let id = text("id").or_else(|| text("_id"))?;
        let told = match kind {
            ObjectKind::Contact => CONTACT,
            ObjectKind::Task => TASK,
            ObjectKind::Note => NOTE,
            _ => APPOINTMENT,
        };
        let fields = told
            .iter()
            .filter_map(|name| {
                let value =
                    row.get(*name).or_else(|| renamed(kind, name).and_then(|other| row.get(other)))?;
                Some(((*name).to_owned(), settled(name, value)))
            })
            .collect();
        let contact = text("contactId").filter(|_| kind != ObjectKind::Contact);
        Some(Self {
            kind,
            id: GhlId::from(id),
            contact: contact.map(GhlId::from),
            fields,
            updated: row.get("dateUpdated").and_then(moment),
            added: row.get("dateAdded").and_then(moment),
        })
    }

    /// When an appointment begins.
    #[must_use]
    pub fn starts(&self) -> Option<Timestamp> {
        self.fields.get("startTime").and_then(moment)
    }

    /// Whether a task is done.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.fields.get("completed") == Some(&Json::Bool(true))
    }
}

/// Under which other name a list tells the field.
fn renamed(kind: ObjectKind, name: &str) -> Option<&'static str> {
    match (kind, name) {
        (ObjectKind::Contact, "address1") => Some("address"),
        (ObjectKind::Appointment, "appointmentStatus") => Some("appoinmentStatus"),
        _ => None,
    }
}

/// The value as webhooks tell it: times as RFC 3339, also where a list has milliseconds or `2026-01-02 11:00:00`.
fn settled(name: &str, value: &Json) -> Json {
    let is_time =
        matches!(name, "dateOfBirth" | "startTime" | "endTime" | "dateAdded" | "dateUpdated" | "dueDate");
    match value {
        Json::Number(_) if is_time => moment(value).map_or(Json::Null, |at| json!(at.to_rfc3339())),
        Json::String(text) if is_time && text.len() == 19 && text.contains(' ') => {
            moment(value).map_or_else(|| value.clone(), |at| json!(at.to_rfc3339()))
        }
        other => other.clone(),
    }
}

/// A moment in any of the forms GHL's lists use.
fn moment(value: &Json) -> Option<Timestamp> {
    match value {
        Json::Number(number) => number.as_i64().map(Timestamp::from_millis),
        Json::String(text) => {
            Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_row_becomes_what_a_webhook_tells() {
        let row = json!({
            "id": "c", "address": "1 Road", "dateOfBirth": 654_220_800_000_i64, "firstName": "Ada", "contactName": "ada",
            "searchAfter": [1, "c"], "city": null, "dateUpdated": "2026-01-01T00:00:01.000Z", "validEmail": null,
            "locationId": "l", "customFields": [{"id": "f", "value": 1}],
        });
        let snapshot = Snapshot::of(ObjectKind::Contact, &row).unwrap();
        assert_eq!(
            Json::Object(snapshot.fields),
            json!({"address1": "1 Road", "dateOfBirth": "1990-09-25T00:00:00.000Z", "firstName": "Ada", "city": null,
                "customFields": [{"id": "f", "value": 1}]})
        );
        assert_eq!(snapshot.updated, Timestamp::parse("2026-01-01T00:00:01Z"));
    }

    #[test]
    fn tasks_are_known_by_either_id_and_appointments_by_either_time() {
        let task = Snapshot::of(ObjectKind::Task, &json!({"_id": "t", "contactId": "c", "completed": true}))
            .unwrap();
        assert_eq!((task.id, task.contact), (GhlId::from("t"), Some(GhlId::from("c"))));
        let listed = json!({"id": "a", "contactId": "c", "startTime": "2026-01-02 11:00:00"});
        let got = json!({"id": "a", "contactId": "c", "startTime": "2026-01-02T11:00:00.000Z"});
        assert_eq!(
            Snapshot::of(ObjectKind::Appointment, &listed),
            Snapshot::of(ObjectKind::Appointment, &got)
        );
        assert_eq!(Snapshot::of(ObjectKind::Note, &json!({"body": "no id"})), None);
    }
}
