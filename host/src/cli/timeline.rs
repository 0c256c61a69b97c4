//! `mapwright timeline`: what happened to a contact, day by day, as a person wants to read it.

use super::client::{HostArgs, HostClient, Shown, with_host};
use super::output;
use clap::Args;
use serde_json::{Value, json};

/// Whose timeline.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright timeline --tenant acme --email ada@example.com --config host.toml
  mapwright timeline --tenant acme --contact rk_0198 --type 'Task*' --from 2026-01-01T00:00:00Z
  mapwright timeline --tenant acme --limit 200 --json")]
pub(super) struct TimelineArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// The contact, by Rankr's id; everyone's timeline if no contact is named.
    #[arg(long, group = "who")]
    contact: Option<String>,
    /// The contact, by GHL's id.
    #[arg(long, group = "who")]
    ghl_contact: Option<String>,
    /// The contact, by e-mail address.
    #[arg(long, group = "who")]
    email: Option<String>,
    /// Only event, entry or effect.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this type; a * at the end stands for anything.
    #[arg(long = "type", value_name = "TYPE")]
    entry_type: Option<String>,
    /// Only what this plugin wrote.
    #[arg(long)]
    plugin: Option<String>,
    /// Only sentences with these words.
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Not before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many at the most; the newest are taken.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    host: HostArgs,
}

/// Shows the timeline, what happened last at the end.
pub(super) async fn run(args: TimelineArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let contact = match &args.email {
            Some(email) => Some(by_email(host, &args.tenant, email).await?),
            None => args.contact.clone(),
        };
        let query = [
            ("tenant", Some(args.tenant.as_str())),
            ("contact", contact.as_deref()),
            ("ghl_contact", args.ghl_contact.as_deref()),
            ("kind", args.kind.as_deref()),
            ("type", args.entry_type.as_deref()),
            ("plugin", args.plugin.as_deref()),
            ("text", args.text.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("order", Some("newest")),
        ];
        let page = host.pages("/v1/timeline", &query, Some(args.limit)).await?;
        let mut entries = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        entries.reverse();
        if args.host.json() {
            return Ok(Shown::Thing(json!({"items": entries})));
        }
        for line in lines(&entries, contact.is_none() && args.ghl_contact.is_none()) {
            output::say(&line);
        }
        if entries.is_empty() {
            output::complain("Nothing happened, or nothing like that.");
        } else if page.get("next").is_some_and(|next| !next.is_null()) {
            output::complain(
                "More happened before; ask for more with --limit, or for earlier times with --to.",
            );
        }
        Ok(Shown::Nothing)
    })
    .await
}

/// Rankr's id of the contact with that e-mail address.
async fn by_email(host: &HostClient, tenant: &str, email: &str) -> anyhow::Result<String> {
    let query = [("tenant", Some(tenant)), ("email", Some(email)), ("limit", Some("2"))];
    let found = host.get("/v1/records", &query).await?;
    let ids: Vec<&str> = found
        .get("items")
        .and_then(Value::as_array)
        .map(|items| items.iter().filter_map(|it| it.get("id").and_then(Value::as_str)).collect())
        .unwrap_or_default();
    match ids.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => anyhow::bail!("no contact has that e-mail address; records list shows what there is"),
        _ => anyhow::bail!(
            "several contacts have that e-mail address; name one with --contact: {}",
            ids.join(", ")
        ),
    }
}

/// Entries under their days: the time, what happened, who did it; whose it is where it is everyone's.
fn lines(entries: &[Value], everyones: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut day = String::new();
    for entry in entries {
        let at = output::cell(entry.get("at"));
        let (date, time) = at.split_once('T').unwrap_or((at.as_str(), ""));
        if date != day {
            if !day.is_empty() {
                lines.push(String::new());
            }
            lines.push(date.to_owned());
            date.clone_into(&mut day);
        }
        let minute = time.get(..5).unwrap_or(time);
        let whose = match entry.get("contact").and_then(Value::as_str) {
            Some(contact) if everyones => format!("  {contact}"),
            _ => String::new(),
        };
        lines.push(format!(
            "  {minute}{whose}  {}  ({})",
            output::cell(entry.get("sentence")),
            output::cell(entry.get("by"))
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_under_their_days() {
        let entry =
            |at: &str, sentence: &str| json!({"at": at, "sentence": sentence, "by": "GHL", "contact": "rk"});
        let entries = [
            entry("2026-01-01T09:15:00.000Z", "Created in GHL"),
            entry("2026-01-01T10:00:00.000Z", "Note written in GHL: Hi"),
            entry("2026-01-02T08:00:00.000Z", "Deleted in GHL"),
        ];
        assert_eq!(
            lines(&entries, false),
            [
                "2026-01-01",
                "  09:15  Created in GHL  (GHL)",
                "  10:00  Note written in GHL: Hi  (GHL)",
                "",
                "2026-01-02",
                "  08:00  Deleted in GHL  (GHL)"
            ]
        );
        assert_eq!(lines(&entries, true)[1], "  09:15  rk  Created in GHL  (GHL)");
    }
}
