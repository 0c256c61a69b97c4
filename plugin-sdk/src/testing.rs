//! Testing a plugin natively with `cargo test`: events made by hand, configuration prepared as the host would, and
//! the lines a run logged.

use crate::plugin::{ConfigError, Plugin};
use crate::{Cause, Event, Field, Object, ObjectKind, Value, config};
use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn record_line(level: &'static str, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

/// Takes the lines this thread's runs have logged: level and message.
#[must_use]
pub fn take_log() -> Vec<(&'static str, String)> {
    LINES.take()
}

/// Lets a read of this thread's runs answer; unanswered reads give nothing. The key is the function and its
/// arguments, such as `tasks contact0000000000001`.
pub fn answer_objects(key: &str, objects: Vec<Object>) {
    crate::reads::answer(key, objects);
}

/// Lets a look-up of [`crate::rankr`] answer: `rankr-id task GHLID` or `ghl-id task RANKRID`.
pub fn answer_id(key: &str, id: &str) {
    crate::reads::answer_id(key, id);
}

/// Denies this thread's reads and state that need the capability, such as `crm.tasks.read` or `state.contact`, as where
/// nobody granted it.
pub fn deny(capability: &str) {
    crate::reads::deny(capability);
}

/// The configuration as a run would get it, or the mistakes that an activation would be refused for: those of
/// the types first, then those of [`Plugin::check`].
///
/// # Errors
/// The mistakes, each with its path.
pub fn prepared<T: Plugin>(json: &str) -> Result<T::Config, Vec<ConfigError>> {
    config::prepare::<T>(json).map(|bytes| config::read::<T>(&bytes))
}

/// A live event of that type about a contact without fields; add some with [`Event::with`].
#[must_use]
pub fn contact_event(event_type: &str) -> Event {
    event(event_type, ObjectKind::Contact)
}

/// A live event of that type about an object without fields.
#[must_use]
pub fn event(event_type: &str, kind: ObjectKind) -> Event {
    Event {
        id: "1".to_owned(),
        event_type: event_type.to_owned(),
        cause: Cause::Live,
        source_time: 1_767_225_600_000,
        now: 1_767_225_601_000,
        seed: 7,
        contact_id: Some("contact0000000000001".to_owned()),
        object: Some(Object {
            kind,
            id: "contact0000000000001".to_owned(),
            deleted: false,
            fields: Vec::new(),
            changed: Vec::new(),
            previous: Vec::new(),
            echo: Vec::new(),
        }),
        raw: "{}".to_owned(),
    }
}

impl Event {
    /// The same event whose object has this field too, changed by it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(object) = &mut self.object {
            object.fields.retain(|field| field.name != name);
            object.fields.push(Field { name: name.to_owned(), value: value.into() });
            object.fields.sort_by(|a, b| a.name.cmp(&b.name));
            put(&mut object.changed, name);
        }
        self
    }

    /// The same event before which the field was that: changed by it.
    #[must_use]
    pub fn was(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(object) = &mut self.object {
            object.previous.retain(|field| field.name != name);
            object.previous.push(Field { name: name.to_owned(), value: value.into() });
            object.previous.sort_by(|a, b| a.name.cmp(&b.name));
            put(&mut object.changed, name);
        }
        self
    }

    /// The same event whose object has this field too, known before and not changed by it.
    #[must_use]
    pub fn unchanged(self, name: &str, value: impl Into<Value>) -> Self {
        let mut event = self.with(name, value);
        if let Some(object) = &mut event.object {
            object.changed.retain(|it| it != name);
        }
        event
    }
}

fn put(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|it| it == name) {
        names.push(name.to_owned());
        names.sort();
    }
}
