//! `mapwright event list|show`: what came in, and what became of it.

use super::client::{HostArgs, Shown, with_host};
use super::output::{self, Columns};
use clap::Args;
use serde_json::Value;

/// Which events.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright event list --tenant acme --state dead --config host.toml
  mapwright event list --type 'Contact*' --from 2026-01-01T00:00:00Z --limit 20 --json")]
pub(super) struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: Option<String>,
    /// Only received, waiting, done or dead.
    #[arg(long)]
    state: Option<String>,
    /// Only of this type; a * at the end stands for anything.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of this cause: live, rankr, timing, schedule, backfill, reconcile, test.
    #[arg(long)]
    cause: Option<String>,
    /// Only of this lane.
    #[arg(long)]
    lane: Option<String>,
    /// Only of this contact, by Rankr's id; name the tenant too.
    #[arg(long, requires = "tenant")]
    contact: Option<String>,
    /// Received not before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Received before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The oldest first.
    #[arg(long)]
    oldest: bool,
    /// How many at the most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    host: HostArgs,
}

/// Which event.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright event show 4711 --config host.toml")]
pub(super) struct ShowArgs {
    /// Its place in the order of ingest, as `event list` shows it.
    sequence: i64,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("EVENT", "sequence"),
    ("RECEIVED", "received_at"),
    ("TENANT", "tenant"),
    ("TYPE", "type"),
    ("CAUSE", "cause"),
    ("STATE", "state"),
    ("TRIES", "attempts"),
    ("LANE", "lane"),
];

/// Lists events.
pub(super) async fn list(args: ListArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let query = [
            ("tenant", args.tenant.as_deref()),
            ("state", args.state.as_deref()),
            ("type", args.event_type.as_deref()),
            ("cause", args.cause.as_deref()),
            ("lane", args.lane.as_deref()),
            ("contact", args.contact.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("order", Some(if args.oldest { "oldest" } else { "newest" })),
        ];
        Ok(Shown::Table(host.pages("/v1/events", &query, Some(args.limit)).await?, COLUMNS))
    })
    .await
}

/// Shows the whole story of an event.
pub(super) async fn show(args: ShowArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let story = host.get(&format!("/v1/events/{}", args.sequence), &[]).await?;
        if args.host.json() {
            return Ok(Shown::Thing(story));
        }
        tell(&story);
        Ok(Shown::Nothing)
    })
    .await
}

/// The story for people: what it is, then part by part what became of it.
fn tell(story: &Value) {
    let mut head = story.clone();
    if let Some(fields) = head.as_object_mut() {
        fields.retain(|_, value| !value.is_array() && !value.is_object() && !value.is_null());
    }
    output::thing(&head, false);
    output::part("Payload", &[story.get("payload").map(Value::to_string).unwrap_or_default()]);
    let rows = |name: &str| story.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| output::cell(row.get(name));
    let lines: Vec<String> = rows("runs")
        .iter()
        .map(|run| {
            let detail =
                run.get("detail").and_then(Value::as_str).map(|it| format!(": {it}")).unwrap_or_default();
            format!(
                "{} {} {} of {}{detail} ({} µs, {} fuel)",
                text(run, "id"),
                text(run, "interface"),
                text(run, "outcome"),
                text(run, "assignment"),
                text(run, "micros"),
                text(run, "fuel")
            )
        })
        .collect();
    output::part("Runs", &lines);
    let lines: Vec<String> = rows("reads").iter().map(|read| text(read, "request")).collect();
    output::part("Read from GHL", &lines);
    let lines: Vec<String> = rows("effects")
        .iter()
        .map(|effect| {
            format!(
                "{} {} {} {}",
                text(effect, "id"),
                text(effect, "op"),
                text(effect, "state"),
                effect.get("detail").and_then(Value::as_str).unwrap_or_default()
            )
        })
        .collect();
    output::part("Effects", &lines);
    let lines: Vec<String> = rows("dead_letters")
        .iter()
        .map(|dead| {
            format!("{} {}: {}", text(dead, "assignment"), text(dead, "outcome"), text(dead, "detail"))
        })
        .collect();
    output::part("Failed for good", &lines);
    let lines: Vec<String> = rows("timeline")
        .iter()
        .map(|entry| format!("{} ({})", text(entry, "sentence"), text(entry, "by")))
        .collect();
    output::part("Timeline", &lines);
    let lines: Vec<String> = rows("conflicting_deliveries")
        .iter()
        .map(|delivery| format!("{} {}", text(delivery, "received_at"), text(delivery, "body")))
        .collect();
    output::part("Same id, another body; kept aside", &lines);
}
