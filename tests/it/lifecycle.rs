//! Plugins in people's hands while the host runs: deployed, activated, replaced, rolled back, switched off; by API, by
//! command and by a file in the watched folder; and what is refused changes nothing.

use crate::system::{KEY, Plan, Process, System, named, product};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What every test's host runs besides; the checker looks at its records.
pub(crate) const PROFILE: &str = "[[assignment]]\ntenant = \"t\"\nplugin = \"contact-profile\"\n";

pub(crate) struct Stage {
    pub(crate) system: Arc<System>,
    pub(crate) host: Option<Process>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// A host whose folder holds `contact-profile` and what is named of the guests.
    pub(crate) async fn start(guests: &[&str], assignments: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            named("MAPWRIGHT_PLUGINS").join("contact-profile.wasm"),
            folder.path().join("contact-profile.wasm"),
        )
        .unwrap();
        for guest in guests {
            std::fs::write(folder.path().join(format!("{guest}.wasm")), guest_bytes(guest)).unwrap();
        }
        let plan = Plan { plugins: folder.path().to_path_buf(), assignments };
        let system = Arc::new(System::with(plan).await);
        let mut stage = Self { system, host: None, folder };
        stage.configure(|text| text.replacen("[plugins]\n", "[plugins]\nfolder_every_millis = 50\n", 1));
        stage.restart();
        stage
    }

    pub(crate) fn restart(&mut self) {
        self.host = None;
        self.host = Some(self.system.host("").unwrap_or_else(|| panic!("{}", self.system.log())));
    }

    fn configure(&self, change: impl FnOnce(String) -> String) {
        let file = self.system.folder.path().join("host.toml");
        std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.system.host_url());
        let request = self.system.http.request(method, url).bearer_auth(KEY).header("content-type", kind);
        let reply = request.body(body).send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body.to_string().into_bytes(), "application/json").await
    }

    async fn upload(&self, bytes: Vec<u8>) -> (u16, Value) {
        self.send(Method::POST, "/v1/plugins", bytes, "application/wasm").await
    }

    pub(crate) async fn activate(&self, version: &str, config: Value, grants: &[&str]) -> (u16, Value) {
        let body =
            json!({"tenant": "t", "plugin": "stage", "version": version, "config": config, "grants": grants});
        self.post("/v1/assignments", &body).await
    }

    /// The tenant's assignment of the guest, as it stands.
    pub(crate) async fn assignment(&self) -> Value {
        self.system.get("/v1/assignments?tenant=t&plugin=stage").await["items"][0].clone()
    }

    /// Semantic version and label that are current, and whether the assignment is on.
    async fn current(&self) -> (String, String, String) {
        let assignment = self.assignment().await;
        let text = |pointer: &str| {
            assignment.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        (text("/current/semver"), text("/current/config/label"), text("/state"))
    }

    async fn act(&self, act: &str) -> (u16, Value) {
        self.act_with(act, &json!(null)).await
    }

    pub(crate) async fn act_with(&self, act: &str, body: &Value) -> (u16, Value) {
        let id = self.assignment().await["id"].as_str().unwrap().to_owned();
        self.post(&format!("/v1/assignments/{id}/{act}"), body).await
    }

    async fn versions(&self) -> Vec<String> {
        let (status, found) = self.send(Method::GET, "/v1/plugins/stage", Vec::new(), "text/plain").await;
        let list = found["versions"].as_array().filter(|_| status == 200).cloned().unwrap_or_default();
        list.iter().map(|version| version["semver"].as_str().unwrap().to_owned()).collect()
    }

    /// The field of a contact's record.
    pub(crate) async fn field(&self, contact: &str, field: &str) -> Value {
        let records = self.system.get("/v1/records?tenant=t&kind=contact&limit=1000").await;
        let all = records["items"].as_array().unwrap();
        let own = all.iter().find(|record| record["ghl_id"] == contact);
        own.map(|record| record["fields"][field].clone()).unwrap_or_default()
    }

    async fn folder_file(&self, file: &str) -> Value {
        let report = self.system.get("/v1/plugins/folder").await;
        let files = report["files"].as_array().unwrap();
        files.iter().find(|one| one["file"] == file).cloned().unwrap_or_default()
    }

    async fn until_file(&self, file: &str, state: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.folder_file(file).await;
            if found["state"] == state {
                return found;
            }
            assert!(Instant::now() < until, "{file} is {found}; {}", self.system.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(named("MAPWRIGHT_GUESTS").join(format!("{name}.wasm"))).unwrap()
}

/// The same plugin in other bytes: a section nobody reads is added.
fn other_bytes(name: &str, mark: u8) -> Vec<u8> {
    [guest_bytes(name), vec![0, 5, 3, b'm', b'r', b'k', mark]].concat()
}

/// Creates contacts and changes them until it is told to stop.
async fn stream(system: Arc<System>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..12 {
        let email = format!("stage.{number}@example.com");
        ids.push(system.create(json!({"firstName": "Sam", "email": email, "city": "Start"})).await);
    }
    let mut round = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        for id in &ids {
            round += 1;
            system.crm("PUT", &format!("/contacts/{id}"), &json!({"city": format!("City {round}")})).await;
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }
    for id in &ids {
        system.crm("PUT", &format!("/contacts/{id}"), &json!({"city": "End"})).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_change_under_a_stream_of_events_and_nothing_is_lost() {
    let stage = Stage::start(&[], PROFILE).await;
    let (status, one) = stage.upload(guest_bytes("stage-one")).await;
    assert_eq!((status, &one["semver"]), (201, &json!("1.0.0")), "{one}");
    assert_eq!(stage.upload(guest_bytes("stage-one")).await.0, 200, "the same file again");
    let (status, two) = stage.upload(guest_bytes("stage-two")).await;
    assert_eq!(
        (status, &two["description"]["capabilities"][0]["name"]),
        (201, &json!("crm.tags.write")),
        "{two}"
    );
    assert_eq!(stage.versions().await, ["2.0.0", "1.0.0"]);
    let (status, done) = stage.activate("1.0.0", json!({"label": "first"}), &[]).await;
    assert_eq!((status, &done["changed"]), (201, &json!(true)), "{done}");
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(stream(Arc::clone(&stage.system), Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (status, done) = stage.activate("2.0.0", json!({"label": "second"}), &["crm.tags.write"]).await;
    assert_eq!(status, 200, "{done}");
    let (status, again) = stage.activate("2.0.0", json!({"label": "second"}), &["crm.tags.write"]).await;
    assert_eq!((status, &again["changed"]), (200, &json!(false)), "{again}");
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(stage.act("rollback").await.0, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(
        stage.activate(two["id"].as_str().unwrap(), json!({"label": "third"}), &["crm.tags.write"]).await.0,
        200
    );
    assert_eq!(stage.act("rollback").await.0, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let ids = load.await.unwrap();
    stage.system.settle().await;
    let (clean, report) = stage.system.check(&[]);
    assert!(clean, "{report}");
    // Each event that was not folded into another met the guest once, in one of the two versions, and it did well.
    let assignment = stage.assignment().await["id"].as_str().unwrap().to_owned();
    let (mut runs, mut by_version) = (Vec::new(), std::collections::BTreeMap::new());
    for run in all(&stage.system, "/v1/runs?tenant=t").await {
        if run["assignment"] == assignment.as_str() {
            assert_eq!(run["outcome"], "mapped", "{run}");
            *by_version.entry(run["version"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            runs.push(run["sequence"].as_i64().unwrap());
        }
    }
    let events = all(&stage.system, "/v1/events?tenant=t").await;
    let mut met: Vec<i64> = events
        .iter()
        .filter(|event| event["folded_into"].is_null())
        .map(|event| event["sequence"].as_i64().unwrap())
        .collect();
    runs.sort_unstable();
    met.sort_unstable();
    assert_eq!(runs, met);
    assert_eq!(by_version.len(), 2, "{by_version:?}");
    eprintln!("{} events, runs by version {by_version:?}", events.len());
    assert_eq!(stage.current().await, ("1.0.0".into(), "first".into(), "on".into()));
    for id in &ids {
        assert_eq!(stage.field(id, "stage_city").await, "End");
        assert_eq!(stage.field(id, "stage_version").await, "1.0.0");
        assert_eq!(stage.field(id, "stage_label").await, "first", "the configuration came back too");
    }
    assert_eq!(stage.act("rollback").await.1["type"], "/problems/nothing-before");
}

/// All rows of a listing.
pub(crate) async fn all(system: &System, path: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = system.get(&format!("{path}&limit=1000{after}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_no_plugin_changes_nothing_and_says_why() {
    let stage = Stage::start(&[], PROFILE).await;
    let whole = guest_bytes("stage-one");
    let random: Vec<u8> =
        (0..4096_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let foreign = wat::parse_str(
        r#"(component (component $c) (instance $i (instantiate $c)) (export "other:host/api@1.0.0" (instance $i)))"#,
    )
    .unwrap();
    let sockets = wat::parse_str(
        r#"(component (import "wasi:sockets/tcp@0.2.6" (instance (export "connect" (func)))))"#,
    )
    .unwrap();
    let bad: [(&str, Vec<u8>, &str); 5] = [
        ("nothing", Vec::new(), "does not begin as"),
        ("random bytes", random, "does not begin as"),
        ("a cut-off file", whole[..whole.len() / 2].to_vec(), "no whole WebAssembly"),
        ("a foreign contract", foreign, "other:host/api@1.0.0"),
        ("a foreign import", sockets, "wasi:sockets/tcp@0.2.6.connect"),
    ];
    for (what, bytes, words) in bad {
        let (status, problem) = stage.upload(bytes).await;
        assert_eq!(
            (status, &problem["type"]),
            (422, &json!("/problems/plugin-refused")),
            "{what}: {problem}"
        );
        assert!(problem["detail"].as_str().unwrap().contains(words), "{what}: {problem}");
    }
    let (status, problem) = stage.upload(vec![0; 25_165_825]).await;
    assert_eq!(status, 413, "{problem}");
    let listed = stage.system.get("/v1/plugins").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["name"], "contact-profile");
    assert_eq!(stage.upload(whole).await.0, 201, "the host goes on as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_and_configuration_are_refused_by_name_and_place() {
    let stage = Stage::start(&["stage-one", "stage-two"], PROFILE).await;
    let places = |problem: &Value| -> Vec<String> {
        let faults = problem["errors"].as_array().cloned().unwrap_or_default();
        faults.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let refused = [
        ("2.0.0", json!({}), vec![], vec!["/grants"], "Marks whom it has seen."),
        ("1.0.0", json!({}), vec!["crm.notes.read", "crm.wishes"], vec!["/grants/1"], "crm.wishes"),
        (
            "1.0.0",
            json!({"label": "x".repeat(21), "fail_for": ["A", ""]}),
            vec![],
            vec!["/config/label", "/config/fail_for/1"],
            "at most 20",
        ),
        ("1.0.0", json!({"fail_for": ["A", 2]}), vec![], vec!["/config/fail_for/1"], "invalid type"),
        ("1.0.0", json!({"lable": "x"}), vec![], vec!["/config/lable"], "unknown field"),
    ];
    for (version, config, grants, pointers, words) in refused {
        let (status, problem) = stage.activate(version, config.clone(), &grants).await;
        assert_eq!(status, 422, "{config}: {problem}");
        assert_eq!(places(&problem), pointers, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let missing = [
        (json!({"tenant": "nobody", "plugin": "stage"}), 404, "nobody"),
        (json!({"tenant": "t", "plugin": "stage", "version": "9.9.9"}), 404, "2.0.0, 1.0.0"),
        (json!({"tenant": "t", "plugin": "stages"}), 404, "deploy its file first"),
        (json!({"tenant": "t", "plugin": "stage", "mode": "shadow"}), 422, "not offered"),
        (json!({"tenant": "t", "plugin": "stage", "on_failure": "ignore"}), 422, "dead-letter"),
        (json!({"tenant": "t"}), 422, "name the plugin"),
        (json!({"tenant": "t", "plugin": "stage", "extra": 1}), 400, "extra"),
    ];
    for (body, status, words) in missing {
        let (answered, problem) = stage.post("/v1/assignments", &body).await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{body}: {problem}");
    }
    assert!(stage.assignment().await.is_null(), "nothing was changed");
    let (status, done) = stage.activate("1.0.0", json!({}), &["crm.notes.read"]).await;
    assert_eq!((status, &done["unused_grants"]), (201, &json!(["crm.notes.read"])), "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_in_the_folder_is_deployed_when_it_is_whole_and_a_bad_one_changes_nothing() {
    let stage = Stage::start(&["stage-one"], PROFILE).await;
    assert_eq!(stage.until_file("stage-one.wasm", "deployed").await["semver"], "1.0.0");
    assert_eq!(stage.activate("1.0.0", json!({"label": "kept"}), &[]).await.0, 201);
    // Written bit by bit: nothing of it is taken before it is whole.
    let whole = guest_bytes("stage-two");
    let file = stage.folder.path().join("next.wasm");
    let mut written = 0;
    while written < whole.len() {
        written = (written + whole.len() / 12 + 1).min(whole.len());
        std::fs::write(&file, &whole[..written]).unwrap();
        assert_ne!(stage.folder_file("next.wasm").await["state"], "deployed");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(stage.until_file("next.wasm", "deployed").await["semver"], "2.0.0");
    assert_eq!(
        stage.current().await,
        ("1.0.0".into(), "kept".into(), "on".into()),
        "a file alone activates nothing"
    );
    // Replaced by a broken one: what is deployed stays, and the report says why.
    std::fs::write(&file, &whole[..1000]).unwrap();
    let refused = stage.until_file("next.wasm", "refused").await;
    assert!(refused["problem"].as_str().unwrap().contains("no whole WebAssembly"), "{refused}");
    assert_eq!(stage.versions().await, ["2.0.0", "1.0.0"]);
    let ready = stage.system.get("/readyz").await;
    assert!(ready["notes"][0]["detail"].as_str().unwrap().contains("plugin files"), "{ready}");
    // What runs never comes from the folder again.
    std::fs::remove_file(stage.folder.path().join("stage-one.wasm")).unwrap();
    std::fs::remove_file(&file).unwrap();
    let contact = stage.system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&contact, "stage_version").await, "1.0.0");
    assert_eq!(stage.system.get("/readyz").await["notes"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_activate_new_a_new_file_is_active_at_once_where_it_may_be() {
    const STAGE: &str =
        "[[assignment]]\ntenant = \"t\"\nplugin = \"stage\"\nconfig = '{\"label\": \"mine\"}'\n";
    let mut stage = Stage::start(&["stage-one"], STAGE).await;
    stage.configure(|text| text.replacen("[plugins]\n", "[plugins]\nactivate_new = true\n", 1));
    stage.restart();
    let before = stage.assignment().await["current"]["version"].clone();
    std::fs::write(stage.folder.path().join("again.wasm"), other_bytes("stage-one", 1)).unwrap();
    let deployed = stage.until_file("again.wasm", "deployed").await;
    let after = stage.assignment().await;
    assert_eq!(after["current"]["version"], deployed["version"]);
    assert_ne!(after["current"]["version"], before);
    assert_eq!(
        (&after["current"]["source"], &after["current"]["config"]["label"]),
        (&json!("folder"), &json!("mine"))
    );
    // The next needs more than was granted: it stays at the version before, and says why.
    std::fs::write(stage.folder.path().join("two.wasm"), guest_bytes("stage-two")).unwrap();
    let refused = stage.until_file("two.wasm", "deployed").await;
    assert!(refused["problem"].as_str().unwrap().contains("crm.tags.write"), "{refused}");
    assert_eq!(stage.current().await.0, "1.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_what_people_did_and_a_changed_configuration_is_taken_over() {
    const STAGE: &str = "[[assignment]]\ntenant = \"t\"\nplugin = \"stage\"\nversion = \"1.0.0\"\nconfig = '{\"label\": \"configured\"}'\n";
    let mut stage = Stage::start(&["stage-one", "stage-two"], STAGE).await;
    assert_eq!(stage.current().await, ("1.0.0".into(), "configured".into(), "on".into()));
    assert_eq!(stage.activate("2.0.0", json!({"label": "by hand"}), &["crm.tags.write"]).await.0, 200);
    stage.restart();
    assert_eq!(stage.current().await, ("2.0.0".into(), "by hand".into(), "on".into()));
    let contact = stage.system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&contact, "stage_version").await, "2.0.0", "loaded again from the store");
    assert_eq!(stage.act("rollback").await.0, 200);
    stage.restart();
    assert_eq!(stage.current().await, ("1.0.0".into(), "configured".into(), "on".into()));
    assert_eq!(stage.act("off").await.1["state"], "off");
    stage.restart();
    assert_eq!(stage.current().await.2, "off");
    let other = stage.system.create(json!({"firstName": "Bob", "email": "bob@example.com"})).await;
    stage.system.settle().await;
    assert!(stage.field(&other, "stage_version").await.is_null(), "it is off");
    assert_eq!(stage.act("on").await.1["state"], "on");
    stage.system.crm("PUT", &format!("/contacts/{other}"), &json!({"city": "Ulm"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&other, "stage_version").await, "1.0.0");
    stage.configure(|text| text.replace("\"configured\"", "\"changed\""));
    stage.restart();
    assert_eq!(stage.current().await, ("1.0.0".into(), "changed".into(), "on".into()));
    let detail = stage
        .system
        .get(&format!("/v1/assignments/{}", stage.assignment().await["id"].as_str().unwrap()))
        .await;
    let sources: Vec<&str> =
        detail["activations"].as_array().unwrap().iter().map(|one| one["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["configuration", "api", "configuration"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_assignment_stops_nothing_but_itself() {
    const SOME: &str = "[[assignment]]\ntenant = \"t\"\nplugin = \"contact-profile\"\n\
        [[assignment]]\ntenant = \"t\"\nplugin = \"stage\"\nconfig = '{\"label\": \"later\"}'\n\
        [[assignment]]\ntenant = \"nobody\"\nplugin = \"contact-profile\"\n";
    let stage = Stage::start(&[], SOME).await;
    let contact = stage.system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&contact, "first_name").await, "Ada");
    let not_in_force = stage.system.get("/v1/plugins/folder").await["not_in_force"].clone();
    let words = not_in_force.to_string();
    assert!(words.contains("assignment of stage to tenant t") && words.contains("tenant nobody"), "{words}");
    assert!(
        stage.system.get("/readyz").await["notes"][0]["detail"]
            .as_str()
            .unwrap()
            .starts_with("2 configured assignments")
    );
    // It comes into force as soon as it can.
    std::fs::write(stage.folder.path().join("stage.wasm"), guest_bytes("stage-one")).unwrap();
    stage.until_file("stage.wasm", "deployed").await;
    let until = Instant::now() + Duration::from_secs(10);
    while stage.current().await.1 != "later" {
        assert!(Instant::now() < until, "{}", stage.system.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left = stage.system.get("/v1/plugins/folder").await["not_in_force"].clone();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_is_killed_leaves_the_version_whole_or_absent() {
    let mut stage = Stage::start(&[], PROFILE).await;
    for round in 0..5_u8 {
        let name = format!("round-{round}.wasm");
        stage.host = None;
        // Every other one dies over an upload, the others over the folder.
        if round % 2 == 0 {
            std::fs::write(stage.folder.path().join(&name), other_bytes("stage-one", round)).unwrap();
            assert!(stage.system.host("mid-deployment=return").is_none(), "it dies before it listens");
            stage.restart();
            stage.until_file(&name, "deployed").await;
        } else {
            let mut host = stage.system.host("mid-deployment=return").expect("the host starts");
            let url = format!("{}/v1/plugins", stage.system.host_url());
            let request = stage.system.http.post(url).bearer_auth(KEY).body(other_bytes("stage-one", round));
            assert!(request.send().await.is_err(), "the host died before it answered");
            host.child.wait().unwrap();
            stage.restart();
            assert_eq!(stage.versions().await.len(), usize::from(round), "nothing of it is there");
            assert_eq!(stage.upload(other_bytes("stage-one", round)).await.0, 201);
        }
        assert_eq!(stage.versions().await.len(), usize::from(round) + 1);
    }
    let newest =
        stage.system.get("/v1/plugins").await["items"][1]["newest"]["id"].as_str().unwrap().to_owned();
    assert_eq!(stage.activate(&newest, json!({}), &[]).await.0, 201);
    let contact = stage.system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&contact, "stage_version").await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_do_what_the_api_does_and_say_what_is_wrong() {
    let stage = Stage::start(&[], PROFILE).await;
    let host = stage.system.host_url();
    let file = |name: &str| -> PathBuf { named("MAPWRIGHT_GUESTS").join(format!("{name}.wasm")) };
    let command = |args: &[&str], key: &str| -> Output {
        let mut command = Command::new(product());
        command.args(["--log", "error", "plugin"]).args(args).args(["--host", &host]);
        command.env("MAPWRIGHT_KEY", key).output().unwrap()
    };
    let said = |args: &[&str]| -> Value {
        let output = command(&[args, &["--json"]].concat(), KEY);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let failed = |args: &[&str], key: &str| -> (i32, String) {
        let output = command(args, key);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let one = said(&["deploy", file("stage-one").to_str().unwrap()]);
    let one = &one["items"][0];
    assert_eq!(one["semver"], "1.0.0");
    said(&["deploy", file("stage-two").to_str().unwrap()]);
    assert_eq!(said(&["list"])["items"].as_array().unwrap().len(), 2);
    assert_eq!(said(&["show", one["id"].as_str().unwrap()])["plugin"], "stage");
    let (code, words) = failed(&["activate", "stage", "--tenant", "t"], KEY);
    assert_eq!(code, 1);
    assert!(words.contains("crm.tags.write") && words.contains("Marks whom it has seen."), "{words}");
    let done = said(&[
        "activate",
        "stage",
        "--tenant",
        "t",
        "--version",
        "1.0.0",
        "--configuration",
        r#"{"label": "cli"}"#,
    ]);
    assert_eq!(done["current"]["semver"], "1.0.0");
    let done = said(&["activate", "stage", "--tenant", "t", "--grant-asked"]);
    assert_eq!(done["current"]["grants"], json!(["crm.notes.read", "crm.tags.write"]));
    assert_eq!(said(&["rollback", "stage", "--tenant", "t"])["current"]["config"]["label"], "cli");
    assert_eq!(said(&["off", "stage", "--tenant", "t"])["state"], "off");
    assert_eq!(said(&["on", "stage", "--tenant", "t"])["state"], "on");
    assert_eq!(said(&["list", "--tenant", "t"])["items"].as_array().unwrap().len(), 2);
    assert_eq!(said(&["show", "stage", "--tenant", "t"])["activations"].as_array().unwrap().len(), 2);
    assert_eq!(said(&["folder"])["files"][0]["state"], "deployed");
    let table = String::from_utf8(command(&["list", "--tenant", "t"], KEY).stdout).unwrap();
    let row = table.lines().find(|line| line.trim().starts_with("stage")).unwrap_or_default().to_owned();
    assert!(table.trim().starts_with("PLUGIN") && row.contains("1.0.0") && row.contains("closed"), "{table}");
    let (code, words) = failed(&["list"], "mw_wrong_0123456789abcdefgh");
    assert!(code == 1 && words.contains("key"), "{words}");
    let (code, words) = failed(&["rollback", "nothing", "--tenant", "t"], KEY);
    assert!(code == 1 && words.contains("plugin list --tenant t"), "{words}");
    let (code, words) = failed(
        &["activate", "stage", "--tenant", "t", "--configuration", r#"{"label": 5}"#, "--grant-asked"],
        KEY,
    );
    assert!(code == 1 && words.contains("/config/label"), "{words}");
    assert_eq!(failed(&["activate", "stage"], KEY).0, 2, "used wrongly");
}
