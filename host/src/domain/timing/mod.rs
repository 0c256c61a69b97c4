//! Timing rules as a person writes them, and the plans they are checked into. Pure: given times in, slots out.
//!
//! A rule's *slot* is the moment it comes due. A cron rule and a rule with an hour of the day have slots of their own,
//! the same for all contacts; the others have one slot for each task, appointment or contact: its moment and the span.

mod condition;
mod cron;
mod plan;

pub use condition::{Condition, Test};
pub use plan::{TimingPlan, When};

use super::event::ObjectKind;
use super::ids::TenantId;
use super::time::Timestamp;
use super::value::Value;
use serde::{Deserialize, Serialize};

/// What a timing rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimingKind {
    /// Nothing happened with a contact for so long.
    ContactIdle,
    /// A task that is not done is due, now or in so long.
    TaskDue,
    /// A task that is not done has been due for so long.
    TaskOverdue,
    /// An appointment that stands begins in so long.
    AppointmentUpcoming,
    /// A time of the calendar came, for every contact that is selected.
    Cron,
}

impl TimingKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ContactIdle, Self::TaskDue, Self::TaskOverdue, Self::AppointmentUpcoming, Self::Cron];

    /// The word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactIdle => "contact-idle",
            Self::TaskDue => "task-due",
            Self::TaskOverdue => "task-overdue",
            Self::AppointmentUpcoming => "appointment-upcoming",
            Self::Cron => "cron",
        }
    }

    /// The kind for a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind of object whose moment counts.
    #[must_use]
    pub fn basis(self) -> ObjectKind {
        match self {
            Self::ContactIdle | Self::Cron => ObjectKind::Contact,
            Self::TaskDue | Self::TaskOverdue => ObjectKind::Task,
            Self::AppointmentUpcoming => ObjectKind::Appointment,
        }
    }
}

/// What becomes of slots that passed while nobody could fire them: the host was down, the tenant paused, the object
/// not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They fire late, once: of several missed calendar slots the last.
    #[default]
    Once,
    /// They don't fire.
    Never,
}

/// A timing rule as a person writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimingSpec {
    /// Its name, for people.
    pub name: String,
    /// What it looks at.
    pub kind: TimingKind,
    /// For `cron`: minute, hour, day of month, month, day of week, such as `0 9 * * MON-FRI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// How long before the due time or the start, such as `1d` or `90m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How long after the due time or the last activity, such as `30d` or `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The hour of the day at which it comes due, such as `09:00`; `before` and `after` then count calendar days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The time zone of `cron` and `at`, by its IANA name; UTC if not given.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// The type of the events; `timing.` and the kind if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Only contacts of this connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Only contacts whose record meets all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Condition>,
    /// What becomes of missed slots.
    #[serde(default)]
    pub missed: Missed,
    /// Whether it fires.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

impl TimingSpec {
    /// Whether the other fires at the same moments; what it selects and what it sends may differ.
    #[must_use]
    pub fn same_moments(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.cron == other.cron
            && self.before == other.before
            && self.after == other.after
            && self.at == other.at
            && self.time_zone == other.time_zone
            && self.enabled == other.enabled
    }
}

/// Whose tasks and appointments are needed by timing rules, however little else wants them.
pub type TimingNeeds = std::collections::HashSet<(TenantId, ObjectKind)>;

/// A field's value as a moment: RFC 3339, a date or time without zone (UTC), or milliseconds since 1970.
#[must_use]
pub fn value_as_moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Text(text) => condition::text_as_moment(text),
        Value::Integer(millis) => Some(Timestamp::from_millis(*millis)),
        _ => None,
    }
}
