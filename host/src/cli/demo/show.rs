//! What a person sees at the end of the day: a contact's timeline and the counts. On standard error, so that standard
//! output stays for the JSON line.

use super::cast::Star;
use super::checker::{Checker, Report};
use crate::cli::output::complain;

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
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        complain(&format!("  {}  {}  ({})", text("at"), text("sentence"), text("by")));
    }
    Ok(())
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
