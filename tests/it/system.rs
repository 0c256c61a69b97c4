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

/// A folder with these plugins and guests.
pub(crate) fn plugins(names: &[&str]) -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    for name in names {
        let file = format!("{name}.wasm");
        let built = ["MAPWRIGHT_PLUGINS", "MAPWRIGHT_GUESTS"].map(|it| named(it).join(&file));
        let built = built.iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("{file} is not built"));
        std::fs::copy(built, folder.join(&file)).unwrap();
    }
    folder
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
    pub(crate) fn start(mut command: Command) -> Option<Self> {
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
    /// The token of a person in the CRM.
    pub(crate) person: String,
    pub(crate) port: u16,
    /// Product seconds per machine second.
    pub(crate) rate: String,
}

/// What the host of a test runs.
pub(crate) struct Plan {
    /// The folder of its plugins.
    pub(crate) plugins: PathBuf,
    /// Its assignments, TOML.
    pub(crate) assignments: &'static str,
}

/// Mapping alone, which asks GHL for nothing.
const MAPPING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
"#;

/// Mapping with what it may read, and reactions.
pub(crate) const REACTING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
grants = ["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read"]
[[assignment]]
tenant = "t"
plugin = "task-reactions"
config = '{"tag_tasks": {"vip": "Welcome"}, "due_days": 1}'
grants = ["crm.tasks.write", "crm.notes.write", "crm.tasks.read", "rankr.read", "rankr.write", "rankr.timeline",
    "rankr.events", "schedule", "state.contact"]
"#;

/// Scopes of the host's token.
const SCOPES: &str = "contacts.readonly contacts.write calendars/events.readonly calendars/events.write locations/tasks.readonly";

/// Product seconds per machine second in these tests.
const RATE: &str = "60";

