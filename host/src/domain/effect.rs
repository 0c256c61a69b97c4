//! Effects: what a run asks for, as the host keeps it.

use super::event::ObjectKind;
use super::ids::{GhlId, RankrId};
use super::time::Timestamp;
use super::value::Fields;
use serde::{Deserialize, Serialize};

/// What an effect acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// GHL's id.
    Ghl(GhlId),
    /// Rankr's id, found through the links.
    Rankr(RankrId),
    /// What the effect with that author's key made.
    MadeBy(String),
}

/// One thing a run asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The author's name for it.
    pub key: Option<String>,
    /// What is to be done.
    pub action: Action,
}

/// Where something is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Here, in the event's own commit.
    Local(LocalEffect),
    /// In GHL, afterwards.
    Remote(RemoteEffect),
}

/// Done in the event's own commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum LocalEffect {
    /// New values of a record; without an id, that of the event's contact.
    SetRecord {
        /// Which kind of record.
        kind: ObjectKind,
        /// Rankr's id.
        id: Option<RankrId>,
        /// Null clears, unnamed is kept.
        fields: Fields,
    },
    /// A timeline entry.
    AddEntry {
        /// A word for programs.
        kind: String,
        /// One line for people.
        title: String,
        /// More, by name.
        details: Fields,
    },
    /// An event for Rankr.
    #[serde(rename = "send_rankr_event")]
    SendEvent {
        /// Its type.
        event_type: String,
        /// Its data.
        data: serde_json::Value,
    },
    /// A later run of the same plugin.
    Schedule {
        /// The author's name for it.
        key: String,
        /// When.
        at: Timestamp,
        /// What it brings along.
        data: serde_json::Value,
    },
    /// Not any more.
    CancelSchedule {
        /// The author's name for it.
        key: String,
    },
}

impl LocalEffect {
    /// The word used in storage and in the API.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::SetRecord { .. } => "set_record",
            Self::AddEntry { .. } => "add_entry",
            Self::SendEvent { .. } => "send_rankr_event",
            Self::Schedule { .. } => "schedule",
            Self::CancelSchedule { .. } => "cancel_schedule",
        }
    }

    /// The capability it needs.
    #[must_use]
    pub fn capability(&self) -> &'static str {
        match self {
            Self::SetRecord { .. } => "rankr.write",
            Self::AddEntry { .. } => "rankr.timeline",
            Self::SendEvent { .. } => "rankr.events",
            Self::Schedule { .. } | Self::CancelSchedule { .. } => "schedule",
        }
    }
}

/// How often an operation may be sent when nobody knows whether it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// As often as it takes: doing it twice is doing it once.
    Repeatable,
    /// Once more after looking whether it is there, by its natural key.
    Findable,
    /// Never by itself: a person decides.
    Blind,
}

impl EffectClass {
    /// The word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeatable => "repeatable",
            Self::Findable => "findable",
            Self::Blind => "blind",
        }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $class:ident, $capability:literal, $kind:ident, $makes:literal;)*) => {
        /// What can be asked of GHL.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum RemoteOp {
            $($(#[$doc])* $name,)*
        }

        impl RemoteOp {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in storage and in the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// How often it may be sent.
            #[must_use]
            pub fn class(self) -> EffectClass {
                match self { $(Self::$name => EffectClass::$class,)* }
            }

            /// The capability it needs.
            #[must_use]
            pub fn capability(self) -> &'static str {
                match self { $(Self::$name => $capability,)* }
            }

            /// The kind of object it acts on.
            #[must_use]
            pub fn kind(self) -> ObjectKind {
                match self { $(Self::$name => ObjectKind::$kind,)* }
            }

            /// Whether it makes an object.
            #[must_use]
            pub fn makes(self) -> bool {
                match self { $(Self::$name => $makes,)* }
            }
        }
    };
}

