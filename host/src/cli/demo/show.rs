//! What a person sees at the end of the day: a contact's timeline and the counts. On standard error, so that standard
//! output stays for the JSON line.

use super::checker::{Checker, Report};
use super::play::Star;
use crate::cli::output::complain;
use serde_json::Value;

/// Entries that are shown of a timeline.
const SHOWN: usize = 12;

/// Shows the last entries of a contact's timeline.
pub(super) async fn timeline(checker: &Checker<'_>, star: &Star) -> anyhow::Result<()> {
    let records = checker.all(&format!("/v1/records?tenant={}&", star.tenant.id)).await?;
    let Some(record) = records.iter().find(|record| record["ghl_id"] == star.contact.as_str()) else {
        return Ok(());
    };
    let id = record["id"].as_str().unwrap_or_default();
    let name = record["fields"]["full_name"].as_str().unwrap_or("a contact");
    let mut entries = checker.all(&format!("/v1/timeline?tenant={}&contact={id}&", star.tenant.id)).await?;
    entries.sort_by_key(|entry| (entry["at"].as_str().map(str::to_owned), entry["id"].as_i64()));
    complain(&format!(
        "\n{name}, {} ({} entries, the last {}):",
        star.tenant.name,
        entries.len(),
        SHOWN.min(entries.len())
    ));
    for entry in entries.iter().skip(entries.len().saturating_sub(SHOWN)) {
        complain(&format!("  {}  {}", entry["at"].as_str().unwrap_or_default(), sentence(&entry["entry"])));
    }
    Ok(())
}

/// One entry as a sentence.
fn sentence(entry: &Value) -> String {
    if let (Some(op), Some(state)) = (entry["op"].as_str(), entry["state"].as_str()) {
        let fields = &entry["fields"];
        let about =
            ["title", "body", "tags"].iter().find_map(|name| fields[name].as_str()).unwrap_or_default();
        return format!("{} in GHL: {state} {about}", op.replace('_', " "));
    }
    if let Some(title) = entry["title"].as_str() {
        return title.to_owned();
    }
    let about = ["title", "body"].iter().find_map(|name| entry["details"][name].as_str());
    let what = match entry["type"].as_str().unwrap_or_default() {
        "ContactCreate" => "created in GHL",
        "ContactUpdate" => "changed in GHL",
        "ContactDelete" => "deleted in GHL",
        other => other,
    };
    if let Some(about) = about {
        return format!("{what}: {about}");
    }
    let changes: Vec<String> = entry["changes"].as_array().into_iter().flatten().map(change).collect();
    let changes = if entry["stale"] == true {
        "came late, newer values kept".to_owned()
    } else if changes.is_empty() {
        "nothing new for the record".to_owned()
    } else {
        changes.join(", ")
    };
    format!("{what}: {changes}")
}

fn change(change: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (field, to) = (text(&change["field"]), text(&change["to"]));
    if change["from"].is_null() {
        format!("{field} is {to}")
    } else {
        format!("{field} {} → {to}", text(&change["from"]))
    }
}

/// Shows the counts.
pub(super) fn report(report: &Report) {
    complain(&format!(
        "\n{} webhooks received, {} done, {} dead letters, {} other events · {} runs · {} effects planned, {} done \
         ({} writes in GHL) · {} records · {} timeline entries",
        report.events_received,
        report.events_done,
        report.dead_letters,
        report.other_events,
        report.runs,
        report.effects_planned,
        report.effects_done,
        report.remote_writes,
        report.records,
        report.timeline_entries
    ));
    complain(&format!(
        "lost {} · duplicated {} · out of order {} · unclear {}",
        report.lost, report.duplicated, report.out_of_order, report.unclear
    ));
    for fault in &report.faults {
        complain(&format!("  {fault}"));
    }
}
