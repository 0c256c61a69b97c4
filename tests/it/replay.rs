//! Failures in people's hands: dead letters retried and dismissed, events run again and compared, effects decided.

use crate::effects::{ACTING, act, acting, effects, entries, of, told};
use crate::system::{KEY, Plan, REACTING, System, named, plugins, product};
use serde_json::{Value, json};

async fn letters(system: &System, state: &str) -> Vec<Value> {
    let page = system.get(&format!("/v1/dead-letters?tenant=t&state={state}")).await;
    page["items"].as_array().unwrap().clone()
}

/// The path of a dead letter.
fn path(letter: &Value) -> String {
    format!("/v1/dead-letters/{}/{}", letter["sequence"], letter["assignment"].as_str().unwrap())
}

async fn notes(system: &System, contact: &str) -> Vec<String> {
    let all = system.crm("GET", &format!("/contacts/{contact}/notes"), &json!({})).await;
    let mut bodies: Vec<String> = all["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["body"].as_str().unwrap().to_owned())
        .collect();
    bodies.sort();
    bodies
}

/// The last effect on GHL, as the API shows it.
async fn last_effect(system: &System) -> Value {
    let page = system.get("/v1/effects?tenant=t&limit=1000").await;
    let remote = page["items"].as_array().unwrap().iter().rfind(|it| !it["class"].is_null());
    let id = remote.unwrap()["id"].clone();
    system.get(&format!("/v1/effects/{id}")).await
}

/// What the command line answers as JSON.
fn mapwright(system: &System, args: &[&str]) -> Value {
    let host = ["--host", &system.host_url(), "--key", KEY, "--json"];
    let output = std::process::Command::new(product()).args(args).args(host).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    crate::system::last_line(&output)
}

/// Verbs of the changes that were asked for, oldest first.
async fn audited(system: &System) -> Vec<String> {
    let page = system.get("/v1/audit?limit=1000").await;
    let rows = page["items"].as_array().unwrap().iter().filter(|row| row["result"] == "done");
    rows.map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

fn lengths(result: &Value) -> [usize; 4] {
    ["equal", "changed", "new", "no_longer_asked_for"].map(|name| result[name].as_array().unwrap().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_retried_in_its_lane_until_it_does_well() {
    let (system, _host, contact) = acting().await;
    act(&system, "1", &contact, "when-ready", "at last").await;
    act(&system, "2", &contact, "note", "in between").await;
    system.settle().await;
    let open = letters(&system, "open").await;
    assert_eq!(
        (open.len(), &open[0]["outcome"], &open[0]["plugin"]),
        (1, &json!("unmappable"), &json!("actor"))
    );
    let detail = system.get(&path(&open[0])).await;
    assert!(detail["detail"].as_str().unwrap().contains("not ready"), "{detail}");
    assert_eq!((of(&detail, "runs"), &detail["runs"][0]["outcome"]), (1, &json!("unmappable")));
    // It still fails: the letter stays open, with the new failure.
    let retry = format!("{}/retry", path(&open[0]));
    let (status, rerun) = system.post(&retry, &json!({})).await;
    assert_eq!((status, &rerun["state"], &rerun["kind"]), (200, &json!("failed"), &json!("retry")));
    assert_eq!(letters(&system, "open").await.len(), 1);
    act(&system, "3", &contact, "word", "ready").await;
    system.settle().await;
    let (status, rerun) = system.post(&retry, &json!({})).await;
    assert_eq!((status, &rerun["state"]), (200, &json!("done")), "{rerun}");
    assert_eq!(lengths(&rerun["result"]), [0, 0, 1, 0], "{rerun}");
    system.settle().await;
    assert_eq!(notes(&system, &contact).await, ["at last", "in between"]);
    let detail = system.get(&path(&open[0])).await;
    assert_eq!((&detail["resolution"], of(&detail, "runs")), (&json!("retried"), 3), "{detail}");
    let events = system.get("/v1/events").await;
    let own = events["items"].as_array().unwrap().iter().find(|event| event["webhook_id"] == "1").unwrap();
    assert_eq!(own["state"], "done", "{own}");
    let (status, refused) = system.post(&retry, &json!({})).await;
    assert_eq!((status, refused["type"].as_str().unwrap()), (409, "/problems/stands-otherwise"));
    let (clean, report) = system.check(&["1".into(), "2".into(), "3".into()]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_retried_by_filter_or_dismissed_with_a_reason() {
    let (system, host, contact) = acting().await;
    for key in 1..=4 {
        act(&system, &key.to_string(), &contact, "when-ready", &format!("note {key}")).await;
    }
    act(&system, "5", &contact, "dance", "").await;
    act(&system, "6", &contact, "word", "ready").await;
    system.settle().await;
    let open = letters(&system, "open").await;
    assert_eq!(open.len(), 5);
    // Pages end and go on.
    let page = system.get("/v1/dead-letters?tenant=t&limit=2").await;
    let next = page["next"].as_str().unwrap();
    let rest = system.get(&format!("/v1/dead-letters?tenant=t&after={next}")).await;
    assert_eq!((of(&page, "items"), of(&rest, "items")), (2, 3));
    let dance = open.iter().find(|it| it["detail"].as_str().unwrap().contains("dance")).unwrap();
    let dismiss = format!("{}/dismiss", path(dance));
    assert_eq!(system.post(&dismiss, &json!({"reason": " "})).await.0, 400);
    let (status, dismissed) = system.post(&dismiss, &json!({"reason": "Nobody dances here."})).await;
    assert_eq!((status, &dismissed["resolution"]), (200, &json!("dismissed")), "{dismissed}");
    assert_eq!(system.post(&dismiss, &json!({"reason": "again"})).await.0, 409);
    assert_eq!(audited(&system).await, ["dead-letter.dismiss"]);
    let listed = mapwright(&system, &["event", "dead-letters", "--tenant", "t"]);
    assert_eq!(of(&listed, "items"), 4, "{listed}");
    let none = json!({"tenant": "t", "outcome": "trap"});
    assert_eq!(system.post("/v1/dead-letters/retry", &none).await.1["count"], 0);
    let (status, retried) =
        system.post("/v1/dead-letters/retry", &json!({"tenant": "t", "plugin": "actor"})).await;
    assert_eq!((status, &retried["count"]), (202, &json!(4)), "{retried}");
    // They are events in the lane: the end of the process does not lose them.
    drop(host);
    let _host = system.host("").expect("the host starts again");
    system.settle().await;
    assert_eq!(letters(&system, "open").await.len(), 0);
    assert_eq!(letters(&system, "resolved").await.len(), 5);
    assert_eq!(notes(&system, &contact).await, ["note 1", "note 2", "note 3", "note 4"]);
    let keys: Vec<String> = (1..=6).map(|key| key.to_string()).collect();
    let (clean, report) = system.check(&keys);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reprocessed_event_does_only_what_differs_and_undoes_nothing() {
    let (system, _host, contact) = acting().await;
    let sequence = told(&system, "1", &contact, "say", "The word is").await;
    system.settle().await;
    let before = effects(&system).await;
    assert_eq!(before, ["create_note done", "add_tags done"]);
    // The same plan: nothing to do.
    let reprocess = format!("/v1/events/{sequence}/reprocess");
    let (status, same) = system.post(&reprocess, &json!({})).await;
    assert_eq!((status, lengths(&same["result"])), (200, [3, 0, 0, 0]), "{same}");
    act(&system, "2", &contact, "word", "two").await;
    system.settle().await;
    // Compared only: it says what would be done, and nothing is.
    let compared = mapwright(&system, &["event", "reprocess", &sequence.to_string(), "--dry-run"]);
    assert_eq!(lengths(&compared["result"]), [0, 1, 2, 2], "{compared}");
    assert_eq!(compared["result"]["changed"][0]["becomes"], "update_note");
    assert_eq!(compared["result"]["performed"], false);
    system.settle().await;
    assert_eq!(effects(&system).await, before);
    // Performed: the note is updated, the new tag added, the old one stays; the entry that differs is another one.
    let (_, done) = system.post(&reprocess, &json!({})).await;
    assert_eq!(lengths(&done["result"]), [0, 1, 2, 2], "{done}");
    system.settle().await;
    let after = effects(&system).await;
    assert_eq!(after[2..], ["update_note done", "add_tags done"]);
    assert_eq!(notes(&system, &contact).await, ["The word is two"]);
    let tags = &system.crm("GET", &format!("/contacts/{contact}"), &json!({})).await["contact"]["tags"];
    assert_eq!(*tags, json!(["one", "two"]));
    let said =
        |entries: &[String]| entries.iter().filter(|title| ["one", "two"].contains(&title.as_str())).count();
    assert_eq!(said(&entries(&system).await), 2);
    // Once more, and once more compared: all of it is done.
    let (_, again) = system.post(&reprocess, &json!({})).await;
    assert_eq!(lengths(&again["result"])[..3], [3, 0, 0], "{again}");
    system.settle().await;
    assert_eq!(effects(&system).await.len(), 4);
    let (status, unknown) = system.post("/v1/events/99999/reprocess", &json!({})).await;
    assert_eq!((status, unknown["type"].as_str().unwrap()), (404, "/problems/not-found"));
    let (clean, report) = system.check(&["1".into(), "2".into()]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_event_run_again_overwrites_nothing_newer_and_makes_nothing_twice() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let _host = system.host("").expect("the host starts");
    let contact = system.create(json!({"firstName": "Ada", "email": "ada@example.com", "city": "Ulm"})).await;
    system.settle().await;
    system.crm("POST", &format!("/contacts/{contact}/tags"), &json!({"tags": ["vip"]})).await;
    system.settle().await;
    system.crm("PUT", &format!("/contacts/{contact}"), &json!({"city": "Rom"})).await;
    system.settle().await;
    let fields = |page: &Value| page["items"][0]["fields"].clone();
    let before = fields(&system.get("/v1/records?tenant=t&kind=contact").await);
    assert_eq!((&before["city"], &before["tags"]), (&json!("Rom"), &json!(["vip"])));
    let planned = effects(&system).await;
    let events = system.get("/v1/events").await;
    let own: Vec<i64> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["cause"] == "live" && event["folded_into"].is_null())
        .map(|event| event["sequence"].as_i64().unwrap())
        .collect();
    assert!(own.len() >= 3, "{events}");
    let mut new = 0;
    for sequence in own {
        let (status, rerun) = system.post(&format!("/v1/events/{sequence}/reprocess"), &json!({})).await;
        assert_eq!((status, &rerun["state"]), (200, &json!("done")), "{rerun}");
        assert_eq!(rerun["result"]["record_changes"], json!([]), "{rerun}");
        new += lengths(&rerun["result"])[2];
    }
    system.settle().await;
    assert_eq!(fields(&system.get("/v1/records?tenant=t&kind=contact").await), before);
    // The plugin remembers that it made the tag's task, and asks for nothing new.
    assert_eq!((new, effects(&system).await), (0, planned));
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    assert_eq!(of(&tasks, "tasks"), 1);
    let (clean, report) = system.check(&[]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_effect_is_settled_by_a_person_as_done_or_sent_once_more() {
    let (system, _host, contact) = acting().await;
    system.script(&["fail-after"]).await;
    act(&system, "1", &contact, "workflow", "wf-1").await;
    system.settle().await;
    let effect = last_effect(&system).await;
    assert_eq!((&effect["state"], &effect["class"]), (&json!("unclear"), &json!("blind")));
    assert_eq!((of(&effect, "attempt_log"), &effect["attempt_log"][0]["outcome"]), (1, &json!("unclear")));
    let decide = format!("/v1/effects/{}/decide", effect["id"]);
    assert_eq!(system.post(&decide, &json!({"decision": "perhaps"})).await.0, 400);
    let (status, done) = system.post(&decide, &json!({"decision": "done"})).await;
    assert_eq!((status, &done["state"]), (200, &json!("done")), "{done}");
    let (status, late) = system.post(&decide, &json!({"decision": "repeat"})).await;
    assert_eq!((status, late["type"].as_str().unwrap()), (409, "/problems/stands-otherwise"));
    assert_eq!(system.writes("add_contact_to_workflow", &contact), 1);
    // Not done: a person has it sent once more, and only once.
    system.script(&["drop-before", "fail-before"]).await;
    act(&system, "2", &contact, "workflow", "wf-2").await;
    system.settle().await;
    let effect = last_effect(&system).await;
    let decide = format!("/v1/effects/{}/decide", effect["id"]);
    system.post(&decide, &json!({"decision": "repeat"})).await;
    system.settle().await;
    assert_eq!(last_effect(&system).await["state"], "unclear");
    system.post(&decide, &json!({"decision": "repeat"})).await;
    system.settle().await;
    let effect = last_effect(&system).await;
    assert_eq!((&effect["state"], of(&effect, "attempt_log")), (&json!("done"), 3), "{effect}");
    assert_eq!(system.writes("add_contact_to_workflow", &contact), 2);
    assert_eq!(system.post("/v1/effects/99999/decide", &json!({"decision": "repeat"})).await.0, 404);
    assert_eq!(audited(&system).await, ["effect.decide"; 3]);
    let (clean, report) = system.check(&["1".into(), "2".into()]);
    assert!(clean && report["unclear"] == 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_an_unclear_result_waits_until_it_is_settled_and_nothing_else_does() {
    let (system, _host, contact) = acting().await;
    system.script(&["drop-before", "drop-before"]).await;
    act(&system, "1", &contact, "chain", "Made by hand").await;
    act(&system, "2", &contact, "note", "not held").await;
    system.settle().await;
    assert_eq!(effects(&system).await, ["create_task unclear", "complete_task held", "create_note done"]);
    let page = system.get("/v1/effects?tenant=t&state=unclear").await;
    let decide = format!("/v1/effects/{}/decide", page["items"][0]["id"]);
    let (status, needs) = system.post(&decide, &json!({"decision": "done"})).await;
    assert_eq!((status, needs["type"].as_str().unwrap()), (422, "/problems/needs-id"));
    // A person made the task; what waited for it goes on with that one.
    let task = json!({"title": "Made by hand", "dueDate": "2099-01-01T00:00:00Z", "completed": false});
    let made = system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    let (status, _) = system.post(&decide, &json!({"decision": "done", "ghl_id": made["task"]["id"]})).await;
    assert_eq!(status, 200);
    system.settle().await;
    assert_eq!(effects(&system).await[..2], ["create_task done", "complete_task done"]);
    let tasks = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
    assert_eq!((of(&tasks, "tasks"), &tasks["tasks"][0]["completed"]), (1, &json!(true)));
    // Repeated instead: what waits shares its fate.
    system.script(&["drop-before", "drop-before"]).await;
    act(&system, "3", &contact, "chain", "Repeated").await;
    system.settle().await;
    assert_eq!(effects(&system).await[3..], ["create_task unclear", "complete_task held"]);
    let page = system.get("/v1/effects?tenant=t&state=unclear").await;
    let decide = format!("/v1/effects/{}/decide", page["items"][0]["id"]);
    assert_eq!(system.post(&decide, &json!({"decision": "repeat"})).await.0, 200);
    system.settle().await;
    assert_eq!(effects(&system).await[3..], ["create_task done", "complete_task done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_fails_for_a_day_is_dead_and_holds_its_contact_no_longer() {
    // An hour a second.
    let plan = Plan { plugins: plugins(&["contact-profile", "actor"]), assignments: ACTING };
    let system = System::at_rate("3600", plan).await;
    let host = system.host("").expect("the host starts");
    let contact = system.create(json!({"email": "ada@example.com"})).await;
    let other = system.create(json!({"email": "kim@example.com"})).await;
    system.settle().await;
    system.faults(json!({"fail_before": 1_000_000})).await;
    act(&system, "1", &contact, "tag", "vip").await;
    act(&system, "2", &contact, "tag", "behind").await;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while effects(&system).await.len() < 2 || system.get("/v1/effects/1").await["attempts"] == 0 {
        assert!(std::time::Instant::now() < until, "{}", system.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // It goes on failing over a restart, and what is behind it in its contact waits.
    drop(host);
    let _host = system.host("").expect("the host starts again");
    assert_eq!(effects(&system).await[1], "add_tags waiting");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while system.get("/v1/effects/1").await["state"] != "dead" {
        assert!(std::time::Instant::now() < until, "{}", system.get("/v1/effects/1").await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    system.faults(json!({})).await;
    act(&system, "3", &other, "note", "elsewhere").await;
    system.settle().await;
    assert_eq!(effects(&system).await, ["add_tags dead", "add_tags done", "create_note done"]);
    // A person has it tried again: the same plan, as if it had never failed.
    let (status, _) = system.post("/v1/effects/1/retry", &json!({})).await;
    assert_eq!(status, 200);
    system.settle().await;
    assert_eq!(effects(&system).await[0], "add_tags done");
    let (clean, report) = system.check(&["1".into(), "2".into(), "3".into()]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_effect_is_retried_as_planned_and_a_waiting_one_cancelled() {
    let (system, _host, contact) = acting().await;
    let other = system.create(json!({"email": "new@example.com"})).await;
    system.settle().await;
    act(&system, "1", &contact, "contact-note", "new@example.com").await;
    system.settle().await;
    // GHL has that address already; what names the new contact shares its fate.
    assert_eq!(effects(&system).await, ["create_contact refused", "create_note refused"]);
    system.crm("DELETE", &format!("/contacts/{other}"), &json!({})).await;
    system.settle().await;
    for effect in system.get("/v1/effects?tenant=t&state=refused").await["items"].as_array().unwrap() {
        let retried = mapwright(&system, &["event", "effects", "retry", &effect["id"].to_string()]);
        assert_eq!(retried["id"], effect["id"], "{retried}");
        system.settle().await;
    }
    assert_eq!(effects(&system).await, ["create_contact done", "create_note done"]);
    let id = system.get("/v1/effects?tenant=t").await["items"][0]["id"].clone();
    assert_eq!(system.post(&format!("/v1/effects/{id}/retry"), &json!({})).await.0, 409);
    // The quota parks the connection; meanwhile a person cancels one of two.
    system.faults(json!({"too_many": 100_000})).await;
    act(&system, "2", &contact, "note", "not to be").await;
    act(&system, "3", &contact, "note", "to be").await;
    let waiting = loop {
        let page = system.get("/v1/effects?tenant=t&state=waiting").await;
        if of(&page, "items") == 2 {
            break page["items"][0]["id"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    // It may be looked at just then; a person tries again.
    let cancel = format!("/v1/effects/{waiting}/cancel");
    let mut asked = system.post(&cancel, &json!({"reason": "told by phone"})).await;
    while asked.0 == 409 {
        asked = system.post(&cancel, &json!({"reason": "told by phone"})).await;
    }
    assert_eq!((asked.0, &asked.1["detail"]), (200, &json!("told by phone")), "{}", asked.1);
    system.faults(json!({})).await;
    system.settle().await;
    assert_eq!(effects(&system).await[2..], ["create_note cancelled", "create_note done"]);
    assert_eq!(notes(&system, &contact).await, ["to be"]);
    let (clean, report) = system.check(&["1".into(), "2".into(), "3".into()]);
    assert!(clean, "{report}");
}
