//! `mapwright plugin`: for those who write plugins.

mod build;
mod check;
mod toolchain;

pub(super) use build::{BuildRequest, build};
use clap::Subcommand;
pub(super) use toolchain::Toolchain;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Build plugin crates to .wasm files.
    Build(build::BuildArgs),
    /// Say whether a host would take a .wasm file, and what it asks for.
    Check(check::CheckArgs),
}

/// Runs a plugin command.
pub(super) async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::Build(args) => build::run(&args),
        PluginCommand::Check(args) => check::run(&args).await,
    }
}
