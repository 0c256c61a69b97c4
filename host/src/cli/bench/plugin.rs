//! `mapwright bench plugin`: one run under all limits beside a bare wasmtime loop.

use super::{output, percentile};
use crate::cli::exit::Exit;
use crate::cli::plugin::{BuildRequest, PROFILE, Toolchain, build};
use crate::domain::Clock;
use crate::plugins::{Limits, Runtime, RuntimeSettings};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much slower than native code the bare loop may be; beyond it something is wrong with the loop, and a ratio to it
/// says nothing.
const BARE_TO_NATIVE: f64 = 13.0;

/// Which plugin, and how often.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright bench plugin --json
  mapwright bench plugin my-plugin.wasm --json")]
pub(crate) struct PluginArgs {
    /// A mapping plugin's .wasm file; contact-profile, built from the source tree, if not given. Only contact-profile is
    /// compared with native code.
    file: Option<PathBuf>,
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
    let file = match &args.file {
        Some(file) => file.clone(),
        None => built()?,
    };
    let bytes = std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
    let limits = Limits::default();
    let runtime = Runtime::new(RuntimeSettings::default(), Clock::system())?;
    let package = runtime.check(&bytes, &limits).await?;
    let version = runtime.load(&package.version, &package.component).await?;
    let Ok(prepared) = runtime.prepare(&version, &args.config, &limits).await? else {
        bail!("the plugin refuses the configuration {}", args.config)
    };
    let bench = runtime.bench(&version, &prepared, args.rounds.max(100)).await?;
    let (baseline, ours) = (percentile(&bench.baseline, 50), percentile(&bench.ours, 50));
    let native = if package.description.name == "contact-profile" && source().is_dir() {
        let native = native()?;
        let same = (native.fields_in, native.fields_out) == (bench.fields_in, bench.fields_out);
        ensure!(
            same,
            "the native function makes {} fields of {}, the plugin {} of {}: rebuild {}",
            native.fields_out,
            native.fields_in,
            bench.fields_out,
            bench.fields_in,
            file.display()
        );
        Some(native.nanos / 1000.0)
    } else {
        None
    };
    let report = serde_json::json!({
        "bench": "plugin", "unit": "microseconds a run", "rounds": bench.ours.len(), "pooled": runtime.pooled(),
        "fields_in": bench.fields_in, "fields_out": bench.fields_out,
        "baseline": baseline, "ours": ours, "ratio": ours / baseline,
        "baseline_p99": percentile(&bench.baseline, 99), "p50": ours, "p99": percentile(&bench.ours, 99),
        "native": native, "baseline_to_native": native.map(|native| baseline / native),
    });
    if args.json {
        output::say(&report.to_string());
    } else {
        let native = native.map_or_else(String::new, |native| format!("native {native:.2} µs, "));
        output::say(&format!(
            "{} rounds: {native}bare {baseline:.1} µs, under all limits {ours:.1} µs (p50), ratio {:.2}; p99 {:.1} and {:.1} µs",
            bench.ours.len(),
            ours / baseline,
            percentile(&bench.baseline, 99),
            percentile(&bench.ours, 99)
        ));
    }
    match native.map(|native| baseline / native) {
        Some(times) if times > BARE_TO_NATIVE => {
            output::complain(&format!(
                "mapwright: the bare loop takes {times:.1} times the native function; {BARE_TO_NATIVE} are allowed"
            ));
            Err(Exit(2).into())
        }
        _ => Ok(()),
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/contact-profile")
}

fn built() -> anyhow::Result<PathBuf> {
    let request = BuildRequest { crates: vec![source()], out: None, toolchain: Toolchain::Auto };
    build(&request)?.pop().context("no plugin was built")
}

/// What the plugin's own program `native` printed.
#[derive(Debug, Deserialize)]
struct Native {
    nanos: f64,
    fields_in: usize,
    fields_out: usize,
}

/// Times the same `Mapping::map` compiled for this machine, with the settings plugins are compiled with.
fn native() -> anyhow::Result<Native> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "--example", "native", "--manifest-path"]);
    command.arg(source().join("Cargo.toml"));
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    let target = source().join("../../target/native-bench");
    let ran = command.arg("--target-dir").arg(target).output().context("cargo could not be started")?;
    ensure!(
        ran.status.success(),
        "the native function can't be timed: {}",
        String::from_utf8_lossy(&ran.stderr).trim()
    );
    serde_json::from_slice(&ran.stdout).context("the native function's times can't be read")
}
