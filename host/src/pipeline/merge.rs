//! A mapping's output into its record: null clears, an unnamed field is kept, each change keeps its provenance.

use crate::domain::{
    Fields, Provenance, Provenances, Sequence, Timestamp, Value, VersionId, read_provenances,
    store_provenances,
};
use serde::Serialize;

/// Rankr's copy of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    pub(super) fields: Fields,
    pub(super) provenance: Provenances,
    pub(super) deleted_at: Option<Timestamp>,
}

/// One change of a record, as the timeline shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FieldChange {
    pub(super) field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Value>,
}

impl Record {
    /// Reads a stored record.
    pub(super) fn from_stored(
        fields: &str,
        provenance: &str,
        deleted_at: Option<Timestamp>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            fields: serde_json::from_str(fields)?,
            provenance: read_provenances(provenance)?,
            deleted_at,
        })
    }

    /// The texts to store: fields and provenance.
    pub(super) fn to_stored(&self) -> Result<(String, String), serde_json::Error> {
        Ok((serde_json::to_string(&self.fields)?, store_provenances(&self.provenance)?))
    }

    /// Takes over the fields of an event that is run again, but for those that a newer event has changed meanwhile.
    pub(super) fn merge_older(
        &mut self,
        mut mapped: Fields,
        event: Sequence,
        source_time: Timestamp,
        version: &VersionId,
    ) -> Vec<FieldChange> {
        mapped.retain(|field, _| {
            let known = self.provenance.get(field).map(|known| (known.source_time, known.event));
            known.is_none_or(|known| known <= (source_time, event))
        });
        self.merge(mapped, event, source_time, version)
    }

    /// Takes over a mapping's fields; gives back what really changed.
    pub(super) fn merge(
        &mut self,
        mapped: Fields,
        event: Sequence,
        source_time: Timestamp,
        version: &VersionId,
    ) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        for (field, value) in mapped {
            let before = self.fields.get(&field).cloned();
            let after = if value.is_null() { None } else { Some(value) };
            if before == after {
                continue;
            }
            match &after {
                Some(value) => self.fields.insert(field.clone(), value.clone()),
                None => self.fields.remove(&field),
            };
            let provenance =
                Provenance { event, version: version.clone(), source_time, previous: before.clone() };
            self.provenance.insert(field.clone(), provenance);
            changes.push(FieldChange { field, from: before, to: after });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn null_clears_unnamed_is_kept_equal_is_no_change() {
        let mut record = Record::default();
        let version = VersionId::from("sha256:1");
        let at = Timestamp::from_millis(5);
        let first =
            Fields::from([("a".into(), text("1")), ("b".into(), text("2")), ("c".into(), Value::Null)]);
        assert_eq!(record.merge(first, Sequence(1), at, &version).len(), 2);
        let second = Fields::from([("a".into(), Value::Null), ("b".into(), text("2"))]);
        let changes = record.merge(second, Sequence(2), at, &version);
        assert_eq!(changes, [FieldChange { field: "a".into(), from: Some(text("1")), to: None }]);
        assert_eq!(record.fields, Fields::from([("b".into(), text("2"))]));
        assert_eq!(record.provenance["a"].previous, Some(text("1")));
        assert_eq!(record.provenance["b"].event, Sequence(1));
    }

    #[test]
    fn an_event_that_is_run_again_overwrites_nothing_newer() {
        let mut record = Record::default();
        let version = VersionId::from("sha256:1");
        let (old, new) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        let fields = |a: &str, b: &str| Fields::from([("a".into(), text(a)), ("b".into(), text(b))]);
        record.merge(fields("1", "1"), Sequence(1), old, &version);
        record.merge(Fields::from([("a".into(), text("2"))]), Sequence(2), new, &version);
        let changes = record.merge_older(fields("3", "3"), Sequence(1), old, &version);
        assert_eq!(changes.len(), 1);
        assert_eq!(record.fields, fields("2", "3"));
    }
}
