//! `kill -9` under load, at chosen points and at any moment: nothing is lost, doubled or out of order, and what was to be
//! written to GHL is written once; of what can neither be repeated nor found a person is asked.

use crate::effects::ACTING;
use crate::system::{Plan, REACTING, System, plugins};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills at each failpoint; half of all.
const AT_EACH_POINT: usize = 5;
const POINTS: &[&str] = &[
    "inside-commit",
    "before-webhook-reply",
    "after-webhook-reply",
    "before-event-commit",
    "after-event-commit",
    "effect-sending",
    "effect-answered",
    "mid-deployment",
];
/// Kills at any moment.
const AT_ANY_MOMENT: usize = AT_EACH_POINT * POINTS.len();
/// Contacts under load.
const CONTACTS: usize = 24;

/// Changes contacts and tells of activities and tasks until it is told to stop; gives the keys of what it told.
async fn load(system: Arc<System>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..CONTACTS {
        ids.push(system.create(json!({"firstName": "Kim", "email": format!("kim.{number}@example.com"), "city": "Start"})).await);
    }
    let mut told = Vec::new();
    let mut round = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        for (number, id) in ids.iter().enumerate() {
            round += 1;
            system.crm("PUT", &format!("/contacts/{id}"), &json!({"city": format!("City {round}")})).await;
            if round.is_multiple_of(4) {
                let key = format!("told-{round}");
                let task = format!("task-{round}");
                // Every fourth told event is a task; tasks of a contact stay few, so that no guard against loops opens.
                if round.is_multiple_of(16) {
                    let data = json!({"task_id": task, "title": format!("Task {round}"), "due": 4_070_908_800_000_i64});
                    system.tell(&key, "rankr.task-created", id, &data).await;
                } else {
                    let data = json!({"text": format!("Activity {round} of {number}")});
                    system.tell(&key, "rankr.activity", id, &data).await;
                }
                told.push(key);
            }
            // Effects that may be repeated, and such that may not.
            if round.is_multiple_of(12) {
                let key = format!("acted-{round}");
                let other = &ids[(number + 1) % CONTACTS];
                let (what, text) = if round.is_multiple_of(24) { ("tag", "vip") } else { ("workflow", "wf") };
                system.tell(&key, "rankr.act", other, &json!({"do": what, "text": text})).await;
                told.push(key);
            }
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
    }
    // GHL gives a message up after 12 retries, and the host was down most of the time: what counts is the last change.
    for id in &ids {
        system.crm("PUT", &format!("/contacts/{id}"), &json!({"city": "End"})).await;
    }
    told
}

/// Two files that no host has deployed before: the plugin as it was, and a section nobody reads.
fn new_versions(folder: &Path, round: u8) {
    let plugin = std::fs::read(folder.join("contact-profile.wasm")).unwrap();
    for number in 0..2 {
        let bytes = [&plugin[..], &[0, 6, 3, b'm', b'r', b'k', round, number]].concat();
        std::fs::write(folder.join(format!("new-{number}.wasm")), bytes).unwrap();
    }
}

async fn wait_for_death(child: &mut std::process::Child) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_over_eighty_kills() {
    let acting = ACTING.split("plugin = \"contact-profile\"").nth(1).unwrap();
    let assignments = format!("{REACTING}{acting}").leak();
    let folder = plugins(&["contact-profile", "task-reactions", "actor"]);
    let plan = Plan { plugins: folder.clone(), assignments };
    let system = Arc::new(System::with(plan).await);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(Arc::clone(&system), Arc::clone(&stop)));
    let mut counts = Vec::new();
    for point in POINTS {
        let mut killed = 0;
        for round in 0..AT_EACH_POINT {
            let passes = match *point {
                "mid-deployment" => round % 2,
                "effect-sending" | "effect-answered" => round,
                _ => 3 + round * 7,
            };
            if *point == "mid-deployment" {
                new_versions(&folder, u8::try_from(round).unwrap());
            }
            match system.host(&format!("{point}={passes}*off->1*return")) {
                // Dying before it listens is what the deployment's point is for.
                None => killed += usize::from(*point == "mid-deployment"),
                Some(mut host) => killed += usize::from(wait_for_death(&mut host.child).await),
            }
        }
        counts.push(format!("{point} {killed}"));
        assert!(killed >= 5, "only {killed} kills at {point}; {}", system.log());
    }
    for round in 0..AT_ANY_MOMENT {
        let host = system.host("").expect("the host starts again");
        tokio::time::sleep(Duration::from_millis(u64::try_from(round * 37 % 400).unwrap())).await;
        drop(host);
    }
    counts.push(format!("any moment {AT_ANY_MOMENT}"));
    let host = system.host("").expect("the host starts again");
    stop.store(true, Ordering::Relaxed);
    let told = load.await.unwrap();
    system.settle().await;
    let (clean, report) = system.check(&told);
    eprintln!("kills: {}; {} events told; {report}", counts.join(", "), told.len());
    let unclear = system.get("/v1/effects?tenant=t&state=unclear&limit=1000").await;
    let blind = |effect: &Value| effect["class"] == "blind";
    assert!(clean && unclear["items"].as_array().unwrap().iter().all(blind), "{report}\n{}", system.log());
    for class in ["repeatable", "findable", "blind"] {
        let page = system.get("/v1/effects?tenant=t&state=done&limit=1000").await;
        let done = page["items"].as_array().unwrap().iter().filter(|effect| effect["class"] == class).count();
        eprintln!("{class} effects done: {done}");
        assert!(done > 0, "no {class} effect was done");
    }
    assert!(report["events_received"].as_i64().unwrap() > 100, "too little load: {report}");
    assert!(report["remote_writes"].as_i64().unwrap() > 20, "too few effects: {report}");
    drop(host);
}
