//! A webhook body taken apart: which object, which of its fields.

use crate::domain::event_type::ENVELOPE_FIELDS;
use crate::domain::{Envelope, EventKind, EventShape, Fields, GhlId, ObjectKind, ObjectRef, Value, shape_of};

/// What an event's body says.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// What the event is about and does.
    pub(super) shape: EventShape,
    /// The object, where the body names one.
    pub(super) object: Option<ObjectRef>,
    /// GHL's id of the contact, where the body names one.
    pub(super) contact: Option<GhlId>,
    /// The object's fields by GHL's names; custom fields as `customFields.ID`.
    pub(super) fields: Fields,
}

/// The stem of custom fields' names.
pub(super) const CUSTOM: &str = "customFields";

/// Takes a body apart; `None` when it is no JSON object, which the webhook door has refused already.
pub(super) fn read(body: &str) -> Option<Payload> {
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    let serde_json::Value::Object(mut top) = serde_json::from_str(body).ok()? else {
        return None;
    };
    let shape = shape_of(&envelope.event_type);
    let nested = match shape.kind {
        ObjectKind::Appointment => top.remove("appointment"),
        _ => None,
    };
    let mut source = match nested {
        Some(serde_json::Value::Object(nested)) => nested,
        _ => top,
    };
    for name in ENVELOPE_FIELDS {
        source.remove(*name);
    }
    let mut fields = Fields::new();
    for (name, value) in source {
        if name == CUSTOM {
            flatten_custom(&value, &mut fields);
        } else {
            fields.insert(name, Value::from(value));
        }
    }
    if envelope.event_type == "TaskComplete" {
        fields.insert("completed".to_owned(), Value::Boolean(true));
    }
    let object = envelope.object_id().filter(|_| shape.change != EventKind::Happening);
    Some(Payload {
        shape,
        object: object.map(|id| ObjectRef { kind: shape.kind, id }),
        contact: envelope.contact(),
        fields,
    })
}

/// `[{id, value}]`, also with `field_value` or `fieldValue`, to one field each.
fn flatten_custom(list: &serde_json::Value, fields: &mut Fields) {
    for item in list.as_array().into_iter().flatten() {
        let value = ["value", "field_value", "fieldValue"].into_iter().find_map(|name| item.get(name));
        if let (Some(id), Some(value)) = (item.get("id").and_then(serde_json::Value::as_str), value) {
            fields.insert(format!("{CUSTOM}.{id}"), Value::from(value.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_body_gives_its_fields_without_the_envelope() {
        let payload = read(
            r#"{"type":"ContactUpdate","locationId":"l","id":"c","firstName":"Ada","webhookId":"w","timestamp":"t",
                "customFields":[{"id":"f1","value":"x"},{"id":"f2","fieldValue":["a","b"]}]}"#,
        )
        .unwrap();
        let names: Vec<_> = payload.fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["customFields.f1", "customFields.f2", "firstName"]);
        assert_eq!(payload.object, Some(ObjectRef { kind: ObjectKind::Contact, id: GhlId::from("c") }));
    }

    #[test]
    fn an_appointment_is_taken_out_of_its_nest() {
        let payload = read(
            r#"{"type":"AppointmentCreate","locationId":"l","appointment":{"id":"a","contactId":"c","title":"Visit"}}"#,
        )
        .unwrap();
        assert_eq!(payload.fields.get("title"), Some(&Value::Text("Visit".into())));
        assert_eq!(payload.contact, Some(GhlId::from("c")));
    }

    #[test]
    fn a_happening_has_no_object_to_mirror() {
        let payload =
            read(r#"{"type":"InboundMessage","locationId":"l","contactId":"c","messageId":"m","body":"Hi"}"#)
                .unwrap();
        assert_eq!((payload.object, payload.contact), (None, Some(GhlId::from("c"))));
    }
}
