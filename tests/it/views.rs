//! Lists, filters, pages and stories: what happened as programs read it and as people do.

use crate::system::{KEY, Plan, REACTING, System, named, product};
use serde_json::{Value, json};
use std::process::Command;

async fn started() -> (System, crate::system::Process) {
    let plan = Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING };
    let system = System::with(plan).await;
    let host = system.host("").unwrap_or_else(|| panic!("the host starts; {}", system.log()));
    (system, host)
}

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap()
}

/// All rows of a list, in pages of three.
async fn all(system: &System, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let page = system.get(&format!("{path}&limit=3{after}")).await;
        rows.extend(items(&page).iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

async fn problem(system: &System, path: &str) -> (u64, String) {
    let request = system.http.get(format!("{}{path}", system.host_url())).bearer_auth(KEY);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    (body["status"].as_u64().unwrap(), body["detail"].as_str().unwrap().to_owned())
}

/// A contact with a life: changed, tagged, a task made and done.
async fn lived(system: &System, email: &str) -> String {
    let contact = system.create(json!({"firstName": "Ada", "email": email, "city": "Ulm"})).await;
    system.settle().await;
    system.crm("PUT", &format!("/contacts/{contact}"), &json!({"city": "Bonn"})).await;
    system.settle().await;
    system.crm("POST", &format!("/contacts/{contact}/tags"), &json!({"tags": ["vip"]})).await;
    system.settle().await;
    contact
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeline_is_filtered_ordered_and_paged_and_says_it_in_sentences() {
    let (system, _host) = started().await;
    let ghl_id = lived(&system, "ada@example.com").await;
    lived(&system, "eve@example.com").await;
    let record = system.get("/v1/records?tenant=t&kind=contact&email=ada@example.com").await;
    let id = items(&record)[0]["id"].as_str().unwrap().to_owned();
    let of_contact = format!("/v1/timeline?tenant=t&contact={id}");
    let written = all(&system, &of_contact).await;
    let by_ghl = all(&system, &format!("/v1/timeline?tenant=t&ghl_contact={ghl_id}")).await;
    assert_eq!(written, by_ghl);
    let mut newest = all(&system, &format!("{of_contact}&order=newest")).await;
    let oldest = all(&system, &format!("{of_contact}&order=oldest")).await;
    assert_eq!((newest.len(), oldest.len()), (written.len(), written.len()));
    newest.reverse();
    assert_eq!(newest, oldest);
    assert!(oldest.is_sorted_by_key(|entry| entry["at"].as_str().unwrap().to_owned()));
    let everyone = all(&system, "/v1/timeline?tenant=t&order=newest").await;
    assert!(everyone.len() > written.len());
    let said = |rows: &[Value]| -> Vec<String> {
        rows.iter().map(|it| it["sentence"].as_str().unwrap().to_owned()).collect()
    };
    let sentences = said(&oldest);
    assert!(sentences[0].starts_with("Created in GHL: "), "{sentences:?}");
    assert!(sentences.contains(&"Changed in GHL: city Ulm → Bonn".to_owned()), "{sentences:?}");
    assert!(sentences.contains(&"Created a task in GHL: Welcome".to_owned()), "{sentences:?}");
    let created = all(&system, &format!("{of_contact}&type=Contact*&kind=event")).await;
    assert_eq!(created.len(), 3, "{created:?}");
    assert!(created.iter().all(|entry| entry["by"] == "GHL"));
    assert_eq!(all(&system, &format!("{of_contact}&text=ULM")).await.len(), 2);
    assert_eq!(all(&system, &format!("{of_contact}&kind=effect&type=create_task")).await.len(), 1);
    assert!(all(&system, &format!("{of_contact}&plugin=nobody")).await.is_empty());
    let from = oldest[1]["at"].as_str().unwrap();
    let to = oldest.last().unwrap()["at"].as_str().unwrap();
    for order in ["written", "newest", "oldest"] {
        let between = all(&system, &format!("{of_contact}&order={order}&from={from}&to={to}")).await;
        let expected = oldest.iter().filter(|it| (from..to).contains(&it["at"].as_str().unwrap())).count();
        assert_eq!(between.len(), expected, "{order}");
    }
    assert!(items(&system.get("/v1/timeline?tenant=t&ghl_contact=nobody").await).is_empty());
    for (wrong, named) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("order=best", "order"),
        ("kind=thing", "kind"),
        ("from=yesterday", "from"),
        ("order=newest&after=5", "after"),
        ("colour=red", "colour"),
    ] {
        let (status, detail) = problem(&system, &format!("/v1/timeline?tenant=t&{wrong}")).await;
        assert!(status == 400 && detail.contains(named), "{wrong}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_found_by_what_people_know_and_shown_with_links_and_provenance() {
    let (system, _host) = started().await;
    let ghl_id = lived(&system, "ada@example.com").await;
    let before = system.get("/healthz").await["now"].as_str().unwrap().to_owned();
    lived(&system, "eve@example.com").await;
    let one = async |filter: &str| {
        let page = system.get(&format!("/v1/records?tenant=t&{filter}")).await;
        assert_eq!(items(&page).len(), 1, "{filter}: {page}");
        items(&page)[0].clone()
    };
    let record = one("email=ada@example.com").await;
    assert_eq!(one(&format!("ghl_id={ghl_id}")).await, record);
    assert_eq!(one("kind=contact&field=email&value=ada@example.com").await, record);
    let changed = all(&system, &format!("/v1/records?tenant=t&kind=contact&updated_since={before}")).await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["fields"]["email"], "eve@example.com");
    assert_eq!(all(&system, "/v1/records?tenant=t&field=tags&value=vip").await.len(), 2);
    let id = record["id"].as_str().unwrap();
    let shown = system.get(&format!("/v1/records/contact/{id}?tenant=t")).await;
    assert_eq!(
        (&shown["links"][0]["ghl_id"], &shown["links"][0]["connection"]),
        (&json!(ghl_id), &json!("c"))
    );
    let city = &shown["provenance"]["city"];
    assert!(city["event"].as_i64().is_some() && city["version"].as_str().is_some(), "{shown}");
    assert_eq!(problem(&system, "/v1/records/contact/nobody?tenant=t").await.0, 404);
    assert_eq!(problem(&system, &format!("/v1/records/thing/{id}?tenant=t")).await.0, 400);
    for (wrong, named) in
        [("kind=thing", "kind"), ("field=city", "value"), ("updated_since=x", "updated_since")]
    {
        let (status, detail) = problem(&system, &format!("/v1/records?tenant=t&{wrong}")).await;
        assert!(status == 400 && detail.contains(named), "{wrong}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_filtered_and_each_has_its_whole_story() {
    let (system, _host) = started().await;
    lived(&system, "ada@example.com").await;
    let contact = system.get("/v1/records?tenant=t&email=ada@example.com").await;
    let rankr_id = items(&contact)[0]["id"].as_str().unwrap().to_owned();
    let oldest = all(&system, "/v1/events?tenant=t").await;
    let mut newest = all(&system, "/v1/events?tenant=t&order=newest").await;
    newest.reverse();
    assert_eq!(oldest, newest);
    assert_eq!(oldest, all(&system, "/v1/events?").await);
    assert_eq!(all(&system, "/v1/events?tenant=t&state=done").await.len(), oldest.len());
    for state in ["received", "waiting", "dead"] {
        assert!(all(&system, &format!("/v1/events?tenant=t&state={state}")).await.is_empty(), "{state}");
    }
    let updates = all(&system, "/v1/events?tenant=t&type=ContactUpdate").await;
    assert!(!updates.is_empty() && updates.iter().all(|it| it["type"] == "ContactUpdate"));
    let of_contact = all(&system, &format!("/v1/events?tenant=t&contact={rankr_id}")).await;
    assert_eq!(of_contact.len(), oldest.len());
    let lane = oldest[0]["lane"].as_str().unwrap();
    assert!(!all(&system, &format!("/v1/events?lane={lane}&cause=live")).await.is_empty());
    let last = oldest.last().unwrap()["received_at"].as_str().unwrap();
    assert_eq!(all(&system, &format!("/v1/events?tenant=t&from={last}")).await.len(), 1);

    let tagged = all(&system, "/v1/events?tenant=t&type=ContactTagUpdate").await.remove(0);
    let sequence = tagged["sequence"].as_i64().unwrap();
    let story = system.get(&format!("/v1/events/{sequence}")).await;
    assert_eq!(story["payload"]["tags"], json!(["vip"]));
    let runs = story["runs"].as_array().unwrap();
    let interfaces: Vec<_> = runs.iter().map(|run| run["interface"].as_str().unwrap()).collect();
    assert_eq!(interfaces, ["mapping", "reaction"]);
    assert!(!story["reads"].as_array().unwrap().is_empty(), "{story}");
    let operations: Vec<_> =
        story["effects"].as_array().unwrap().iter().map(|it| it["op"].as_str().unwrap()).collect();
    assert_eq!(operations, ["create_task", "schedule"]);
    assert!(story["timeline"].as_array().unwrap().len() >= 2 && story["ended_at"].is_string(), "{story}");
    assert!(story["dead_letters"].as_array().unwrap().is_empty());
    let run = system.get(&format!("/v1/runs/{}", runs[0]["id"])).await;
    assert_eq!((&run["sequence"], &run["outcome"]), (&json!(sequence), &json!("mapped")));
    assert_eq!(problem(&system, "/v1/events/999999").await.0, 404);
    assert_eq!(problem(&system, "/v1/events/x").await.0, 400);
    assert_eq!(problem(&system, "/v1/runs/999999").await.0, 404);
    for (wrong, named) in [
        ("state=odd", "state"),
        ("cause=odd", "cause"),
        ("contact=x", "tenant"),
        ("order=odd", "order"),
        ("to=x", "to"),
    ] {
        let (status, detail) = problem(&system, &format!("/v1/events?{wrong}")).await;
        assert!(status == 400 && detail.contains(named), "{wrong}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_told_twice_with_other_words_is_shown_as_conflicting() {
    let (system, _host) = started().await;
    let contact = system.create(json!({"email": "ada@example.com"})).await;
    system.settle().await;
    assert_eq!(system.tell("k", "rankr.activity", &contact, &json!({"text": "one"})).await.0, 202);
    assert_eq!(system.tell("k", "rankr.activity", &contact, &json!({"text": "two"})).await.0, 422);
    system.settle().await;
    let conflicts = system.get("/v1/conflicting-deliveries?tenant=t").await;
    let conflict = &items(&conflicts)[0];
    assert_eq!(
        (items(&conflicts).len(), &conflict["webhook_id"], &conflict["body"]),
        (1, &json!("k"), &Value::Null)
    );
    let story = system.get(&format!("/v1/events/{}", conflict["sequence"])).await;
    let aside = story["conflicting_deliveries"][0]["body"].as_str().unwrap();
    assert!(aside.contains("two") && story["payload"]["data"]["text"] == "one", "{story}");
}

/// No plugin, and a timeline that takes in new contacts only.
const ONLY_NEW: &str = "[timeline]\ntypes = [\"ContactC*\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_nobody_wants_are_counted_and_not_stored() {
    let empty = tempfile::tempdir().unwrap();
    let system = System::with(Plan { plugins: empty.path().to_owned(), assignments: ONLY_NEW }).await;
    let _host = system.host("").expect("the host starts");
    let contact = system.create(json!({"email": "ada@example.com"})).await;
    system.crm("PUT", &format!("/contacts/{contact}"), &json!({"city": "Bonn"})).await;
    let task = json!({"title": "Call", "dueDate": "2099-01-01T00:00:00Z", "completed": false});
    system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    system.settle().await;
    let types = async || {
        let page = system.get("/v1/events?tenant=t").await;
        items(&page).iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types().await, ["ContactCreate"]);
    let metrics = system.http.get(format!("{}/metrics", system.host_url())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("mapwright_webhooks_total{outcome=\"unwanted\"} 2"), "{metrics}");
    // A rule that counts from tasks wants them, whatever the timeline takes in.
    let rule = json!({"tenant": "t", "rule": {"name": "n", "kind": "task-due"}});
    let made =
        system.http.post(format!("{}/v1/timing-rules", system.host_url())).bearer_auth(KEY).json(&rule);
    assert_eq!(made.send().await.unwrap().status().as_u16(), 201);
    system.crm("POST", &format!("/contacts/{contact}/tasks"), &task).await;
    system.settle().await;
    assert_eq!(types().await, ["ContactCreate", "TaskCreate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_tells_a_timeline_and_a_story_as_people_read_them() {
    let (system, _host) = started().await;
    lived(&system, "ada@example.com").await;
    let run = |args: &[&str]| {
        let output = Command::new(product())
            .args(args)
            .args(["--host", &system.host_url(), "--key", KEY])
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = run(&["timeline", "--tenant", "t", "--email", "ada@example.com"]);
    let first = told.lines().next().unwrap();
    assert_eq!(first.len(), "2026-01-01".len(), "{told}");
    assert!(told.contains("Changed in GHL: city Ulm → Bonn  (GHL)"), "{told}");
    assert!(told.find("Created in GHL") < told.find("Changed in GHL"), "{told}");
    let json: Value =
        serde_json::from_str(&run(&["timeline", "--tenant", "t", "--limit", "2", "--json"])).unwrap();
    assert_eq!(items(&json).len(), 2);
    let events = run(&["event", "list", "--tenant", "t", "--type", "ContactTagUpdate", "--json"]);
    let events: Value = serde_json::from_str(&events).unwrap();
    let sequence = items(&events)[0]["sequence"].to_string();
    let story = run(&["event", "show", &sequence]);
    for part in ["Payload:", "Runs:", "Read from GHL:", "Effects:", "create_task", "Timeline:"] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let record = run(&["records", "list", "--tenant", "t", "--where", "city=Bonn", "--json"]);
    let record: Value = serde_json::from_str(&record).unwrap();
    let id = items(&record)[0]["id"].as_str().unwrap();
    let shown = run(&["records", "show", "contact", id, "--tenant", "t"]);
    assert!(shown.contains("city: Bonn") && shown.contains("Links with GHL:"), "{shown}");
    let runs: Value =
        serde_json::from_str(&run(&["run", "list", "--tenant", "t", "--event", &sequence, "--json"]))
            .unwrap();
    let shown = run(&["run", "show", &items(&runs)[0]["id"].to_string(), "--json"]);
    assert!(shown.contains("\"interface\""), "{shown}");
}
