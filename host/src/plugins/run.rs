//! What goes into a run and what comes out of it.

use super::error::RunFailure;
use crate::domain::{Answers, Cause, Fields, GhlId, ObjectKind, PluginName, StateWrite, Timestamp, Value};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What a run's imports may see.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// Granted capabilities.
    pub grants: Arc<HashSet<String>>,
    /// What was read for this run.
    pub answers: Arc<Answers>,
    /// GHL's id of the event's contact.
    pub contact: Option<GhlId>,
    /// Whose state it is.
    pub plugin: PluginName,
    /// The number of its state's layout.
    pub state_schema: u32,
}

impl Default for RunContext {
    /// Nothing granted, nothing read.
    fn default() -> Self {
        Self {
            grants: Arc::default(),
            answers: Arc::default(),
            contact: None,
            plugin: PluginName::from(""),
            state_schema: 0,
        }
    }
}

/// A run's inputs.
#[derive(Clone, Debug)]
pub struct RunInput<'a> {
    /// The event's id.
    pub event_id: String,
    /// Its type.
    pub event_type: &'a str,
    /// Why it exists.
    pub cause: Cause,
    /// When it happened.
    pub source_time: Timestamp,
    /// The time of the run.
    pub now: Timestamp,
    /// The seed of the run.
    pub seed: u64,
    /// GHL's id of the contact.
    pub contact: Option<&'a str>,
    /// The object as the host knows it.
    pub object: Option<ObjectInput<'a>>,
    /// The payload as it came.
    pub raw: &'a str,
    /// The record as it stands: kind, Rankr's id, fields.
    pub current: Option<(ObjectKind, &'a str, &'a Fields)>,
    /// The record as the event found it; for reactions.
    pub before: Option<(ObjectKind, &'a str, &'a Fields)>,
    /// What its imports may see.
    pub context: RunContext,
    /// What `prepare` gave.
    pub prepared: &'a [u8],
}

/// An object as the host knows it.
#[derive(Clone, Debug)]
pub struct ObjectInput<'a> {
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub id: &'a str,
    /// Whether this event deleted it.
    pub deleted: bool,
    /// Its fields.
    pub fields: &'a Fields,
    /// Names of the fields this event changed.
    pub changed: Vec<&'a str>,
    /// What those were before, as far as they were known, sorted.
    pub previous: Vec<(&'a str, &'a Value)>,
    /// Those that only repeat what GHL answered to our last write.
    pub echo: Vec<&'a str>,
}

/// What a mapping gives.
#[derive(Clone, Debug, PartialEq)]
pub struct MappedRecord {
    /// Which record.
    pub kind: ObjectKind,
    /// Null clears, unnamed is kept.
    pub fields: Fields,
}

/// One logged line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text, cut at the limit.
    pub message: String,
}

impl<T> RunReport<T> {
    /// The same report of something made of its outcome.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> RunReport<U> {
        RunReport {
            outcome: self.outcome.map(make),
            fuel: self.fuel,
            took: self.took,
            log: self.log,
            log_dropped: self.log_dropped,
            backtrace: self.backtrace,
            state: self.state,
        }
    }

    /// A run that never began.
    #[must_use]
    pub fn not_begun(failure: RunFailure) -> Self {
        Self {
            outcome: Err(failure),
            fuel: 0,
            took: Duration::ZERO,
            log: Vec::new(),
            log_dropped: 0,
            backtrace: None,
            state: Vec::new(),
        }
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct RunReport<T> {
    /// What it gave, or how it failed.
    pub outcome: Result<T, RunFailure>,
    /// Fuel used; the same whenever the run is repeated.
    pub fuel: u64,
    /// Machine time it took.
    pub took: Duration,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// Lines it logged beyond the limit.
    pub log_dropped: u32,
    /// The plugin's own backtrace, innermost function first, where it was ended inside one.
    pub backtrace: Option<String>,
    /// State values it set; to be kept only if the run did well.
    pub state: Vec<StateWrite>,
}