impl System {
    /// A running sandbox and a configuration for a host; the host is started by [`System::host`].
    pub(crate) async fn new() -> Self {
        Self::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: MAPPING }).await
    }

    /// A running sandbox and a configuration for a host that runs these plugins.
    pub(crate) async fn with(plan: Plan) -> Self {
        Self::at_rate(RATE, plan).await
    }

    /// The same with so many product seconds per machine second.
    pub(crate) async fn at_rate(rate: &str, plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Self::sandbox_at(folder.path(), "127.0.0.1:0", rate);
        let http = reqwest::Client::new();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let rate = rate.to_owned();
        let mut system = Self { folder, sandbox, http, port, person: String::new(), rate };
        system.person = system.token(json!({"location_id": LOCATION})).await;
        let token = system.token(json!({"location_id": LOCATION, "scopes": SCOPES})).await;
        let keys: Value = system.http.get(system.control("keys")).send().await.unwrap().json().await.unwrap();
        std::fs::write(
            system.folder.path().join("host.toml"),
            system.configuration(keys["ed25519"].as_str().unwrap(), &token, &plan),
        )
        .unwrap();
        let app = json!({"app_id": "demo", "webhook_url": format!("{}/webhooks/ghl/demo", system.host_url()), "locations": [LOCATION]});
        system.http.post(system.control("apps")).json(&app).send().await.unwrap().error_for_status().unwrap();
        system
    }

    fn sandbox_at(folder: &Path, listen: &str, rate: &str) -> Process {
        let mut command = Command::new(product());
        command.args(["sandbox", "--listen", listen]);
        command.args(["--clock-rate", rate, "--clock-origin", "1767225600000"]);
        command.arg("--data").arg(folder.join("sandbox"));
        Process::start(command).expect("the sandbox starts")
    }

    /// Stops the sandbox and starts it again at the same address, over the same data.
    pub(crate) fn restart_sandbox(&mut self) {
        let listen = self.sandbox.url.trim_start_matches("http://").to_owned();
        self.sandbox.child.kill().unwrap();
        self.sandbox.child.wait().unwrap();
        self.sandbox = Self::sandbox_at(self.folder.path(), &listen, &self.rate);
    }

    pub(crate) async fn token(&self, asked: Value) -> String {
        let reply = self.http.post(self.control("tokens")).json(&asked).send().await.unwrap();
        reply.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    fn configuration(&self, pem: &str, token: &str, plan: &Plan) -> String {
        let mut toml = String::new();
        writeln!(toml, "[data]\nfolder = \"{}\"", self.folder.path().join("host").display()).unwrap();
        writeln!(toml, "[http]\nlisten = \"127.0.0.1:{}\"\nbody_limit_bytes = 65536", self.port).unwrap();
        writeln!(
            toml,
            "[api]\nhost_key = \"{KEY}\"\n[clock]\nrate = {}.0\norigin_millis = 1767225600000",
            self.rate
        )
        .unwrap();
        writeln!(toml, "[plugins]\nfolder = \"{}\"", plan.plugins.display()).unwrap();
        writeln!(toml, "[ghl]\nsandbox_url = \"{}\"", self.sandbox.url).unwrap();
        writeln!(toml, "[[app]]\nid = \"demo\"\nenvironment = \"sandbox\"\nghl_app_id = \"demo\"").unwrap();
        writeln!(toml, "ed25519_keys = [\"\"\"\n{pem}\"\"\"]\n[[tenant]]\nid = \"t\"\nname = \"Example\"")
            .unwrap();
        writeln!(
            toml,
            "[[connection]]\nid = \"c\"\ntenant = \"t\"\napp = \"demo\"\nlocation = \"{LOCATION}\""
        )
        .unwrap();
        writeln!(toml, "access_token = \"{token}\"\nscopes = \"{SCOPES}\"\n{}", plan.assignments).unwrap();
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
            "256",
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
        self.host_with(&[("FAILPOINTS", failpoints)])
    }

    /// Starts the host with these variables in its environment; `None` when it died before it listened.
    pub(crate) fn host_with(&self, environment: &[(&str, &str)]) -> Option<Process> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("host.log"))
            .unwrap();
        let mut command = Command::new(test_build());
        command.args(["serve", "--config"]).arg(self.folder.path().join("host.toml"));
        command.envs(environment.iter().copied()).stderr(log);
        Process::start(command)
    }

    /// Starts the host with so many bytes of address space.
    pub(crate) fn small_host(&self, address_space: u64) -> Option<Process> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("host.log"))
            .unwrap();
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={address_space}")).arg(test_build()).args(["serve", "--config"]);
        command.arg(self.folder.path().join("host.toml")).stderr(log);
        Process::start(command)
    }

    /// Does something in the CRM as a person.
    pub(crate) async fn crm(&self, method: &str, path: &str, body: &Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.sandbox.url));
        let request = request.bearer_auth(&self.person).header("version", "2021-07-28").json(body);
        let reply = request.send().await.unwrap().error_for_status().unwrap();
        reply.json().await.unwrap()
    }

    pub(crate) async fn create(&self, mut fields: Value) -> String {
        fields["locationId"] = json!(LOCATION);
        let made = self.crm("POST", "/contacts/", &fields).await;
        made["contact"]["id"].as_str().unwrap().to_owned()
    }

    /// Switches faults of the sandbox.
    pub(crate) async fn faults(&self, faults: Value) {
        self.http.put(self.control("faults")).json(&faults).send().await.unwrap().error_for_status().unwrap();
    }

    /// What happens to the next writes of programs, one after the other.
    pub(crate) async fn script(&self, steps: &[&str]) {
        let request = self.http.put(self.control("script")).json(&steps);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// How often the sandbox did that write for us on that object, by its journal.
    pub(crate) fn writes(&self, operation: &str, id: &str) -> usize {
        let journal = std::fs::read_to_string(self.folder.path().join("sandbox/journal.jsonl")).unwrap();
        let entries = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|it| it["kind"] == "write" && it["operation"] == operation && it["id"] == id).count()
    }

    /// Asks the host to do something; gives status and body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.host_url())).bearer_auth(KEY).json(body);
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap())
    }

    /// Tells the host of an event under a key, again and again until it answers; gives status and body.
    pub(crate) async fn tell(
        &self,
        key: &str,
        event_type: &str,
        contact: &str,
        data: &Value,
    ) -> (u16, Value) {
        let body = json!({"tenant": "t", "type": event_type, "ghl_contact": contact, "data": data});
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let url = format!("{}/v1/events", self.host_url());
            let request = self.http.post(url).bearer_auth(KEY).header("idempotency-key", key).json(&body);
            if let Ok(reply) = request.send().await
                && reply.status().as_u16() < 500
            {
                let status = reply.status().as_u16();
                if let Ok(body) = reply.json().await {
                    return (status, body);
                }
            }
            assert!(Instant::now() < until, "the host does not answer; {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
            let idle = pending["pending"] == 0 && open["events_open"] == 0 && open["effects_open"] == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The checker's report and whether it found the day clean.
    pub(crate) fn check(&self, told: &[String]) -> (bool, Value) {
        let keys = self.folder.path().join("told");
        std::fs::write(&keys, told.join("\n")).unwrap();
        let journal = self.folder.path().join("sandbox/journal.jsonl");
        let output = Command::new(product())
            .args(["check", "--tenants", "t", "--key", KEY, "--host", &self.host_url(), "--journal"])
            .arg(journal)
            .arg("--told")
            .arg(keys)
            .output()
            .unwrap();
        (output.status.success(), last_line(&output))
    }

    pub(crate) fn whole_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("host.log")).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        self.whole_log().lines().rev().take(20).collect::<Vec<_>>().join("\n")
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
