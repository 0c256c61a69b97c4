//! GHL's event types: what each is about, what it does, and where its ids stand in the body.
//!
//! Source: GHL's webhook pages (77 types in August 2026). A type that is not listed is accepted too, as a
//! happening of the connection or, when the body names one, of a contact.

use super::event::{EventKind, ObjectKind};
use super::ids::GhlId;
use super::value::{Fields, Value};
use serde::Deserialize;

/// What is known of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventShape {
    /// What kind of object it is about.
    pub kind: ObjectKind,
    /// What it does to it.
    pub change: EventKind,
}

/// What an event of that type is about and does.
#[must_use]
pub fn shape_of(event_type: &str) -> EventShape {
    use EventKind::{Delete, Happening, Partial, Snapshot};
    use ObjectKind::{Appointment, Contact, Message, Note, Opportunity, Other, Task};
    let (kind, change) = match event_type {
        "ContactCreate" | "ContactUpdate" => (Contact, Snapshot),
        // Real bodies of these leave fields out that the contact has.
        "ContactTagUpdate" | "ContactDndUpdate" => (Contact, Partial),
        "ContactDelete" => (Contact, Delete),
        // Live bodies lack contactId and body; a completion names no other state.
        // GHL tells no change of a task by webhook; polling finds it as TaskUpdate.
        "TaskCreate" | "TaskUpdate" | "TaskComplete" => (Task, Partial),
        "TaskDelete" => (Task, Delete),
        "NoteCreate" | "NoteUpdate" => (Note, Partial),
        "NoteDelete" => (Note, Delete),
        "AppointmentCreate" | "AppointmentUpdate" => (Appointment, Snapshot),
        "AppointmentDelete" => (Appointment, Delete),
        "OpportunityDelete" => (Opportunity, Delete),
        "InboundMessage" | "OutboundMessage" | "SMS" | "Email" => (Message, Happening),
        other if other.starts_with("Opportunity") => (Opportunity, Partial),
        _ => (Other, Happening),
    };
    EventShape { kind, change }
}

/// The parts of a webhook body that address it; everything else is left unread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Envelope {
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The app GHL sent it for.
    pub app_id: Option<String>,
    /// GHL's id of the delivery.
    pub webhook_id: Option<String>,
    /// When it happened, RFC 3339.
    pub timestamp: Option<String>,
    /// The location.
    pub location_id: Option<String>,
    /// The location, where invoices, orders and products name it.
    pub alt_id: Option<String>,
    /// The agency.
    pub company_id: Option<String>,
    id: Option<String>,
    #[serde(rename = "_id")]
    underscore_id: Option<String>,
    contact_id: Option<String>,
    message_id: Option<String>,
    appointment: Option<Nested>,
    contact_details: Option<Nested>,
    contact_snapshot: Option<Nested>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Nested {
    id: Option<String>,
    contact_id: Option<String>,
}

impl Envelope {
    /// The location the event belongs to.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location_id.as_deref().or(self.alt_id.as_deref())
    }

    /// The object the event is about.
    #[must_use]
    pub fn object_id(&self) -> Option<GhlId> {
        let nested = self.appointment.as_ref().and_then(|it| it.id.as_deref());
        let id =
            nested.or(self.id.as_deref()).or(self.message_id.as_deref()).or(self.underscore_id.as_deref());
        id.filter(|id| !id.is_empty()).map(GhlId::from)
    }

    /// The contact the event belongs to, where the body names it.
    #[must_use]
    pub fn contact(&self) -> Option<GhlId> {
        let id = if shape_of(&self.event_type).kind == ObjectKind::Contact {
            self.id.as_deref()
        } else {
            self.contact_id
                .as_deref()
                .or(self.appointment.as_ref().and_then(|it| it.contact_id.as_deref()))
                .or(self.contact_details.as_ref().and_then(|it| it.id.as_deref()))
                .or(self.contact_snapshot.as_ref().and_then(|it| it.id.as_deref()))
        };
        id.filter(|id| !id.is_empty()).map(GhlId::from)
    }
}

/// The stem of custom fields' names: each is kept as `customFields.ID`.
pub const CUSTOM_FIELDS: &str = "customFields";

/// `[{id, value}]`, also with `field_value` or `fieldValue`, to one field each.
pub fn flatten_custom_fields(list: &serde_json::Value, fields: &mut Fields) {
    for item in list.as_array().into_iter().flatten() {
        let value = ["value", "field_value", "fieldValue"].into_iter().find_map(|name| item.get(name));
        if let (Some(id), Some(value)) = (item.get("id").and_then(serde_json::Value::as_str), value) {
            fields.insert(format!("{CUSTOM_FIELDS}.{id}"), Value::from(value.clone()));
        }
    }
}

/// Top-level body fields that address a delivery and are no fields of its object.
pub const ENVELOPE_FIELDS: &[&str] =
    &["type", "appId", "versionId", "webhookId", "timestamp", "locationId", "companyId", "id", "contactId"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_where_each_type_has_them() {
        let read = |text: &str| serde_json::from_str::<Envelope>(text).unwrap();
        let contact = read(r#"{"type":"ContactUpdate","id":"c1","locationId":"l1"}"#);
        assert_eq!((contact.contact(), contact.location()), (Some(GhlId::from("c1")), Some("l1")));
        let task = read(r#"{"type":"TaskCreate","id":"t1","locationId":"l1"}"#);
        assert_eq!((task.contact(), task.object_id()), (None, Some(GhlId::from("t1"))));
        let nested = read(
            r#"{"type":"AppointmentCreate","appointment":{"id":"a1","contactId":"c1"},"locationId":"l1"}"#,
        );
        assert_eq!(
            (nested.contact(), nested.object_id()),
            (Some(GhlId::from("c1")), Some(GhlId::from("a1")))
        );
        let invoice = read(r#"{"type":"InvoicePaid","_id":"i1","altId":"l1","contactDetails":{"id":"c1"}}"#);
        assert_eq!((invoice.contact(), invoice.location()), (Some(GhlId::from("c1")), Some("l1")));
        let order = read(r#"{"type":"OrderCreate","altId":"l1","contactSnapshot":{"id":"c1"}}"#);
        assert_eq!(order.contact(), Some(GhlId::from("c1")));
    }
}
