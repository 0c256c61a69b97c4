//! `mapwright records`: Rankr's copies.

use super::client::{HostArgs, Shown, segment, with_host};
use super::output::{self, Columns};
use clap::{Args, Subcommand};
use serde_json::Value;

/// What to do with records.
#[derive(Debug, Subcommand)]
pub(super) enum RecordsCommand {
    /// List a tenant's records.
    List(ListArgs),
    /// Show one: its fields, where each came from, its links.
    Show(ShowArgs),
}

/// Which records.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright records list --tenant acme --kind contact --email ada@example.com --config host.toml
  mapwright records list --tenant acme --updated-since 2026-01-01T00:00:00Z --json")]
pub(super) struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// Only contact, task, note or appointment.
    #[arg(long)]
    kind: Option<String>,
    /// Only what GHL calls by this id.
    #[arg(long)]
    ghl_id: Option<String>,
    /// Only contacts with this e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Only contacts with this phone number.
    #[arg(long)]
    phone: Option<String>,
    /// Only where a field has a value, such as city=Ulm.
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    field: Option<String>,
    /// Only what changed since, RFC 3339, in the order of changes.
    #[arg(long, value_name = "TIME")]
    updated_since: Option<String>,
    /// How many at the most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    host: HostArgs,
}

/// Which record.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright records show contact rk_0198 --tenant acme --config host.toml")]
pub(super) struct ShowArgs {
    /// contact, task, note or appointment.
    kind: String,
    /// Rankr's id.
    id: String,
    /// Whose.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("KIND", "kind"),
    ("ID", "id"),
    ("GHL", "ghl_id"),
    ("NAME", "fields/full_name"),
    ("TITLE", "fields/title"),
    ("E-MAIL", "fields/email"),
    ("CHANGED", "updated_at"),
    ("DELETED", "deleted_at"),
];

/// Runs a records command.
pub(super) async fn run(command: RecordsCommand) -> anyhow::Result<()> {
    match command {
        RecordsCommand::List(args) => {
            with_host(&args.host, async |host| {
                let (field, value) = match args.field.as_deref().map(|given| given.split_once('=')) {
                    None => (None, None),
                    Some(Some((field, value))) => (Some(field), Some(value)),
                    Some(None) => anyhow::bail!("--where needs FIELD=VALUE, such as city=Ulm"),
                };
                let query = [
                    ("tenant", Some(args.tenant.as_str())),
                    ("kind", args.kind.as_deref()),
                    ("ghl_id", args.ghl_id.as_deref()),
                    ("email", args.email.as_deref()),
                    ("phone", args.phone.as_deref()),
                    ("field", field),
                    ("value", value),
                    ("updated_since", args.updated_since.as_deref()),
                ];
                Ok(Shown::Table(host.pages("/v1/records", &query, Some(args.limit)).await?, COLUMNS))
            })
            .await
        }
        RecordsCommand::Show(args) => {
            with_host(&args.host, async |host| {
                let path = format!("/v1/records/{}/{}", segment(&args.kind), segment(&args.id));
                let record = host.get(&path, &[("tenant", Some(args.tenant.as_str()))]).await?;
                if args.host.json() {
                    return Ok(Shown::Thing(record));
                }
                tell(&record);
                Ok(Shown::Nothing)
            })
            .await
        }
    }
}

/// The record for people: each field with where it came from, then the links.
fn tell(record: &Value) {
    let text = |name: &str| output::cell(record.get(name));
    let deleted = record.get("deleted_at").and_then(Value::as_str);
    let gone = deleted.map(|at| format!(", deleted {at}")).unwrap_or_default();
    output::say(&format!("{} {}, changed {}{gone}", text("kind"), text("id"), text("updated_at")));
    let none = serde_json::Map::new();
    let fields = record.get("fields").and_then(Value::as_object).unwrap_or(&none);
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let from = record.pointer(&format!("/provenance/{name}")).and_then(|it| it.get("event"));
            let from = from.map(|event| format!("  (event {event})")).unwrap_or_default();
            format!("{name}: {}{from}", output::cell(Some(value)))
        })
        .collect();
    output::part("Fields", &lines);
    let links = record.get("links").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<String> = links
        .iter()
        .map(|link| {
            format!(
                "{} on {}, since {}",
                output::cell(link.get("ghl_id")),
                output::cell(link.get("connection")),
                output::cell(link.get("made_at"))
            )
        })
        .collect();
    output::part("Links with GHL", &lines);
}
