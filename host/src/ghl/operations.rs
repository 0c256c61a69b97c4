//! The operations the host uses: method, path, version header and scope of each. Source: GHL's API reference
//! (June 2026) for paths, versions and scopes.

use crate::domain::{EffectClass, RemoteEffect, RemoteOp, Value};

/// One operation of GHL's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// GET, POST, PUT or DELETE.
    pub method: &'static str,
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// The value of its `Version` header.
    pub version: &'static str,
    /// The scope a token needs for it.
    pub scope: &'static str,
}

const OLD: &str = "2021-04-15";
const USUAL: &str = "2021-07-28";
const READ: &str = "contacts.readonly";
const WRITE: &str = "contacts.write";

macro_rules! table {
    ($($id:literal $method:ident $path:literal $version:ident $scope:expr;)*) => {
        pub(super) const OPERATIONS: &[Operation] = &[$(Operation {
            id: $id, method: stringify!($method), path: $path, version: $version, scope: $scope,
        },)*];
    };
}

table! {
    "get_contact" GET "/contacts/{contactId}" USUAL READ;
    "get_contacts" GET "/contacts/" USUAL READ;
    "contact_search" POST "/contacts/search" USUAL READ;
    "contact_find_duplicate" GET "/contacts/search/duplicate" USUAL READ;
    "get_contacts_by_business_id" GET "/contacts/business/{businessId}" USUAL READ;
    "create_contact" POST "/contacts/" USUAL WRITE;
    "upsert_contact" POST "/contacts/upsert" USUAL WRITE;
    "update_contact" PUT "/contacts/{contactId}" USUAL WRITE;
    "delete_contact" DELETE "/contacts/{contactId}" USUAL WRITE;
    "contact_add_tags" POST "/contacts/{contactId}/tags" USUAL WRITE;
    "contact_remove_tags" DELETE "/contacts/{contactId}/tags" USUAL WRITE;
    "contact_get_all_tasks" GET "/contacts/{contactId}/tasks" USUAL READ;
    "contact_get_task" GET "/contacts/{contactId}/tasks/{taskId}" USUAL READ;
    "contact_create_task" POST "/contacts/{contactId}/tasks" USUAL WRITE;
    "contact_update_task" PUT "/contacts/{contactId}/tasks/{taskId}" USUAL WRITE;
    "contact_update_task_completed" PUT "/contacts/{contactId}/tasks/{taskId}/completed" USUAL WRITE;
    "contact_delete_task" DELETE "/contacts/{contactId}/tasks/{taskId}" USUAL WRITE;
    "contact_get_all_notes" GET "/contacts/{contactId}/notes" USUAL READ;
    "contact_get_note" GET "/contacts/{contactId}/notes/{id}" USUAL READ;
    "contact_create_note" POST "/contacts/{contactId}/notes" USUAL WRITE;
    "contact_update_note" PUT "/contacts/{contactId}/notes/{id}" USUAL WRITE;
    "contact_delete_note" DELETE "/contacts/{contactId}/notes/{id}" USUAL WRITE;
    "get_appointments_for_contact" GET "/contacts/{contactId}/appointments" USUAL READ;
    "calendar_get_calendars" GET "/calendars/" OLD "calendars.readonly";
    "calendar_get_calendar_events" GET "/calendars/events" OLD "calendars/events.readonly";
    "calendar_get_appointment" GET "/calendars/events/appointments/{eventId}" OLD "calendars/events.readonly";
    "calendar_create_appointment" POST "/calendars/events/appointments" OLD "calendars/events.write";
    "calendar_edit_appointment" PUT "/calendars/events/appointments/{eventId}" OLD "calendars/events.write";
    "add_contact_to_workflow" POST "/contacts/{contactId}/workflow/{workflowId}" USUAL WRITE;
    "delete_contact_from_workflow" DELETE "/contacts/{contactId}/workflow/{workflowId}" USUAL WRITE;
    "location_task_search" POST "/locations/{locationId}/tasks/search" USUAL "locations/tasks.readonly";
    "location_get_custom_fields" GET "/locations/{locationId}/customFields" USUAL "locations/customFields.readonly";
}

/// Operations whose POST does the same however often it is sent.
const REPEATABLE_POSTS: &[&str] =
    &["contact_search", "location_task_search", "contact_add_tags", "upsert_contact"];

impl Operation {
    /// How often it may be sent when nobody knows whether it arrived; on its own no POST can be found again.
    #[must_use]
    pub fn class(&self) -> EffectClass {
        match self.method {
            "POST" if !REPEATABLE_POSTS.contains(&self.id) => EffectClass::Blind,
            _ => EffectClass::Repeatable,
        }
    }
}

/// How often an effect may be sent: a call is what its operation is.
#[must_use]
pub fn class_of(effect: &RemoteEffect) -> EffectClass {
    let called =
        effect.fields.get("operation").and_then(Value::as_text).filter(|_| effect.op == RemoteOp::Call);
    called.and_then(operation).map_or_else(|| effect.class(), Operation::class)
}

/// The operation of that id.
#[must_use]
pub fn operation(id: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_found() {
        for known in OPERATIONS {
            assert_eq!(operation(known.id), Some(known));
        }
        assert_eq!(operation("no_such_operation"), None);
    }

    #[test]
    fn a_call_is_what_its_operation_is() {
        let call = |id: &str| RemoteEffect {
            op: RemoteOp::Call,
            contact: None,
            object: None,
            fields: [("operation".to_owned(), Value::Text(id.to_owned()))].into(),
            rankr_id: None,
        };
        assert_eq!(class_of(&call("contact_update_task")), EffectClass::Repeatable);
        assert_eq!(class_of(&call("contact_add_tags")), EffectClass::Repeatable);
        assert_eq!(class_of(&call("contact_create_note")), EffectClass::Blind);
        assert_eq!(class_of(&call("add_contact_to_workflow")), EffectClass::Blind);
        assert_eq!(class_of(&call("no_such_operation")), EffectClass::Blind);
    }
}
