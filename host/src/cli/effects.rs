//! `mapwright event effects`: what was asked of GHL, and what people decide about it.

use super::client::{HostArgs, Shown, with_host};
use super::output::Columns;
use clap::{Args, Subcommand};
use serde_json::json;

/// What to do with effects.
#[derive(Debug, Subcommand)]
pub(super) enum EffectCommand {
    /// List a tenant's effects.
    List(ListArgs),
    /// Show an effect with its content and its sendings.
    Show(OneArgs),
    /// Say what became of an unclear effect, or have it sent once more.
    Decide(DecideArgs),
    /// Try a refused or dead effect again, as it was planned.
    Retry(OneArgs),
    /// Cancel an effect that waits.
    Cancel(CancelArgs),
}

/// Which effects.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mapwright event effects list --tenant acme --state unclear --config host.toml"
)]
pub(super) struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// Only in this state: waiting, sending, done, refused, dead, unclear, held, cancelled.
    #[arg(long)]
    state: Option<String>,
    /// Only of this event.
    #[arg(long, value_name = "SEQUENCE")]
    event: Option<i64>,
    #[command(flatten)]
    host: HostArgs,
}

/// One effect.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Its number.
    id: i64,
    #[command(flatten)]
    host: HostArgs,
}

/// What became of an effect.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright event effects decide 17 --done --ghl-id ocQHyuzHvysMo5N5VsXc --config host.toml
  mapwright event effects decide 17 --repeat --config host.toml")]
pub(super) struct DecideArgs {
    /// Its number.
    id: i64,
    /// It was done.
    #[arg(long, required_unless_present = "repeat", conflicts_with = "repeat")]
    done: bool,
    /// GHL's id of what it made; needed where other effects wait for it.
    #[arg(long, requires = "done", value_name = "ID")]
    ghl_id: Option<String>,
    /// It was not done: send it once more.
    #[arg(long)]
    repeat: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Which effect is not to be done.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Its number.
    id: i64,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("EVENT", "sequence"),
    ("OPERATION", "op"),
    ("CLASS", "class"),
    ("STATE", "state"),
    ("TRIES", "attempts"),
    ("GHL ID", "ghl_id"),
    ("DETAIL", "detail"),
];

/// Runs an effects command.
pub(super) async fn run(command: EffectCommand) -> anyhow::Result<()> {
    let (id, act, body, host) = match command {
        EffectCommand::List(args) => {
            let event = args.event.map(|sequence| sequence.to_string());
            return with_host(&args.host, async |host| {
                let asked = [
                    ("tenant", Some(args.tenant.as_str())),
                    ("state", args.state.as_deref()),
                    ("sequence", event.as_deref()),
                ];
                Ok(Shown::Table(host.pages("/v1/effects", &asked, None).await?, COLUMNS))
            })
            .await;
        }
        EffectCommand::Show(args) => {
            let path = format!("/v1/effects/{}", args.id);
            return with_host(&args.host, async |host| Ok(Shown::Thing(host.get(&path, &[]).await?))).await;
        }
        EffectCommand::Decide(args) if args.repeat => {
            (args.id, "decide", Some(json!({"decision": "repeat"})), args.host)
        }
        EffectCommand::Decide(args) => {
            (args.id, "decide", Some(json!({"decision": "done", "ghl_id": args.ghl_id})), args.host)
        }
        EffectCommand::Retry(args) => (args.id, "retry", None, args.host),
        EffectCommand::Cancel(args) => (args.id, "cancel", Some(json!({"reason": args.reason})), args.host),
    };
    let path = format!("/v1/effects/{id}/{act}");
    with_host(&host, async |host| Ok(Shown::Thing(host.post(&path, body.as_ref()).await?))).await
}
