//! `mapwright event`: what came in; what failed for good and what people do about it; events run again.

use super::client::{HostArgs, Shown, segment, with_host};
use super::effects::{self, EffectCommand};
use super::events::{self, ListArgs, ShowArgs};
use super::output::Columns;
use clap::{Args, Subcommand};
use serde_json::json;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// List events, the newest first.
    List(ListArgs),
    /// Show the whole story of one: payload, runs, reads, effects, failures, timeline.
    Show(ShowArgs),
    /// List what failed for good.
    DeadLetters(DeadLettersArgs),
    /// Show what failed for good on an event, with its runs, logs and backtraces.
    DeadLetter(LetterArgs),
    /// Run what failed for good again, with the present active version.
    Retry(RetryArgs),
    /// Settle what failed for good without a retry.
    Dismiss(DismissArgs),
    /// Run an event again and do what differs from what was done.
    Reprocess(ReprocessArgs),
    /// See effects, settle unclear ones, retry failed ones, cancel waiting ones.
    #[command(subcommand)]
    Effects(EffectCommand),
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Filter {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// Only of this assignment.
    #[arg(long)]
    assignment: Option<String>,
    /// Only of this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// Only with this outcome: trap, out-of-fuel, unmappable and so on.
    #[arg(long)]
    outcome: Option<String>,
}

/// Which dead letters are listed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright event dead-letters --tenant acme --config host.toml
  mapwright event dead-letters --tenant acme --plugin contact-profile --state all --json")]
pub(super) struct DeadLettersArgs {
    #[command(flatten)]
    filter: Filter,
    /// open, resolved or all.
    #[arg(long, default_value = "open")]
    state: String,
    #[command(flatten)]
    host: HostArgs,
}

/// One dead letter.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright event dead-letter 1042 as_0198c0de --config host.toml")]
pub(super) struct LetterArgs {
    /// The event's sequence.
    sequence: i64,
    /// The assignment that failed.
    assignment: String,
    #[command(flatten)]
    host: HostArgs,
}

/// What is retried: one dead letter, or all open ones of a tenant that fit.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright event retry 1042 as_0198c0de --config host.toml
  mapwright event retry --all --tenant acme --plugin contact-profile --config host.toml")]
pub(super) struct RetryArgs {
    /// The event's sequence.
    #[arg(required_unless_present = "all", requires = "assignment_id")]
    sequence: Option<i64>,
    /// The assignment that failed.
    #[arg(id = "assignment_id", value_name = "ASSIGNMENT")]
    one: Option<String>,
    /// All open ones of the tenant, a thousand at a time.
    #[arg(long, requires = "tenant", conflicts_with_all = ["sequence", "assignment_id"])]
    all: bool,
    /// Whose.
    #[arg(long)]
    tenant: Option<String>,
    /// With --all: only of this assignment.
    #[arg(long)]
    assignment: Option<String>,
    /// With --all: only of this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// With --all: only with this outcome.
    #[arg(long)]
    outcome: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Which dead letter needs no retry, and why.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mapwright event dismiss 1042 as_0198c0de --reason 'mapped by hand' --config host.toml"
)]
pub(super) struct DismissArgs {
    /// The event's sequence.
    sequence: i64,
    /// The assignment that failed.
    assignment: String,
    /// Why no retry is needed.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Which event is run again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright event reprocess 1042 --dry-run --config host.toml    compare, do nothing
  mapwright event reprocess 1042 --assignment as_0198c0de --json")]
pub(super) struct ReprocessArgs {
    /// The event's sequence.
    sequence: i64,
    /// Only for this assignment; may be given several times.
    #[arg(long = "assignment", value_name = "ASSIGNMENT")]
    assignments: Vec<String>,
    /// Only compare what would be asked for with what was done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("EVENT", "sequence"),
    ("TYPE", "event_type"),
    ("ASSIGNMENT", "assignment"),
    ("PLUGIN", "plugin"),
    ("OUTCOME", "outcome"),
    ("DIED", "died_at"),
    ("RESOLUTION", "resolution"),
];

fn letter(sequence: i64, assignment: &str, act: &str) -> String {
    format!("/v1/dead-letters/{sequence}/{}{act}", segment(assignment))
}

/// Runs an event command.
pub(super) async fn run(command: EventCommand) -> anyhow::Result<()> {
    match command {
        EventCommand::List(args) => events::list(args).await,
        EventCommand::Show(args) => events::show(args).await,
        EventCommand::DeadLetters(args) => {
            with_host(&args.host, async |host| {
                let asked = [
                    ("tenant", Some(args.filter.tenant.as_str())),
                    ("state", Some(args.state.as_str())),
                    ("assignment", args.filter.assignment.as_deref()),
                    ("plugin", args.filter.plugin.as_deref()),
                    ("outcome", args.filter.outcome.as_deref()),
                ];
                Ok(Shown::Table(host.pages("/v1/dead-letters", &asked, None).await?, COLUMNS))
            })
            .await
        }
        EventCommand::DeadLetter(args) => {
            let path = letter(args.sequence, &args.assignment, "");
            with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path, &[]).await?))).await
        }
        EventCommand::Retry(args) => retry(args).await,
        EventCommand::Dismiss(args) => {
            let path = letter(args.sequence, &args.assignment, "/dismiss");
            let body = json!({"reason": args.reason});
            with_host(&args.host, async |host| Ok(Shown::Thing(host.post(&path, Some(&body)).await?))).await
        }
        EventCommand::Reprocess(args) => {
            let path = format!("/v1/events/{}/reprocess", args.sequence);
            let body = json!({"assignments": args.assignments, "dry_run": args.dry_run});
            with_host(&args.host, async |host| Ok(Shown::Thing(host.post(&path, Some(&body)).await?))).await
        }
        EventCommand::Effects(command) => effects::run(command).await,
    }
}

async fn retry(args: RetryArgs) -> anyhow::Result<()> {
    let (path, body) = match (args.sequence, &args.one) {
        (Some(sequence), Some(assignment)) => (letter(sequence, assignment, "/retry"), None),
        _ => {
            let body = json!({
                "tenant": args.tenant, "assignment": args.assignment, "plugin": args.plugin, "outcome": args.outcome,
            });
            ("/v1/dead-letters/retry".to_owned(), Some(body))
        }
    };
    with_host(&args.host, async |host| Ok(Shown::Thing(host.post(&path, body.as_ref()).await?))).await
}
