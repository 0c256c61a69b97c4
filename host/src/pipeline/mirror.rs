//! The mirror: the last known fields of a GHL object, each stamped with its source time, so that what comes late
//! never overwrites what is newer.

use crate::domain::{Fields, Sequence, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value and when it became true; stored as `[value, source time, sequence]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamped(pub(super) Value, pub(super) Timestamp, pub(super) Sequence);

/// What is known of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mirror {
    fields: BTreeMap<String, Stamped>,
    deleted_at: Option<Timestamp>,
}

/// What an event changed in the mirror.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Change {
    /// Fields whose value is another now, with the value before.
    pub(super) changed: BTreeMap<String, Option<Value>>,
    /// Whether everything the event says was known to be older than what is there.
    pub(super) stale: bool,
    /// Whether the object is gone since this event.
    pub(super) deleted: bool,
}

impl Mirror {
    /// Reads a stored mirror.
    pub(super) fn from_stored(
        fields: &str,
        deleted_at: Option<Timestamp>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self { fields: serde_json::from_str(fields)?, deleted_at })
    }

    /// The text to store.
    pub(super) fn to_stored(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.fields)
    }

    /// When the object was deleted.
    pub(super) fn deleted_at(&self) -> Option<Timestamp> {
        self.deleted_at
    }

    /// The fields as they are known now.
    pub(super) fn fields(&self) -> Fields {
        self.fields.iter().map(|(name, stamped)| (name.clone(), stamped.0.clone())).collect()
    }

    /// Names of fields that have a value from before that time.
    pub(super) fn values_before(&self, at: Timestamp) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |(_, stamped)| !stamped.0.is_null() && stamped.1 < at)
            .map(|(name, _)| name.as_str())
    }

    /// Takes over what an event says, field by field where it is newer; ties go to the higher sequence.
    pub(super) fn apply(&mut self, fields: Fields, at: Timestamp, sequence: Sequence) -> Change {
        let mut change = Change { stale: !fields.is_empty(), ..Change::default() };
        if self.deleted_at.is_some_and(|deleted| at > deleted) {
            // An object that is written after its deletion was restored.
            self.deleted_at = None;
        }
        for (name, value) in fields {
            match self.fields.get_mut(&name) {
                Some(known) if !newer((at, sequence), (known.1, known.2)) => {}
                Some(known) => {
                    change.stale = false;
                    let before = std::mem::replace(known, Stamped(value, at, sequence)).0;
                    if before != known.0 {
                        change.changed.insert(name, Some(before));
                    }
                }
                None => {
                    change.stale = false;
                    change.changed.insert(name.clone(), None);
                    self.fields.insert(name, Stamped(value, at, sequence));
                }
            }
        }
        change
    }

    /// Marks the object as deleted, unless something newer is known of it.
    pub(super) fn delete(&mut self, at: Timestamp) -> Change {
        let newest = self.fields.values().map(|stamped| stamped.1).max();
        if newest.is_some_and(|newest| newest > at) || self.deleted_at.is_some_and(|deleted| deleted >= at) {
            return Change { stale: true, ..Change::default() };
        }
        self.deleted_at = Some(at);
        Change { deleted: true, ..Change::default() }
    }
}

fn newer(this: (Timestamp, Sequence), known: (Timestamp, Sequence)) -> bool {
    #[cfg(feature = "test-support")]
    if this < known && crate::config::sabotage::strikes(crate::config::sabotage::Sabotage::StaleOverwrite) {
        return true;
    }
    this > known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned()))).collect()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_comes_late_does_not_overwrite_what_is_newer() {
        let mut mirror = Mirror::default();
        mirror.apply(fields(&[("city", "Ulm"), ("name", "Ada")]), at(20), Sequence(1));
        let late = mirror.apply(fields(&[("city", "Bonn"), ("phone", "1")]), at(10), Sequence(2));
        assert_eq!(late.changed.keys().collect::<Vec<_>>(), ["phone"]);
        assert!(!late.stale);
        assert_eq!(mirror.fields().get("city"), Some(&Value::Text("Ulm".into())));
        assert!(mirror.apply(fields(&[("city", "Bonn")]), at(10), Sequence(3)).stale);
    }

    #[test]
    fn ties_go_to_the_higher_sequence() {
        let mut mirror = Mirror::default();
        mirror.apply(fields(&[("city", "Ulm")]), at(20), Sequence(5));
        mirror.apply(fields(&[("city", "Bonn")]), at(20), Sequence(4));
        assert_eq!(mirror.fields().get("city"), Some(&Value::Text("Ulm".into())));
        mirror.apply(fields(&[("city", "Rom")]), at(20), Sequence(6));
        assert_eq!(mirror.fields().get("city"), Some(&Value::Text("Rom".into())));
    }

    #[test]
    fn a_late_deletion_does_not_undo_a_restore_and_a_late_update_no_deletion() {
        let mut mirror = Mirror::default();
        mirror.apply(fields(&[("a", "1")]), at(10), Sequence(1));
        assert!(mirror.delete(at(20)).deleted);
        mirror.apply(fields(&[("a", "2")]), at(15), Sequence(3));
        assert_eq!(mirror.deleted_at(), Some(at(20)));
        mirror.apply(fields(&[("a", "3")]), at(30), Sequence(4));
        assert_eq!(mirror.deleted_at(), None);
        assert!(mirror.delete(at(25)).stale);
    }

    #[test]
    fn it_is_stored_and_read_again_whole() {
        let mut mirror = Mirror::default();
        mirror.apply(fields(&[("a", "1")]), at(10), Sequence(1));
        let text = mirror.to_stored().unwrap();
        assert_eq!(text, r#"{"a":["1",10,1]}"#);
        assert_eq!(Mirror::from_stored(&text, None).unwrap(), mirror);
    }
}
