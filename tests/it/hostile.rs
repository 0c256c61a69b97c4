//! Hostile plugins in a running host, beside a good one of the same tenant: each failure is a run and a dead letter, and
//! nothing else of it is anywhere.

use crate::guests::{guest, plugin};
use crate::system::{Plan, System};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ASSIGNMENTS: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
[[assignment]]
tenant = "t"
plugin = "hostile"
[[assignment]]
tenant = "t"
plugin = "greedy"
grants = ["crm.contacts.read", "crm.notes.write", "rankr.timeline", "state.contact"]
"#;

/// A system whose host finds these plugins in its folder, and files that are none.
async fn system() -> (System, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("contact-profile", plugin("contact-profile")),
        ("hostile", guest("hostile")),
        ("greedy", guest("greedy")),
    ] {
        std::fs::write(folder.path().join(format!("{name}.wasm")), bytes).unwrap();
    }
    let hostile = guest("hostile");
    for (name, bytes) in [
        ("liar", guest("liar")),
        ("stranger", guest("stranger")),
        ("half", hostile[..hostile.len() / 2].to_vec()),
        ("noise", vec![7; 4096]),
    ] {
        std::fs::write(folder.path().join(format!("{name}.wasm")), bytes).unwrap();
    }
    (System::with(Plan { plugins: folder.path().to_owned(), assignments: ASSIGNMENTS }).await, folder)
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().unwrap().clone()
}

/// The outcomes of an event's runs, sorted.
async fn outcomes(system: &System, sequence: &Value) -> Vec<String> {
    let runs = items(&system.get(&format!("/v1/runs?tenant=t&sequence={sequence}&limit=100")).await);
    let mut outcomes: Vec<String> =
        runs.iter().map(|run| run["outcome"].as_str().unwrap().to_owned()).collect();
    outcomes.sort();
    outcomes
}

