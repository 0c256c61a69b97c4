//! `mapwright openapi`: the API's document, without a host.

use super::output;
use clap::Args;

/// How it is printed.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright openapi > openapi.json")]
pub(super) struct OpenApiArgs {
    /// On one line.
    #[arg(long)]
    compact: bool,
}

/// Prints the document.
pub(super) fn run(args: OpenApiArgs) -> anyhow::Result<()> {
    let document = crate::api::openapi();
    let text = if args.compact { document.to_string() } else { serde_json::to_string_pretty(&document)? };
    output::say(&text);
    Ok(())
}
