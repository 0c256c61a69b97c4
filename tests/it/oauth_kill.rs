//! `kill -9` exactly between the steps of a refresh, and each of the three ends that are left then: the old refresh token,
//! the code for an installed app, a person.

use crate::oauth::Office;
use crate::system::{LOCATION, Process};
use serde_json::json;
use std::time::{Duration, Instant};

/// A connected office whose host was killed at this point of its first refresh; the connection's id.
async fn killed(point: &str) -> (Office, String) {
    let office = Office::with("", "s3cr3t-of-the-app").await;
    office.put("oauth/settings", json!({"access_seconds": 240})).await;
    let mut host = office.host(&format!("{point}=1*return"));
    let id = office.connect(LOCATION).await;
    wait_for_death(&mut host).await;
    (office, id)
}

async fn wait_for_death(host: &mut Process) {
    let until = Instant::now() + Duration::from_secs(30);
    while host.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the host was not killed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_grants(office: &Office, expected: &[&str]) {
    let until = Instant::now() + Duration::from_secs(30);
    while office.grants().get(..expected.len()).is_none_or(|given| given != expected) {
        assert!(Instant::now() < until, "{:?}; {}", office.grants(), office.system.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It works: what comes in arrives, what goes out arrives once.
async fn works(office: &Office, id: &str) {
    office.until(id, |it| it["state"] == "active" && it["token"]["last_failure"].is_null()).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    let told = office.note("after", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    let (clean, report) = office.system.check(&[told]);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_ghl_was_asked_the_old_refresh_token_still_works() {
    let (office, id) = killed("token-refreshing").await;
    assert_eq!(office.grants(), ["authorization_code"], "GHL was not asked yet");
    let _host = office.host("");
    until_grants(&office, &["authorization_code", "refresh_token"]).await;
    works(&office, &id).await;
    assert!(!office.grants()[1..].contains(&"authorization_code".to_owned()), "{:?}", office.grants());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_ghl_answered_the_app_is_given_a_code_without_a_person() {
    let (office, id) = killed("token-answered").await;
    assert_eq!(office.grants(), ["authorization_code", "refresh_token"], "GHL used the old token up");
    let _host = office.host("");
    until_grants(&office, &["authorization_code", "refresh_token", "authorization_code"]).await;
    works(&office, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_ghl_answered_and_refused_the_code_a_person_reconnects_and_all_goes_on() {
    let (office, id) = killed("token-answered").await;
    office.put("oauth/settings", json!({"access_seconds": 240, "reconnect_off": true})).await;
    let host = office.host("");
    office.until_state(&id, "reconnect-needed").await;
    // What comes in and what is to go out waits, also over a restart.
    let contact = office.system.create(json!({"email": "kim@example.com"})).await;
    office.note("before", &contact).await;
    office.until_event("ContactCreate").await;
    drop(host);
    let _host = office.host("");
    assert_eq!(office.connection(&id).await["state"], "reconnect-needed");
    let (status, link) = office.ask(&format!("/v1/connections/{id}/reconnect"), json!({})).await;
    assert_eq!(status, 201, "{link}");
    let (status, page) = office.open(link["url"].as_str().unwrap(), LOCATION).await;
    assert_eq!(status, 200, "{page}");
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    assert_eq!(office.connection(&id).await["state"], "active");
}
