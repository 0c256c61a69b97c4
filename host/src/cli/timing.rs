//! `mapwright timing`: what is to happen when so much time has passed, or at a time of the calendar.

use super::client::{Body, HostArgs, HostClient, Shown, segment, with_host};
use super::output::{self, Columns};
use crate::outbound::Method;
use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// What to do with timing rules.
#[derive(Debug, Subcommand)]
pub(super) enum TimingCommand {
    /// List a tenant's rules.
    List(ListArgs),
    /// Show one.
    Show(OneArgs),
    /// Make one; it begins now.
    Add(AddArgs),
    /// Change one; what is not named stays.
    Set(SetArgs),
    /// Remove one; events it made go on.
    Remove(OneArgs),
    /// Show a rule's next slots and how many contacts each concerns.
    Preview(OneArgs),
}

/// Whose rules.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright timing list --tenant acme --config host.toml")]
pub(super) struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Which rule.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright timing show tr_0198 --config host.toml")]
pub(super) struct OneArgs {
    /// Its id, as `timing list` shows it.
    id: String,
    #[command(flatten)]
    host: HostArgs,
}

/// A rule to make.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright timing add --tenant acme --name 'Quiet for a month' --kind contact-idle --after 30d --config host.toml
  mapwright timing add --tenant acme --name 'VIPs on Mondays' --kind cron --cron '0 9 * * MON' --time-zone Europe/Berlin \\
    --where 'tags in vip,gold' --where 'last_note_at older 14d'
  mapwright timing add --tenant acme --name 'Tomorrow' --kind appointment-upcoming --before 1d --at 17:00")]
pub(super) struct AddArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// What to change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright timing set tr_0198 --after 20d --config host.toml
  mapwright timing set tr_0198 --enabled false")]
pub(super) struct SetArgs {
    /// Its id.
    id: String,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// The parts of a rule.
#[derive(Debug, Args)]
struct RuleArgs {
    /// Its name, for people.
    #[arg(long)]
    name: Option<String>,
    /// contact-idle, task-due, task-overdue, appointment-upcoming or cron.
    #[arg(long)]
    kind: Option<String>,
    /// For cron: minute, hour, day of month, month, day of week.
    #[arg(long, value_name = "PATTERN")]
    cron: Option<String>,
    /// How long before the due time or the start, such as 1d or 90m.
    #[arg(long, value_name = "SPAN")]
    before: Option<String>,
    /// How long after the due time or the last activity, such as 30d.
    #[arg(long, value_name = "SPAN")]
    after: Option<String>,
    /// The hour of the day at which it comes due, such as 09:00.
    #[arg(long, value_name = "HOUR")]
    at: Option<String>,
    /// The time zone of --cron and --at, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The type of its events, beginning with timing.
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only contacts of this connection.
    #[arg(long)]
    connection: Option<String>,
    /// Only contacts whose record meets this; may be given several times: 'FIELD equals|not VALUE', 'FIELD in A,B',
    /// 'FIELD exists|missing', 'FIELD older|newer SPAN'.
    #[arg(long = "where", value_name = "CONDITION")]
    contacts: Vec<String>,
    /// What becomes of missed slots: once or never.
    #[arg(long)]
    missed: Option<String>,
    /// Whether it fires.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
}

impl RuleArgs {
    /// Puts what is named into a rule.
    fn put_into(&self, rule: &mut Map<String, Value>) -> anyhow::Result<()> {
        let texts = [
            ("name", &self.name),
            ("kind", &self.kind),
            ("cron", &self.cron),
            ("before", &self.before),
            ("after", &self.after),
            ("at", &self.at),
            ("time_zone", &self.time_zone),
            ("event_type", &self.event_type),
            ("connection", &self.connection),
            ("missed", &self.missed),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                rule.insert(name.to_owned(), json!(value));
            }
        }
        if let Some(enabled) = self.enabled {
            rule.insert("enabled".to_owned(), json!(enabled));
        }
        if !self.contacts.is_empty() {
            let conditions: Vec<Value> =
                self.contacts.iter().map(|text| condition(text)).collect::<anyhow::Result<_>>()?;
            rule.insert("contacts".to_owned(), Value::Array(conditions));
        }
        Ok(())
    }
}

