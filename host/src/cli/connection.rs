//! `mapwright connection`: a tenant's links to GHL's locations.

use super::client::{Body, HostArgs, Shown, segment, with_host};
use super::output::Columns;
use crate::outbound::Method;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What to do with connections.
#[derive(Debug, Subcommand)]
pub(super) enum ConnectionCommand {
    /// List connections.
    List(ListArgs),
    /// Show a connection: its scopes, its token's times, the last failure; never the token.
    Show(ShowArgs),
    /// Make a link on which a person connects a location for a tenant.
    Authorize(AuthorizeArgs),
    /// Make a link on which a person connects a connection's location again.
    Reconnect(ShowArgs),
    /// Close a connection: its tokens are destroyed, what waits to go out is refused, what was stored stays.
    Close(ShowArgs),
    /// List a tenant's attempts to connect, with the step that failed and what GHL said.
    Attempts(AttemptsArgs),
    /// Connect a location by API key, a private integration token; it is tried at once, and polled from then on.
    AddKey(AddKeyArgs),
    /// Give a connection another API key, as when it was rotated in GHL.
    ReplaceKey(ReplaceKeyArgs),
    /// Show how far a connection with an API key was polled.
    Polling(PollingArgs),
}

/// Which connections.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright connection list --tenant acme --config host.toml")]
pub(super) struct ListArgs {
    /// Only this tenant's.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Which connection.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright connection show cn_0198c0de --json
  mapwright connection reconnect cn_0198c0de
  mapwright connection close cn_0198c0de")]
pub(super) struct ShowArgs {
    /// The connection.
    id: String,
    #[command(flatten)]
    host: HostArgs,
}

/// What to connect.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright connection authorize --tenant acme --app live
  mapwright connection authorize --tenant acme --app live --scopes 'contacts.readonly contacts.write' --json")]
pub(super) struct AuthorizeArgs {
    /// For whom.
    #[arg(long)]
    tenant: String,
    /// Through which app, as `[[app]]` in the configuration names it.
    #[arg(long)]
    app: String,
    /// Scopes to ask for, separated by blanks; the app's if left out.
    #[arg(long)]
    scopes: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Whose attempts.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright connection attempts --tenant acme")]
pub(super) struct AttemptsArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    host: HostArgs,
}

/// A location and its key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright connection add-key --tenant acme --environment live --location ve9EPM428h8vShlRW1KT \\
    --scopes 'contacts.readonly contacts.write locations/tasks.readonly' --api-key-file key.txt
  pass show ghl/acme | mapwright connection add-key --tenant acme --location ve9EPM428h8vShlRW1KT \\
    --scopes contacts.readonly --api-key-file -")]
pub(super) struct AddKeyArgs {
    /// Whose it is.
    #[arg(long)]
    tenant: String,
    /// `live` or `sandbox`.
    #[arg(long, default_value = "live")]
    environment: String,
    /// GHL's id of the location.
    #[arg(long)]
    location: String,
    /// The scopes the key was given, separated by blanks; contacts.readonly among them.
    #[arg(long)]
    scopes: String,
    /// A file that holds the key, or - for standard input; so the key stays out of the list of processes.
    #[arg(long, value_name = "FILE")]
    api_key_file: PathBuf,
    #[command(flatten)]
    host: HostArgs,
}

/// Another key.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright connection replace-key cn_0198c0de --api-key-file key.txt")]
pub(super) struct ReplaceKeyArgs {
    /// The connection.
    id: String,
    /// The scopes it was given; those of the key before if left out.
    #[arg(long)]
    scopes: Option<String>,
    /// A file that holds the key, or - for standard input.
    #[arg(long, value_name = "FILE")]
    api_key_file: PathBuf,
    #[command(flatten)]
    host: HostArgs,
}

/// Which connection.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright connection polling cn_0198c0de --json")]
pub(super) struct PollingArgs {
    /// The connection.
    id: String,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("TENANT", "tenant"),
    ("LOCATION", "location"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("TOKEN ENDS", "token/expires_at"),
];
const ATTEMPT_COLUMNS: Columns = &[
    ("ID", "id"),
    ("MADE", "created_at"),
    ("OUTCOME", "outcome"),
    ("STEP", "step"),
    ("STATUS", "status"),
    ("DETAIL", "detail"),
];

/// Asks the host to do something with a connection, and shows what comes of it.
async fn act(args: &ShowArgs, what: &str) -> anyhow::Result<()> {
    let path = format!("/v1/connections/{}/{what}", segment(&args.id));
    with_host(&args.host, async |host| Ok(Shown::Thing(host.post(&path, None).await?))).await
}

/// Runs a connection command.
pub(super) async fn run(command: ConnectionCommand) -> anyhow::Result<()> {
    match command {
        ConnectionCommand::List(args) => {
            let query = [("tenant", args.tenant.as_deref())];
            with_host(&args.host, async |host| {
                Ok(Shown::Table(host.pages("/v1/connections", &query, None).await?, COLUMNS))
            })
            .await
        }
        ConnectionCommand::Show(args) => {
            let path = format!("/v1/connections/{}", segment(&args.id));
            with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path, &[]).await?))).await
        }
        ConnectionCommand::Authorize(args) => {
            let asked = json!({"tenant": args.tenant, "app": args.app, "scopes": args.scopes});
            with_host(&args.host, async |host| {
                Ok(Shown::Thing(host.post("/v1/connections/authorize", Some(&asked)).await?))
            })
            .await
        }
        ConnectionCommand::Reconnect(args) => act(&args, "reconnect").await,
        ConnectionCommand::Close(args) => act(&args, "close").await,
        ConnectionCommand::Attempts(args) => {
            let query = [("tenant", Some(args.tenant.as_str()))];
            with_host(&args.host, async |host| {
                let page = host.pages("/v1/connection-attempts", &query, None).await?;
                Ok(Shown::Table(page, ATTEMPT_COLUMNS))
            })
            .await
        }
        ConnectionCommand::AddKey(args) => {
            let key = api_key(&args.api_key_file)?;
            let asked = json!({
                "tenant": args.tenant, "environment": args.environment, "location": args.location, "scopes": args.scopes,
                "api_key": key,
            });
            with_host(&args.host, async |host| {
                Ok(Shown::Thing(host.post("/v1/connections/api-key", Some(&asked)).await?))
            })
            .await
        }
        ConnectionCommand::ReplaceKey(args) => {
            let key = api_key(&args.api_key_file)?;
            let asked = json!({"scopes": args.scopes, "api_key": key});
            let path = format!("/v1/connections/{}/api-key", segment(&args.id));
            with_host(&args.host, async |host| {
                Ok(Shown::Thing(host.send(Method::PUT, &path, Body::Json(&asked)).await?))
            })
            .await
        }
        ConnectionCommand::Polling(args) => {
            let path = format!("/v1/connections/{}/polling", segment(&args.id));
            with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path, &[]).await?))).await
        }
    }
}

/// The key in a file, or on standard input.
fn api_key(file: &Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
        text
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("the API key file {} can't be read", file.display()))?
    };
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        bail!("{} must hold the API key alone, on one line", file.display());
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_the_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, " pit-1\n").unwrap();
        assert_eq!(api_key(&file).unwrap(), "pit-1");
        std::fs::write(&file, "pit-1\npit-2\n").unwrap();
        assert!(api_key(&file).unwrap_err().to_string().contains("alone"));
    }
}
