//! `mapwright check`: the demo's checker over any host and sandbox journal; for the tests of the whole system.

use super::demo::{check, say_report};
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;

/// What is checked.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The sandbox's journal.
    #[arg(long)]
    journal: PathBuf,
    /// Where the host listens.
    #[arg(long)]
    host: String,
    /// The key of its API.
    #[arg(long)]
    key: String,
    /// The tenants' ids.
    #[arg(long, required = true, value_delimiter = ',')]
    tenants: Vec<String>,
    /// A file with the idempotency keys of the events that were told, one a line.
    #[arg(long)]
    told: Option<PathBuf>,
}

/// Prints the report as one JSON object; fails when something was lost, doubled or out of order.
pub(super) async fn run(args: CheckArgs) -> anyhow::Result<()> {
    let told = match &args.told {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read", file.display()))?
            .lines()
            .map(str::to_owned)
            .collect(),
        None => Vec::new(),
    };
    let report = check(&args.journal, (&args.host, &args.key), &args.tenants, &told).await?;
    say_report(&report)
}
