//! The two processes of the demo, started from this very binary and stopped at its end.

use super::cast::{APP, SCOPES};
use super::http::Http;
use crate::domain::Clock;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// Machine time a process has to end after SIGTERM.
const STOPPING: Duration = Duration::from_secs(20);

/// A started process that says on its first line where it listens; killed when dropped.
pub(in crate::cli) struct Started {
    child: Child,
    pub(in crate::cli) url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Started {
    pub(in crate::cli) async fn start(args: &[&str], log: &Path) -> anyhow::Result<Self> {
        let own = crate::config::own_program().context("this program's own path is not known")?;
        let log_file =
            std::fs::File::create(log).with_context(|| format!("{} can't be made", log.display()))?;
        let mut child = Command::new(own)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .context("this program could not be started again")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the process has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line).await?;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(url) = said["listening"].as_str() else {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            bail!("`mapwright {}` did not start:\n{log}", args.join(" "));
        };
        Ok(Self { url: url.to_owned(), child, _stdout: stdout })
    }

    /// The process's number.
    pub(in crate::cli) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(in crate::cli) async fn stop(mut self, clock: &Clock) -> anyhow::Result<()> {
        if let Some(id) = self.child.id() {
            Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status()
                .await
                .context("kill could not be started")?;
        }
        let ended = clock
            .within(STOPPING, self.child.wait())
            .await
            .context("a process did not end after SIGTERM")??;
        if ended.success() { Ok(()) } else { bail!("a process ended with {ended}") }
    }
}

/// The sandbox's process.
pub(super) struct SandboxProcess {
    started: Started,
    /// Where it listens.
    pub(super) url: String,
    folder: PathBuf,
}

impl SandboxProcess {
    pub(super) async fn start(folder: &Path, rate: f64, origin: i64) -> anyhow::Result<Self> {
        let data = folder.join("sandbox");
        let (data_text, rate, origin) = (data.display().to_string(), rate.to_string(), origin.to_string());
        let args = [
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--data",
            &data_text,
            "--clock-rate",
            &rate,
            "--clock-origin",
            &origin,
        ];
        let started = Started::start(&args, &folder.join("sandbox.log")).await?;
        Ok(Self { url: started.url.clone(), started, folder: data })
    }

    /// Where its journal is.
    pub(super) fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    pub(super) async fn stop(self, clock: &Clock) -> anyhow::Result<()> {
        self.started.stop(clock).await
    }
}

/// What the host's process is started with.
pub(super) struct HostPlan<'a> {
    pub(super) folder: &'a Path,
    pub(super) clock: (f64, i64),
    pub(super) sandbox: &'a SandboxProcess,
    pub(super) http: &'a Http,
}

/// The host's process.
pub(super) struct Host {
    started: Started,
    /// Where it listens.
    pub(super) url: String,
    /// The key of its API.
    pub(super) key: String,
}

impl Host {
    /// Registers an app with the sandbox, configures a host for it and starts it; nobody is onboarded yet.
    pub(super) async fn start(plan: &HostPlan<'_>) -> anyhow::Result<Self> {
        let key = format!("mw_demo_{}", uuid::Uuid::new_v4().simple());
        // The address has to be known before the host is there: it is part of the app's registration.
        let listen = free_address()?;
        let (client_id, client_secret) = (format!("{APP}-client"), uuid::Uuid::new_v4().to_string());
        let app = json!({
            "app_id": APP, "webhook_url": format!("http://{listen}/webhooks/ghl/{APP}"), "client_id": client_id,
            "client_secret": client_secret, "redirect_uris": [format!("http://{listen}/oauth/callback/{APP}")],
            "scopes": SCOPES,
        });
        plan.http.post(&format!("{}/_sandbox/apps", plan.sandbox.url), None, &app).await?;
        let keys = plan.http.get(&format!("{}/_sandbox/keys", plan.sandbox.url), None).await?;
        let pem = keys["ed25519"].as_str().context("the sandbox has no key")?;
        let configuration = configuration(plan, (&listen, &key), (&client_id, &client_secret, pem))?;
        let config = plan.folder.join("host.toml");
        std::fs::write(&config, configuration).context("the host's configuration can't be written")?;
        let config = config.display().to_string();
        let started = Started::start(&["serve", "--config", &config], &plan.folder.join("host.log")).await?;
        Ok(Self { url: started.url.clone(), started, key })
    }

    pub(super) async fn stop(self, clock: &Clock) -> anyhow::Result<()> {
        self.started.stop(clock).await
    }
}

/// An address of this machine that nobody listens on.
fn free_address() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no port of this machine is free")?;
    Ok(listener.local_addr()?.to_string())
}

fn configuration(
    plan: &HostPlan<'_>,
    (listen, key): (&str, &str),
    (client_id, client_secret, pem): (&str, &str, &str),
) -> anyhow::Result<String> {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut toml = String::new();
    writeln!(toml, "[data]\nfolder = {}", text(&plan.folder.join("host").display().to_string()))?;
    writeln!(toml, "[http]\nlisten = {}\npublic_url = {}", text(listen), text(&format!("http://{listen}")))?;
    writeln!(toml, "[api]\nhost_key = {}", text(key))?;
    writeln!(toml, "[clock]\nrate = {:?}\norigin_millis = {}", plan.clock.0, plan.clock.1)?;
    writeln!(toml, "[ghl]\nsandbox_url = {}", text(&plan.sandbox.url))?;
    writeln!(toml, "[[app]]\nid = \"{APP}\"\nenvironment = \"sandbox\"\nghl_app_id = \"{APP}\"")?;
    writeln!(toml, "client_id = {}\nclient_secret = {}", text(client_id), text(client_secret))?;
    writeln!(toml, "scopes = {}\ned25519_keys = [{}]", text(SCOPES), text(pem))?;
    Ok(toml)
}
