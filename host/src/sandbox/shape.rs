//! What may be written into each kind of object, and the webhooks its changes cause.

use super::refusal::Refusal;
use serde_json::{Map, Value, json};

/// Kinds of objects the sandbox keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Contact,
    Task,
    Note,
    Appointment,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Contact, Self::Task, Self::Note, Self::Appointment];

    /// The word in the journal.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Task => "task",
            Self::Note => "note",
            Self::Appointment => "appointment",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    fn writable(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &[
                "firstName",
                "lastName",
                "name",
                "email",
                "phone",
                "address1",
                "city",
                "state",
                "country",
                "postalCode",
                "website",
                "timezone",
                "companyName",
                "gender",
                "source",
                "dateOfBirth",
                "tags",
                "customFields",
                "dnd",
                "dndSettings",
                "assignedTo",
            ],
            Self::Task => &["title", "body", "dueDate", "completed", "assignedTo"],
            Self::Note => &["body", "userId", "title", "color", "pinned"],
            Self::Appointment => &[
                "calendarId",
                "title",
                "startTime",
                "endTime",
                "appointmentStatus",
                "assignedUserId",
                "address",
                "description",
                "meetingLocationType",
                "toNotify",
                "ignoreDateRange",
                "ignoreFreeSlotValidation",
                "rrule",
            ],
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &[],
            Self::Task => &["title", "dueDate", "completed"],
            Self::Note => &["body"],
            Self::Appointment => &["calendarId", "startTime"],
        }
    }

    /// Checks a body as GHL does: unknown properties, and on a create missing ones, are refused by name.
    pub(super) fn check(self, body: &Map<String, Value>, creates: bool) -> Result<(), Refusal> {
        let mut wrong: Vec<String> = body
            .keys()
            .filter(|name| !self.writable().contains(&name.as_str()))
            .map(|name| format!("property {name} should not exist"))
            .collect();
        if creates {
            let empty = |name: &&&str| body.get(**name).is_none_or(|value| value.is_null() || value == "");
            wrong.extend(
                self.required().iter().filter(empty).map(|name| format!("{name} should not be empty")),
            );
        }
        for name in ["dueDate", "startTime", "endTime"] {
            let given = body.get(name).filter(|value| !value.is_null());
            if given.is_some_and(|value| value.as_str().and_then(crate::domain::Timestamp::parse).is_none()) {
                wrong.push(format!("{name} must be a valid ISO 8601 date string"));
            }
        }
        if body.get("completed").is_some_and(|value| !value.is_boolean()) {
            wrong.push("completed must be a boolean value".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(Refusal::Invalid(wrong)) }
    }

    /// The type of the webhook a change causes; GHL tells nothing of a task that only changes.
    pub(super) fn event_type(self, change: &Change<'_>) -> Option<&'static str> {
        Some(match (self, change.op) {
            (Self::Contact, "create") => "ContactCreate",
            (Self::Contact, "tags") => "ContactTagUpdate",
            (Self::Contact, "update") => "ContactUpdate",
            (Self::Contact, _) => "ContactDelete",
            (Self::Task, "create") => "TaskCreate",
            (Self::Task, "complete") => "TaskComplete",
            (Self::Task, "delete") => "TaskDelete",
            (Self::Task, _) => return None,
            (Self::Note, "create") => "NoteCreate",
            (Self::Note, "update") => "NoteUpdate",
            (Self::Note, _) => "NoteDelete",
            (Self::Appointment, "create") => "AppointmentCreate",
            (Self::Appointment, "update") => "AppointmentUpdate",
            (Self::Appointment, _) => "AppointmentDelete",
        })
    }

    /// The webhook's own fields: flat, empty ones left out; appointments nested.
    pub(super) fn message(self, object: &Map<String, Value>, contact_known: bool) -> Map<String, Value> {
        let mut body: Map<String, Value> = object
            .iter()
            .filter(|(name, value)| {
                let told = match self {
                    Self::Contact => {
                        !matches!(name.as_str(), "dateUpdated" | "businessId" | "businessName" | "locationId")
                    }
                    // A task's event says nothing of its state.
                    Self::Task => !matches!(name.as_str(), "completed" | "dateUpdated" | "locationId"),
                    Self::Note => matches!(name.as_str(), "id" | "body" | "contactId" | "dateAdded"),
                    Self::Appointment => name.as_str() != "locationId",
                };
                told && !value.is_null()
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if self == Self::Task && !contact_known {
            body.remove("contactId");
            body.remove("body");
        }
        if self == Self::Appointment {
            return Map::from_iter([("appointment".to_owned(), Value::Object(body))]);
        }
        body
    }
}

/// A change of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) kind: Kind,
    pub(super) id: &'a str,
    pub(super) location: &'a str,
    /// `create`, `update`, `tags`, `complete` or `delete`.
    pub(super) op: &'a str,
    /// `user`, or `api` for a program's token.
    pub(super) by: &'a str,
}

/// Fields of a new object that GHL sets itself.
pub(super) fn born(
    kind: Kind,
    id: &str,
    location: &str,
    contact: Option<&str>,
    now: &str,
) -> Map<String, Value> {
    let mut made = Map::new();
    made.insert("id".into(), json!(id));
    made.insert("locationId".into(), json!(location));
    made.insert("dateAdded".into(), json!(now));
    if let Some(contact) = contact {
        made.insert("contactId".into(), json!(contact));
    }
    if kind == Kind::Appointment {
        made.insert("appointmentStatus".into(), json!("confirmed"));
    }
    made
}
