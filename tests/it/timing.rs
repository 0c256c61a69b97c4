//! Timing rules as people and programs meet them: made over REST, in the configuration or on the command line; told of
//! once for each contact and slot, whatever happens to the host meanwhile.

use crate::system::{KEY, Plan, REACTING, System, named, product};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

/// Reactions that follow up idle contacts and note what is overdue.
const FOLLOWING_UP: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
[[assignment]]
tenant = "t"
plugin = "task-reactions"
config = '{"idle_task": "Follow up", "note_overdue": true}'
grants = ["crm.tasks.write", "crm.notes.write", "crm.tasks.read", "rankr.read", "rankr.write", "rankr.timeline",
    "rankr.events", "schedule", "state.contact"]
[[timing_rule]]
id = "configured"
tenant = "t"
name = "Idle for a day"
kind = "contact-idle"
after = "1d"
"#;

/// Mapping alone.
const MAPPING: &str = "[[assignment]]\ntenant = \"t\"\nplugin = \"contact-profile\"\n";

async fn started(assignments: &'static str) -> (System, crate::system::Process) {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments }).await;
    let host = system.host("").unwrap_or_else(|| panic!("the host starts; {}", system.log()));
    (system, host)
}

/// A request to the API with its key: status and body.
async fn call(system: &System, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = system.http.request(method, format!("{}{path}", system.host_url())).bearer_auth(KEY);
    if let Some(body) = body {
        request = request.json(body);
    }
    let reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap_or_default())
}