operations! {
    /// Create a contact.
    CreateContact = "create_contact", Findable, "crm.contacts.write", Contact, true;
    /// Create a contact or update the one with that e-mail or phone.
    UpsertContact = "upsert_contact", Repeatable, "crm.contacts.write", Contact, true;
    /// Update a contact.
    UpdateContact = "update_contact", Repeatable, "crm.contacts.write", Contact, false;
    /// Delete a contact.
    DeleteContact = "delete_contact", Repeatable, "crm.contacts.write", Contact, false;
    /// Add tags.
    AddTags = "add_tags", Repeatable, "crm.tags.write", Contact, false;
    /// Remove tags.
    RemoveTags = "remove_tags", Repeatable, "crm.tags.write", Contact, false;
    /// Create a task.
    CreateTask = "create_task", Findable, "crm.tasks.write", Task, true;
    /// Update a task.
    UpdateTask = "update_task", Repeatable, "crm.tasks.write", Task, false;
    /// Mark a task as done, or as not done.
    CompleteTask = "complete_task", Repeatable, "crm.tasks.write", Task, false;
    /// Delete a task.
    DeleteTask = "delete_task", Repeatable, "crm.tasks.write", Task, false;
    /// Create a note.
    CreateNote = "create_note", Findable, "crm.notes.write", Note, true;
    /// Update a note.
    UpdateNote = "update_note", Repeatable, "crm.notes.write", Note, false;
    /// Delete a note.
    DeleteNote = "delete_note", Repeatable, "crm.notes.write", Note, false;
    /// Create an appointment.
    CreateAppointment = "create_appointment", Findable, "crm.appointments.write", Appointment, true;
    /// Update an appointment.
    UpdateAppointment = "update_appointment", Repeatable, "crm.appointments.write", Appointment, false;
    /// Put a contact into a workflow.
    StartWorkflow = "start_workflow", Blind, "crm.workflows.run", Contact, false;
    /// Take a contact out of a workflow.
    StopWorkflow = "stop_workflow", Repeatable, "crm.workflows.run", Contact, false;
    /// Any operation of the catalogue.
    Call = "call", Blind, "crm.call", Other, false;
}

impl RemoteOp {
    /// The operation for a stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.as_str() == word)
    }
}

/// The field name under which a deletion of ours is kept beside the mirror.
pub const OWN_DELETION: &str = ":deleted";

/// Done in GHL, after the event's commit. Its fields have the contract's names; times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteEffect {
    /// What.
    pub op: RemoteOp,
    /// On which contact, where it is not the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Target>,
    /// On which object, where it is not the contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Target>,
    /// With which values.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// What it is to be linked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rankr_id: Option<RankrId>,
}

impl RemoteEffect {
    /// How often it may be sent. A contact can be found again only by e-mail or phone; a call is what its operation is.
    #[must_use]
    pub fn class(&self) -> EffectClass {
        let named = |field: &str| {
            self.fields.get(field).and_then(super::value::Value::as_text).is_some_and(|text| !text.is_empty())
        };
        let doubles =
            self.fields.get("createNewIfDuplicateAllowed") == Some(&super::value::Value::Boolean(true));
        match self.op {
            RemoteOp::CreateContact if !named("email") && !named("phone") => EffectClass::Blind,
            RemoteOp::UpsertContact if doubles => EffectClass::Blind,
            op => op.class(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Value;

    #[test]
    fn a_contact_without_address_can_not_be_found_again() {
        let mut effect = RemoteEffect {
            op: RemoteOp::CreateContact,
            contact: None,
            object: None,
            fields: Fields::from([("firstName".into(), Value::Text("Ada".into()))]),
            rankr_id: None,
        };
        assert_eq!(effect.class(), EffectClass::Blind);
        effect.fields.insert("email".into(), Value::Text("ada@example.com".into()));
        assert_eq!(effect.class(), EffectClass::Findable);
    }

    #[test]
    fn an_upsert_that_may_double_is_never_repeated() {
        let mut effect = RemoteEffect {
            op: RemoteOp::UpsertContact,
            contact: None,
            object: None,
            fields: Fields::from([("createNewIfDuplicateAllowed".into(), Value::Boolean(false))]),
            rankr_id: None,
        };
        assert_eq!(effect.class(), EffectClass::Repeatable);
        effect.fields.insert("createNewIfDuplicateAllowed".into(), Value::Boolean(true));
        assert_eq!(effect.class(), EffectClass::Blind);
    }

    #[test]
    fn words_are_read_back() {
        for op in RemoteOp::ALL {
            assert_eq!(RemoteOp::parse(op.as_str()), Some(*op));
            assert_eq!(serde_json::to_value(op).unwrap(), op.as_str());
        }
        let local =
            LocalEffect::SendEvent { event_type: "rankr.x".into(), data: serde_json::json!({"op": 1}) };
        assert_eq!(serde_json::to_value(&local).unwrap().get("op").unwrap(), local.word());
    }
}
