//! Reads a run asks for, and their answers; a run is repeated until it has all it asks for.

use super::event::ObjectKind;
use super::ids::{GhlId, RankrId};
use super::value::Fields;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A look-up. Its JSON is the key under which the answer is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "read", rename_all = "snake_case")]
pub enum ReadRequest {
    /// A contact.
    Contact {
        /// GHL's id.
        contact: GhlId,
    },
    /// Contacts whose e-mail or else phone is this.
    FindContacts {
        /// The e-mail.
        email: Option<String>,
        /// The phone.
        phone: Option<String>,
    },
    /// The contacts of a business.
    BusinessContacts {
        /// GHL's id of the business.
        business: GhlId,
    },
    /// A contact's tasks.
    Tasks {
        /// GHL's id of the contact.
        contact: GhlId,
    },
    /// One task.
    Task {
        /// GHL's id of the contact.
        contact: GhlId,
        /// GHL's id of the task.
        id: GhlId,
    },
    /// A contact's notes.
    Notes {
        /// GHL's id of the contact.
        contact: GhlId,
    },
    /// One note.
    Note {
        /// GHL's id of the contact.
        contact: GhlId,
        /// GHL's id of the note.
        id: GhlId,
    },
    /// A contact's appointments.
    Appointments {
        /// GHL's id of the contact.
        contact: GhlId,
    },
    /// A location's tasks whose title is like this; asked by the host to find a task's contact.
    FindTasks {
        /// The title.
        query: String,
    },
    /// A Rankr record.
    Record {
        /// Its kind.
        kind: ObjectKind,
        /// Rankr's id.
        id: RankrId,
    },
    /// Rankr's id of a GHL object.
    RankrIdOf {
        /// Its kind.
        kind: ObjectKind,
        /// GHL's id.
        id: GhlId,
    },
    /// GHL's id of a Rankr object.
    GhlIdOf {
        /// Its kind.
        kind: ObjectKind,
        /// Rankr's id.
        id: RankrId,
    },
    /// The newest timeline entries of the event's contact.
    Timeline {
        /// How many.
        limit: u32,
    },
    /// A value of the plugin's state.
    State {
        /// The plugin, whose tenant-wide state it is.
        plugin: String,
        /// The number of its state's layout.
        schema: u32,
        /// GHL's id of the contact, or none for the tenant's.
        contact: Option<GhlId>,
        /// The key.
        key: String,
    },
}

impl ReadRequest {
    /// The capability it needs.
    #[must_use]
    pub fn capability(&self) -> &'static str {
        match self {
            Self::Contact { .. } | Self::FindContacts { .. } | Self::BusinessContacts { .. } => {
                "crm.contacts.read"
            }
            Self::Tasks { .. } | Self::Task { .. } | Self::FindTasks { .. } => "crm.tasks.read",
            Self::Notes { .. } | Self::Note { .. } => "crm.notes.read",
            Self::Appointments { .. } => "crm.appointments.read",
            Self::Record { .. } | Self::RankrIdOf { .. } | Self::GhlIdOf { .. } | Self::Timeline { .. } => {
                "rankr.read"
            }
            Self::State { contact: Some(_), .. } => "state.contact",
            Self::State { contact: None, .. } => "state.tenant",
        }
    }

    /// Whether GHL has to be asked; the others are answered from the database.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(
            self,
            Self::Record { .. }
                | Self::RankrIdOf { .. }
                | Self::GhlIdOf { .. }
                | Self::Timeline { .. }
                | Self::State { .. }
        )
    }
}

/// An object as a read gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadObject {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub id: GhlId,
    /// Its fields by GHL's names.
    pub fields: Fields,
}

/// What a look-up gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAnswer {
    /// Objects, none or one where one was asked for.
    Objects(Vec<ReadObject>),
    /// A record's fields.
    Record(Option<Fields>),
    /// An id.
    Id(Option<String>),
    /// Texts.
    Texts(Vec<String>),
    /// A state value and its version; 0 where there is none.
    State {
        /// The value.
        value: Option<Vec<u8>>,
        /// How often it was written.
        version: i64,
    },
    /// GHL refused for good.
    Refused(String),
}

/// Answers by request.
pub type Answers = BTreeMap<ReadRequest, ReadAnswer>;

/// A state value a run set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// GHL's id of the contact, or none for the tenant's.
    pub contact: Option<GhlId>,
    /// The key.
    pub key: String,
    /// The value; none removes it.
    pub value: Option<Vec<u8>>,
    /// The version the run had read; none if it had not looked.
    pub seen: Option<i64>,
}
