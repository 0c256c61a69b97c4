//! The checker: from the sandbox's journal and the host's public API alone it says what was lost, done twice, or done
//! out of order. It shares no code with what it checks.

use super::http::Http;
use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// How a day went.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Report {
    /// Events the host has.
    pub(super) events_received: usize,
    /// Of these, done.
    pub(super) events_done: usize,
    /// Plugin calls.
    pub(super) runs: usize,
    /// Effects planned; none before there are reactions.
    pub(super) effects_planned: usize,
    /// Effects done.
    pub(super) effects_done: usize,
    /// Records.
    pub(super) records: usize,
    /// Timeline entries.
    pub(super) timeline_entries: usize,
    /// Events with a final failure.
    pub(super) dead_letters: usize,
    /// Effects nobody can say whether they were done.
    pub(super) unclear: usize,
    /// Messages answered 200 whose event, timeline entry or record is missing.
    pub(super) lost: usize,
    /// Events or timeline entries that are there twice.
    pub(super) duplicated: usize,
    /// Lane inversions, and fields whose value isn't that of the greatest source time.
    pub(super) out_of_order: usize,
    /// The first faults, in words.
    pub(super) faults: Vec<String>,
}

/// Faults that are put into words; the counts tell of the others.
const WORDED: usize = 5;

impl Report {
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order == 0 && self.faults.is_empty()
    }

    fn fault(&mut self, count: fn(&mut Self) -> &mut usize, words: String) {
        *count(self) += 1;
        if self.faults.len() < WORDED {
            self.faults.push(words);
        }
    }
}

/// What the sandbox's journal says.
#[derive(Default)]
struct Journal {
    /// Messages answered 200 at least once, with their contact.
    answered: BTreeSet<String>,
    /// Each contact's last state: location, whether deleted, fields.
    contacts: BTreeMap<String, (String, bool, Value)>,
}

/// Record fields and the GHL fields they must equal, as the demo's plugin promises.
const PROMISED: &[(&str, &str)] = &[
    ("first_name", "firstName"),
    ("last_name", "lastName"),
    ("phone", "phone"),
    ("city", "city"),
    ("country", "country"),
    ("company_name", "companyName"),
    ("website", "website"),
    ("address_line1", "address1"),
    ("tags", "tags"),
    ("do_not_disturb", "dnd"),
];

/// Reads and judges.
pub(super) struct Checker<'a> {
    pub(super) http: &'a Http,
    pub(super) host: &'a str,
    pub(super) key: &'a str,
    pub(super) tenants: &'a [String],
}

impl Checker<'_> {
    /// Checks a day.
    pub(super) async fn check(&self, journal: &Path) -> anyhow::Result<Report> {
        let journal = read(journal)?;
        let mut report = Report::default();
        let events = self.all("/v1/events?").await?;
        let mut timeline = Vec::new();
        let mut records = HashMap::new();
        for tenant in self.tenants {
            timeline.extend(self.all(&format!("/v1/timeline?tenant={tenant}&")).await?);
            report.runs += self.all(&format!("/v1/runs?tenant={tenant}&")).await?.len();
            for record in self.all(&format!("/v1/records?tenant={tenant}&")).await? {
                report.records += 1;
                if let Some(id) = record["ghl_id"].as_str().map(str::to_owned)
                    && records.insert(id.clone(), record).is_some()
                {
                    report.fault(|it| &mut it.duplicated, format!("contact {id} has two records"));
                }
            }
        }
        report.timeline_entries = timeline.len();
        check_events(&journal, &events, &timeline, &mut report);
        check_order(&events, &mut report);
        check_records(&journal, &records, &mut report);
        Ok(report)
    }

    /// Every row of a listing, page by page.
    pub(super) async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let url = format!("{}{path}limit=1000{after}", self.host);
            let mut page = self.http.get(&url, Some(self.key)).await?;
            if let Value::Array(items) = page["items"].take() {
                rows.extend(items);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(rows),
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Journal> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut journal = Journal::default();
    for line in text.lines() {
        let entry: Value =
            serde_json::from_str(line).context("the sandbox's journal has a line that is no JSON")?;
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        match entry["kind"].as_str() {
            Some("attempt") if entry["status"] == 200 => {
                journal.answered.insert(text("webhook_id"));
            }
            Some("object") => {
                let state = (text("location_id"), entry["op"] == "delete", entry["after"].clone());
                journal.contacts.insert(text("id"), state);
            }
            _ => {}
        }
    }
    Ok(journal)
}

