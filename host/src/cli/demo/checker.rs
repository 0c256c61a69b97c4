//! The checker: from the sandbox's journal and the host's public API alone it says what was lost, done twice, or done
//! out of order. It shares no code with what it checks.

use super::http::Http;
use super::polled::{self, Polled};
use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// How a day went.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Report {
    /// Webhooks the host has, and what it found by polling.
    pub(super) events_received: usize,
    /// Of these, done.
    pub(super) events_done: usize,
    /// Plugin calls.
    pub(super) runs: usize,
    /// Events told by Rankr or made by the host itself.
    pub(super) other_events: usize,
    /// Effects planned, those done by the host itself among them.
    pub(super) effects_planned: usize,
    /// Effects done.
    pub(super) effects_done: usize,
    /// Writes of ours that the sandbox did, each counted once.
    pub(super) remote_writes: usize,
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

    pub(super) fn fault(&mut self, count: fn(&mut Self) -> &mut usize, words: String) {
        *count(self) += 1;
        if self.faults.len() < WORDED {
            self.faults.push(words);
        }
    }
}

/// What the sandbox's journal says.
#[derive(Default)]
pub(super) struct Journal {
    /// Messages answered 200 at least once.
    answered: BTreeSet<String>,
    /// Messages of installs and uninstalls, which are done and are no events.
    installs: BTreeSet<String>,
    /// Messages sent at least once; one may have been kept though its answer never came through.
    sent: BTreeSet<String>,
    /// Each contact's last state: location, whether deleted, fields.
    contacts: BTreeMap<String, (String, bool, Value)>,
    /// What belongs to contacts and is not deleted: kind, contact, fields; by id.
    children: BTreeMap<String, (String, String, Value)>,
    /// Kind and location of all that ever belonged to contacts, by id.
    ever: BTreeMap<String, (String, String)>,
    /// Programs' writes by the name they gave their request.
    writes: BTreeMap<String, usize>,
}

/// Something that belongs to a contact, or did.
pub(super) struct Child<'a> {
    pub(super) kind: &'a str,
    pub(super) location: &'a str,
    /// Its last state; none when it is deleted.
    pub(super) fields: Option<&'a Value>,
}

impl Journal {
    /// All that ever belonged to contacts.
    pub(super) fn all_children(&self) -> impl Iterator<Item = (&str, Child<'_>)> {
        self.ever.iter().map(|(id, (kind, location))| {
            (
                id.as_str(),
                Child { kind, location, fields: self.children.get(id).map(|(_, _, fields)| fields) },
            )
        })
    }

    #[cfg(test)]
    pub(super) fn of_task(location: &str, fields: Option<Value>) -> Self {
        let mut journal = Self::default();
        journal.ever.insert("t".into(), ("task".into(), location.into()));
        journal.children.extend(fields.map(|fields| ("t".into(), ("task".into(), "c".into(), fields))));
        journal
    }
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
    /// Checks a day; `told` are the keys of the events that Rankr told of.
    pub(super) async fn check(&self, journal: &Path, told: &[String]) -> anyhow::Result<Report> {
        let journal = read(journal)?;
        let mut report = Report::default();
        let events = self.all("/v1/events?").await?;
        let (mut timeline, mut effects) = (Vec::new(), Vec::new());
        let mut records = HashMap::new();
        for tenant in self.tenants {
            timeline.extend(self.all(&format!("/v1/timeline?tenant={tenant}&")).await?);
            effects.extend(self.all(&format!("/v1/effects?tenant={tenant}&")).await?);
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
        let polled = self.polled(&events).await?;
        check_events((&journal, told), (&events, &polled), &timeline, &mut report);
        check_order(&events, &mut report);
        check_records(&journal, &records, &polled, &mut report);
        polled::check(&journal, &polled, &timeline, &records, &mut report);
        check_enrichment(&journal, &records, &mut report);
        check_effects(&journal, &effects, &mut report);
        Ok(report)
    }

    /// The connections that are polled, by what the API says of them.
    async fn polled(&self, events: &[Value]) -> anyhow::Result<Polled> {
        let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["connection"].as_str()).collect();
        let mut polled = Polled::default();
        for id in ids {
            let url = format!("{}/v1/connections/{id}/polling", self.host);
            if let Some(found) = self.http.find(&url, self.key).await? {
                let location = found["location"].as_str().unwrap_or_default().to_owned();
                polled.0.insert(id.to_owned(), location);
            }
        }
        Ok(polled)
    }

