//! The command line, a file per command. Data goes to standard output, everything else to standard error.

mod audit;
mod backup;
mod bench;
mod check;
mod client;
mod connection;
mod demo;
mod doctor;
mod effects;
mod event;
mod events;
mod exit;
mod key;
mod openapi;
mod ops;
mod output;
mod plugin;
mod records;
mod run;
mod sandbox;
mod serve;
mod tenant;
mod timeline;
mod timing;

use crate::telemetry::{self, LogFormat};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Keeps Rankr and `GoHighLevel` in step through sandboxed plugins.
#[derive(Debug, Parser)]
#[command(
    name = "mapwright",
    version,
    propagate_version = true,
    after_help = "Examples:
  mapwright demo                       play a day against the bundled sandbox
  mapwright serve --config host.toml   run the host
  mapwright key create --name Rankr --role rankr --config host.toml
  mapwright plugin build my-plugin     make a .wasm of a plugin's crate"
)]
struct Cli {
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged, such as `info,mapwright=debug`.
    #[arg(long, global = true, env = "MAPWRIGHT_LOG", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host.
    Serve(serve::ServeArgs),
    /// Run the bundled imitation of GHL, a process of its own.
    Sandbox(sandbox::SandboxArgs),
    /// Connect tenants with GHL's locations.
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    /// Make, list, pause and resume tenants.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Make, list and revoke keys of the API.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// See events and what became of them, settle what failed, run events again, decide about effects.
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Show who changed what.
    Audit(audit::AuditArgs),
    /// Print the API's OpenAPI document.
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    /// Look up the operations of GHL that this program can call.
    #[command(subcommand)]
    Ops(ops::OpsCommand),
    /// Show calls of plugins.
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Show records and where their fields came from.
    #[command(subcommand)]
    Records(records::RecordsCommand),
    /// Show what happened to a contact, day by day.
    Timeline(timeline::TimelineArgs),
    /// Make, change and look at timing rules.
    #[command(subcommand)]
    Timing(timing::TimingCommand),
    /// Play a day at speed against the bundled sandbox, and show it.
    Demo(demo::DemoArgs),
    /// Make, verify and restore backups.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Look at everything a host needs and say how to mend what is wrong.
    Doctor(doctor::DoctorArgs),
    /// Measure our speed beside a baseline's.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Check a host against a sandbox's journal.
    #[command(hide = true)]
    Check(check::CheckArgs),
    /// Build and check plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
}

/// Runs the command line and gives the process's exit code: 0 done, 1 failed, 2 used wrongly;
/// a command may have others, which its help names.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where not even this can be printed there is nobody to tell.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    telemetry::start(cli.log_format, &cli.log);
    #[cfg(feature = "test-support")]
    crate::config::arm();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("mapwright: the runtime can't start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Sandbox(args) => sandbox::run(args).await,
            Command::Connection(command) => connection::run(command).await,
            Command::Tenant(command) => tenant::run(command).await,
            Command::Key(command) => key::run(command).await,
            Command::Event(command) => event::run(command).await,
            Command::Audit(args) => audit::run(args).await,
            Command::OpenApi(args) => openapi::run(args),
            Command::Run(command) => run::run(command).await,
            Command::Records(command) => records::run(command).await,
            Command::Timeline(args) => timeline::run(args).await,
            Command::Timing(command) => timing::run(command).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Ops(command) => ops::run(command),
            Command::Backup(command) => backup::run(command).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Bench(command) => bench::run(command).await,
            Command::Check(args) => check::run(args).await,
            Command::Plugin(command) => plugin::run(command).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<exit::Exit>() {
            Some(exit) => ExitCode::from(exit.0),
            None => {
                output::complain(&format!("mapwright: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}
