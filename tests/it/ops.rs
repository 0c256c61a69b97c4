//! What operators rely on: backups under load, roles, the doctor, a drain that loses nothing, and that nobody's data is in
//! logs, metrics or error bodies.

use crate::system::{KEY, Plan, Process, REACTING, System, last_line, named, product};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn mapwright(args: &[&str]) -> Output {
    Command::new(product()).args(args).output().unwrap()
}

fn path(system: &System, name: &str) -> String {
    system.folder.path().join(name).display().to_string()
}

/// All rows of a listing of a host at `base`.
async fn all(system: &System, base: &str, listing: &str) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let url = format!("{base}/v1/{listing}?tenant=t&limit=1000{after}");
        let reply = system.http.get(url).bearer_auth(KEY).send().await.unwrap().error_for_status().unwrap();
        let page: Value = reply.json().await.unwrap();
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

/// Changes contacts until it is told to stop.
fn load(system: &Arc<System>, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    let (system, stop) = (Arc::clone(system), Arc::clone(stop));
    tokio::spawn(async move {
        let mut ids = Vec::new();
        for number in 0..20 {
            let fields =
                json!({"firstName": "Kim", "email": format!("kim.{number}@example.com"), "city": "Start"});
            ids.push(system.create(fields).await);
        }
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            for id in &ids {
                round += 1;
                let change = json!({"city": format!("City {round}"), "tags": ["vip"]});
                system.crm("PUT", &format!("/contacts/{id}"), &change).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_everything_that_was_acknowledged_before() {
    let system = Arc::new(System::new().await);
    let host = system.host("").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&system, &stop);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = all(&system, &host.url, "events").await;
    assert!(before.len() > 40, "too little load: {}", before.len());
    let (data, file) = (path(&system, "host"), path(&system, "backup.tar"));
    let made = mapwright(&["backup", "create", "--data", &data, "--to", &file, "--json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = last_line(&made);
    let posted = system.http.post(format!("{}/v1/backups", host.url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 201);
    let posted: Value = posted.json().await.unwrap();
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    system.settle().await;
    let original = all(&system, &host.url, "timeline").await;
    let (clean, report) = system.check(&[]);
    assert!(clean, "the host itself went wrong under its backups: {report}");
    drop(host);

    assert!(made["counts"]["inbox"].as_u64().unwrap() >= u64::try_from(before.len()).unwrap(), "{made}");
    assert_eq!(made["holds_vault_key"], json!(false));
    for file in [&file, posted["file"].as_str().unwrap()] {
        let verified = mapwright(&["backup", "verify", file, "--json"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
    let into_use = mapwright(&["backup", "restore", &file, "--to", &data]);
    assert_eq!(into_use.status.code(), Some(1), "a folder with data was overwritten");
    let (to, key) = (path(&system, "restored"), path(&system, "host/vault.key"));
    let restored = mapwright(&["backup", "restore", &file, "--to", &to, "--key", &key, "--json"]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));

    let config = std::fs::read_to_string(system.folder.path().join("host.toml")).unwrap();
    let listen = system.host_url().trim_start_matches("http://").to_owned();
    let config = config.replace(&format!("\"{data}\""), &format!("\"{to}\"")).replace(&listen, "127.0.0.1:0");
    let config_file = path(&system, "restored.toml");
    std::fs::write(&config_file, config).unwrap();
    let mut command = Command::new(product());
    command.args(["serve", "--config", &config_file]);
    let host = Process::start(command).expect("a host starts on the restored folder");
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let health: Value =
            system.http.get(format!("{}/healthz", host.url)).send().await.unwrap().json().await.unwrap();
        if health["events_open"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "the restored host does not end its events: {health}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let events = all(&system, &host.url, "events").await;
    for known in &before {
        let found = events.iter().find(|event| event["sequence"] == known["sequence"]);
        let found = found.unwrap_or_else(|| panic!("event {} is not in the backup", known["sequence"]));
        assert_eq!(found["webhook_id"], known["webhook_id"]);
        assert_eq!(found["state"], "done", "{found}");
    }
    let entries = all(&system, &host.url, "timeline").await;
    assert_eq!(entries.len(), events.len(), "each event has one timeline entry");
    for entry in &entries {
        let same = |it: &&Value| it["sequence"] == entry["sequence"] && it["contact"] == entry["contact"];
        // Contacts that were not linked yet when the backup was made may be another's number by now.
        let known = original.iter().find(same);
        let early =
            before.iter().any(|event| event["sequence"] == entry["sequence"] && event["state"] == "done");
        assert!(known.is_some() || !early, "the timeline of an event that had ended is another's: {entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_a_role_leaves_that_work_to_others() {
    let system = System::new().await;
    let config = path(&system, "host.toml");
    let with_roles = |roles: &str| {
        let mut command = Command::new(product());
        command.args(["serve", "--config", &config]).env("MAPWRIGHT_PROCESS__ROLES", roles);
        Process::start(command).expect("the host starts")
    };
    let ingest = with_roles("[ingest]");
    system.create(json!({"firstName": "Kim", "email": "kim@example.com"})).await;
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let pending: Value =
            system.http.get(system.control("pending")).send().await.unwrap().json().await.unwrap();
        if pending["pending"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "the webhook was not taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let api =
        system.http.get(format!("{}/v1/events?tenant=t", ingest.url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(api.status().as_u16(), 404, "a process without the role serves the API");
    drop(ingest);
    let api = with_roles("[api]");
    let events = all(&system, &api.url, "events").await;
    assert_eq!((events.len(), &events[0]["state"]), (1, &json!("received")), "nobody works yet");
    let door = system.http.post(format!("{}/webhooks/ghl/demo", api.url)).body("{}").send().await.unwrap();
    assert_eq!(door.status().as_u16(), 404, "a process without the role takes webhooks");
    drop(api);
    let _host = system.host("").unwrap();
    system.settle().await;
    assert!(system.check(&[]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_with_effects_under_way_loses_nothing() {
    let plan = Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING };
    let system = Arc::new(System::with(plan).await);
    let mut host = system.host("").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&system, &stop);
    let mut told = Vec::new();
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        for number in 0..20 {
            let key = format!("told-{round}-{number}");
            let contact = system
                .create(json!({"email": format!("t.{round}.{number}@example.com"), "tags": ["vip"]}))
                .await;
            let data = json!({"task_id": key, "title": key, "due": 4_070_908_800_000_i64});
            system.tell(&key, "rankr.task-created", &contact, &data).await;
            told.push(key);
        }
        // Effects of these are being sent now.
        Command::new("kill").args(["-TERM", &host.child.id().to_string()]).status().unwrap();
        let began = Instant::now();
        let code = loop {
            if let Some(status) = host.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(began.elapsed() < Duration::from_secs(25), "the host does not end; {}", system.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(code, Some(0), "{}", system.log());
        host = system.host("").unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    system.settle().await;
    let (clean, report) = system.check(&told);
    assert!(clean && report["unclear"] == 0, "{report}\n{}", system.log());
    assert!(report["remote_writes"].as_i64().unwrap() >= 100, "too few effects: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_tells_a_sound_host_from_a_sick_one() {
    let system = System::new().await;
    let config = path(&system, "host.toml");
    let doctor = || mapwright(&["doctor", "--config", &config, "--offline", "--json"]);
    let check = |report: &Value, name: &str| -> Value {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|it| it["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name} in {report}"))
    };
    let host = system.host("").unwrap();
    let found = doctor();
    let report = last_line(&found);
    assert!(matches!(found.status.code(), Some(0 | 3)), "{report}");
    for name in ["database", "vault-key", "plugin-pool", "host", "webhooks", "disk"] {
        assert_ne!(check(&report, name)["state"], "fail", "{report}");
    }
    assert!(check(&report, "host")["detail"].as_str().unwrap().contains("events"), "{report}");
    drop(host);
    std::fs::remove_file(system.folder.path().join("host/vault.key")).unwrap();
    let found = doctor();
    let report = last_line(&found);
    assert_eq!(found.status.code(), Some(4), "{report}");
    let key = check(&report, "vault-key");
    assert_eq!(key["state"], "fail");
    assert!(key["mend"].as_str().unwrap().contains("vault.key"), "{key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_listed_alike_by_the_command_and_the_api() {
    let system = System::new().await;
    let _host = system.host("").unwrap();
    let listed = last_line(&mapwright(&["ops", "list", "--json"]));
    assert_eq!(listed, system.get("/v1/operations").await);
    let found = last_line(&mapwright(&["ops", "search", "post", "task", "--json"]));
    assert_eq!(found, system.get("/v1/operations?search=post%20task").await);
    let one = last_line(&mapwright(&["ops", "show", "contact_create_task", "--json"]));
    assert_eq!(one["class"], "findable");
    assert_eq!(mapwright(&["ops", "show", "no_such"]).status.code(), Some(1));
}

/// Values that are looked for; none is a word of the product.
const MARKED: &[&str] = &["Zyxmarked", "qwmarked", "5550177321", "Markedstreet", "markedtask", "markednote"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_data_and_no_token_is_in_logs_metrics_or_error_bodies() {
    let plan = Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING };
    let system = System::with(plan).await;
    let _host = system.host("").unwrap();
    let fields = json!({"firstName": "Zyxmarked", "lastName": "Zyxmarked", "email": "qwmarked@example.com",
        "phone": "+15550177321", "address1": "1 Markedstreet", "tags": ["vip"]});
    let contact = system.create(fields).await;
    system.settle().await;
    let data = json!({"task_id": "k1", "title": "markedtask", "due": 4_070_908_800_000_i64});
    system.tell("k1", "rankr.task-created", &contact, &data).await;
    let note = json!({"text": "markednote"});
    system.tell("k2", "rankr.activity", &contact, &note).await;
    system.settle().await;
    // Refused and failing calls say the most.
    system.faults(json!({"fail_before": 2, "too_many": 2, "fail_after": 1})).await;
    let data = json!({"task_id": "k3", "title": "markedtask again", "due": 4_070_908_800_000_i64});
    system.tell("k3", "rankr.task-created", &contact, &data).await;
    system.crm("PUT", &format!("/contacts/{contact}"), &json!({"lastName": "Zyxmarked Two"})).await;
    system.settle().await;
    let mut bodies = String::new();
    let marked = "firstName\":\"Zyxmarked\",\"email\":\"qwmarked@example.com\",\"note\":\"markednote";
    for (path, body) in [
        ("/webhooks/ghl/demo", format!("{{\"type\":\"ContactCreate\",\"{marked}\"}}")),
        ("/webhooks/ghl/demo", format!("{{\"type\":\"ContactCreate\",\"{marked}")),
        ("/webhooks/ghl/nobody", format!("{{\"{marked}\"}}")),
        ("/v1/events", format!("{{\"tenant\":\"t\",\"{marked}\"}}")),
        ("/v1/events", format!("{{\"tenant\":\"t\",\"type\":\"rankr.x\",\"data\":{{\"{marked}")),
    ] {
        let url = format!("{}{path}", system.host_url());
        let request = system.http.post(url).header("content-type", "application/json").body(body);
        let reply = request.bearer_auth(KEY).header("idempotency-key", "k4").send().await.unwrap();
        assert!(reply.status().is_client_error(), "{path} took it");
        bodies.push_str(&reply.text().await.unwrap());
    }
    let metrics = system.http.get(format!("{}/metrics", system.host_url())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let log = std::fs::read_to_string(system.folder.path().join("host.log")).unwrap();
    assert!(log.contains("contact_create_task"), "the log says nothing of the calls: {log}");
    assert!(metrics.contains("mapwright_effects_total"), "{metrics}");
    let config = std::fs::read_to_string(system.folder.path().join("host.toml")).unwrap();
    let token =
        config.lines().find_map(|line| line.strip_prefix("access_token = \"")).unwrap().trim_end_matches('"');
    assert!(token.len() > 20);
    for (what, text) in [("log", &log), ("metrics", &metrics), ("error bodies", &bodies)] {
        for secret in MARKED.iter().copied().chain([token, KEY]) {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "the {what} holds {secret}: {}", line.unwrap_or_default());
        }
    }
}