    /// Every row of a listing, page by page.
    pub(super) async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        self.pages(path, String::new()).await
    }

    /// The rows of a listing that come after that one.
    pub(super) async fn after(&self, path: &str, after: i64) -> anyhow::Result<Vec<Value>> {
        self.pages(path, format!("&after={after}")).await
    }

    async fn pages(&self, path: &str, mut after: String) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
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
            Some("delivery") if matches!(entry["type"].as_str(), Some("INSTALL" | "UNINSTALL")) => {
                journal.installs.insert(text("webhook_id"));
            }
            Some("attempt") if journal.installs.contains(&text("webhook_id")) => {}
            Some("attempt") => {
                if entry["status"] == 200 {
                    journal.answered.insert(text("webhook_id"));
                }
                journal.sent.insert(text("webhook_id"));
            }
            Some("object") if entry["object"] == "contact" => {
                let deleted = entry["op"] == "delete";
                if deleted {
                    journal.children.retain(|_, (_, contact, _)| *contact != text("id"));
                }
                journal.contacts.insert(text("id"), (text("location_id"), deleted, entry["after"].clone()));
            }
            Some("object") if entry["op"] == "delete" => drop(journal.children.remove(&text("id"))),
            Some("object") => {
                journal.ever.insert(text("id"), (text("object"), text("location_id")));
                let child = (text("object"), text("contact_id"), entry["after"].clone());
                journal.children.insert(text("id"), child);
            }
            Some("write") => *journal.writes.entry(text("request_id")).or_default() += 1,
            _ => {}
        }
    }
    Ok(journal)
}

fn check_events(
    (journal, told): (&Journal, &[String]),
    (events, polled): (&[Value], &Polled),
    timeline: &[Value],
    report: &mut Report,
) {
    let mut entries: HashMap<(i64, &str, &str, i64), usize> = HashMap::new();
    for entry in timeline {
        let sequence = entry["sequence"].as_i64().unwrap_or_default();
        let effect = entry["entry"]["effect"].as_str().unwrap_or_default();
        let kind = entry["kind"].as_str().unwrap_or_default();
        // An effect that a person has tried again ends again.
        let attempt = entry["entry"]["attempt"].as_i64().unwrap_or_default();
        *entries.entry((sequence, kind, effect, attempt)).or_default() += 1;
    }
    for ((sequence, kind, effect, _), count) in
        entries.iter().filter(|((_, kind, ..), _)| *kind != "decision")
    {
        for _ in 1..*count {
            report.fault(
                |it| &mut it.duplicated,
                format!("event {sequence} has more than one timeline entry of kind {kind} {effect}"),
            );
        }
    }
    let expected: BTreeSet<&str> = journal.answered.iter().chain(told).map(String::as_str).collect();
    let mut known: HashMap<&str, &Value> = HashMap::new();
    for event in events {
        let sequence = event["sequence"].as_i64().unwrap_or_default();
        let webhook = event["cause"] == "live" && !event["webhook_id"].is_null();
        let received = webhook || polled.found(event);
        if received {
            report.events_received += 1;
        } else {
            report.other_events += 1;
        }
        match event["state"].as_str() {
            Some("done") => report.events_done += usize::from(received),
            Some("dead") => report.dead_letters += 1,
            _ => report.fault(|it| &mut it.lost, format!("event {sequence} never ended")),
        }
        // A comparison leaves nothing behind.
        if event["state"] == "done"
            && event["type"] != "compare"
            && !entries.contains_key(&(sequence, "event", "", 0))
        {
            report.fault(|it| &mut it.lost, format!("event {sequence} has no timeline entry"));
        }
        let Some(id) = event["webhook_id"].as_str() else { continue };
        if known.insert(id, event).is_some() {
            report.fault(|it| &mut it.duplicated, format!("message {id} became two events"));
        }
        if webhook && !journal.sent.contains(id) {
            report.fault(|it| &mut it.duplicated, format!("message {id} was never sent"));
        }
    }
    for id in expected.into_iter().filter(|id| !known.contains_key(id)) {
        report.fault(|it| &mut it.lost, format!("message {id} was accepted, but there is no event of it"));
    }
}

/// Every remote effect that is done was done by the sandbox, creates once; whatever the sandbox did for us is known.
fn check_effects(journal: &Journal, effects: &[Value], report: &mut Report) {
    report.effects_planned = effects.len();
    report.remote_writes = journal.writes.len();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for effect in effects {
        let (key, state) = (effect["effect_key"].as_str().unwrap_or_default(), effect["state"].as_str());
        let writes = journal.writes.get(key).copied().unwrap_or_default();
        let remote = !effect["class"].is_null();
        if !known.insert(key) {
            report.fault(|it| &mut it.duplicated, format!("effect {key} was planned twice"));
        }
        match state {
            Some("done") => {
                report.effects_done += 1;
                // What was to be removed and was gone already needed no write.
                if remote && writes == 0 && !effect["op"].as_str().is_some_and(|op| op.starts_with("delete_"))
                {
                    report
                        .fault(|it| &mut it.lost, format!("effect {key} is done, but GHL knows of no write"));
                }
            }
            Some("unclear") => report.unclear += 1,
            Some("refused" | "dead" | "held" | "cancelled") if writes == 0 => {}
            Some("refused" | "dead" | "cancelled") => {
                report.fault(
                    |it| &mut it.lost,
                    format!("effect {key} was done by GHL, but counts as not done"),
                );
            }
            _ => report.fault(|it| &mut it.lost, format!("effect {key} never ended")),
        }
        if effect["class"] != "repeatable" {
            for _ in 1..writes {
                report.fault(|it| &mut it.duplicated, format!("effect {key} was done twice"));
            }
        }
    }
    for key in journal.writes.keys().filter(|key| !known.contains(key.as_str())) {
        report.fault(|it| &mut it.duplicated, format!("GHL did a write {key:?} that nobody planned"));
    }
}