/// As a person does: these plugins fail on every contact, and a breaker would have them wait.
async fn close_breakers(system: &System) {
    for assignment in items(&system.get("/v1/assignments?tenant=t").await) {
        let id = assignment["id"].as_str().unwrap();
        let url = format!("{}/v1/assignments/{id}/resume", system.host_url());
        let reply =
            system.http.post(url).bearer_auth(crate::system::KEY).json(&json!({})).send().await.unwrap();
        reply.error_for_status().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_run_leaves_its_failure_and_nothing_else() {
    let (system, _folder) = system().await;
    let _host = system.host("").unwrap_or_else(|| panic!("{}", system.log()));
    // The plugin's own outcome, and whether it is the mapping's, after which no reaction runs.
    let cases = [
        ("spin", "out-of-fuel", true),
        ("eat-memory", "out-of-memory", true),
        ("recurse", "trap", true),
        ("panic", "trap", true),
        ("trap", "trap", true),
        ("flood-fields", "output-too-large", true),
        ("huge-string", "output-too-large", true),
        ("hundred-mebibytes", "out-of-memory", true),
        ("not-a-number", "bad-output", true),
        ("call-forever", "out-of-fuel", true),
        ("unmappable", "unmappable", true),
        ("flood-effects", "output-too-large", false),
        ("huge-note", "bad-output", false),
        ("twice-one-key", "bad-output", false),
        ("ungranted-effect", "denied", false),
        ("remember-forever", "unmappable", false),
        ("read-forever", "too-many-reads", false),
    ];
    for (name, outcome, mapping) in cases {
        close_breakers(&system).await;
        system.create(json!({"firstName": name, "email": format!("{name}@example.com")})).await;
        system.settle().await;
        let events = items(&system.get("/v1/events?tenant=t&limit=1000").await);
        let event = events.last().unwrap();
        assert_eq!(event["state"], "dead", "{name}: {event}");
        let mut expected = vec!["mapped".to_owned(), outcome.to_owned()];
        if !mapping {
            expected.push("mapped".to_owned());
        }
        expected.sort();
        assert_eq!(outcomes(&system, &event["sequence"]).await, expected, "{name}");
    }
    let records = items(&system.get("/v1/records?tenant=t&limit=1000").await);
    assert_eq!(records.len(), cases.len());
    for record in &records {
        let fields = record["fields"].as_object().unwrap();
        let name = fields["first_name"].as_str().unwrap();
        let (_, _, mapping) = cases.iter().find(|(case, _, _)| *case == name).unwrap();
        let strays: Vec<_> = ["eaten", "depth", "huge", "large", "number", "f0"]
            .into_iter()
            .filter(|field| fields.contains_key(*field))
            .collect();
        assert!(strays.is_empty(), "{name} left {strays:?}");
        assert_eq!(fields.contains_key("fine"), !mapping, "{name}");
    }
    assert_eq!(items(&system.get("/v1/effects?tenant=t&limit=1000").await).len(), 0);
    let timeline = items(&system.get("/v1/timeline?tenant=t&limit=1000").await);
    assert!(timeline.iter().all(|entry| entry["kind"] != "entry"), "{timeline:?}");
    // A good event afterwards is as good as ever.
    close_breakers(&system).await;
    system.create(json!({"firstName": "Ada"})).await;
    system.settle().await;
    let events = items(&system.get("/v1/events?tenant=t&limit=1000").await);
    assert_eq!(events.last().unwrap()["state"], "done");
    // The files that are no plugins are named with what is wrong with them, and changed nothing.
    let log = system.whole_log();
    for (file, words) in [
        ("liar.wasm", "does not ask for crm.tasks.read"),
        ("stranger.wasm", "this host offers 0.1.0"),
        ("half.wasm", "no whole WebAssembly"),
        ("noise.wasm", "no whole WebAssembly"),
    ] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains(words)), "{file}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_tells_where_in_the_plugin() {
    let (system, _folder) = system().await;
    let _host = system.host("").unwrap_or_else(|| panic!("{}", system.log()));
    system.create(json!({"firstName": "panic"})).await;
    system.settle().await;
    let runs = items(&system.get("/v1/runs?tenant=t&limit=100").await);
    let failed = runs.iter().find(|run| run["outcome"] == "trap").unwrap();
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.contains("on purpose") && detail.contains("at hostile::panicking"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_run_is_alarmed_and_tried_again_and_others_go_on() {
    let (system, _folder) = system().await;
    // So much fuel that the wall limit comes first: what a machine that is far too slow looks like.
    let slow = [("MAPWRIGHT_PLUGINS__FUEL", "1000000000000"), ("MAPWRIGHT_PLUGINS__WALL_SECONDS", "1")];
    let host = system.host_with(&slow).unwrap_or_else(|| panic!("{}", system.log()));
    system.create(json!({"firstName": "spin"})).await;
    let until = Instant::now() + Duration::from_secs(60);
    let waiting = loop {
        let events = items(&system.get("/v1/events?tenant=t&limit=10").await);
        if let Some(event) = events.first()
            && event["attempts"].as_i64().unwrap() >= 1
        {
            break event.clone();
        }
        assert!(Instant::now() < until, "it was never tried; {}", system.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_ne!(waiting["state"], "dead", "a stalled run is nobody's dead letter");
    assert!(system.whole_log().contains("a run was given up because the host did not get it done in time"));
    let url = format!("{}/metrics", system.host_url());
    let metrics = system.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("mapwright_plugin_stalled_total"), "{metrics}");
    system.create(json!({"firstName": "Ada"})).await;
    while items(&system.get("/v1/records?tenant=t&limit=10").await).is_empty() {
        assert!(Instant::now() < until, "the others wait for it; {}", system.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(host);
    // On a machine that is fast enough the same event ends as it must.
    let _host = system.host("").unwrap_or_else(|| panic!("{}", system.log()));
    system.settle().await;
    let events = items(&system.get("/v1/events?tenant=t&limit=10").await);
    assert_eq!((&events[0]["state"], &events[1]["state"]), (&json!("dead"), &json!("done")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_address_space_for_a_pool_the_host_runs_and_says_so() {
    let (system, _folder) = system().await;
    let _host = system.small_host(8 << 30).unwrap_or_else(|| panic!("{}", system.log()));
    system.create(json!({"firstName": "Ada"})).await;
    system.create(json!({"firstName": "eat-memory"})).await;
    system.settle().await;
    let events = items(&system.get("/v1/events?tenant=t&limit=10").await);
    // Which of the two webhooks came first is GHL's affair.
    let mut states: Vec<&str> = events.iter().map(|event| event["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["dead", "done"]);
    assert!(system.whole_log().contains("no pool for plugin instances"), "{}", system.log());
    let ready = system.get("/readyz").await;
    assert!(ready["notes"].to_string().contains("pool"), "{ready}");
    let url = format!("{}/metrics", system.host_url());
    let metrics = system.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("mapwright_plugin_pool 0"), "{metrics}");
}
