//! `mapwright bench`: our speed beside a baseline's, measured in the same run; one file per bench.

mod bare_door;
mod deliveries;
mod ingest;
mod isolation;
mod load;
mod pipeline;
mod plugin;
mod start;

use super::output;
use clap::Subcommand;
use std::time::Duration;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// A mapping under all limits, beside a bare wasmtime loop over the same component and pool.
    Plugin(plugin::PluginArgs),
    /// Signed webhooks stored by a host in the role of ingest, beside a handler that only verifies them.
    Ingest(ingest::IngestArgs),
    /// Stored webhooks to records and timeline, beside a bare loop that writes the same rows.
    Pipeline(pipeline::PipelineArgs),
    /// How long a host takes to listen, what it holds in memory, how large it is.
    Start(start::StartArgs),
    /// The handler that only verifies.
    #[command(hide = true)]
    BareDoor(bare_door::BareDoorArgs),
    /// A quiet tenant's events alone, and beside a tenant whose plugin is hostile.
    Isolation(isolation::IsolationArgs),
}

pub(super) async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Plugin(args) => plugin::run(args).await,
        BenchCommand::Ingest(args) => ingest::run(args).await,
        BenchCommand::Pipeline(args) => pipeline::run(args).await,
        BenchCommand::Start(args) => start::run(args).await,
        BenchCommand::BareDoor(args) => bare_door::run(args).await,
        BenchCommand::Isolation(args) => isolation::run(args).await,
    }
}

/// The time at `hundredth` percent of the sorted `times`, in microseconds; 0 without times.
fn percentile(times: &[Duration], hundredth: usize) -> f64 {
    times.get(times.len() * hundredth / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
