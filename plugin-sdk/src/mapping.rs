//! Mapping: a GHL object into a Rankr record.

use crate::{Event, Field, ObjectKind, Plugin, Record, RunError, Value};

/// Turns an object of GHL's into a record of Rankr's.
pub trait Mapping: Plugin {
    /// Maps one event. `current` is the record as it stands, `None` while there is none.
    ///
    /// # Errors
    /// [`RunError::unmappable`] when this event never can be mapped, [`RunError::retry_after`] when it may be later.
    fn map(event: &Event, current: Option<&Record>, config: &Self::Config) -> Result<Mapped, RunError>;
}

/// A record's new fields: null clears, an unnamed field is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    pub(crate) kind: ObjectKind,
    pub(crate) fields: Vec<Field>,
}

impl Mapped {
    /// Fields for the record of that kind: the event's object's, or its contact's.
    #[must_use]
    pub fn new(kind: ObjectKind) -> Self {
        Self { kind, fields: Vec::with_capacity(32) }
    }

    /// Fields for the contact's record.
    #[must_use]
    pub fn contact() -> Self {
        Self::new(ObjectKind::Contact)
    }

    /// Sets a field; `None` clears it. A field named twice is refused by the host.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.add(name, value);
        self
    }

    /// Sets a field in place.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.fields.push(Field { name: name.into(), value: value.into() });
    }

    /// The fields set so far, in the order they were set.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The value set for a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|field| field.name == name).map(|field| &field.value)
    }

    /// The text set for a field.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }
}
