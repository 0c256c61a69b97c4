//! `mapwright sandbox`: the imitation GHL as a process of its own.

use super::output;
use crate::domain::{Clock, ClockRate};
use crate::outbound::{Client, ClientSettings};
use crate::sandbox::{Sandbox, SandboxSettings};
use clap::Args;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// How the sandbox runs.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright sandbox --data sandbox-data --listen 127.0.0.1:7900")]
pub(super) struct SandboxArgs {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7900")]
    listen: String,
    /// The folder of its journal and keys.
    #[arg(long, default_value = "sandbox-data")]
    data: PathBuf,
    /// Product seconds per machine second.
    #[arg(long, default_value_t = 1.0)]
    clock_rate: f64,
    /// Machine time, milliseconds since 1970, at which product time equals it; now if not given.
    #[arg(long)]
    clock_origin: Option<i64>,
}

/// Serves until SIGTERM or Ctrl-C; says where on standard output, one JSON object.
pub(super) async fn run(args: SandboxArgs) -> anyhow::Result<()> {
    let clock = clock(args.clock_rate, args.clock_origin);
    let settings = SandboxSettings { listen: args.listen, folder: args.data };
    let sandbox = Sandbox::bind(&settings, clock, Client::new(ClientSettings::default())?).await?;
    output::say(&serde_json::json!({"listening": format!("http://{}", sandbox.address())}).to_string());
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    Ok(sandbox.serve(stop).await?)
}

/// The clock for these settings.
pub(super) fn clock(rate: f64, origin: Option<i64>) -> Clock {
    match origin.filter(|millis| *millis > 0) {
        Some(origin_millis) => Clock::at_rate(ClockRate { rate, origin_millis }),
        None => Clock::at_rate(ClockRate { rate, origin_millis: Clock::system().now().millis() }),
    }
}

/// Cancels `stop` at the first SIGTERM or Ctrl-C.
pub(super) fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_no_signals) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        stop.cancel();
    });
}