fn check_events(journal: &Journal, events: &[Value], timeline: &[Value], report: &mut Report) {
    report.events_received = events.len();
    let mut entries: HashMap<(i64, &str), usize> = HashMap::new();
    for entry in timeline {
        let key =
            (entry["sequence"].as_i64().unwrap_or_default(), entry["kind"].as_str().unwrap_or_default());
        *entries.entry(key).or_default() += 1;
    }
    for ((sequence, kind), count) in &entries {
        for _ in 1..*count {
            report.fault(
                |it| &mut it.duplicated,
                format!("event {sequence} has more than one timeline entry of kind {kind}"),
            );
        }
    }
    let mut known: HashMap<&str, &Value> = HashMap::new();
    for event in events {
        match event["state"].as_str() {
            Some("done") => report.events_done += 1,
            Some("dead") => report.dead_letters += 1,
            _ => {}
        }
        let id = event["webhook_id"].as_str().unwrap_or_default();
        if known.insert(id, event).is_some() {
            report.fault(|it| &mut it.duplicated, format!("message {id} became two events"));
        }
        if !journal.answered.contains(id) {
            report
                .fault(|it| &mut it.duplicated, format!("message {id} was never sent, or not answered 200"));
        }
    }
    for id in &journal.answered {
        let Some(event) = known.get(id.as_str()) else {
            report.fault(
                |it| &mut it.lost,
                format!("message {id} was answered 200, but there is no event of it"),
            );
            continue;
        };
        let sequence = event["sequence"].as_i64().unwrap_or_default();
        if !matches!(event["state"].as_str(), Some("done" | "dead")) {
            report.fault(|it| &mut it.lost, format!("event {sequence} never ended"));
        } else if event["state"] == "done" && !entries.contains_key(&(sequence, "event")) {
            report.fault(|it| &mut it.lost, format!("event {sequence} has no timeline entry"));
        }
    }
}

fn check_order(events: &[Value], report: &mut Report) {
    // Events come in the order of ingest, so within a lane the order of runs must never fall.
    let mut last: HashMap<&str, i64> = HashMap::new();
    for event in events {
        let (Some(lane), Some(order)) = (event["lane"].as_str(), event["run_order"].as_i64()) else {
            continue;
        };
        let before = last.entry(lane).or_insert(order);
        if order < *before {
            let words = format!("event {} ran before one ahead of it in its lane", event["sequence"]);
            report.fault(|it| &mut it.out_of_order, words);
        }
        *before = order.max(*before);
    }
}

fn check_records(journal: &Journal, records: &HashMap<String, Value>, report: &mut Report) {
    for (id, (_, deleted, contact)) in &journal.contacts {
        let Some(record) = records.get(id) else {
            report.fault(|it| &mut it.lost, format!("contact {id} has no record"));
            continue;
        };
        if *deleted == record["deleted_at"].is_null() {
            report.fault(
                |it| &mut it.lost,
                format!("contact {id} is deleted in one place and not in the other"),
            );
        }
        for (field, source) in PROMISED {
            let (have, want) = (&record["fields"][field], &contact[source]);
            if have != want {
                report.fault(
                    |it| &mut it.out_of_order,
                    format!("contact {id}: {field} is {have}, GHL's last is {want}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(sequence: i64, run_order: i64, id: &str) -> Value {
        json!({"sequence": sequence, "run_order": run_order, "lane": "l", "webhook_id": id, "state": "done"})
    }

    fn entry(sequence: i64) -> Value {
        json!({"sequence": sequence, "kind": "event"})
    }

    fn answered(ids: &[&str]) -> Journal {
        Journal { answered: ids.iter().map(|id| (*id).to_owned()).collect(), ..Journal::default() }
    }

    fn judged(journal: &Journal, events: &[Value], timeline: &[Value]) -> (usize, usize, usize) {
        let mut report = Report::default();
        check_events(journal, events, timeline, &mut report);
        check_order(events, &mut report);
        (report.lost, report.duplicated, report.out_of_order)
    }

    #[test]
    fn each_fault_is_seen_for_what_it_is() {
        let journal = answered(&["a", "b"]);
        let (one, two) = (event(1, 1, "a"), event(2, 2, "b"));
        let both = [entry(1), entry(2)];
        assert_eq!(judged(&journal, &[one.clone(), two.clone()], &both), (0, 0, 0));
        assert_eq!(judged(&journal, std::slice::from_ref(&one), &both), (1, 0, 0));
        assert_eq!(judged(&journal, &[one.clone(), two.clone()], &both[..1]), (1, 0, 0));
        assert_eq!(judged(&journal, &[one.clone(), two.clone()], &[entry(1), entry(1), entry(2)]), (0, 1, 0));
        assert_eq!(judged(&journal, &[event(1, 2, "a"), event(2, 1, "b")], &both), (0, 0, 1));
        assert_eq!(
            judged(&journal, &[one, two, event(3, 3, "b")], &[entry(1), entry(2), entry(3)]),
            (0, 1, 0)
        );
    }

    #[test]
    fn an_older_value_in_the_record_is_out_of_order() {
        let mut journal = Journal::default();
        journal.contacts.insert("c".into(), ("l".into(), false, json!({"city": "new"})));
        let mut report = Report::default();
        let record = json!({"fields": {"city": "old"}, "deleted_at": null});
        check_records(&journal, &HashMap::from([("c".into(), record)]), &mut report);
        assert_eq!((report.lost, report.out_of_order), (0, 1));
    }
}
