//! A plugin that fails: for one contact, for all, for a while. What waits is kept in order, nothing of it is lost, and
//! other plugins go on.

use crate::lifecycle::{PROFILE, Stage, all};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Stage {
    async fn contacts(&self, name: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..count {
            let email = format!("{name}.{number}@example.com");
            ids.push(self.system.create(json!({"firstName": name, "email": email, "city": "Start"})).await);
        }
        ids
    }

    async fn change(&self, ids: &[String], fields: Value) {
        for id in ids {
            self.system.crm("PUT", &format!("/contacts/{id}"), &fields).await;
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let assignment = self.assignment().await;
            if holds(&assignment) {
                return assignment;
            }
            assert!(Instant::now() < until, "never {what}: {assignment}; {}", self.system.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Outcomes of the guest's runs by event, in the order they were made.
    async fn outcomes(&self) -> BTreeMap<i64, Vec<String>> {
        let assignment = self.assignment().await["id"].as_str().unwrap().to_owned();
        let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for run in all(&self.system, "/v1/runs?tenant=t").await {
            if run["assignment"] == assignment.as_str() {
                let outcome = run["outcome"].as_str().unwrap().to_owned();
                found.entry(run["sequence"].as_i64().unwrap()).or_default().push(outcome);
            }
        }
        found
    }

    /// Events that were not folded into others, by their state.
    async fn events(&self) -> BTreeMap<String, Vec<i64>> {
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for event in all(&self.system, "/v1/events?tenant=t").await {
            if event["folded_into"].is_null() {
                let state = event["state"].as_str().unwrap().to_owned();
                found.entry(state).or_default().push(event["sequence"].as_i64().unwrap());
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_fails_for_all_waits_while_others_go_on_and_catches_up() {
    let mut stage = Stage::start(&["stage-one"], PROFILE).await;
    assert_eq!(stage.activate("1.0.0", json!({"fail_for": ["*"]}), &[]).await.0, 201);
    let ids = stage.contacts("Kim", 12).await;
    stage.system.settle().await;
    let assignment = stage.until("open", |it| it["breaker"]["state"] != "closed").await;
    assert_eq!(assignment["breaker"]["outcome"], "unmappable", "{assignment}");
    assert!(assignment["breaker"]["contacts"].as_i64().unwrap() >= 5);
    // While it is open everyone else goes on, and what it has not run on waits.
    stage.change(&ids, json!({"city": "Ulm"})).await;
    stage.system.settle().await;
    for id in &ids {
        assert_eq!(stage.field(id, "city").await, "Ulm", "contact-profile goes on");
    }
    let held = stage.assignment().await["held"].as_i64().unwrap();
    assert!(held >= 12, "{held}");
    let events = stage.events().await;
    assert_eq!(i64::try_from(events["held"].len()).unwrap(), held);
    let dead = events["dead"].len();
    assert!((5..12).contains(&dead), "{dead} dead letters before it opened");
    let text = stage.system.http.get(format!("{}/metrics", stage.system.host_url())).send().await.unwrap();
    assert!(text.text().await.unwrap().contains("mapwright_breakers_open 1"));
    // A restart forgets nothing of it.
    stage.restart();
    assert_ne!(stage.assignment().await["breaker"]["state"], "closed");
    assert_eq!(stage.assignment().await["held"], held);
    // Mended: it catches up by itself, in the order of each lane, each once.
    assert_eq!(stage.activate("1.0.0", json!({"label": "mended"}), &[]).await.0, 200);
    stage.change(&ids, json!({"city": "Bonn"})).await;
    stage.until("caught up", |it| it["held"] == 0 && it["breaker"]["state"] == "closed").await;
    stage.system.settle().await;
    let events = stage.events().await;
    assert!(!events.contains_key("held"), "{events:?}");
    assert_eq!(events["dead"].len(), dead, "what failed before it opened is a person's");
    let outcomes = stage.outcomes().await;
    for sequence in &events["done"] {
        let mapped = outcomes[sequence].iter().filter(|outcome| *outcome == "mapped").count();
        assert_eq!(mapped, 1, "event {sequence}: {:?}", outcomes[sequence]);
    }
    for id in &ids {
        assert_eq!(
            (stage.field(id, "stage_city").await, stage.field(id, "stage_label").await),
            (json!("Bonn"), json!("mended"))
        );
    }
    let (clean, report) = stage.system.check(&[]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisoned_contact_opens_no_breaker() {
    let stage = Stage::start(&["stage-one"], PROFILE).await;
    assert_eq!(stage.activate("1.0.0", json!({"fail_for": ["Poison"]}), &[]).await.0, 201);
    let poisoned = stage.contacts("Poison", 1).await;
    let sound = stage.contacts("Sound", 4).await;
    for round in 0..12 {
        stage.change(&poisoned, json!({"city": format!("City {round}")})).await;
        stage.change(&sound, json!({"city": format!("City {round}")})).await;
        stage.system.settle().await;
    }
    let assignment = stage.assignment().await;
    assert_eq!(
        (&assignment["breaker"]["state"], &assignment["held"]),
        (&json!("closed"), &json!(0)),
        "{assignment}"
    );
    assert!(stage.events().await["dead"].len() >= 10);
    for id in &sound {
        assert_eq!(stage.field(id, "stage_city").await, "City 11");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_tries_one_run_and_closes_when_it_does_well() {
    let stage = Stage::start(&["stage-one"], PROFILE).await;
    assert_eq!(stage.activate("1.0.0", json!({"fail_for": ["Bad"]}), &[]).await.0, 201);
    let ids = stage.contacts("Bad", 12).await;
    let open = stage.until("open", |it| it["breaker"]["state"] != "closed").await;
    stage.change(&ids, json!({"city": "Bonn"})).await;
    stage.system.settle().await;
    // A probe that fails keeps it open, and the next comes later.
    let until = |text: &Value| text["breaker"]["probe_at"].as_str().unwrap_or_default().to_owned();
    let first = until(&open);
    stage.until("probed in vain", |it| until(it) > first).await;
    let held = stage.assignment().await["held"].as_i64().unwrap();
    let dead = stage.events().await["dead"].len();
    // What is wrong with the contacts is mended in the CRM; nobody touches the host.
    stage.change(&ids, json!({"firstName": "Good", "city": "Ulm"})).await;
    stage.until("closed", |it| it["breaker"]["state"] == "closed" && it["held"] == 0).await;
    stage.system.settle().await;
    assert!(held > 0);
    let events = stage.events().await;
    assert_eq!(events["dead"].len(), dead, "a probe that fails is no dead letter");
    assert!(!events.contains_key("held"), "{events:?}");
    for id in &ids {
        assert_eq!(stage.field(id, "stage_city").await, "Ulm");
    }
    let (clean, report) = stage.system.check(&[]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_policy_hold_a_failure_holds_its_lane_until_a_person_decides() {
    let stage = Stage::start(&["stage-one"], PROFILE).await;
    let body =
        json!({"tenant": "t", "plugin": "stage", "config": {"fail_for": ["Poison"]}, "on_failure": "hold"});
    assert_eq!(stage.post("/v1/assignments", &body).await.0, 201);
    let poisoned = stage.contacts("Poison", 2).await;
    let sound = stage.contacts("Sound", 2).await;
    stage.system.settle().await;
    stage.change(&poisoned, json!({"firstName": "Healed", "city": "Ulm"})).await;
    stage.change(&sound, json!({"city": "Ulm"})).await;
    stage.system.settle().await;
    let assignment = stage.assignment().await;
    assert_eq!((&assignment["held"], &assignment["held_failed"]), (&json!(4), &json!(2)), "{assignment}");
    assert_eq!(assignment["breaker"]["state"], "closed");
    for id in &sound {
        assert_eq!(stage.field(id, "stage_city").await, "Ulm", "other lanes go on");
    }
    for id in &poisoned {
        assert_eq!(stage.field(id, "city").await, "Ulm", "other plugins go on in the same lane");
        assert!(stage.field(id, "stage_city").await.is_null());
    }
    // One lane's failure was of the moment: run again, it does well, and the one behind it follows.
    assert_eq!(stage.act_with("resume", &json!({"failed": "again"})).await.0, 200);
    stage.until("caught up", |it| it["held"] == 0).await;
    stage.system.settle().await;
    for id in &poisoned {
        assert_eq!(stage.field(id, "stage_city").await, "Ulm");
    }
    assert!(!stage.events().await.contains_key("dead"));
    // Given up: the failed one is a dead letter and the lane goes on.
    stage.change(&poisoned[..1], json!({"firstName": "Poison", "city": "Bonn"})).await;
    stage.system.settle().await;
    assert_eq!(stage.assignment().await["held_failed"], 1);
    assert_eq!(stage.act_with("resume", &json!({"failed": "dead-letter"})).await.0, 200);
    stage.until("let go", |it| it["held"] == 0).await;
    assert_eq!(stage.events().await["dead"].len(), 1);
    stage.change(&poisoned[..1], json!({"firstName": "Healed", "city": "Rom"})).await;
    stage.system.settle().await;
    assert_eq!(stage.field(&poisoned[0], "stage_city").await, "Rom");
    assert_eq!(stage.act_with("resume", &json!({"failed": "forget"})).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_runs_outlive_kills_and_run_once_in_order() {
    let mut stage = Stage::start(&["stage-one"], PROFILE).await;
    assert_eq!(stage.activate("1.0.0", json!({"fail_for": ["*"]}), &[]).await.0, 201);
    let ids = stage.contacts("Kim", 10).await;
    stage.until("open", |it| it["breaker"]["state"] != "closed").await;
    for round in 0..6 {
        stage.change(&ids, json!({"city": format!("City {round}")})).await;
        if round % 2 == 0 {
            stage.restart();
        }
        stage.system.settle().await;
    }
    let before = stage.assignment().await["held"].as_i64().unwrap();
    assert!(before >= 50, "{before}");
    assert_eq!(stage.activate("1.0.0", json!({}), &[]).await.0, 200);
    // Killed while it catches up, inside a commit and at any moment.
    for round in 0..6 {
        stage.host = None;
        let points =
            if round % 2 == 0 { format!("inside-commit={}*off->1*return", 1 + round) } else { String::new() };
        if let Some(host) = stage.system.host(&points) {
            tokio::time::sleep(Duration::from_millis(60 + round * 20)).await;
            drop(host);
        }
    }
    stage.restart();
    stage.change(&ids, json!({"city": "End"})).await;
    stage.until("caught up", |it| it["held"] == 0).await;
    stage.system.settle().await;
    let events = stage.events().await;
    let outcomes = stage.outcomes().await;
    for sequence in events["done"].iter().filter(|sequence| outcomes.contains_key(sequence)) {
        let mapped = outcomes[sequence].iter().filter(|outcome| *outcome == "mapped").count();
        assert_eq!(mapped, 1, "event {sequence}: {:?}", outcomes[sequence]);
    }
    let (done, ran) = (events["done"].len(), outcomes.len());
    let dead = events.get("dead").map_or(0, Vec::len);
    assert_eq!(ran, done + dead, "each event met the guest");
    for id in &ids {
        assert_eq!(stage.field(id, "stage_city").await, "End");
    }
    let (clean, report) = stage.system.check(&[]);
    assert!(clean, "{report}");
}
