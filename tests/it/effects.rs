//! Effects as the outside sees them: done once by their class, chained, refused, guarded; state, schedules and reads.

use crate::system::{Plan, Process, REACTING, System, named, plugins};
use serde_json::{Value, json};
use std::time::Duration;

/// A guest that does what it is told, with everything granted, beside a mapping.
pub(crate) const ACTING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
[[assignment]]
tenant = "t"
plugin = "actor"
grants = ["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read", "crm.contacts.write",
    "crm.tasks.write", "crm.notes.write", "crm.tags.write", "crm.appointments.write", "crm.workflows.run", "crm.call",
    "rankr.read", "rankr.write", "rankr.timeline", "rankr.events", "state.contact", "state.tenant", "schedule"]
"#;

pub(crate) async fn acting() -> (System, Process, String) {
    let system =
        System::with(Plan { plugins: plugins(&["contact-profile", "actor"]), assignments: ACTING }).await;
    let host = system.host("").unwrap_or_else(|| panic!("the host starts; {}", system.log()));
    let contact = system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    system.settle().await;
    (system, host, contact)
}

pub(crate) async fn act(system: &System, key: &str, contact: &str, what: &str, text: &str) {
    told(system, key, contact, what, text).await;
}

/// Tells the guest what to do; gives the event's sequence.
pub(crate) async fn told(system: &System, key: &str, contact: &str, what: &str, text: &str) -> i64 {
    let (status, body) = system.tell(key, "rankr.act", contact, &json!({"do": what, "text": text})).await;
    assert_eq!(status, 202, "{body}");
    body["sequence"].as_i64().unwrap()
}

/// Effects on GHL as `op state`, in the order of planning.
pub(crate) async fn effects(system: &System) -> Vec<String> {
    let page = system.get("/v1/effects?tenant=t&limit=1000").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| !it["class"].is_null())
        .map(|it| format!("{} {}", text(&it["op"]), text(&it["state"])))
        .collect()
}

