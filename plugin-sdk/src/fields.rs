//! Reading and making field values.

use crate::{Event, Field, Object, ObjectKind, ReadError, Record, RunError, StateError, Value};

impl Value {
    /// The text of a text value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number of an integer value, or of a text that is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The truth of a boolean value.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(it) => Some(*it),
            _ => None,
        }
    }

    /// The number of a decimal or integer value, or of a text that is one.
    #[must_use]
    pub fn as_decimal(&self) -> Option<f64> {
        match self {
            Self::Decimal(number) => Some(*number),
            // Text is how the standard library turns a whole number into a decimal one without a cast.
            Self::Integer(number) => number.to_string().parse().ok(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The texts of a list, or of a single text.
    #[must_use]
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Texts(texts) => Some(texts.iter().map(String::as_str).collect()),
            Self::Text(text) => Some(vec![text]),
            _ => None,
        }
    }

    /// Whether the field is known to be empty.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

macro_rules! value_from {
    ($($from:ty => $make:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(it: $from) -> Self {
                let make: fn($from) -> Self = $make;
                make(it)
            }
        }
    )*};
}

value_from! {
    bool => Self::Boolean;
    i64 => Self::Integer;
    i32 => |it| Self::Integer(it.into());
    u32 => |it| Self::Integer(it.into());
    f64 => Self::Decimal;
    String => Self::Text;
    &str => |it| Self::Text(it.to_owned());
    Vec<String> => Self::Texts;
}

/// Nothing there is null.
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

/// Finds a field by name; the host sorts fields by name.
pub(crate) fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Value> {
    fields
        .binary_search_by(|field| field.name.as_str().cmp(name))
        .ok()
        .and_then(|at| fields.get(at))
        .map(|field| &field.value)
}

/// The texts of the one that are not among those of the other.
fn difference<'v>(one: Option<&'v Value>, other: Option<&'v Value>) -> Vec<&'v str> {
    let texts = |value: Option<&'v Value>| value.and_then(Value::as_texts).unwrap_or_default();
    let other = texts(other);
    texts(one).into_iter().filter(|text| !other.contains(text)).collect()
}

impl Object {
    /// A field's value; `None` while the host does not know it, [`Value::Null`] when it is known to be empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        find(&self.fields, name)
    }

    /// A text field.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// Whether this event changed the field, and not only by repeating what the host itself, for whichever plugin, last
    /// wrote to GHL. The list [`changed`](Self#structfield.changed) holds those repetitions too.
    #[must_use]
    pub fn changed(&self, name: &str) -> bool {
        self.changed.iter().any(|it| it == name) && !self.echo.iter().any(|it| it == name)
    }

    /// What a field was before this event changed it; `None` when it did not change it, or the host did not know it.
    #[must_use]
    pub fn previous(&self, name: &str) -> Option<&Value> {
        find(&self.previous, name)
    }

    /// The texts that a list field, such as `tags`, has by this event and had not before, compared as they are. Nothing of
    /// what the host itself wrote; everything, when the host had not known the field.
    #[must_use]
    pub fn gained(&self, name: &str) -> Vec<&str> {
        if !self.changed(name) {
            return Vec::new();
        }
        difference(self.get(name), self.previous(name))
    }

    /// The texts that a list field had before this event and has no more; nothing of what the host itself wrote.
    #[must_use]
    pub fn lost(&self, name: &str) -> Vec<&str> {
        if !self.changed(name) {
            return Vec::new();
        }
        difference(self.previous(name), self.get(name))
    }

    /// A contact's custom field by its id, whose name here is `customFields.ID`.
    #[must_use]
    pub fn custom(&self, id: &str) -> Option<&Value> {
        self.get(&format!("customFields.{id}"))
    }
}

impl Record {
    /// A field's value, if the record has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        find(&self.fields, name)
    }

    /// A text field.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }
}

impl Event {
    /// The object, if the event is about one of that kind.
    #[must_use]
    pub fn object_of(&self, kind: ObjectKind) -> Option<&Object> {
        self.object.as_ref().filter(|object| object.kind == kind)
    }

    /// The contact, if the event is about one.
    #[must_use]
    pub fn contact(&self) -> Option<&Object> {
        self.object_of(ObjectKind::Contact)
    }
}

/// What a run can't do without can't be done: `state::get(…)?`.
impl From<StateError> for RunError {
    fn from(error: StateError) -> Self {
        Self::Unmappable(match error {
            StateError::Denied(capability) => format!("{capability} is not granted"),
            StateError::NoContact => "the event has no contact whose state there could be".to_owned(),
            StateError::TooLarge(limit) => format!("the state is too large: {limit}"),
        })
    }
}

/// What a run can't do without can't be done: `crm::contact(…)?`.
impl From<ReadError> for RunError {
    fn from(error: ReadError) -> Self {
        Self::Unmappable(match error {
            ReadError::Denied(capability) => format!("{capability} is not granted"),
            ReadError::Refused(why) => format!("GHL refused a read: {why}"),
        })
    }
}

impl RunError {
    /// The event can't be mapped, and never will be by this version.
    pub fn unmappable(why: impl Into<String>) -> Self {
        Self::Unmappable(why.into())
    }

    /// Try the run again after so many seconds.
    pub fn retry_after(seconds: u32, why: impl Into<String>) -> Self {
        Self::RetryAfter((seconds, why.into()))
    }
}
