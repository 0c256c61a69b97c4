//! `mapwright bench bare-door`: the baseline of `bench ingest`, a process of its own as the host is.

use crate::api::Door;
use crate::cli::output::say;
use crate::cli::sandbox::stop_on_signal;
use crate::config;
use crate::domain::AppId;
use crate::tenants::App;
use crate::webhooks::Verifier;
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Whose signatures are verified.
#[derive(Debug, Args)]
pub(in crate::cli) struct BareDoorArgs {
    /// A host's configuration; its first app's keys are taken.
    #[arg(long)]
    config: PathBuf,
}

/// Serves until SIGTERM or Ctrl-C.
pub(super) async fn run(args: BareDoorArgs) -> anyhow::Result<()> {
    let settings = config::load(Some(&args.config))?;
    let app = settings.apps.first().context("the configuration names no app")?;
    let app = App {
        id: AppId::new(&app.id),
        environment: app.environment.clone(),
        ghl_app_id: app.ghl_app_id.clone(),
        ed25519_keys: app.ed25519_keys.clone(),
        rsa_keys: Vec::new(),
    };
    let door = Door::bind(&settings.http.listen).await?;
    say(&serde_json::json!({"listening": format!("http://{}", door.address())}).to_string());
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    Ok(door.serve_bare(Verifier::new(&app, false)?, stop).await?)
}
