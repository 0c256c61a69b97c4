//! `mapwright serve`: the host.

use super::{output, sandbox};
use crate::app::App;
use crate::config;
use clap::Args;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// How the host runs.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright serve --config host.toml
Each key can be set in the environment too: MAPWRIGHT_HTTP__LISTEN=0.0.0.0:7800")]
pub(super) struct ServeArgs {
    /// The configuration file; its keys are documented in host/config.default.toml.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Serves until SIGTERM or Ctrl-C; says where on standard output, one JSON object.
pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let settings = config::load(args.config.as_deref())?;
    let app = App::start(&settings).await?;
    output::say(&serde_json::json!({"listening": format!("http://{}", app.address())}).to_string());
    let stop = CancellationToken::new();
    sandbox::stop_on_signal(stop.clone());
    stop.cancelled().await;
    tracing::info!("draining");
    app.stop().await
}
