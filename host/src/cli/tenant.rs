//! `mapwright tenant`: Rankr's customers.

use super::client::{HostArgs, HostClient, Shown, segment, with_host};
use super::output::Columns;
use clap::{Args, Subcommand};
use serde_json::json;

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// List tenants.
    List(ListArgs),
    /// Make a tenant.
    Create(CreateArgs),
    /// Show a tenant.
    Show(OneArgs),
    /// Pause a tenant: what comes in is stored, nothing runs and nothing is sent until it is resumed.
    Pause(OneArgs),
    /// Resume a tenant: what waited goes on in its order.
    Resume(OneArgs),
}

/// Which host's tenants.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright tenant list --config host.toml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// A tenant to make.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright tenant create --name 'Acme Running' --id acme --config host.toml")]
pub(super) struct CreateArgs {
    /// Its name, for people.
    #[arg(long)]
    name: String,
    /// Its id; made up if not given.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Which tenant.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright tenant show acme --config host.toml")]
pub(super) struct OneArgs {
    /// Its id.
    tenant: String,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATE", "state"),
    ("SINCE", "state_since"),
    ("CONNECTIONS", "connections"),
    ("CREATED", "created_at"),
];

/// Runs a tenant command.
pub(super) async fn run(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::List(args) => {
            with_host(&args.host, async |host| {
                Ok(Shown::Table(host.pages("/v1/tenants", &[], None).await?, COLUMNS))
            })
            .await
        }
        TenantCommand::Create(args) => {
            with_host(&args.host, async |host| {
                let asked = json!({"id": args.id, "name": args.name});
                Ok(Shown::Thing(host.post("/v1/tenants", Some(&asked)).await?))
            })
            .await
        }
        TenantCommand::Show(args) => {
            with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path(&args, ""), &[]).await?))).await
        }
        TenantCommand::Pause(args) => change(&args, "/pause").await,
        TenantCommand::Resume(args) => change(&args, "/resume").await,
    }
}

async fn change(args: &OneArgs, verb: &str) -> anyhow::Result<()> {
    with_host(&args.host, async |host: &HostClient| {
        Ok(Shown::Thing(host.post(&path(args, verb), None).await?))
    })
    .await
}

fn path(args: &OneArgs, rest: &str) -> String {
    format!("/v1/tenants/{}{rest}", segment(&args.tenant))
}
