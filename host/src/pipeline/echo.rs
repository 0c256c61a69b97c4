//! Echo: what GHL tells us only because we wrote it. Beside the mirror stand the values GHL answered to our last
//! writes; a change that repeats one of them is applied, and marked.

use crate::domain::{Fields, OWN_DELETION, Timestamp, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this long what GHL tells is nobody's echo any more.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);
/// The answers to our writes of one object, by write.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answered(BTreeMap<String, (Timestamp, Fields)>);

impl Answered {
    /// Reads what is stored.
    pub(super) fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// Whether a field's new value is one that GHL answered to us lately.
    pub(super) fn repeats(&self, name: &str, value: &Value, now: Timestamp) -> bool {
        self.0.values().any(|(at, fields)| {
            now.since(*at) < FORGET_AFTER && fields.get(name).is_some_and(|answered| same(answered, value))
        })
    }

    /// The patch that forgets the writes whose echo has come whole, and old ones; none when there are none.
    pub(super) fn settled(&self, known: &Fields, deleted: bool, now: Timestamp) -> Option<String> {
        let arrived = |fields: &Fields| {
            fields.iter().all(|(name, value)| {
                if name == OWN_DELETION {
                    deleted
                } else {
                    known.get(name).is_some_and(|known| same(known, value))
                }
            })
        };
        let gone: serde_json::Map<String, serde_json::Value> = self
            .0
            .iter()
            .filter(|(_, (at, fields))| now.since(*at) >= FORGET_AFTER || arrived(fields))
            .map(|(write, _)| (write.clone(), json!(null)))
            .collect();
        (!gone.is_empty()).then(|| serde_json::Value::Object(gone).to_string())
    }
}

/// Equal, or two ways to write one moment.
fn same(one: &Value, other: &Value) -> bool {
    one == other
        || match (one, other) {
            (Value::Text(one), Value::Text(other)) => {
                one.contains('T')
                    && Timestamp::parse(one).is_some()
                    && Timestamp::parse(one) == Timestamp::parse(other)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn what_ghl_answered_is_known_again_for_a_while() {
        let answered =
            Answered::from_stored(r#"{"e1":[1000,{"city":"Ulm","due":"2026-01-01T00:00:00Z"}]}"#).unwrap();
        let soon = Timestamp::from_millis(2000);
        assert!(answered.repeats("city", &text("Ulm"), soon));
        assert!(answered.repeats("due", &text("2026-01-01T00:00:00.000Z"), soon));
        assert!(!answered.repeats("city", &text("Rom"), soon));
        assert!(!answered.repeats("city", &text("Ulm"), Timestamp::from_millis(1_000_000)));
    }

    #[test]
    fn a_write_is_forgotten_when_its_echo_came_whole() {
        let answered =
            Answered::from_stored(r#"{"e1":[1000,{"a":"1","b":"2"}],"e2":[1000,{":deleted":true}]}"#)
                .unwrap();
        let soon = Timestamp::from_millis(2000);
        let half = Fields::from([("a".into(), text("1"))]);
        assert_eq!(answered.settled(&half, false, soon), None);
        let whole = Fields::from([("a".into(), text("1")), ("b".into(), text("2"))]);
        assert_eq!(answered.settled(&whole, false, soon), Some(r#"{"e1":null}"#.to_owned()));
        assert_eq!(answered.settled(&half, true, soon), Some(r#"{"e2":null}"#.to_owned()));
    }
}
