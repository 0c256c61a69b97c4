//! `mapwright demo`: sandbox and host as processes of their own in a temporary folder, a day played at speed, the
//! checker over all of it, and a contact's timeline as a person wants to read it.
#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it has not is null")]

mod checker;
mod http;
mod play;
mod polled;
mod processes;
mod show;

use super::output::{complain, say};
use super::plugin::{BuildRequest, Toolchain, build};
use crate::domain::Clock;
use anyhow::{Context as _, bail};
use checker::{Checker, Report};
use clap::Args;
use http::Http;
pub(in crate::cli) use processes::Started;
use processes::{Host, SandboxProcess};
use std::path::{Path, PathBuf};
use std::time::Duration;
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

/// Machine time all events have to end after the last was sent.
const SETTLE: Duration = Duration::from_secs(60);

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
    let tenants = play::tenants();
    let host = Host::start(&processes::HostPlan {
        folder: folder.path(),
        plugins: &plugins,
        clock: (args.clock_rate, origin),
        sandbox: &sandbox,
        tenants: &tenants,
        http: &http,
    })
    .await?;
    complain(&format!("sandbox GHL at {}, host at {}", sandbox.url, host.url));
    let day = play::Day {
        http: &http,
        sandbox: &sandbox.url,
        host: (&host.url, &host.key),
        tenants: &tenants,
        contacts: args.contacts,
    };
    let played = day.play().await?;
    settle(&http, &clock, &sandbox.url, &host.url).await?;
    let ids: Vec<String> = tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let checker = Checker { http: &http, host: &host.url, key: &host.key, tenants: &ids };
    let report = checker.check(&sandbox.journal(), &played.told).await?;
    show::timeline(&checker, &played.star).await?;
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
    let crates = ["contact-profile", "task-reactions"].map(|name| plugins.join(name)).to_vec();
    let request = BuildRequest { crates, out: None, toolchain: Toolchain::Auto };
    let files = build(&request)
        .context("the demo's plugins could not be built; --plugins names a folder of built ones")?;
    let folder = files.first().and_then(|file| file.parent()).context("no plugin was built")?;
    Ok(folder.to_path_buf())
}

/// Waits until the sandbox has sent everything and the host has ended everything.
async fn settle(http: &Http, clock: &Clock, sandbox: &str, host: &str) -> anyhow::Result<()> {
    let settled = async {
        let mut quiet = 0;
        while quiet < 3 {
            let pending = http.get(&format!("{sandbox}/_sandbox/pending"), None).await?;
            let health = http.get(&format!("{host}/healthz"), None).await?;
            let idle = pending["pending"] == 0 && health["events_open"] == 0 && health["effects_open"] == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            clock.machine_sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    clock.within(SETTLE, settled).await.unwrap_or_else(|| bail!("not everything ended within {SETTLE:?}"))
}
