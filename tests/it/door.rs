//! The webhook door and the API as the outside meets them: what is refused, and how it is said.

use crate::system::System;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_a_problem_document() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    let url = |path: &str| format!("{}{path}", system.host_url());
    let problem = async |request: reqwest::RequestBuilder| {
        let reply = request.send().await.unwrap();
        let kind = reply.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/problem+json");
        let status = reply.status().as_u16();
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["status"], status);
        assert!(body["detail"].as_str().unwrap().len() > 10, "{body}");
        (status, body["type"].as_str().unwrap().to_owned())
    };
    let event = json!({"type": "ContactUpdate", "locationId": "x", "id": "y"}).to_string();
    let post = |path: &str, body: String| system.http.post(url(path)).body(body);
    assert_eq!(
        problem(post("/webhooks/ghl/demo", event.clone())).await,
        (401, "/problems/bad-signature".into())
    );
    let forged = post("/webhooks/ghl/demo", event.clone()).header("x-ghl-signature", "AAAA");
    assert_eq!(problem(forged).await, (401, "/problems/bad-signature".into()));
    assert_eq!(problem(post("/webhooks/ghl/nobody", event)).await, (404, "/problems/not-found".into()));
    let large = post("/webhooks/ghl/demo", "x".repeat(70_000));
    assert_eq!(problem(large).await, (413, "/problems/body-too-large".into()));
    assert_eq!(problem(system.http.get(url("/v1/events"))).await, (401, "/problems/unauthorized".into()));
    let wrong = system.http.get(url("/v1/events")).bearer_auth("wrong");
    assert_eq!(problem(wrong).await, (401, "/problems/unauthorized".into()));
    let keyed = |path: &str| system.http.get(url(path)).bearer_auth(crate::system::KEY);
    assert_eq!(problem(keyed("/v1/events?limit=0")).await, (400, "/problems/bad-parameter".into()));
    assert_eq!(problem(keyed("/v1/events?after=x")).await, (400, "/problems/bad-parameter".into()));
    assert_eq!(problem(keyed("/v1/records?tenant=t&after=x")).await, (400, "/problems/bad-parameter".into()));
    assert_eq!(problem(keyed("/v1/records")).await, (400, "/problems/bad-parameter".into()));
    assert_eq!(problem(keyed("/v1/nothing")).await, (404, "/problems/not-found".into()));
    assert_eq!(
        problem(system.http.post(url("/healthz"))).await,
        (405, "/problems/method-not-allowed".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_becomes_a_record_with_provenance_and_pages_join_up() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    for number in 0..7 {
        system.create(json!({"firstName": " Ada ", "email": format!("ADA.{number}@example.com")})).await;
    }
    system.settle().await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = system.get(&format!("/v1/records?tenant=t&limit=3{after}")).await;
        for record in page["items"].as_array().unwrap() {
            assert_eq!(record["fields"]["first_name"], "Ada");
            assert!(record["provenance"]["email"]["event"].as_i64().unwrap() > 0);
            assert!(record["provenance"]["email"]["version"].as_str().unwrap().starts_with("sha256:"));
            seen.push(record["fields"]["email"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen.sort();
    let expected: Vec<String> = (0..7).map(|number| format!("ada.{number}@example.com")).collect();
    assert_eq!(seen, expected);
    let metrics =
        system.http.get(format!("{}/metrics", system.host_url())).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("mapwright_webhooks_total{outcome=\"stored\"} 7"), "{metrics}");
    assert!(metrics.contains("mapwright_events_open 0"), "{metrics}");
    let runs = system.get("/v1/runs?tenant=t").await;
    assert_eq!(runs["items"][0]["outcome"], "mapped");
    assert_eq!(runs["items"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_on_the_same_data_is_refused_by_name() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    assert!(system.host("").is_none());
    assert!(system.log().contains("is in use by another mapwright process"), "{}", system.log());
}
