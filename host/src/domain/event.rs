//! An event: something that happened, immutable once stored.

use super::ids::{ConnectionId, GhlId, Lane, Sequence, TenantId};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why an event exists; mappings run for all of them, reactions for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It just happened in GHL: a webhook, or a recent find of the poller.
    Live,
    /// Rankr told us.
    Rankr,
    /// A timing rule came due.
    Timing,
    /// A plugin's own schedule came due.
    Schedule,
    /// Imported when a connection was new.
    Backfill,
    /// Found by comparing, long after it happened.
    Reconcile,
    /// Made by a person to try something.
    Test,
}

impl Cause {
    /// The word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rankr => "rankr",
            Self::Timing => "timing",
            Self::Schedule => "schedule",
            Self::Backfill => "backfill",
            Self::Reconcile => "reconcile",
            Self::Test => "test",
        }
    }

    /// The cause for a stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Live, Self::Rankr, Self::Timing, Self::Schedule, Self::Backfill, Self::Reconcile, Self::Test]
            .into_iter()
            .find(|cause| cause.as_str() == word)
    }
}

/// What kind of object an event or a record is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A person or company in GHL.
    Contact,
    /// A to-do on a contact.
    Task,
    /// A free text on a contact.
    Note,
    /// A calendar entry with a contact.
    Appointment,
    /// A deal in a pipeline.
    Opportunity,
    /// A message to or from a contact.
    Message,
    /// Anything else GHL tells of.
    Other,
}

impl ObjectKind {
    /// The word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Task => "task",
            Self::Note => "note",
            Self::Appointment => "appointment",
            Self::Opportunity => "opportunity",
            Self::Message => "message",
            Self::Other => "other",
        }
    }

    /// The kind for a stored word; unknown words are [`ObjectKind::Other`].
    #[must_use]
    pub fn parse(word: &str) -> Self {
        [Self::Contact, Self::Task, Self::Note, Self::Appointment, Self::Opportunity, Self::Message]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .unwrap_or(Self::Other)
    }
}

/// What an event does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The object is there with these fields, complete as GHL sends them.
    Snapshot,
    /// Some fields of the object, the others unknown.
    Partial,
    /// The object is gone.
    Delete,
    /// Something that is no change of an object we keep.
    Happening,
}

/// One object in GHL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id of it.
    pub id: GhlId,
}

/// A stored event, read for processing.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the order of ingest.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it came.
    pub connection: ConnectionId,
    /// Its type: `ContactUpdate`, `rankr.race-finished` …
    pub event_type: Arc<str>,
    /// Why it exists.
    pub cause: Cause,
    /// The unit of order it belongs to.
    pub lane: Lane,
    /// When it was received, in product time.
    pub received_at: Timestamp,
    /// When it happened by the source's own time; `received_at` where the source gives none.
    pub source_time: Timestamp,
    /// The payload as it came.
    pub body: Arc<str>,
}
