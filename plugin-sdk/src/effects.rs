//! Reactions and the effects they ask for.

use crate::{
    Action, AppointmentDraft, AppointmentWrite, ContactDraft, ContactWrite, Effect, Entry, Event, Field,
    NoteDraft, NoteWrite, OperationCall, Plugin, RankrEvent, RankrTask, Record, RecordWrite, RunError,
    Schedule, TagsWrite, Target, TaskDraft, TaskWrite, Timestamp, Value,
};

/// Answers what happened with effects.
pub trait Reaction: Plugin {
    /// Reacts to one event. `before` and `after` are the record of the event's object as the event found it and as the
    /// mappings left it.
    ///
    /// # Errors
    /// [`RunError::unmappable`] when this event never can be reacted to, [`RunError::retry_after`] when it may be later.
    fn react(
        event: &Event,
        before: Option<&Record>,
        after: Option<&Record>,
        config: &Self::Config,
    ) -> Result<Effects, RunError>;
}

/// What a reaction asks for, in the order it is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This too.
    #[must_use]
    pub fn and(mut self, action: impl Into<Action>) -> Self {
        self.add(action);
        self
    }

    /// This too, under a name of the author's: what [`Target::MadeBy`] names.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<String>, action: impl Into<Action>) -> Self {
        self.0.push(Effect { key: Some(key.into()), action: action.into() });
        self
    }

    /// Adds one in place.
    pub fn add(&mut self, action: impl Into<Action>) {
        self.0.push(Effect { key: None, action: action.into() });
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The action under a key of the author's.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Action> {
        self.0.iter().find(|effect| effect.key.as_deref() == Some(key)).map(|effect| &effect.action)
    }

    /// All actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.0.iter().map(|effect| &effect.action)
    }
}

impl From<Effects> for Vec<Effect> {
    fn from(effects: Effects) -> Self {
        effects.0
    }
}

macro_rules! action_from {
    ($($from:ident => $variant:ident;)*) => {$(
        impl From<$from> for Action {
            fn from(it: $from) -> Self {
                Self::$variant(it)
            }
        }
    )*};
}

action_from! {
    RecordWrite => SetRecord;
    RankrTask => UpsertRankrTask;
    Entry => AddEntry;
    RankrEvent => SendRankrEvent;
    Schedule => Schedule;
    ContactWrite => UpdateContact;
    TaskDraft => CreateTask;
    TaskWrite => UpdateTask;
    NoteDraft => CreateNote;
    NoteWrite => UpdateNote;
    AppointmentDraft => CreateAppointment;
    AppointmentWrite => UpdateAppointment;
    OperationCall => Call;
}

fn fields<N: Into<String>, V: Into<Value>>(pairs: impl IntoIterator<Item = (N, V)>) -> Vec<Field> {
    pairs.into_iter().map(|(name, value)| Field { name: name.into(), value: value.into() }).collect()
}

impl TaskDraft {
    /// A task on the event's contact, not done.
    #[must_use]
    pub fn new(title: impl Into<String>, due: Timestamp) -> Self {
        Self {
            contact: None,
            title: title.into(),
            body: None,
            due,
            completed: false,
            assigned_to: None,
            rankr_id: None,
        }
    }

    /// With more about it.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// On another contact.
    #[must_use]
    pub fn on(mut self, contact: Target) -> Self {
        self.contact = Some(contact);
        self
    }

    /// Linked with this Rankr task once it is made.
    #[must_use]
    pub fn linked(mut self, rankr_id: impl Into<String>) -> Self {
        self.rankr_id = Some(rankr_id.into());
        self
    }
}

impl TaskWrite {
    /// No change of this task yet; set the fields that change.
    #[must_use]
    pub fn new(task: Target) -> Self {
        Self { task, title: None, body: None, due: None, assigned_to: None }
    }
}

impl NoteDraft {
    /// A note on the event's contact.
    #[must_use]
    pub fn new(body: impl Into<String>) -> Self {
        Self { contact: None, body: body.into(), rankr_id: None }
    }
}

impl ContactWrite {
    /// New values for the event's contact.
    pub fn new<N: Into<String>, V: Into<Value>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { contact: None, fields: fields(values) }
    }
}

impl ContactDraft {
    /// A contact with these values; make it an [`Action::CreateContact`] or [`Action::UpsertContact`].
    pub fn new<N: Into<String>, V: Into<Value>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { fields: fields(values), rankr_id: None }
    }
}

impl TagsWrite {
    /// Tags of the event's contact; make it an [`Action::AddTags`] or [`Action::RemoveTags`].
    pub fn new<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self { contact: None, tags: tags.into_iter().map(Into::into).collect() }
    }
}

impl Entry {
    /// An entry without details.
    #[must_use]
    pub fn new(kind: impl Into<String>, title: impl Into<String>) -> Self {
        Self { kind: kind.into(), title: title.into(), details: Vec::new() }
    }
}

impl Schedule {
    /// A later run that brings nothing along.
    #[must_use]
    pub fn new(key: impl Into<String>, at: Timestamp) -> Self {
        Self { key: key.into(), at, data: "{}".to_owned() }
    }
}