/// A condition as it is written on the command line.
fn condition(text: &str) -> anyhow::Result<Value> {
    let mut words = text.trim().splitn(3, char::is_whitespace);
    let (field, test, value) = (words.next().unwrap_or_default(), words.next(), words.next().map(str::trim));
    let literal = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => json!(text),
    };
    match (test, value) {
        (Some(test @ ("exists" | "missing")), None) => Ok(json!({"field": field, "is": test})),
        (Some("in"), Some(list)) => {
            let list: Vec<Value> = list.split(',').map(|item| literal(item.trim())).collect();
            Ok(json!({"field": field, "is": "in", "value": list}))
        }
        (Some(test @ ("equals" | "not")), Some(value)) => {
            Ok(json!({"field": field, "is": test, "value": literal(value)}))
        }
        (Some(test @ ("older" | "newer")), Some(value)) => {
            Ok(json!({"field": field, "is": test, "value": value}))
        }
        _ => bail!(
            "--where {text:?}: give 'FIELD equals|not VALUE', 'FIELD in A,B', 'FIELD exists|missing' or \
             'FIELD older|newer SPAN'"
        ),
    }
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("NAME", "rule/name"),
    ("KIND", "rule/kind"),
    ("ENABLED", "rule/enabled"),
    ("LOOKS NEXT", "next_at"),
    ("FIRED", "fired"),
    ("LAST SLOT", "last_slot"),
    ("FROM", "origin"),
];

/// Runs a timing command.
pub(super) async fn run(command: TimingCommand) -> anyhow::Result<()> {
    match command {
        TimingCommand::List(args) => {
            with_host(&args.host, async |host| {
                let query = [("tenant", Some(args.tenant.as_str()))];
                Ok(Shown::Table(host.pages("/v1/timing-rules", &query, None).await?, COLUMNS))
            })
            .await
        }
        TimingCommand::Show(args) => {
            with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path(&args.id), &[]).await?))).await
        }
        TimingCommand::Add(args) => {
            with_host(&args.host, async |host| {
                let mut rule = Map::new();
                args.rule.put_into(&mut rule)?;
                let asked = json!({"tenant": args.tenant, "rule": rule});
                Ok(Shown::Thing(host.post("/v1/timing-rules", Some(&asked)).await?))
            })
            .await
        }
        TimingCommand::Set(args) => with_host(&args.host, async |host| set(host, &args).await).await,
        TimingCommand::Remove(args) => {
            with_host(&args.host, async |host| {
                host.delete(&path(&args.id)).await?;
                output::complain(&format!("Removed {}.", args.id));
                Ok(Shown::Nothing)
            })
            .await
        }
        TimingCommand::Preview(args) => {
            with_host(&args.host, async |host| {
                let preview = host.get(&format!("{}/preview", path(&args.id)), &[]).await?;
                if args.host.json() {
                    return Ok(Shown::Thing(preview));
                }
                if preview.get("cut") == Some(&Value::Bool(true)) {
                    output::complain(
                        "There is more to look at than a preview does; the numbers are what was counted.",
                    );
                }
                let slots = preview.get("slots").cloned().unwrap_or_default();
                Ok(Shown::Table(json!({"items": slots}), &[("SLOT", "at"), ("CONCERNS", "count")]))
            })
            .await
        }
    }
}

async fn set(host: &HostClient, args: &SetArgs) -> anyhow::Result<Shown> {
    let current = host.get(&path(&args.id), &[]).await?;
    let Some(Value::Object(mut rule)) = current.get("rule").cloned() else {
        bail!("the rule can't be read; make it anew")
    };
    args.rule.put_into(&mut rule)?;
    let changed = host.send(Method::PUT, &path(&args.id), Body::Json(&Value::Object(rule))).await?;
    Ok(Shown::Thing(changed))
}

fn path(id: &str) -> String {
    format!("/v1/timing-rules/{}", segment(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_are_written() {
        let read = |text: &str| condition(text).unwrap();
        assert_eq!(read("tags in vip, gold"), json!({"field": "tags", "is": "in", "value": ["vip", "gold"]}));
        assert_eq!(read("score equals 7"), json!({"field": "score", "is": "equals", "value": 7}));
        assert_eq!(read("city not Bad Urach"), json!({"field": "city", "is": "not", "value": "Bad Urach"}));
        assert_eq!(read("email exists"), json!({"field": "email", "is": "exists"}));
        assert_eq!(
            read("last_note_at older 14d"),
            json!({"field": "last_note_at", "is": "older", "value": "14d"})
        );
        for wrong in ["tags", "tags in", "email exists x", "a like b"] {
            assert!(condition(wrong).is_err(), "{wrong}");
        }
    }
}
