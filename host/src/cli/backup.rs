//! `mapwright backup`: one file with everything a host needs, made beside it, verified and restored without it.

use super::output::say;
use crate::backup::{self, BackupReport, BackupRequest};
use crate::config;
use crate::domain::{Clock, ClockRate};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Write a backup; the host may run on meanwhile.
    Create(CreateArgs),
    /// Hold a backup against its manifest: checksum, integrity, migrations, counts.
    Verify(VerifyArgs),
    /// Put a backup into a new or empty folder.
    Restore(RestoreArgs),
}

/// What is backed up, and to where.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright backup create --config host.toml --to /backups/today.tar
  mapwright backup create --data mapwright-data --to today.tar --with-key

The vault's key is not in the file unless --with-key is given: keep vault.key of the data folder in another place, once;
it never changes. Without it the tokens in the backup can't be read and each connection has to be connected anew.
The configuration is not in the file.")]
pub(super) struct CreateArgs {
    /// The host's configuration, for data.folder.
    #[arg(long, conflicts_with = "data")]
    config: Option<PathBuf>,
    /// The host's data folder, instead of a configuration.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The file to write; an existing one is never overwritten.
    #[arg(long)]
    to: PathBuf,
    /// Put the vault's key into the file too; then whoever has the file has the tokens.
    #[arg(long)]
    with_key: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which backup.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright backup verify /backups/today.tar
Exit code 0: it holds; 1: it does not, and what is wrong is said.")]
pub(super) struct VerifyArgs {
    /// The backup.
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which backup, and into which folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mapwright backup restore /backups/today.tar --to restored-data --key /safe/vault.key
Then start a host with data.folder = \"restored-data\". Effects that were sent after the backup was made are looked for
before they are sent again, as after a crash."
)]
pub(super) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// The folder; new or empty.
    #[arg(long)]
    to: PathBuf,
    /// The vault's key file, where the backup does not hold it.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a backup command.
pub(super) async fn run(command: BackupCommand) -> anyhow::Result<()> {
    match command {
        BackupCommand::Create(args) => create(args).await,
        BackupCommand::Verify(args) => {
            let report = backup::verify(&args.file).await?;
            say_report(&report, "holds", args.json)
        }
        BackupCommand::Restore(args) => restore(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let (folder, clock) = match args.data {
        Some(folder) => (folder, Clock::system()),
        None => {
            let settings = config::load(args.config.as_deref())?;
            let clock = match settings.clock.origin_millis {
                0 => Clock::system(),
                origin_millis => Clock::at_rate(ClockRate { rate: settings.clock.rate, origin_millis }),
            };
            (settings.data.folder, clock)
        }
    };
    let request = BackupRequest { folder, to: args.to, with_key: args.with_key, now: clock.now() };
    let report = backup::create(&request).await?;
    say_report(&report, "is written", args.json)
}

async fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let restored = backup::restore(&args.file, &args.to, args.key.as_deref()).await?;
    if args.json {
        say(&serde_json::to_string(&restored)?);
        return Ok(());
    }
    say(&format!("{} holds the backup of {} now", restored.folder, restored.backup.made_at));
    if restored.backup.sealed_secrets > 0 && !restored.has_vault_key {
        say(&format!(
            "{} sealed secrets need the key {}: put its vault.key into the folder before the host starts",
            restored.backup.sealed_secrets,
            restored.backup.vault_key.unwrap_or_default()
        ));
    }
    Ok(())
}

fn say_report(report: &BackupReport, how: &str, json: bool) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string(report)?);
        return Ok(());
    }
    let key = match (&report.vault_key, report.holds_vault_key) {
        (Some(_), true) => "the vault's key is in it: keep it as you keep the key".to_owned(),
        (Some(key), false) => format!("the vault's key {key} is not in it"),
        (None, _) => "it has no vault key".to_owned(),
    };
    let count = |table: &str| report.counts.get(table).copied().unwrap_or(0);
    say(&format!(
        "{} {how}: {} bytes, made {} by mapwright {}, {} events, {} records, {} timeline entries; {key}",
        report.file,
        report.bytes,
        report.made_at,
        report.made_by,
        count("inbox"),
        count("records"),
        count("timeline")
    ));
    Ok(())
}
