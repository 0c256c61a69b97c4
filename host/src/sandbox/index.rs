//! The search index: it follows the contacts at a distance, as GHL's does, so that a search may not yet know what a GET
//! shows already.

use super::state::Object;
use crate::domain::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Each contact as the index will show it, and from when on; none after its deletion.
#[derive(Debug, Default)]
pub(super) struct Index {
    delay: Duration,
    contacts: BTreeMap<String, Vec<(Timestamp, Option<Object>)>>,
}

impl Index {
    /// How far the index is behind, for changes from now on.
    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// Takes a change; without a delay it is seen at once.
    pub(super) fn take(&mut self, id: &str, after: Option<Object>, now: Timestamp) {
        let states = self.contacts.entry(id.to_owned()).or_default();
        // The newest state that is seen already is the only old one anybody can still find.
        if let Some(seen) = states.iter().rposition(|(from, _)| *from <= now) {
            states.drain(..seen);
        }
        let from = states.last().map_or(now, |(last, _)| (*last).max(now));
        states.push((from.max(now.plus(self.delay)), after));
    }

    /// The contacts of a location as a search finds them now.
    pub(super) fn seen(&self, location: &str, now: Timestamp) -> Vec<Object> {
        self.contacts
            .values()
            .filter_map(|states| states.iter().rev().find(|(from, _)| *from <= now)?.1.as_ref())
            .filter(|contact| contact.get("locationId").and_then(serde_json::Value::as_str) == Some(location))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contact(city: &str) -> Option<Object> {
        json!({"locationId": "l", "city": city}).as_object().cloned()
    }

    #[test]
    fn a_search_sees_what_was_true_a_while_ago() {
        let at = Timestamp::from_millis;
        let mut index = Index::default();
        index.take("c", contact("Ulm"), at(0));
        index.set_delay(Duration::from_secs(5));
        index.take("c", contact("Rom"), at(1000));
        let city = |index: &Index, now| index.seen("l", at(now)).first().map(|it| it["city"].clone());
        assert_eq!(city(&index, 5999), Some(json!("Ulm")));
        assert_eq!(city(&index, 6000), Some(json!("Rom")));
        index.take("c", None, at(7000));
        assert_eq!(city(&index, 11_999), Some(json!("Rom")));
        assert_eq!(city(&index, 12_000), None);
        assert!(index.seen("other", at(6000)).is_empty());
    }
}
