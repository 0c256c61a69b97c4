//! Every event type of GHL's at the door: accepted, and where it names a contact that is known, on the contact's timeline
//! and before the reactions. The types and examples are those of the reference data, where `GHL_REFERENCE_DIR` names it.

use crate::system::{LOCATION, Plan, System, named};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SEEING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "actor"
grants = ["rankr.timeline"]
"#;

/// Types without a mapping that the guest's reaction wants.
const WATCHED: &[&str] = &[
    "CampaignStatusUpdate",
    "ConversationUnreadUpdate",
    "ConversationUpdate",
    "InboundMessage",
    "OutboundMessage",
    "InvoiceCreate",
    "InvoicePaid",
    "InvoiceVoid",
    "OpportunityCreate",
    "OpportunityStageUpdate",
    "OpportunityDelete",
    "OrderCreate",
    "OrderStatusUpdate",
    "VoiceAiCallEnd",
];

/// Puts a value at a path such as `appointment.contactId`.
fn put(body: &mut Value, path: &str, value: &str) {
    let mut place = body;
    for name in path.split('.') {
        if !place[name].is_object() {
            place[name] = json!({});
        }
        place = &mut place[name];
    }
    *place = json!(value);
}

/// Each type with a body: the first example, or next to nothing; the contact's path, if it has one.
fn types(folder: &str) -> Vec<(String, Value, Option<String>)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(format!("{folder}/webhooks")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") || path.file_stem().unwrap() == "index" {
            continue;
        }
        let page: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let contact_at = page["contact_id_at"].as_str().unwrap_or_default();
        let contact_at = contact_at.split(" / ").next().filter(|path| !path.is_empty()).map(str::to_owned);
        for named in page["type_values"].as_array().unwrap() {
            let name = named.as_str().unwrap().split(' ').next().unwrap().to_owned();
            let mut body =
                page["examples"].as_array().and_then(|all| all.first()).cloned().unwrap_or(json!({}));
            body["type"] = json!(name);
            found.push((name, body, contact_at.clone()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_type_is_accepted_and_reaches_timeline_and_reactions() {
    let Ok(folder) = std::env::var("GHL_REFERENCE_DIR") else {
        eprintln!("not run: GHL_REFERENCE_DIR is unset");
        return;
    };
    let system = System::with(Plan { plugins: named("MAPWRIGHT_GUESTS"), assignments: SEEING }).await;
    let _host = system.host("").unwrap_or_else(|| panic!("the host starts; {}", system.log()));
    let contact = system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    system.settle().await;
    let (mut sent, mut expected) = (0, BTreeSet::new());
    let mut types = types(&folder);
    // What takes the contact away comes last.
    types.sort_by_key(|(name, _, _)| name == "ContactDelete");
    for (name, mut body, contact_at) in types {
        if name == "UNINSTALL" {
            continue;
        }
        body["locationId"] = json!(LOCATION);
        if body["altId"].is_string() {
            body["altId"] = json!(LOCATION);
        }
        // Each its own object: what repeats what is known is no news, and nothing reacts to it.
        if body["id"].is_string() {
            body["id"] = json!(format!("object{sent:014}"));
        }
        if let Some(path) = &contact_at {
            put(&mut body, path, &contact);
            expected.insert(name.clone());
        }
        let message = json!({"app_id": "demo", "body": body});
        let reply = system.http.post(system.control("events")).json(&message).send().await.unwrap();
        reply.error_for_status().unwrap();
        sent += 1;
        // One after the other, so that no notes of tasks overtake their contact's end.
        if name == "ContactDelete" || sent % 20 == 0 {
            system.settle().await;
        }
    }
    system.settle().await;
    let journal = std::fs::read_to_string(system.folder.path().join("sandbox/journal.jsonl")).unwrap();
    let lines: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<&Value> =
        lines.iter().filter(|line| line["kind"] == "attempt" && line["status"] != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(sent > 70, "only {sent} types were found in {folder}");
    let events = system.get("/v1/events?limit=1000").await;
    let timeline = system.get("/v1/timeline?tenant=t&limit=1000").await;
    let timed: BTreeSet<i64> = timeline["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["kind"] == "event" && !entry["contact"].is_null())
        .filter_map(|entry| entry["sequence"].as_i64())
        .collect();
    let seen: BTreeSet<String> = timeline["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["entry"]["title"].as_str()?.strip_prefix("saw ").map(str::to_owned))
        .collect();
    for name in &expected {
        let of_type: Vec<&Value> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["type"] == name.as_str())
            .collect();
        assert!(!of_type.is_empty(), "no event of type {name} was kept");
        assert!(of_type.iter().all(|event| event["state"] == "done"), "{of_type:?}");
        let told =
            of_type.iter().filter_map(|event| event["sequence"].as_i64()).any(|it| timed.contains(&it));
        assert!(told, "{name} is not on the contact's timeline");
        assert!(seen.contains(name) || !WATCHED.contains(&name.as_str()), "no reaction saw {name}: {seen:?}");
    }
    eprintln!("{sent} types sent, {} of them about a contact", expected.len());
}
