//! The two processes of the demo, started from this very binary and stopped at its end.

use super::http::Http;
use super::play::Tenant;
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

/// The app's id in the demo, in paths and in bodies.
const APP: &str = "demo";

/// Scopes of the host's tokens.
const SCOPES: &str = "contacts.readonly contacts.write calendars/events.readonly calendars/events.write \
    locations/tasks.readonly locations/customFields.readonly";
/// What `contact-profile` is granted.
const READS: &str = r#"["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read"]"#;
/// What `task-reactions` is granted.
const WRITES: &str = r#"["crm.tasks.write", "crm.notes.write", "crm.tasks.read", "rankr.read", "rankr.write",
    "rankr.timeline", "rankr.events", "schedule", "state.contact"]"#;
/// How `task-reactions` is configured.
const REACTIONS: &str =
    r#"{"tag_tasks": {"vip": "Welcome the new VIP"}, "due_days": 2, "noted_fields": ["phone"]}"#;

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
    pub(super) plugins: &'a Path,
    pub(super) clock: (f64, i64),
    pub(super) sandbox: &'a SandboxProcess,
    pub(super) tenants: &'a [Tenant],
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
    /// Configures a host for the sandbox, starts it, and has the sandbox send its webhooks there.
    pub(super) async fn start(plan: &HostPlan<'_>) -> anyhow::Result<Self> {
        let key = format!("mw_demo_{}", uuid::Uuid::new_v4().simple());
        let config = plan.folder.join("host.toml");
        std::fs::write(&config, configuration(plan, &key).await?)
            .context("the host's configuration can't be written")?;
        let config = config.display().to_string();
        let started = Started::start(&["serve", "--config", &config], &plan.folder.join("host.log")).await?;
        let locations: Vec<&str> = plan.tenants.iter().map(|tenant| tenant.location.as_str()).collect();
        let webhook_url = format!("{}/webhooks/ghl/{APP}", started.url);
        let app = json!({"app_id": APP, "webhook_url": webhook_url, "locations": locations});
        plan.http.post(&format!("{}/_sandbox/apps", plan.sandbox.url), None, &app).await?;
        Ok(Self { url: started.url.clone(), started, key })
    }

    pub(super) async fn stop(self, clock: &Clock) -> anyhow::Result<()> {
        self.started.stop(clock).await
    }
}

async fn configuration(plan: &HostPlan<'_>, key: &str) -> anyhow::Result<String> {
    let sandbox = &plan.sandbox.url;
    let keys = plan.http.get(&format!("{sandbox}/_sandbox/keys"), None).await?;
    let pem = keys["ed25519"].as_str().context("the sandbox has no key")?;
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut toml = String::new();
    writeln!(toml, "[data]\nfolder = {}", text(&plan.folder.join("host").display().to_string()))?;
    writeln!(toml, "[http]\nlisten = \"127.0.0.1:0\"")?;
    writeln!(toml, "[api]\nhost_key = {}", text(key))?;
    writeln!(toml, "[clock]\nrate = {:?}\norigin_millis = {}", plan.clock.0, plan.clock.1)?;
    writeln!(toml, "[plugins]\nfolder = {}", text(&plan.plugins.display().to_string()))?;
    writeln!(toml, "[ghl]\nsandbox_url = {}", text(sandbox))?;
    writeln!(
        toml,
        "[[app]]\nid = \"{APP}\"\nenvironment = \"sandbox\"\nghl_app_id = \"{APP}\"\ned25519_keys = [{}]",
        text(pem)
    )?;
    for tenant in plan.tenants {
        let asked = json!({"location_id": tenant.location, "scopes": SCOPES});
        let token = plan.http.post(&format!("{sandbox}/_sandbox/tokens"), None, &asked).await?;
        let token = token["access_token"].as_str().context("the sandbox gave no token")?;
        writeln!(toml, "[[tenant]]\nid = {}\nname = {}", text(&tenant.id), text(&tenant.name))?;
        writeln!(
            toml,
            "[[connection]]\nid = {}\ntenant = {}\napp = \"{APP}\"\nlocation = {}\naccess_token = {}\nscopes = \"{SCOPES}\"",
            text(&format!("cn-{}", tenant.id)),
            text(&tenant.id),
            text(&tenant.location),
            text(token)
        )?;
        writeln!(
            toml,
            "[[assignment]]\ntenant = {}\nplugin = \"contact-profile\"\ngrants = {READS}",
            text(&tenant.id)
        )?;
        writeln!(
            toml,
            "[[assignment]]\ntenant = {}\nplugin = \"task-reactions\"\nconfig = '{REACTIONS}'\ngrants = {WRITES}",
            text(&tenant.id)
        )?;
    }
    Ok(toml)
}
