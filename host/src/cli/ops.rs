//! `mapwright ops`: the operations of GHL that this program can call. Compiled in, so no host is needed.

use super::output::{self, Columns};
use crate::ghl::{OperationListing, operations};
use anyhow::bail;
use clap::{Args, Subcommand};

/// What to look up.
#[derive(Debug, Subcommand)]
pub(super) enum OpsCommand {
    /// List all operations.
    List(ListArgs),
    /// List operations by words of their id, method, path or scope.
    Search(SearchArgs),
    /// Show one operation.
    Show(ShowArgs),
}

/// How they are listed.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright ops list --json
Classes: repeatable calls are sent again when their answer did not come; what a findable call may have made is looked for
first; a blind one is left to a person.")]
pub(super) struct ListArgs {
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What is searched.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright ops search post task")]
pub(super) struct SearchArgs {
    /// Words; each must be found.
    #[arg(required = true)]
    words: Vec<String>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Which operation.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright ops show contact_create_task")]
pub(super) struct ShowArgs {
    /// Its id.
    id: String,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("METHOD", "method"),
    ("PATH", "path"),
    ("SCOPE", "scope"),
    ("CLASS", "class"),
    ("VERSION", "version"),
];

/// Runs an ops command.
pub(super) fn run(command: OpsCommand) -> anyhow::Result<()> {
    match command {
        OpsCommand::List(args) => list(&operations(""), args.json),
        OpsCommand::Search(args) => list(&operations(&args.words.join(" ")), args.json),
        OpsCommand::Show(args) => {
            let Some(found) = operations(&args.id).into_iter().find(|known| known.id == args.id) else {
                bail!("there is no operation {:?}; `mapwright ops list` names them", args.id)
            };
            output::thing(&serde_json::to_value(found)?, args.json);
        }
    }
    Ok(())
}

fn list(found: &[OperationListing], json: bool) {
    output::table(&serde_json::json!({"items": found, "next": null}), COLUMNS, json);
}
