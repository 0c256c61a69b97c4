//! `mapwright bench start`: how long a host takes to listen, on an empty folder and on one it knows, what it then holds
//! in memory, and how large the program is.

use crate::cli::demo::Started;
use crate::cli::output::say;
use crate::config::own_program;
use crate::domain::Clock;
use anyhow::Context as _;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How it is started.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright bench start --plugins target/plugins --json")]
pub(in crate::cli) struct StartArgs {
    /// A folder of plugins to deploy; none without it.
    #[arg(long)]
    plugins: Option<PathBuf>,
    /// Starts on each kind of folder.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Machine time a host is left alone before its memory is looked at.
const AT_REST: Duration = Duration::from_secs(2);

/// A start.
struct Start {
    took: Duration,
    rss_bytes: u64,
}

pub(in crate::cli) async fn run(args: StartArgs) -> anyhow::Result<()> {
    let clock = Clock::system();
    let (mut empty, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds.max(1) {
        let folder = tempfile::tempdir().context("no temporary folder could be made")?;
        let config = folder.path().join("host.toml");
        std::fs::write(&config, configuration(folder.path(), args.plugins.as_deref()))?;
        empty.push(start(&config, folder.path(), &clock).await?);
        warm.push(start(&config, folder.path(), &clock).await?);
    }
    let program = own_program().context("this program's own path is not known")?;
    let program_bytes = std::fs::metadata(program)?.len();
    let (empty_ms, warm_ms) = (median_millis(&empty), median_millis(&warm));
    let (empty_rss, warm_rss) = (median_rss(&empty), median_rss(&warm));
    if args.json {
        let report = serde_json::json!({
            "bench": "start", "unit": "milliseconds", "empty": empty_ms, "warm": warm_ms, "rounds": empty.len(),
            "plugins": args.plugins.is_some(), "rss_bytes_empty": empty_rss, "rss_bytes_warm": warm_rss,
            "program_bytes": program_bytes,
        });
        say(&report.to_string());
    } else {
        say(&format!(
            "listens after {empty_ms:.0} ms on an empty folder, {warm_ms:.0} ms on a known one; {} MiB at rest; the program has {} MiB",
            warm_rss >> 20,
            program_bytes >> 20
        ));
    }
    Ok(())
}

async fn start(config: &Path, folder: &Path, clock: &Clock) -> anyhow::Result<Start> {
    let config = config.display().to_string();
    let args = ["--log", "warn", "serve", "--config", &config];
    let began = clock.machine_now();
    let started = Started::start(&args, &folder.join("host.log")).await?;
    let took = began.elapsed();
    clock.machine_sleep(AT_REST).await;
    let rss_bytes = started.id().map_or(0, rss_bytes);
    started.stop(clock).await?;
    Ok(Start { took, rss_bytes })
}

/// What a process holds in memory, as Linux counts it; 0 where it can't be known.
fn rss_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn configuration(folder: &Path, plugins: Option<&Path>) -> String {
    let text = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let mut toml =
        format!("[data]\nfolder = {}\n[http]\nlisten = \"127.0.0.1:0\"\n", text(&folder.join("data")));
    if let Some(plugins) = plugins {
        toml.push_str(&format!("[plugins]\nfolder = {}\n", text(plugins)));
    }
    toml
}

fn median_millis(starts: &[Start]) -> f64 {
    let mut times: Vec<f64> = starts.iter().map(|start| start.took.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

fn median_rss(starts: &[Start]) -> u64 {
    let mut sizes: Vec<u64> = starts.iter().map(|start| start.rss_bytes).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied().unwrap_or(0)
}
