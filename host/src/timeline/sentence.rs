//! One entry of the timeline as a sentence, and who did it.

use super::phrases::{phrase_of, words_of};
use serde_json::Value;

/// Letters of a detail that are shown; the entry itself has all of it.
const SHOWN: usize = 120;
/// Changed fields that are named.
const FIELDS: usize = 6;

/// An entry in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What happened.
    pub sentence: String,
    /// Who did it: `GHL`, `Rankr`, a plugin's name and so on.
    pub by: String,
}

/// Tells an entry of that kind (`event`, `entry`, `effect`) in words.
#[must_use]
pub fn tell(kind: &str, entry: &Value) -> Told {
    match kind {
        "effect" => Told { sentence: effect(entry), by: "Mapwright".to_owned() },
        "entry" => Told { sentence: text(&entry["title"]).to_owned(), by: text(&entry["plugin"]).to_owned() },
        _ => Told { sentence: event(entry), by: cause(text(&entry["cause"])).to_owned() },
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn cause(word: &str) -> &str {
    match word {
        "live" => "GHL",
        "rankr" => "Rankr",
        "timing" => "a timing rule",
        "schedule" => "a plugin's schedule",
        "backfill" => "the first import",
        "reconcile" => "a later comparison",
        "test" => "a test",
        other => other,
    }
}

fn event(entry: &Value) -> String {
    let event_type = text(&entry["type"]);
    let what = phrase_of(event_type).map_or_else(|| words_of(event_type), str::to_owned);
    if entry["stale"] == true {
        return format!("{what}: came late, newer values kept");
    }
    let details = details(&entry["details"]);
    let changes: Vec<String> = entry["changes"].as_array().into_iter().flatten().map(change).collect();
    let of_contact = entry.pointer("/object/kind").is_some_and(|kind| kind == "contact");
    match (details.is_empty(), changes.is_empty()) {
        (false, _) => format!("{what}: {details}"),
        (true, false) => format!("{what}: {}", some_of(&changes)),
        (true, true) if of_contact && event_type != "ContactDelete" => {
            format!("{what}, nothing new for the record")
        }
        (true, true) => what,
    }
}

/// What matters of a task, note, appointment, message, deal, invoice or order.
fn details(details: &Value) -> String {
    let mut parts = Vec::new();
    let named = ["title", "name", "invoiceNumber", "body", "message"];
    parts.extend(named.iter().find_map(|name| details[*name].as_str()).map(short));
    for (name, word) in [("dueDate", "due"), ("startTime", "at")] {
        parts.extend(details[name].as_str().map(|time| format!("{word} {time}")));
    }
    for name in ["appointmentStatus", "status", "messageType"] {
        parts.extend(details[name].as_str().map(str::to_owned));
    }
    let amount = ["amount", "monetaryValue", "amountPaid"].iter().find_map(|name| details[*name].as_f64());
    parts.extend(amount.map(|amount| match details["currency"].as_str() {
        Some(currency) => format!("{amount} {currency}"),
        None => format!("{amount}"),
    }));
    parts.extend(details["unreadCount"].as_i64().map(|count| format!("{count} unread")));
    parts.extend(details["duration"].as_f64().map(|seconds| format!("{seconds} s")));
    parts.join(", ")
}

fn some_of(changes: &[String]) -> String {
    let shown = changes.iter().take(FIELDS).cloned().collect::<Vec<_>>().join(", ");
    match changes.len().checked_sub(FIELDS) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

fn change(change: &Value) -> String {
    let field = text(&change["field"]);
    let (from, to) = (value(&change["from"]), value(&change["to"]));
    match (change["from"].is_null(), change["to"].is_null()) {
        (true, _) => format!("{field} is {to}"),
        (false, true) => format!("{field} emptied (was {from})"),
        (false, false) => format!("{field} {from} → {to}"),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => short(text),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) => short(&items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        other => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn effect(entry: &Value) -> String {
    let op = text(&entry["op"]);
    let (did, to_do) = match op {
        "create_contact" => ("Created the contact in GHL", "create the contact in GHL"),
        "upsert_contact" => ("Created or updated the contact in GHL", "create or update the contact in GHL"),
        "update_contact" => ("Updated the contact in GHL", "update the contact in GHL"),
        "delete_contact" => ("Deleted the contact in GHL", "delete the contact in GHL"),
        "add_tags" => ("Added tags in GHL", "add tags in GHL"),
        "remove_tags" => ("Removed tags in GHL", "remove tags in GHL"),
        "create_task" => ("Created a task in GHL", "create a task in GHL"),
        "update_task" => ("Changed a task in GHL", "change a task in GHL"),
        "complete_task" => ("Completed a task in GHL", "complete a task in GHL"),
        "delete_task" => ("Deleted a task in GHL", "delete a task in GHL"),
        "create_note" => ("Wrote a note in GHL", "write a note in GHL"),
        "update_note" => ("Changed a note in GHL", "change a note in GHL"),
        "delete_note" => ("Deleted a note in GHL", "delete a note in GHL"),
        "create_appointment" => ("Booked an appointment in GHL", "book an appointment in GHL"),
        "update_appointment" => ("Changed an appointment in GHL", "change an appointment in GHL"),
        "start_workflow" => ("Started a workflow in GHL", "start a workflow in GHL"),
        "stop_workflow" => ("Stopped a workflow in GHL", "stop a workflow in GHL"),
        _ => ("Called GHL", "call GHL"),
    };
    let fields = &entry["fields"];
    let about = ["title", "body"].iter().find_map(|name| fields[*name].as_str()).map(short);
    let about = about.or_else(|| (!fields["tags"].is_null()).then(|| value(&fields["tags"])));
    let about = about.map(|about| format!(": {about}")).unwrap_or_default();
    let why = match text(&entry["detail"]) {
        "" => String::new(),
        detail => format!(" ({})", short(detail)),
    };
    match text(&entry["state"]) {
        "done" => format!("{did}{about}"),
        "unclear" => format!("May or may not have done this: {to_do}{about}{why}"),
        "refused" => format!("Could not {to_do}{about}; refused{why}"),
        "dead" => format!("Could not {to_do}{about}; given up{why}"),
        other => format!("{other}: {to_do}{about}{why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(kind: &str, entry: Value) -> String {
        tell(kind, &entry).sentence
    }

    #[test]
    fn changes_are_told_by_field() {
        let changed = json!({"type": "ContactUpdate", "cause": "live", "object": {"kind": "contact", "id": "c"},
            "changes": [{"field": "city", "from": "Ulm", "to": "Bonn"}, {"field": "phone", "to": "1"}, {"field": "web", "from": "x"}]});
        assert_eq!(
            told("event", changed.clone()),
            "Changed in GHL: city Ulm → Bonn, phone is 1, web emptied (was x)"
        );
        assert_eq!(tell("event", &changed).by, "GHL");
        let same = json!({"type": "ContactUpdate", "object": {"kind": "contact", "id": "c"}});
        assert_eq!(told("event", same), "Changed in GHL, nothing new for the record");
        let late = json!({"type": "ContactUpdate", "stale": true});
        assert_eq!(told("event", late), "Changed in GHL: came late, newer values kept");
        let many: Vec<Value> = (0..9).map(|number| json!({"field": format!("f{number}"), "to": 1})).collect();
        assert!(
            told("event", json!({"type": "ContactCreate", "changes": many})).ends_with("f5 is 1 and 3 more")
        );
    }

    #[test]
    fn what_belongs_to_a_contact_is_told_with_what_matters() {
        let task =
            json!({"type": "TaskCreate", "details": {"title": "Call", "dueDate": "2026-01-01T00:00:00Z"}});
        assert_eq!(told("event", task), "Task created in GHL: Call, due 2026-01-01T00:00:00Z");
        let paid = json!({"type": "InvoicePaid", "details": {"invoiceNumber": "19", "amountPaid": 999, "currency": "USD"}});
        assert_eq!(told("event", paid), "Invoice paid: 19, 999 USD");
        let overdue = json!({"type": "timing.task-overdue", "cause": "timing", "details": {"title": "Call"}});
        assert_eq!(
            tell("event", &overdue),
            Told { sentence: "Task is overdue: Call".into(), by: "a timing rule".into() }
        );
        let own = json!({"type": "rankr.race-finished", "cause": "rankr"});
        assert_eq!(tell("event", &own), Told { sentence: "Rankr: race finished".into(), by: "Rankr".into() });
    }

    #[test]
    fn effects_say_what_was_done_and_what_was_not() {
        let done = json!({"op": "create_task", "state": "done", "fields": {"title": "Call"}});
        assert_eq!(told("effect", done), "Created a task in GHL: Call");
        let refused =
            json!({"op": "add_tags", "state": "refused", "detail": "no scope", "fields": {"tags": ["vip"]}});
        assert_eq!(told("effect", refused), "Could not add tags in GHL: vip; refused (no scope)");
        let entry = json!({"title": "Welcomed", "plugin": "greeter"});
        assert_eq!(tell("entry", &entry), Told { sentence: "Welcomed".into(), by: "greeter".into() });
    }

    #[test]
    fn long_details_are_cut_between_letters() {
        let note = json!({"type": "NoteCreate", "details": {"body": "ä".repeat(500)}});
        assert!(told("event", note).ends_with("ä…"));
    }
}
