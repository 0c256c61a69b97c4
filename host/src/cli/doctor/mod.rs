//! `mapwright doctor`: looks at everything a host needs, changes nothing, and says how to mend what is wrong.

mod data;
mod machine;
mod reach;

use super::exit::Exit;
use super::output::say;
use crate::config;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// What is looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright doctor --config host.toml
  mapwright doctor --config host.toml --offline --json
Exit codes: 0 all is well; 3 something deserves attention; 4 something is broken; 2 used wrongly.
The host may run meanwhile; nothing is changed.")]
pub(super) struct DoctorArgs {
    /// The host's configuration.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Ask nobody outside this machine: GHL's clock is not compared.
    #[arg(long)]
    offline: bool,
    /// Read the whole database, indexes against tables too; takes minutes on a large one.
    #[arg(long)]
    thorough: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    state: State,
    /// What was found, without secrets.
    detail: String,
    /// How to mend it.
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), mend: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Warn, detail: detail.into(), mend: Some(mend.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Fail, detail: detail.into(), mend: Some(mend.into()) }
    }
}

/// Looks, tells, and gives the exit code.
pub(super) async fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let checks = look(&args).await;
    let worst = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    if args.json {
        say(&serde_json::json!({"state": worst, "checks": checks}).to_string());
    } else {
        for check in &checks {
            let word = match check.state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            say(&format!("{word}  {:<14} {}", check.name, check.detail));
            if let Some(mend) = &check.mend {
                say(&format!("      {:<14} → {mend}", ""));
            }
        }
    }
    match worst {
        State::Ok => Ok(()),
        State::Warn => Err(Exit(3).into()),
        State::Fail => Err(Exit(4).into()),
    }
}

async fn look(args: &DoctorArgs) -> Vec<Check> {
    let settings = match config::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            let mend = "mend the key it names; each is documented in host/config.default.toml";
            return vec![Check::fail("configuration", error.to_string(), mend)];
        }
    };
    let mut checks = vec![data::configuration(&settings)];
    checks.push(data::folder(&settings.data.folder));
    checks.extend(data::database(&settings.data.folder, args.thorough).await);
    checks.push(data::disk(&settings.data.folder));
    checks.extend(machine::pool());
    checks.push(machine::toolchain());
    checks.extend(reach::host(&settings).await);
    if !args.offline {
        checks.push(reach::clock(&settings).await);
    }
    checks
}
