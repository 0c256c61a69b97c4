//! Where a record's fields come from, and how that is stored.
//!
//! Most fields of a record come from few events, and a version's id is long. So what is stored names each origin once:
//! `{"origins": [[event, version, source time], …], "fields": {"city": [0, "the value before"], …}}`.

use super::{Sequence, Timestamp, Value, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a record's field comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// The event that last changed it.
    pub event: Sequence,
    /// The plugin version that mapped it.
    pub version: VersionId,
    /// The event's source time.
    pub source_time: Timestamp,
    /// The value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
}

/// The provenance of each of a record's fields, by the field's name.
pub type Provenances = BTreeMap<String, Provenance>;

type Origin = (Sequence, VersionId, Timestamp);

#[derive(Deserialize)]
struct Stored {
    origins: Vec<Origin>,
    fields: BTreeMap<String, (usize, Option<Value>)>,
}

#[derive(Serialize)]
struct ToStore<'a> {
    origins: Vec<(Sequence, &'a VersionId, Timestamp)>,
    fields: BTreeMap<&'a str, (usize, Option<&'a Value>)>,
}

/// The text to store.
///
/// # Errors
/// When a value can't be written as JSON.
pub fn store_provenances(provenances: &Provenances) -> Result<String, serde_json::Error> {
    let mut to_store = ToStore { origins: Vec::new(), fields: BTreeMap::new() };
    for (name, known) in provenances {
        let origin = (known.event, &known.version, known.source_time);
        let place = to_store.origins.iter().position(|it| *it == origin).unwrap_or_else(|| {
            to_store.origins.push(origin);
            to_store.origins.len() - 1
        });
        to_store.fields.insert(name, (place, known.previous.as_ref()));
    }
    serde_json::to_string(&to_store)
}

/// Reads what was stored.
///
/// # Errors
/// When the text is not of that form.
pub fn read_provenances(text: &str) -> Result<Provenances, serde_json::Error> {
    let stored: Stored = serde_json::from_str(text)?;
    let provenance = |(name, (place, previous)): (String, (usize, Option<Value>))| {
        let (event, version, source_time) = stored
            .origins
            .get(place)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{name} has no origin {place}")))?;
        let known =
            Provenance { event: *event, version: version.clone(), source_time: *source_time, previous };
        Ok((name, known))
    };
    stored.fields.into_iter().map(provenance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(event: i64, previous: Option<&str>) -> Provenance {
        Provenance {
            event: Sequence(event),
            version: VersionId::from("sha256:1"),
            source_time: Timestamp::from_millis(event * 10),
            previous: previous.map(|text| Value::Text(text.to_owned())),
        }
    }

    #[test]
    fn each_origin_is_stored_once_and_all_is_read_again() {
        let provenances = Provenances::from([
            ("city".to_owned(), provenance(2, Some("Ulm"))),
            ("name".to_owned(), provenance(1, None)),
            ("phone".to_owned(), provenance(2, None)),
        ]);
        let text = store_provenances(&provenances).unwrap();
        assert_eq!(
            text,
            r#"{"origins":[[2,"sha256:1",20],[1,"sha256:1",10]],"fields":{"city":[0,"Ulm"],"name":[1,null],"phone":[0,null]}}"#
        );
        assert_eq!(read_provenances(&text).unwrap(), provenances);
    }

    #[test]
    fn a_field_without_its_origin_is_refused_by_name() {
        let error = read_provenances(r#"{"origins":[],"fields":{"city":[0,null]}}"#).unwrap_err();
        assert!(error.to_string().contains("city"), "{error}");
    }
}