/// Fields that were read from what belongs to the contact, by the final state.
fn check_enrichment(journal: &Journal, records: &HashMap<String, Value>, report: &mut Report) {
    for (id, (_, deleted, contact)) in &journal.contacts {
        let Some(record) =
            records.get(id).filter(|record| !deleted && !record["fields"]["open_tasks"].is_null())
        else {
            continue;
        };
        let of = |kind: &str| {
            let own = journal.children.values().filter(|(known, contact, _)| known == kind && contact == id);
            own.map(|(_, _, fields)| fields.clone()).collect::<Vec<_>>()
        };
        let open = of("task").iter().filter(|task| task["completed"] != true).count();
        let newest = of("note").iter().filter_map(|note| note["dateAdded"].as_str().map(str::to_owned)).max();
        let next =
            of("appointment").iter().filter_map(|it| it["startTime"].as_str().map(str::to_owned)).min();
        let wanted = [
            ("open_tasks", serde_json::json!(open)),
            ("last_note_at", serde_json::json!(newest)),
            ("next_appointment_at", serde_json::json!(next)),
            ("business_name", contact["businessName"].clone()),
        ];
        for (field, want) in wanted {
            let have = &record["fields"][field];
            if *have != want {
                report.fault(
                    |it| &mut it.out_of_order,
                    format!("contact {id}: {field} is {have}, GHL's last is {want}"),
                );
            }
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

fn check_records(journal: &Journal, records: &HashMap<String, Value>, polled: &Polled, report: &mut Report) {
    for (id, (location, deleted, contact)) in &journal.contacts {
        let Some(record) = records.get(id) else {
            // What came and went between two passes was never there to be found.
            if *deleted && polled.has(location) {
                continue;
            }
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
        json!({"sequence": sequence, "run_order": run_order, "lane": "l", "webhook_id": id, "state": "done", "cause": "live"})
    }

    fn entry(sequence: i64) -> Value {
        json!({"sequence": sequence, "kind": "event"})
    }

    fn answered(ids: &[&str]) -> Journal {
        let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        Journal { answered: ids.clone(), sent: ids, ..Journal::default() }
    }

    fn judged(journal: &Journal, events: &[Value], timeline: &[Value]) -> (usize, usize, usize) {
        let mut report = Report::default();
        check_events((journal, &[]), (events, &Polled::default()), timeline, &mut report);
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
    fn effects_and_writes_must_agree() {
        let effect = |key: &str, class: &str, state: &str| json!({"effect_key": key, "op": "create_note", "class": class, "state": state});
        let judged = |writes: &[(&str, usize)], effects: &[Value]| {
            let writes = writes.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
            let mut report = Report::default();
            check_effects(&Journal { writes, ..Journal::default() }, effects, &mut report);
            (report.lost, report.duplicated, report.unclear)
        };
        let done = effect("a", "findable", "done");
        assert_eq!(judged(&[("a", 1)], std::slice::from_ref(&done)), (0, 0, 0));
        assert_eq!(judged(&[], std::slice::from_ref(&done)), (1, 0, 0));
        assert_eq!(judged(&[("a", 2)], std::slice::from_ref(&done)), (0, 1, 0));
        assert_eq!(judged(&[("a", 2)], &[effect("a", "repeatable", "done")]), (0, 0, 0));
        assert_eq!(judged(&[("a", 1)], &[effect("a", "blind", "unclear")]), (0, 0, 1));
        assert_eq!(judged(&[("a", 1)], &[effect("a", "findable", "refused")]), (1, 0, 0));
        assert_eq!(judged(&[("b", 1), ("a", 1)], &[done]), (0, 1, 0));
        assert_eq!(judged(&[], &[effect("a", "findable", "waiting")]), (1, 0, 0));
    }

    #[test]
    fn enriched_fields_are_judged_by_the_final_state() {
        let mut journal = Journal::default();
        journal.contacts.insert("c".into(), ("l".into(), false, json!({})));
        journal.children.insert("t".into(), ("task".into(), "c".into(), json!({"completed": false})));
        let judged = |open: i64| {
            let mut report = Report::default();
            let record = json!({"fields": {"open_tasks": open}});
            check_enrichment(&journal, &HashMap::from([("c".into(), record)]), &mut report);
            report.out_of_order
        };
        assert_eq!((judged(1), judged(0)), (0, 1));
    }

    #[test]
    fn an_older_value_in_the_record_is_out_of_order() {
        let mut journal = Journal::default();
        journal.contacts.insert("c".into(), ("l".into(), false, json!({"city": "new"})));
        let mut report = Report::default();
        let record = json!({"fields": {"city": "old"}, "deleted_at": null});
        check_records(&journal, &HashMap::from([("c".into(), record)]), &Polled::default(), &mut report);
        assert_eq!((report.lost, report.out_of_order), (0, 1));
    }
}
