//! `mapwright demo`: sandbox and host as processes of their own in a temporary folder, a day played at speed, the
//! checker over all of it, and a contact's timeline as a person wants to read it.
#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it has not is null")]

mod cast;
mod checker;
mod http;
mod onboard;
mod play;
mod polled;
mod processes;
mod settle;
mod show;
mod watch;

use super::output::{complain, say};
use super::plugin::{BuildRequest, Toolchain, build};
use crate::domain::Clock;
use anyhow::{Context as _, bail};
use checker::{Checker, Report};
use clap::Args;
use http::Http;
use onboard::Onboarding;
pub(in crate::cli) use processes::Started;
use processes::{Host, SandboxProcess};
use settle::Settling;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// How the demo runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright demo                  play a day, then keep serving until Ctrl-C
  mapwright demo --once --json    play a day, check it, and say how it went on the last line")]
pub(super) struct DemoArgs {
    /// End after the day instead of serving on.
    #[arg(long)]
    once: bool,
    /// Print the report as one JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// Product seconds per machine second.
    #[arg(long, default_value_t = 60.0)]
    clock_rate: f64,
    /// Contacts of each tenant.
    #[arg(long, default_value_t = 40)]
    contacts: usize,
    /// Folder of plugin .wasm files; built from the source tree if not given.
    #[arg(long)]
    plugins: Option<PathBuf>,
}

/// Plays the day.
pub(super) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let plugins = match &args.plugins {
        Some(folder) => folder.clone(),
        None => build_plugins()?,
    };
    let clock = Clock::system();
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let http = Http::new()?;
    let origin = clock.now().millis();
    let sandbox = SandboxProcess::start(folder.path(), args.clock_rate, origin).await?;
    let plan = processes::HostPlan {
        folder: folder.path(),
        clock: (args.clock_rate, origin),
        sandbox: &sandbox,
        http: &http,
    };
    let host = Host::start(&plan).await?;
    complain(&format!("sandbox GHL at {}, host at {}", sandbox.url, host.url));
    let tenants = cast::tenants();
    let onboarding = Onboarding { http: &http, sandbox: &sandbox.url, host: &host.url, key: &host.key };
    onboarding.run(&plugins, &tenants).await?;
    let settling =
        Settling { http: &http, clock: &clock, sandbox: &sandbox.url, host: &host.url, key: &host.key };
    settling.first_passes().await?;
    let day = play::Day {
        http: &http,
        sandbox: &sandbox.url,
        host: (&host.url, &host.key),
        tenants: &tenants,
        contacts: args.contacts,
    };
    let ids: Vec<String> = tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let checker = Checker { http: &http, host: &host.url, key: &host.key, tenants: &ids };
    let played = tokio::select! {
        played = async {
            let played = day.play().await?;
            settling.all().await?;
            anyhow::Ok(played)
        } => played?,
        () = watch::watch(&checker, &tenants, &clock) => bail!("watching ended before the day"),
    };
    let report = checker.check(&sandbox.journal(), &played.told).await?;
    for star in &played.stars {
        show::timeline(&checker, star).await?;
    }
    show::report(&report);
    if !args.once {
        complain(&format!(
            "serving on: curl -H 'Authorization: Bearer {}' {}/v1/events    (Ctrl-C ends)",
            host.key, host.url
        ));
        let stop = CancellationToken::new();
        super::sandbox::stop_on_signal(stop.clone());
        stop.cancelled().await;
    }
    host.stop(&clock).await?;
    sandbox.stop(&clock).await?;
    if args.json { say_report(&report) } else { verdict(&report) }
}

/// Checks a host against a sandbox's journal.
pub(super) async fn check(
    journal: &Path,
    (host, key): (&str, &str),
    tenants: &[String],
    told: &[String],
) -> anyhow::Result<Report> {
    Checker { http: &Http::new()?, host, key, tenants }.check(journal, told).await
}

/// Prints a report as one JSON object and says whether it is clean.
pub(super) fn say_report(report: &Report) -> anyhow::Result<()> {
    say(&serde_json::to_string(report)?);
    verdict(report)
}

fn verdict(report: &Report) -> anyhow::Result<()> {
    if report.is_clean() { Ok(()) } else { bail!("the day did not end clean: {}", report.faults.join("; ")) }
}

fn build_plugins() -> anyhow::Result<PathBuf> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let crates = ["contact-profile", "crash-drill", "task-reactions"].map(|name| plugins.join(name)).to_vec();
    let request = BuildRequest { crates, out: None, toolchain: Toolchain::Auto };
    let files = build(&request)
        .context("the demo's plugins could not be built; --plugins names a folder of built ones")?;
    let folder = files.first().and_then(|file| file.parent()).context("no plugin was built")?;
    Ok(folder.to_path_buf())
}
