//! `mapwright bench`: our speed beside a baseline's, measured in the same run; one file per bench.

mod plugin;

use super::output;
use clap::Subcommand;
use std::time::Duration;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// A mapping under all limits, beside a bare wasmtime loop over the same component and pool.
    Plugin(plugin::PluginArgs),
}

pub(super) async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Plugin(args) => plugin::run(args).await,
    }
}

/// The time at `hundredth` percent of the sorted `times`, in microseconds; 0 without times.
fn percentile(times: &[Duration], hundredth: usize) -> f64 {
    times.get(times.len() * hundredth / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
