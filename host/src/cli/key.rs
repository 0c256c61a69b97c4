//! `mapwright key`: who else may use the API.

use super::client::{HostArgs, Shown, segment, with_host};
use super::output::Columns;
use clap::{Args, Subcommand};
use serde_json::json;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key and show it, once.
    Create(CreateArgs),
    /// List keys, never the keys themselves.
    List(ListArgs),
    /// Revoke a key: from the next request on it opens nothing.
    Revoke(RevokeArgs),
}

/// A key to make.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright key create --name 'Rankr, live' --role rankr --tenant acme --config host.toml
  mapwright key create --name 'support' --role viewer --expires 2027-01-01T00:00:00Z --json")]
pub(super) struct CreateArgs {
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it may be used for: owner (everything), operator (everything but keys), rankr (tell events, read records,
    /// timelines and effects), viewer (see).
    #[arg(long)]
    role: String,
    /// The only tenant it shall reach.
    #[arg(long)]
    tenant: Option<String>,
    /// From when on it opens nothing, RFC 3339.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Which host's keys.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright key list --config host.toml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// Which key.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright key revoke ky_0198c0de --config host.toml")]
pub(super) struct RevokeArgs {
    /// Its id, as `key list` shows it.
    id: String,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("TENANT", "tenant"),
    ("STATE", "state"),
    ("LAST USED", "last_used_at"),
    ("EXPIRES", "expires_at"),
];

/// Runs a key command.
pub(super) async fn run(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create(args) => {
            with_host(&args.host, async |host| {
                let asked = json!({
                    "name": args.name, "role": args.role, "tenant": args.tenant, "expires_at": args.expires,
                });
                Ok(Shown::Thing(host.post("/v1/keys", Some(&asked)).await?))
            })
            .await
        }
        KeyCommand::List(args) => {
            with_host(&args.host, async |host| {
                Ok(Shown::Table(host.pages("/v1/keys", &[], None).await?, COLUMNS))
            })
            .await
        }
        KeyCommand::Revoke(args) => {
            with_host(&args.host, async |host| {
                Ok(Shown::Thing(host.delete(&format!("/v1/keys/{}", segment(&args.id))).await?))
            })
            .await
        }
    }
}
