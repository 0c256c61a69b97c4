//! The checker's judgement of polled connections: by the final state, since several changes between two passes are found as
//! one.

use super::checker::{Journal, Report};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Connections without webhooks, and the locations they are of.
#[derive(Debug, Default)]
pub(super) struct Polled(pub(super) BTreeMap<String, String>);

impl Polled {
    /// Whether the event was found by polling; what the host makes itself was not.
    pub(super) fn found(&self, event: &Value) -> bool {
        let own = ["effect-", "rankr.", "timing."];
        let event_type = event["type"].as_str().unwrap_or_default();
        event["connection"].as_str().is_some_and(|id| self.0.contains_key(id))
            && matches!(event["cause"].as_str(), Some("live" | "backfill" | "reconcile"))
            && !own.iter().any(|stem| event_type.starts_with(stem))
    }

    /// Whether the location is polled.
    pub(super) fn has(&self, location: &str) -> bool {
        self.0.values().any(|known| known == location)
    }
}

/// What the timeline tells of an object: whether its last event was its deletion, and its last known details.
#[derive(Default)]
struct Told {
    deleted: bool,
    details: BTreeMap<String, Value>,
}

/// Details of the timeline that must equal GHL's last state, by kind of object.
const DETAILS: &[(&str, &[&str])] = &[
    ("task", &["title", "body", "dueDate", "completed"]),
    ("note", &["body"]),
    ("appointment", &["title", "startTime", "endTime", "appointmentStatus"]),
];

/// Tasks, notes and appointments of polled locations: each that is there was found with its last values, each that is gone
/// was found gone.
pub(super) fn check(
    journal: &Journal,
    polled: &Polled,
    timeline: &[Value],
    records: &HashMap<String, Value>,
    report: &mut Report,
) {
    let mut entries: Vec<&Value> = timeline.iter().filter(|entry| entry["kind"] == "event").collect();
    entries.sort_by_key(|entry| entry["sequence"].as_i64());
    let mut told: BTreeMap<(&str, &str), Told> = BTreeMap::new();
    for entry in entries.into_iter().map(|entry| &entry["entry"]) {
        let (Some(kind), Some(id)) = (entry["object"]["kind"].as_str(), entry["object"]["id"].as_str())
        else {
            continue;
        };
        let known = told.entry((kind, id)).or_default();
        known.deleted = entry["type"].as_str().is_some_and(|name| name.ends_with("Delete"));
        for (name, value) in entry["details"].as_object().into_iter().flatten() {
            known.details.insert(name.clone(), value.clone());
        }
    }
    for (id, child) in journal.all_children() {
        if !polled.has(child.location) {
            continue;
        }
        let known = told.get(&(child.kind, id));
        match (known, child.fields) {
            (Some(known), Some(fields)) if !known.deleted => {
                check_details((child.kind, id), known, fields, report);
                check_task((child.kind, id), fields, records.get(id), report);
            }
            (_, Some(_)) => {
                report.fault(|it| &mut it.lost, format!("{} {id} is in GHL and was not found", child.kind));
            }
            // What came and went between two passes was never there to be found.
            (None, None) => {}
            (Some(known), None) if known.deleted => {
                if records.get(id).is_some_and(|record| record["deleted_at"].is_null()) {
                    report.fault(
                        |it| &mut it.lost,
                        format!("{} {id} is deleted, its record is not", child.kind),
                    );
                }
            }
            (Some(_), None) => {
                report.fault(
                    |it| &mut it.lost,
                    format!("{} {id} is deleted and was not found gone", child.kind),
                );
            }
        }
    }
}

fn check_details((kind, id): (&str, &str), known: &Told, fields: &Value, report: &mut Report) {
    let names = DETAILS.iter().find(|(own, _)| *own == kind).map_or(&[][..], |(_, names)| names);
    for name in names {
        let (have, want) = (known.details.get(*name).unwrap_or(&Value::Null), &fields[name]);
        // A task that was never done has no word of it.
        let same = have == want || (*name == "completed" && have.is_null() && *want == Value::Bool(false));
        if !same {
            let words = format!("{kind} {id}: {name} was last found as {have}, GHL's last is {want}");
            report.fault(|it| &mut it.out_of_order, words);
        }
    }
}

/// The record of a task that is done in GHL is done too.
fn check_task((kind, id): (&str, &str), fields: &Value, record: Option<&Value>, report: &mut Report) {
    let Some(record) = record.filter(|_| kind == "task" && fields["completed"] == true) else { return };
    if record["fields"]["completed"] != true {
        report.fault(|it| &mut it.out_of_order, format!("task {id} is done in GHL, its record is not"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(journal: &Journal, timeline: &[Value]) -> (usize, usize) {
        let polled = Polled(BTreeMap::from([("c".to_owned(), "l".to_owned())]));
        let mut report = Report::default();
        check(journal, &polled, timeline, &HashMap::new(), &mut report);
        (report.lost, report.out_of_order)
    }

    fn entry(sequence: i64, event_type: &str, details: &Value) -> Value {
        json!({"sequence": sequence, "kind": "event",
            "entry": {"type": event_type, "object": {"kind": "task", "id": "t"}, "details": details}})
    }

    #[test]
    fn the_final_state_is_what_counts() {
        let there = Journal::of_task("l", Some(json!({"title": "B", "completed": true})));
        let created = entry(1, "TaskCreate", &json!({"title": "A"}));
        let changed = entry(2, "TaskUpdate", &json!({"title": "B"}));
        let done = entry(3, "TaskComplete", &json!({"completed": true}));
        let gone = entry(4, "TaskDelete", &json!({}));
        let all = [created.clone(), changed.clone(), done.clone()];
        assert_eq!(judged(&there, &all), (0, 0));
        assert_eq!(judged(&there, &[created.clone(), done.clone()]), (0, 1));
        assert_eq!(judged(&there, &[created.clone(), changed.clone()]), (0, 1));
        assert_eq!(judged(&there, &[]), (1, 0));
        let deleted = Journal::of_task("l", None);
        assert_eq!(judged(&deleted, &all), (1, 0));
        assert_eq!(judged(&deleted, &[created.clone(), gone.clone()]), (0, 0));
        assert_eq!(judged(&deleted, &[]), (0, 0));
        assert_eq!(judged(&there, &[created, gone]), (1, 0));
        assert_eq!(judged(&Journal::of_task("other", Some(json!({}))), &[]), (0, 0));
    }

    #[test]
    fn what_the_host_makes_itself_was_not_found_by_polling() {
        let polled = Polled(BTreeMap::from([("c".to_owned(), "l".to_owned())]));
        let event = |connection: &str, event_type: &str, cause: &str| json!({"connection": connection, "type": event_type, "cause": cause});
        assert!(polled.found(&event("c", "TaskUpdate", "backfill")));
        assert!(!polled.found(&event("d", "TaskUpdate", "live")));
        assert!(!polled.found(&event("c", "effect-done", "live")));
        assert!(!polled.found(&event("c", "schedule", "schedule")));
    }
}