/// Titles of the timeline's own entries.
pub(crate) async fn entries(system: &System) -> Vec<String> {
    let page = system.get("/v1/timeline?tenant=t&limit=1000").await;
    let own = page["items"].as_array().unwrap().iter().filter(|it| it["kind"] == "entry");
    own.map(|it| it["entry"]["title"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn of(answer: &Value, list: &str) -> usize {
    answer[list].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_waits_for_what_it_names_and_echoes_wake_nobody() {
    let (system, _host, contact) = acting().await;
    act(&system, "1", &contact, "chain", "Call").await;
    system.settle().await;
    assert_eq!(effects(&system).await, ["create_task done", "complete_task done"]);
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    assert_eq!((of(&tasks, "tasks"), &tasks["tasks"][0]["completed"]), (1, &json!(true)));
    act(&system, "2", &contact, "complete-made", "").await;
    act(&system, "3", &contact, "complete-nothing", "").await;
    act(&system, "4", &contact, "note", "Hello").await;
    system.settle().await;
    let all = effects(&system).await;
    assert_eq!(all[2..], ["complete_task done", "complete_task refused", "create_note done"]);
    // TaskComplete and NoteCreate came back as echoes of our own writes: the guest saw only how its effects ended.
    let seen = entries(&system).await;
    assert!(!seen.iter().any(|title| title.contains("Complete") || title.contains("NoteCreate")), "{seen:?}");
    assert_eq!(seen.iter().filter(|title| *title == "saw effect-done").count(), 4, "{seen:?}");
    // What a person does is no echo.
    system.crm("POST", &format!("/contacts/{contact}/notes"), &json!({"body": "Typed by hand"})).await;
    system.settle().await;
    assert!(entries(&system).await.contains(&"saw NoteCreate".to_owned()));
    assert!(system.check(&["1".into(), "2".into(), "3".into(), "4".into()]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unclear_write_is_found_repeated_or_left_to_a_person_by_its_class() {
    let (system, _host, contact) = acting().await;
    // Done, but the answer was lost: found again by its natural key.
    system.faults(json!({"fail_after": 1})).await;
    act(&system, "1", &contact, "task", "Found again").await;
    system.settle().await;
    // Not done: looked for, then repeated once.
    system.faults(json!({"fail_before": 1})).await;
    act(&system, "2", &contact, "note", "Repeated").await;
    system.settle().await;
    // Repeatable: done twice is done once.
    system.faults(json!({"fail_after": 1})).await;
    act(&system, "3", &contact, "tag", "vip").await;
    system.settle().await;
    // Blind: nobody knows, nobody repeats it.
    system.faults(json!({"fail_after": 1})).await;
    act(&system, "4", &contact, "workflow", "wf-1").await;
    system.settle().await;
    // The quota is no failure.
    system.faults(json!({"too_many": 2})).await;
    act(&system, "5", &contact, "note", "After the rush").await;
    system.settle().await;
    assert_eq!(
        effects(&system).await,
        [
            "create_task done",
            "create_note done",
            "add_tags done",
            "start_workflow unclear",
            "create_note done"
        ]
    );
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    let notes = system.crm("GET", &format!("/contacts/{contact}/notes"), &json!({})).await;
    assert_eq!((of(&tasks, "tasks"), of(&notes, "notes")), (1, 2));
    let keys: Vec<String> = (1..=5).map(|key| key.to_string()).collect();
    let (clean, report) = system.check(&keys);
    assert!(clean && report["unclear"] == 1, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_and_floods_end_in_dead_letters_and_do_nothing() {
    let (system, _host, contact) = acting().await;
    act(&system, "1", &contact, "loop", "again").await;
    act(&system, "2", &contact, "flood", "more").await;
    act(&system, "3", &contact, "dance", "").await;
    act(&system, "4", &contact, "note", "still fine").await;
    system.settle().await;
    let runs = system.get("/v1/runs?tenant=t").await;
    let outcomes: Vec<&str> =
        runs["items"].as_array().unwrap().iter().map(|run| run["outcome"].as_str().unwrap()).collect();
    assert!(outcomes.contains(&"output-too-large") && outcomes.contains(&"unmappable"), "{outcomes:?}");
    assert_eq!(effects(&system).await, ["create_note done"]);
    let events = system.get("/v1/events").await;
    let dead = events["items"].as_array().unwrap().iter().filter(|event| event["state"] == "dead").count();
    assert_eq!(dead, 3, "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tenants_state_counts_right_however_many_count_at_once() {
    let (system, _host, _) = acting().await;
    let mut contacts = Vec::new();
    for number in 0..12 {
        contacts.push(system.create(json!({"email": format!("kim.{number}@example.com")})).await);
    }
    system.settle().await;
    let told = contacts.iter().enumerate().map(|(number, contact)| {
        let system = &system;
        async move { act(system, &format!("count-{number}"), contact, "count", "").await }
    });
    futures_util::future::join_all(told).await;
    system.settle().await;
    let mut counted: Vec<u64> =
        entries(&system).await.iter().filter_map(|title| title.parse().ok()).collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_fires_once_even_over_a_restart() {
    let (system, host, contact) = acting().await;
    act(&system, "1", &contact, "later", "look").await;
    system.settle().await;
    drop(host);
    // Due after a minute of product time, one second of the machine's; the host is down when it comes.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let host = system.host("").expect("the host starts again");
    tokio::time::sleep(Duration::from_millis(600)).await;
    system.settle().await;
    assert_eq!(entries(&system).await, ["saw schedule"]);
    drop(host);
    let _again = system.host("").expect("the host starts again");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    system.settle().await;
    assert_eq!(entries(&system).await, ["saw schedule"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_told_twice_is_one_and_a_key_used_for_two_is_refused() {
    let (system, _host, contact) = acting().await;
    let data = json!({"do": "note", "text": "once"});
    assert_eq!(system.tell("k", "rankr.act", &contact, &data).await.0, 202);
    let (status, again) = system.tell("k", "rankr.act", &contact, &data).await;
    assert_eq!((status, &again["duplicate"]), (200, &json!(true)));
    let (status, other) =
        system.tell("k", "rankr.act", &contact, &json!({"do": "note", "text": "other"})).await;
    assert_eq!((status, other["type"].as_str().unwrap()), (422, "/problems/idempotency-key-reused"));
    let (status, wrong) = system.tell("l", "Rankr.Act", &contact, &data).await;
    assert_eq!((status, wrong["type"].as_str().unwrap()), (400, "/problems/bad-parameter"));
    system.settle().await;
    assert_eq!(effects(&system).await, ["create_note done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_field_is_cleared_and_what_belongs_to_a_contact_is_read() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let _host = system.host("").expect("the host starts");
    let contact = system
        .create(json!({"firstName": "Ada", "email": "ada@example.com", "website": "https://example.com"}))
        .await;
    system.settle().await;
    // Its webhook leaves the emptied field out; one GET tells that it is empty and not only left out.
    system.crm("PUT", &format!("/contacts/{contact}"), &json!({"website": null})).await;
    // Live events about tasks name no contact; it is found by the task search.
    system.faults(json!({"tasks_without_contact": 2})).await;
    let task = json!({"title": "Send papers", "dueDate": "2099-01-01T00:00:00Z", "completed": false});
    let made = system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    let id = made["task"]["id"].as_str().unwrap();
    let done = format!("/contacts/{contact}/tasks/{id}/completed");
    system.crm("PUT", &done, &json!({"completed": true})).await;
    system.settle().await;
    let records = system.get("/v1/records?tenant=t&kind=contact").await;
    let fields = &records["items"][0]["fields"];
    assert!(fields["website"].is_null(), "{fields}");
    assert_eq!((&fields["open_tasks"], &fields["first_name"]), (&json!(1), &json!("Ada")));
    let (clean, report) = system.check(&[]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_stay_in_step_both_ways() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let _host = system.host("").expect("the host starts");
    let contact = system.create(json!({"email": "ada@example.com"})).await;
    let new = |id: &str| json!({"task_id": id, "title": format!("Check {id}"), "due": 4_070_908_800_000_i64});
    system.tell("1", "rankr.task-created", &contact, &new("one")).await;
    system.tell("2", "rankr.task-created", &contact, &new("two")).await;
    system.settle().await;
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    let first = tasks["tasks"].as_array().unwrap().iter().find(|task| task["title"] == "Check one").unwrap();
    let done = format!("/contacts/{contact}/tasks/{}/completed", first["id"].as_str().unwrap());
    system.crm("PUT", &done, &json!({"completed": true})).await;
    system.tell("3", "rankr.task-closed", &contact, &json!({"task_id": "two"})).await;
    system.settle().await;
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    assert!(tasks["tasks"].as_array().unwrap().iter().all(|task| task["completed"] == true), "{tasks}");
    let records = system.get("/v1/records?tenant=t&kind=task").await;
    for record in records["items"].as_array().unwrap() {
        assert_eq!(record["fields"]["completed"], true, "{record}");
        assert!(record["ghl_id"].is_string(), "{record}");
    }
    let told = system.get("/v1/rankr-events?tenant=t").await;
    let told = told["items"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["task_id"]),
        (&json!("rankr.task-completed-in-ghl"), &json!("one"))
    );
    assert!(system.check(&["1".into(), "2".into(), "3".into()]).0);
}