async fn make(system: &System, mut rule: Value) -> String {
    rule["name"] = json!("rule");
    let body = json!({"tenant": "t", "rule": rule});
    let (status, made) = call(system, "POST", "/v1/timing-rules", Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Product time in so many seconds, RFC 3339.
async fn ahead(system: &System, seconds: u64) -> String {
    let now = system.get("/healthz").await["now"].as_str().unwrap().to_owned();
    let now = mapwright::domain::Timestamp::parse(&now).unwrap();
    now.plus(Duration::from_secs(seconds)).to_rfc3339()
}

async fn told(system: &System, event_type: &str) -> Vec<Value> {
    let page = system.get(&format!("/v1/events?tenant=t&limit=1000&type={event_type}")).await;
    page["items"].as_array().unwrap().clone()
}

/// Waits until so many events of a type are there.
async fn wait_for(system: &System, event_type: &str, count: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let events = told(system, event_type).await;
        if events.len() >= count {
            return events;
        }
        assert!(Instant::now() < until, "{event_type}: {} of {count}; {}", events.len(), system.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_task_is_told_of_once_in_its_contacts_lane_and_reacted_to() {
    let (system, host) = started(FOLLOWING_UP).await;
    let contact = system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    make(&system, json!({"kind": "task-overdue", "after": "1m"})).await;
    let due = ahead(&system, 120).await;
    let task = json!({"title": "Send papers", "dueDate": due, "completed": false});
    system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    let done = json!({"title": "Done in time", "dueDate": due, "completed": false});
    let made = system.crm("POST", &format!("/contacts/{contact}/tasks"), &done).await;
    let done = made["task"]["id"].as_str().unwrap();
    let url = format!("/contacts/{contact}/tasks/{done}/completed");
    system.crm("PUT", &url, &json!({"completed": true})).await;
    system.settle().await;
    // Down when it comes due.
    drop(host);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let _host = system.host("").expect("the host starts again");
    let event = wait_for(&system, "timing.task-overdue", 1).await.remove(0);
    tokio::time::sleep(Duration::from_millis(800)).await;
    system.settle().await;
    assert_eq!(told(&system, "timing.*").await.len(), 1);
    assert_eq!((&event["cause"], &event["lane"]), (&json!("timing"), &json!(format!("c/contact:{contact}"))));
    let story = system.get(&format!("/v1/events/{}", event["sequence"])).await;
    assert_eq!(story["payload"]["object"]["fields"]["title"], "Send papers");
    assert!(story["payload"]["recordId"].as_str().unwrap().starts_with("rk_"), "{story}");
    let said: Vec<&str> =
        story["timeline"].as_array().unwrap().iter().filter_map(|entry| entry["sentence"].as_str()).collect();
    assert!(said.iter().any(|it| it.starts_with("Task is overdue: Send papers")), "{said:?}");
    assert!(said.iter().any(|it| it.starts_with("Overdue: Send papers")), "{said:?}");
    let notes = system.crm("GET", &format!("/contacts/{contact}/notes"), &json!({})).await;
    assert!(notes["notes"][0]["body"].as_str().unwrap().starts_with("Overdue: Send papers"), "{notes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_contact_is_followed_up_once_and_our_own_task_is_no_activity() {
    let (system, _host) = started(FOLLOWING_UP).await;
    for after in ["3m", "5m"] {
        make(&system, json!({"kind": "contact-idle", "after": after})).await;
    }
    let contact = system.create(json!({"email": "ada@example.com"})).await;
    wait_for(&system, "timing.contact-idle", 2).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    system.settle().await;
    // Six more minutes: the task we made did not count as something that happened.
    assert_eq!(told(&system, "timing.contact-idle").await.len(), 2);
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    let titles: Vec<&str> =
        tasks["tasks"].as_array().unwrap().iter().filter_map(|task| task["title"].as_str()).collect();
    assert_eq!(titles, ["Follow up"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calendar_rule_neither_skips_nor_repeats_over_kills() {
    let (system, host) = started(MAPPING).await;
    let mut vips = BTreeSet::new();
    for number in 0..5 {
        let contact =
            system.create(json!({"email": format!("v{number}@example.com"), "tags": ["vip"]})).await;
        vips.insert(format!("c/contact:{contact}"));
    }
    system.create(json!({"email": "plain@example.com"})).await;
    system.settle().await;
    let selection = json!([{"field": "tags", "is": "in", "value": ["vip", "gold"]}]);
    make(&system, json!({"kind": "cron", "cron": "* * * * *", "contacts": selection})).await;
    let mut host = Some(host);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        // Killed, not stopped.
        drop(host.take());
        host = Some(system.host("").expect("the host starts again"));
    }
    wait_for(&system, "timing.cron", 30).await;
    system.settle().await;
    let mut slots: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in told(&system, "timing.cron").await {
        let at = event["source_time"].as_str().unwrap();
        let at = mapwright::domain::Timestamp::parse(at).unwrap().millis() / 60_000;
        slots.entry(event["lane"].as_str().unwrap().to_owned()).or_default().push(at);
    }
    assert_eq!(slots.keys().cloned().collect::<BTreeSet<_>>(), vips);
    for (lane, mut minutes) in slots {
        minutes.sort_unstable();
        let (first, count) = (minutes[0], i64::try_from(minutes.len()).unwrap());
        // The last minute may not be told to all yet; those before are, each once.
        assert_eq!(minutes, (first..first + count).collect::<Vec<_>>(), "{lane}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_made_changed_previewed_and_removed_and_wrong_ones_refused_by_name() {
    let (system, _host) = started(FOLLOWING_UP).await;
    let wrong = json!({"tenant": "t", "rule": {"name": "x", "kind": "cron", "cron": "61 * * * *", "time_zone": "Mars"}});
    let (status, problem) = call(&system, "POST", "/v1/timing-rules", Some(&wrong)).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 400 && detail.contains("61 * * * *") && detail.contains("time_zone"), "{problem}");
    let unknown = json!({"tenant": "nobody", "rule": {"name": "x", "kind": "task-due"}});
    assert_eq!(call(&system, "POST", "/v1/timing-rules", Some(&unknown)).await.0, 404);
    let misspelt = json!({"tenant": "t", "rule": {"name": "x", "kind": "task-due", "beforehand": "1d"}});
    let (status, problem) = call(&system, "POST", "/v1/timing-rules", Some(&misspelt)).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("beforehand"), "{problem}");

    let contact = system.create(json!({"email": "ada@example.com"})).await;
    let id = make(&system, json!({"kind": "task-due", "before": "1d"})).await;
    let due = ahead(&system, 30 * 24 * 3600).await;
    for _ in 0..2 {
        let task = json!({"title": "Call", "dueDate": due, "completed": false});
        system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    }
    system.settle().await;
    let path = format!("/v1/timing-rules/{id}");
    let preview = system.get(&format!("{path}/preview")).await;
    assert_eq!((&preview["slots"][0]["count"], &preview["slots"][1]), (&json!(2), &Value::Null), "{preview}");
    let change = json!({"name": "other", "kind": "task-due", "before": "2d", "enabled": false});
    let (status, changed) = call(&system, "PUT", &path, Some(&change)).await;
    assert_eq!((status, &changed["rule"]["before"], &changed["next_at"]), (200, &json!("2d"), &Value::Null));
    let listed = system.get("/v1/timing-rules?tenant=t&limit=1").await;
    let rest =
        system.get(&format!("/v1/timing-rules?tenant=t&after={}", listed["next"].as_str().unwrap())).await;
    assert_eq!((listed["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (1, 1));
    assert_eq!(call(&system, "PUT", "/v1/timing-rules/configured", Some(&change)).await.0, 409);
    assert_eq!(call(&system, "DELETE", "/v1/timing-rules/configured", None).await.0, 409);
    assert_eq!(call(&system, "DELETE", &path, None).await.0, 204);
    assert_eq!(call(&system, "GET", &path, None).await.0, 404);
    let audit = system.get("/v1/audit?tenant=t").await.to_string();
    for verb in ["timing-rule.create", "timing-rule.change", "timing-rule.remove"] {
        assert!(audit.contains(verb), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_makes_and_shows_rules() {
    let (system, _host) = started(REACTING).await;
    let run = |args: &[&str]| {
        let output = Command::new(product())
            .args(args)
            .args(["--host", &system.host_url(), "--key", KEY])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let add =
        ["timing", "add", "--tenant", "t", "--name", "Mondays", "--kind", "cron", "--cron", "0 9 * * MON"];
    let (done, out, err) = run(&[&add[..], &["--where", "tags in vip,gold", "--json"]].concat());
    assert!(done, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["rule"]["contacts"], json!([{"field": "tags", "is": "in", "value": ["vip", "gold"]}]));
    let (done, out, err) = run(&["timing", "set", id, "--cron", "0 10 * * MON", "--json"]);
    assert!(done && out.contains("0 10 * * MON") && out.contains("vip"), "{out}{err}");
    let (done, out, err) = run(&["timing", "list", "--tenant", "t"]);
    assert!(done && out.contains("Mondays") && out.contains("LOOKS NEXT"), "{out}{err}");
    let (done, out, err) = run(&["timing", "preview", id]);
    assert!(done && out.lines().count() == 6, "{out}{err}");
    let (done, _, err) = run(&["timing", "add", "--tenant", "t", "--name", "x", "--kind", "contact-idle"]);
    assert!(!done && err.contains("`after`"), "{err}");
    assert!(run(&["timing", "remove", id]).0);
    let (done, _, err) = run(&["timing", "show", id]);
    assert!(!done && err.contains("there is no timing rule"), "{err}");
}
