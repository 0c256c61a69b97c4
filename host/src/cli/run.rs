//! `mapwright run`: calls of plugins.

use super::client::{HostArgs, Shown, with_host};
use super::output::Columns;
use clap::{Args, Subcommand};

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// List a tenant's runs, or those on one event.
    List(ListArgs),
    /// Show one with what it logged.
    Show(ShowArgs),
}

/// Which runs.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright run list --tenant acme --event 4711 --config host.toml")]
pub(super) struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// Only on this event.
    #[arg(long, value_name = "EVENT")]
    event: Option<i64>,
    /// How many at the most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    host: HostArgs,
}

/// Which run.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright run show 17 --config host.toml --json")]
pub(super) struct ShowArgs {
    /// Its number.
    id: i64,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("RUN", "id"),
    ("RAN", "ran_at"),
    ("EVENT", "sequence"),
    ("INTERFACE", "interface"),
    ("OUTCOME", "outcome"),
    ("µS", "micros"),
    ("DETAIL", "detail"),
];

/// Runs a run command.
pub(super) async fn run(command: RunCommand) -> anyhow::Result<()> {
    match command {
        RunCommand::List(args) => {
            with_host(&args.host, async |host| {
                let event = args.event.map(|event| event.to_string());
                let query = [("tenant", Some(args.tenant.as_str())), ("sequence", event.as_deref())];
                Ok(Shown::Table(host.pages("/v1/runs", &query, Some(args.limit)).await?, COLUMNS))
            })
            .await
        }
        RunCommand::Show(args) => {
            with_host(&args.host, async |host| {
                Ok(Shown::Thing(host.get(&format!("/v1/runs/{}", args.id), &[]).await?))
            })
            .await
        }
    }
}
