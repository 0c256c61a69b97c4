//! `mapwright bench plugin`: one run under all limits beside a bare wasmtime loop.

use super::{output, percentile};
use crate::domain::Clock;
use crate::plugins::{Limits, Runtime, RuntimeSettings};
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::PathBuf;

/// Which plugin, and how often.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright bench plugin target/plugins/contact-profile.wasm --json")]
pub(crate) struct PluginArgs {
    /// A mapping plugin's .wasm file.
    file: PathBuf,
    /// Its configuration, JSON.
    #[arg(long, default_value = "{}")]
    config: String,
    /// Runs of each side.
    #[arg(long, default_value_t = 20_000)]
    rounds: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: PluginArgs) -> anyhow::Result<()> {
    let bytes =
        std::fs::read(&args.file).with_context(|| format!("{} can't be read", args.file.display()))?;
    let limits = Limits::default();
    let runtime = Runtime::new(RuntimeSettings { concurrent_runs: 4 }, Clock::system())?;
    let package = runtime.check(&bytes, &limits).await?;
    let version = runtime.load(&package.version, &package.component)?;
    let Ok(prepared) = runtime.prepare(&version, &args.config, &limits).await? else {
        bail!("the plugin refuses the configuration {}", args.config)
    };
    let bench = runtime.bench(&version, &prepared, args.rounds.max(100)).await?;
    let (baseline, ours) = (percentile(&bench.baseline, 50), percentile(&bench.ours, 50));
    let report = serde_json::json!({
        "bench": "plugin", "unit": "microseconds a run", "rounds": bench.ours.len(), "pooled": runtime.pooled(),
        "fields_in": bench.fields_in, "fields_out": bench.fields_out,
        "baseline": baseline, "ours": ours, "ratio": ours / baseline,
        "baseline_p99": percentile(&bench.baseline, 99), "p50": ours, "p99": percentile(&bench.ours, 99),
    });
    if args.json {
        output::say(&report.to_string());
    } else {
        output::say(&format!(
            "{} rounds: bare {baseline:.1} µs, under all limits {ours:.1} µs (p50), ratio {:.2}; p99 {:.1} and {:.1} µs",
            bench.ours.len(),
            ours / baseline,
            percentile(&bench.baseline, 99),
            percentile(&bench.ours, 99)
        ));
    }
    Ok(())
}
