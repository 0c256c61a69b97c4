//! The port through which a journey calls plugins, so that it can be tested without WebAssembly.

use crate::domain::{
    Answers, Effect, Event, Fields, ObjectKind, ObjectRef, RankrId, ReadRequest, StateWrite, Timestamp, Value,
};
use crate::tenants::ActiveVersion;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A record as a run sees it: kind, Rankr's id, fields.
pub type RecordView<'a> = (ObjectKind, &'a RankrId, &'a Fields);

/// One run's inputs.
#[derive(Clone, Debug)]
pub struct PluginCall<'a> {
    /// Whose version, with which configuration.
    pub active: &'a ActiveVersion,
    /// The event; its body is the raw payload.
    pub event: &'a Event,
    /// The time of the run.
    pub now: Timestamp,
    /// GHL's id of the contact.
    pub contact: Option<&'a str>,
    /// The object as the host knows it now.
    pub object: Option<ObjectState<'a>>,
    /// The record as the event found it; for reactions.
    pub before: Option<RecordView<'a>>,
    /// The record as it stands.
    pub current: Option<RecordView<'a>>,
    /// What was read for this run.
    pub answers: Arc<Answers>,
}

/// An object as the host knows it.
#[derive(Clone, Debug)]
pub struct ObjectState<'a> {
    /// Which object.
    pub object: &'a ObjectRef,
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

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// The record's new fields.
    Mapped {
        /// Which record.
        kind: ObjectKind,
        /// Null clears, unnamed is kept.
        fields: Fields,
    },
    /// What is to be done.
    Reacted(Vec<Effect>),
    /// It lacks these answers.
    NeedsReads(Vec<ReadRequest>),
    /// It failed and always will.
    Failed {
        /// What went wrong, without personal data.
        detail: String,
    },
    /// It is worth trying again.
    Again {
        /// Not before that long.
        after: Duration,
        /// What went wrong, without personal data.
        detail: String,
    },
}

/// A run's end and what it cost.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// How it ended.
    pub end: RunEnd,
    /// The outcome's word: `mapped`, `reacted`, `trap`, `out-of-fuel` …
    pub outcome: &'static str,
    /// Fuel used.
    pub fuel: u64,
    /// Machine time it took.
    pub took: Duration,
    /// What it logged, JSON, if anything.
    pub log: Option<String>,
    /// State values it set.
    pub state: Vec<StateWrite>,
}

/// A boxed future, so that the port can be a trait object.
pub type Running<'a> = Pin<Box<dyn Future<Output = RunResult> + Send + 'a>>;

/// Whoever runs plugins.
pub trait PluginRunner: Send + Sync + 'static {
    /// Runs a mapping on one event in a fresh instance.
    fn map<'a>(&'a self, call: PluginCall<'a>) -> Running<'a>;

    /// Runs a reaction on one event in a fresh instance.
    fn react<'a>(&'a self, call: PluginCall<'a>) -> Running<'a>;
}
