//! A webhook body taken apart: which object, which of its fields.

use crate::domain::event_type::ENVELOPE_FIELDS;
use crate::domain::{
    AssignmentId, CUSTOM_FIELDS, Envelope, EventKind, EventShape, Fields, GhlId, ObjectKind, ObjectRef,
    Value, flatten_custom_fields, shape_of,
};
use serde::Deserialize as _;

/// What an event's body says.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// What the event is about and does.
    pub(super) shape: EventShape,
    /// The object, where the body names one.
    pub(super) object: Option<ObjectRef>,
    /// GHL's id of the contact, where the body names one or it was found out.
    pub(super) contact: Option<GhlId>,
    /// The only assignment it is for.
    pub(super) assignment: Option<AssignmentId>,
    /// The object's fields by GHL's names; custom fields as `customFields.ID`.
    pub(super) fields: Fields,
    /// Whether the host made the event for an assignment, of what that asked for.
    pub(super) is_own: bool,
}

/// Takes a body apart; `None` when it is no JSON object, which the webhook door has refused already.
pub(super) fn read(body: &str) -> Option<Payload> {
    let parsed: serde_json::Value = serde_json::from_str(body).ok()?;
    let envelope = Envelope::deserialize(&parsed).ok()?;
    let serde_json::Value::Object(mut top) = parsed else { return None };
    let assignment = match top.remove("assignment") {
        Some(serde_json::Value::String(id)) if is_own(&envelope.event_type) => Some(AssignmentId::from(id)),
        _ => None,
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
    if envelope.event_type.starts_with("timing.") {
        source = told_of(&mut source);
    }
    for name in ENVELOPE_FIELDS {
        source.remove(*name);
    }
    let mut fields = Fields::new();
    for (name, value) in source {
        if name == CUSTOM_FIELDS {
            flatten_custom_fields(&value, &mut fields);
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
        assignment,
        fields,
        is_own: is_own(&envelope.event_type),
    })
}

/// The fields of the task or appointment that a timing event tells of.
fn told_of(
    body: &mut serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    let fields =
        body.get_mut("object").and_then(|object| object.get_mut("fields")).map(serde_json::Value::take);
    match fields {
        Some(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

/// Events the host makes for one assignment.
fn is_own(event_type: &str) -> bool {
    matches!(event_type, "schedule" | "effect-done" | "effect-failed")
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
