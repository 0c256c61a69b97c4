//! `mapwright plugin`: for those who write plugins, and for those who run them.

mod activate;
mod build;
mod check;
mod deploy;
mod toolchain;

pub(super) use build::{BuildRequest, PROFILE, build};
use clap::Subcommand;
pub(super) use toolchain::Toolchain;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Build plugin crates to .wasm files.
    Build(build::BuildArgs),
    /// Say whether a host would take a .wasm file, and what it asks for.
    Check(check::CheckArgs),
    /// Give a running host .wasm files; no tenant's events meet them before they are activated.
    Deploy(deploy::DeployArgs),
    /// List what a running host has deployed, or what a tenant uses.
    List(deploy::ListArgs),
    /// Show a plugin's versions, one version, or a tenant's use of a plugin.
    Show(deploy::ShowArgs),
    /// Show what became of the files in the watched folder.
    Folder(deploy::FolderArgs),
    /// Have a tenant's events meet a version.
    Activate(activate::ActivateArgs),
    /// Go back to what was active before.
    #[command(after_help = "Example: mapwright plugin rollback contact-profile --tenant acme")]
    Rollback(activate::AssignmentArgs),
    /// Close a breaker and run what waits.
    Resume(activate::ResumeArgs),
    /// Switch a tenant's use of a plugin off.
    #[command(after_help = "Example: mapwright plugin off contact-profile --tenant acme")]
    Off(activate::AssignmentArgs),
    /// Switch it on again, as it was.
    #[command(after_help = "Example: mapwright plugin on contact-profile --tenant acme")]
    On(activate::AssignmentArgs),
}

/// Runs a plugin command.
pub(super) async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::Build(args) => build::run(&args),
        PluginCommand::Check(args) => check::run(&args).await,
        PluginCommand::Deploy(args) => deploy::deploy(&args).await,
        PluginCommand::List(args) => deploy::list(&args).await,
        PluginCommand::Show(args) => deploy::show(&args).await,
        PluginCommand::Folder(args) => deploy::folder(&args).await,
        PluginCommand::Activate(args) => activate::activate(&args).await,
        PluginCommand::Rollback(args) => activate::act(&args, "rollback").await,
        PluginCommand::Resume(args) => activate::resume(&args).await,
        PluginCommand::Off(args) => activate::act(&args, "off").await,
        PluginCommand::On(args) => activate::act(&args, "on").await,
    }
}
