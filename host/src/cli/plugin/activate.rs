//! `mapwright plugin activate`, `rollback`, `off`, `on`: which version a tenant's events meet.

use super::deploy::{ASSIGNMENTS, assignment, page, text, version};
use crate::cli::client::{HostArgs, Shown, segment, with_host};
use crate::cli::output;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What becomes of events an assignment finally fails on.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailure {
    /// They are kept for a person and the lane goes on.
    DeadLetter,
    /// They wait, and the assignment's later events of the same lane behind them.
    Hold,
}

/// What is activated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright plugin activate contact-profile --tenant acme --grant crm.contacts.read
  mapwright plugin activate task-reactions --tenant acme --version 1.2.0 \\
      --configuration '{\"due_days\": 2}' --grant-asked
  mapwright plugin activate task-reactions --tenant acme --configuration-file reactions.json --on-failure hold

Runs under way finish on the version before; the next event meets this one. `mapwright plugin rollback` goes back.")]
pub(crate) struct ActivateArgs {
    /// The plugin's name.
    plugin: String,
    /// For which tenant.
    #[arg(long)]
    tenant: String,
    /// The version's id or its semantic version; the one deployed last if not given.
    #[arg(long)]
    version: Option<String>,
    /// The plugin's configuration, JSON.
    #[arg(long, value_name = "JSON", conflicts_with = "configuration_file")]
    configuration: Option<String>,
    /// A file with the plugin's configuration, JSON.
    #[arg(long, value_name = "FILE")]
    configuration_file: Option<PathBuf>,
    /// A capability to grant; may be given several times.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
    /// Grant everything the plugin asks for; `mapwright plugin show ID` tells what that is.
    #[arg(long)]
    grant_asked: bool,
    /// What becomes of events it finally fails on.
    #[arg(long, value_enum)]
    on_failure: Option<OnFailure>,
    #[command(flatten)]
    host: HostArgs,
}

/// Whose use of which plugin.
#[derive(Debug, Args)]
pub(crate) struct AssignmentArgs {
    /// The plugin's name.
    plugin: String,
    /// Of which tenant.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    host: HostArgs,
}

/// What is to go on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright plugin resume contact-profile --tenant acme                  run what waits, the failed ones too
  mapwright plugin resume contact-profile --tenant acme --give-up-failed make dead letters of the failed ones")]
pub(crate) struct ResumeArgs {
    /// The plugin's name.
    plugin: String,
    /// Of which tenant.
    #[arg(long)]
    tenant: String,
    /// Make dead letters of the runs that failed, so that those behind them go on.
    #[arg(long)]
    give_up_failed: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Has what an assignment holds run.
pub(crate) async fn resume(args: &ResumeArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let assignment = assignment(host, &args.tenant, &args.plugin).await?;
        let path = format!("/v1/assignments/{}/resume", segment(&text(&assignment, "id")));
        let failed = if args.give_up_failed { "dead-letter" } else { "again" };
        Ok(shown(&args.host, host.post(&path, Some(&json!({"failed": failed}))).await?))
    })
    .await
}

pub(crate) async fn activate(args: &ActivateArgs) -> anyhow::Result<()> {
    let configuration = match (&args.configuration, &args.configuration_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => {
            std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?
        }
        (None, None) => "{}".to_owned(),
    };
    let configuration: Value =
        serde_json::from_str(&configuration).context("the plugin's configuration is no JSON")?;
    let on_failure = args.on_failure.map(|policy| match policy {
        OnFailure::DeadLetter => "dead-letter",
        OnFailure::Hold => "hold",
    });
    with_host(&args.host, async |host| {
        let mut grants = args.grants.clone();
        let mut wanted = args.version.clone();
        if args.grant_asked {
            let chosen = version(host, &args.plugin, args.version.as_deref()).await?;
            // The very version whose wishes are granted, should another be deployed meanwhile.
            wanted = Some(text(&chosen, "id"));
            let asked = chosen.pointer("/description/capabilities").and_then(Value::as_array);
            grants.extend(asked.into_iter().flatten().map(|one| text(one, "name")));
        }
        let body = json!({
            "tenant": args.tenant, "plugin": args.plugin, "version": wanted, "config": configuration,
            "grants": grants, "on_failure": on_failure,
        });
        let done = host.post("/v1/assignments", Some(&body)).await?;
        if done.get("changed").and_then(Value::as_bool) == Some(false) {
            output::complain("This was active already; nothing is changed.");
        }
        let unused = done.get("unused_grants").and_then(Value::as_array);
        for grant in unused.into_iter().flatten().filter_map(Value::as_str) {
            output::complain(&format!("{grant} is granted, but the plugin does not ask for it."));
        }
        Ok(shown(&args.host, done))
    })
    .await
}

/// Does `act` (`rollback`, `off`, `on`) on a tenant's use of a plugin.
pub(crate) async fn act(args: &AssignmentArgs, act: &str) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let assignment = assignment(host, &args.tenant, &args.plugin).await?;
        let path = format!("/v1/assignments/{}/{act}", segment(&text(&assignment, "id")));
        Ok(shown(&args.host, host.post(&path, None).await?))
    })
    .await
}

/// An assignment as one row for people, whole for programs.
fn shown(host: &HostArgs, assignment: Value) -> Shown {
    if host.json() { Shown::Thing(assignment) } else { Shown::Table(page(vec![assignment]), ASSIGNMENTS) }
}
