//! A sandbox and a host as processes, the host restartable over the same data.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "mw_test_0123456789abcdefghij";
pub(crate) const LOCATION: &str = "locExample0000000001";

/// A path that `tests/run` names.
pub(crate) fn named(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run tests/run")))
}

pub(crate) fn product() -> PathBuf {
    named("MAPWRIGHT_BIN")
}

pub(crate) fn test_build() -> PathBuf {
    named("MAPWRIGHT_TEST_BIN")
}

/// A process that says where it listens on its first line.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Process {
    fn start(mut command: Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(url) = said["listening"].as_str().map(str::to_owned) else {
            child.wait().unwrap();
            return None;
        };
        Some(Self { child, url })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Sandbox, host and the folder they live in.
pub(crate) struct System {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sandbox: Process,
    pub(crate) http: reqwest::Client,
    port: u16,
}

/// Product seconds per machine second in these tests.
const RATE: &str = "60";

impl System {
    /// A running sandbox and a configuration for a host; the host is started by [`System::host`].
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(product());
        command.args([
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--clock-rate",
            RATE,
            "--clock-origin",
            "1767225600000",
        ]);
        command.arg("--data").arg(folder.path().join("sandbox"));
        let sandbox = Process::start(command).expect("the sandbox starts");
        let http = reqwest::Client::new();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let system = Self { folder, sandbox, http, port };
        let keys: Value = system.http.get(system.control("keys")).send().await.unwrap().json().await.unwrap();
        std::fs::write(
            system.folder.path().join("host.toml"),
            system.configuration(keys["ed25519"].as_str().unwrap()),
        )
        .unwrap();
        let app = json!({"app_id": "demo", "webhook_url": format!("{}/webhooks/ghl/demo", system.host_url()), "locations": [LOCATION]});
        system.http.post(system.control("apps")).json(&app).send().await.unwrap().error_for_status().unwrap();
        system
    }

    fn configuration(&self, pem: &str) -> String {
        let mut toml = String::new();
        writeln!(toml, "[data]\nfolder = \"{}\"", self.folder.path().join("host").display()).unwrap();
        writeln!(toml, "[http]\nlisten = \"127.0.0.1:{}\"\nbody_limit_bytes = 65536", self.port).unwrap();
        writeln!(
            toml,
            "[api]\nhost_key = \"{KEY}\"\n[clock]\nrate = {RATE}.0\norigin_millis = 1767225600000"
        )
        .unwrap();
        writeln!(toml, "[plugins]\nfolder = \"{}\"", named("MAPWRIGHT_PLUGINS").display()).unwrap();
        writeln!(toml, "[[app]]\nid = \"demo\"\nenvironment = \"sandbox\"\nghl_app_id = \"demo\"").unwrap();
        writeln!(toml, "ed25519_keys = [\"\"\"\n{pem}\"\"\"]\n[[tenant]]\nid = \"t\"\nname = \"Example\"")
            .unwrap();
        writeln!(
            toml,
            "[[connection]]\nid = \"c\"\ntenant = \"t\"\napp = \"demo\"\nlocation = \"{LOCATION}\""
        )
        .unwrap();
        writeln!(
            toml,
            "access_token = \"unused\"\n[[assignment]]\ntenant = \"t\"\nplugin = \"contact-profile\""
        )
        .unwrap();
        toml
    }

    pub(crate) fn host_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn control(&self, what: &str) -> String {
        format!("{}/_sandbox/{what}", self.sandbox.url)
    }

    /// Starts the host under strace, which writes its reads, writes and syncs to a file.
    pub(crate) fn traced_host(&self, trace: &Path, synchronous: &str) -> Process {
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-y",
            "-s",
            "48",
            "-e",
            "trace=fdatasync,fsync,read,recvfrom,write,writev,sendto",
            "-o",
        ]);
        command
            .arg(trace)
            .arg(product())
            .args(["serve", "--config"])
            .arg(self.folder.path().join("host.toml"));
        command.env("MAPWRIGHT_DATABASE__SYNCHRONOUS", synchronous);
        Process::start(command).expect("the host starts under strace")
    }

    /// Starts the host, with failpoints armed if named; `None` when it died before it listened.
    pub(crate) fn host(&self, failpoints: &str) -> Option<Process> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("host.log"))
            .unwrap();
        let mut command = Command::new(test_build());
        command.args(["serve", "--config"]).arg(self.folder.path().join("host.toml"));
        command.env("FAILPOINTS", failpoints).stderr(log);
        Process::start(command)
    }

    pub(crate) async fn create(&self, fields: Value) -> String {
        let body = json!({"location_id": LOCATION, "fields": fields});
        let reply = self
            .http
            .post(self.control("contacts"))
            .json(&body)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap();
        reply.json::<Value>().await.unwrap()["contact"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.host_url())).bearer_auth(KEY);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Waits until everything was sent and has ended.
    pub(crate) async fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(90);
        let mut quiet = 0;
        while quiet < 3 {
            assert!(Instant::now() < until, "not everything ended; {}", self.log());
            let pending: Value =
                self.http.get(self.control("pending")).send().await.unwrap().json().await.unwrap();
            let open = self.get("/healthz").await;
            quiet = if pending["pending"] == 0 && open["events_open"] == 0 { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The checker's report and whether it found the day clean.
    pub(crate) fn check(&self) -> (bool, Value) {
        let journal = self.folder.path().join("sandbox/journal.jsonl");
        let output = Command::new(product())
            .args(["check", "--tenants", "t", "--key", KEY, "--host", &self.host_url(), "--journal"])
            .arg(journal)
            .output()
            .unwrap();
        (output.status.success(), last_line(&output))
    }

    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("host.log")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }
}

/// The JSON object on the last line a command printed.
pub(crate) fn last_line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).unwrap()
}

/// Runs a program with arguments and an environment variable.
pub(crate) fn run(program: &Path, args: &[&str], env: (&str, &str)) -> Output {
    Command::new(program).args(args).env(env.0, env.1).output().unwrap()
}
