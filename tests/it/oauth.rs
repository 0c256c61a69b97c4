//! Connections through OAuth, end to end: links, callbacks, tokens that are refreshed, lost and won back, agencies,
//! uninstalls.

use crate::system::{KEY, LOCATION, Plan, Process, REACTING, System, named};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The agency of these tests, and a second location of it.
pub(crate) const COMPANY: &str = "cmpExample0000000001";
pub(crate) const SECOND: &str = "locExample0000000002";
/// Scopes the app may ask for.
const SCOPES: &str = "contacts.readonly contacts.write calendars/events.readonly calendars/events.write locations/tasks.readonly";

/// A sandbox with an agency and an app, and a host that has the app and two tenants, and is connected to nothing.
pub(crate) struct Office {
    pub(crate) system: System,
}

impl Office {
    /// With this in the configuration's `[ghl]`, and this client secret.
    pub(crate) async fn with(ghl: &str, secret: &str) -> Self {
        let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
        let path = system.folder.path().join("host.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once("[[connection]]").unwrap();
        let (_, assignments) = rest.split_once("[[assignment]]").unwrap();
        let (before, app) = before.split_once("[[app]]").unwrap();
        let own =
            format!("client_id = \"demo-client\"\nclient_secret = \"{secret}\"\nscopes = \"{SCOPES}\"\n");
        let other = app.replace("id = \"demo\"", "id = \"other\"");
        let (other, _) = other.split_once("[[tenant]]").unwrap();
        let text = format!(
            "{}\n{ghl}\n[[app]]{}\n[[app]]{other}\n[[tenant]]\nid = \"t\"\nname = \"Example\"\n\
             [[tenant]]\nid = \"t2\"\nname = \"Second\"\n[[assignment]]{assignments}",
            before.replace(
                "body_limit_bytes",
                &format!("public_url = \"{}\"\nbody_limit_bytes", system.host_url())
            ),
            app.split_once("[[tenant]]").unwrap().0.replace("environment", &format!("{own}environment")),
        );
        std::fs::write(&path, text).unwrap();
        let office = Self { system };
        let locations =
            json!([{"id": LOCATION, "name": "Front desk"}, {"id": SECOND, "name": "Back office"}]);
        office
            .put("agencies", json!({"company_id": COMPANY, "name": "Example", "locations": locations}))
            .await;
        let callbacks: Vec<String> =
            ["demo", "other"].map(|app| format!("{}/oauth/callback/{app}", office.system.host_url())).into();
        let app = json!({
            "app_id": "demo", "webhook_url": format!("{}/webhooks/ghl/demo", office.system.host_url()),
            "client_id": "demo-client", "client_secret": "s3cr3t-of-the-app", "redirect_uris": callbacks,
            "scopes": SCOPES,
        });
        office.post("apps", app).await;
        office
    }

    pub(crate) async fn new() -> (Self, Process) {
        let office = Self::with("", "s3cr3t-of-the-app").await;
        let host = office.host("");
        (office, host)
    }

    pub(crate) fn host(&self, failpoints: &str) -> Process {
        self.system.host(failpoints).unwrap_or_else(|| panic!("the host starts; {}", self.system.log()))
    }

    async fn control(&self, method: reqwest::Method, what: &str, body: Value) -> Value {
        let request = self.system.http.request(method, self.system.control(what)).json(&body);
        let reply = request.send().await.unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{what}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn put(&self, what: &str, body: Value) {
        self.control(reqwest::Method::PUT, what, body).await;
    }

    pub(crate) async fn post(&self, what: &str, body: Value) -> Value {
        self.control(reqwest::Method::POST, what, body).await
    }

    /// Asks the host; gives status and body.
    pub(crate) async fn ask(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.system.host_url());
        let reply = self.system.http.post(url).bearer_auth(KEY).json(&body).send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap())
    }

    /// A link for a tenant.
    pub(crate) async fn link(&self, tenant: &str) -> String {
        let (status, link) =
            self.ask("/v1/connections/authorize", json!({"tenant": tenant, "app": "demo"})).await;
        assert_eq!(status, 201, "{link}");
        link["url"].as_str().unwrap().to_owned()
    }

    /// Opens a link as a person who makes this choice; gives the status and text of the page they end at.
    pub(crate) async fn open(&self, link: &str, choice: &str) -> (u16, String) {
        let reply = self.system.http.get(format!("{link}&approve={choice}")).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    /// Opens a link and stops where GHL sends the person back to.
    async fn back(&self, link: &str, choice: &str) -> String {
        let stopping =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let reply = stopping.get(format!("{link}&approve={choice}")).send().await.unwrap();
        assert_eq!(reply.status(), 303);
        reply.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Connects a location for the first tenant; gives the connection's id.
    pub(crate) async fn connect(&self, location: &str) -> String {
        let (status, page) = self.open(&self.link("t").await, location).await;
        assert_eq!(status, 200, "{page}; {}", self.system.log());
        self.of_location(location).await["id"].as_str().unwrap().to_owned()
    }

    /// The newest connection of a location.
    pub(crate) async fn of_location(&self, location: &str) -> Value {
        let page = self.system.get("/v1/connections").await;
        let of = |it: &&Value| it["location"] == location;
        page["items"].as_array().unwrap().iter().rfind(of).cloned().unwrap_or_default()
    }

    pub(crate) async fn connection(&self, id: &str) -> Value {
        self.system.get(&format!("/v1/connections/{id}")).await
    }

    /// Waits until the connection is in a state.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        self.until(id, |connection| connection["state"] == state).await
    }

    pub(crate) async fn until(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let connection = self.connection(id).await;
            if fits(&connection) {
                return connection;
            }
            assert!(Instant::now() < until, "it stays {connection}; {}", self.system.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the sandbox gave tokens for, in order: `authorization_code`, `refresh_token`, `location_token`.
    pub(crate) fn grants(&self) -> Vec<String> {
        let journal =
            std::fs::read_to_string(self.system.folder.path().join("sandbox/journal.jsonl")).unwrap();
        let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["kind"] == "install" && line["op"] == "issued")
            .map(|line| line["grant"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.grants().iter().filter(|grant| *grant == "refresh_token").count()
    }

    /// Tells of an activity, which becomes a note; gives its key.
    pub(crate) async fn note(&self, key: &str, contact: &str) -> String {
        let data = json!({"text": format!("Activity {key}")});
        let (status, body) = self.system.tell(key, "rankr.activity", contact, &data).await;
        assert!(matches!(status, 200 | 202), "{body}");
        key.to_owned()
    }

    /// A contact's notes in the CRM.
    pub(crate) async fn notes(&self, contact: &str) -> usize {
        let notes = self.system.crm("GET", &format!("/contacts/{contact}/notes"), &json!({})).await;
        notes["notes"].as_array().unwrap().len()
    }

    /// Effects as `state detail`, in the order of planning.
    pub(crate) async fn effects(&self) -> Vec<String> {
        let page = self.system.get("/v1/effects?tenant=t&limit=1000").await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let remote = page["items"].as_array().unwrap().iter().filter(|it| it["op"] == "create_note");
        remote.map(|it| format!("{} {}", text(&it["state"]), text(&it["detail"]))).collect()
    }

    /// Waits until the first effect says this.
    pub(crate) async fn until_effect(&self, words: &str) {
        let until = Instant::now() + Duration::from_secs(40);
        while !self.effects().await.first().is_some_and(|effect| effect.contains(words)) {
            assert!(Instant::now() < until, "{:?}; {}", self.effects().await, self.system.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an event of that type is kept.
    pub(crate) async fn until_event(&self, event_type: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let page = self.system.get("/v1/events?limit=1000").await;
            if page["items"].as_array().unwrap().iter().any(|event| event["type"] == event_type) {
                return;
            }
            assert!(Instant::now() < until, "{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn attempts(&self, tenant: &str) -> Vec<Value> {
        let page = self.system.get(&format!("/v1/connection-attempts?tenant={tenant}")).await;
        page["items"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_is_connected_by_a_link_and_works_from_then_on() {
    let (office, _host) = Office::new().await;
    let (status, link) = office.ask("/v1/connections/authorize", json!({"tenant": "t", "app": "demo"})).await;
    assert_eq!(status, 201, "{link}");
    let (status, page) = office.open(link["url"].as_str().unwrap(), LOCATION).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains(LOCATION) && page.contains("connected"), "{page}");
    let connection = office.of_location(LOCATION).await;
    assert_eq!(
        (&connection["state"], &connection["kind"], &connection["tenant"]),
        (&json!("active"), &json!("oauth"), &json!("t"))
    );
    assert_eq!(connection["company"], COMPANY);
    assert_eq!(connection["scopes"].as_array().unwrap().len(), SCOPES.split(' ').count());
    assert_eq!(connection["first_read"]["outcome"], "passed");
    assert!(connection["token"]["expires_at"].is_string() && connection["token"]["last_failure"].is_null());
    let shown = connection.to_string();
    assert!(!shown.contains("access_token") && !shown.contains("eyJ"), "{shown}");
    let attempt = &office.attempts("t").await[0];
    assert_eq!((&attempt["id"], &attempt["outcome"]), (&link["attempt"], &json!("connected")));
    assert_eq!(attempt["connected"], json!([connection["id"]]));
    // Both ways: a webhook comes in, a note goes out.
    let contact = office.system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    office.system.settle().await;
    let key = office.note("1", &contact).await;
    office.system.settle().await;
    assert_eq!((office.notes(&contact).await, office.effects().await), (1, vec!["done ".to_owned()]));
    let (clean, report) = office.system.check(&[key]);
    assert!(clean && report["records"] == 1, "{report}");
    let log = std::fs::read_to_string(office.system.folder.path().join("host.log")).unwrap();
    assert!(!log.contains("eyJ") && !log.contains("s3cr3t"), "a token or secret is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_good_for_one_use_one_app_and_a_while() {
    let office = Office::with("authorize_minutes = 1", "s3cr3t-of-the-app").await;
    let _host = office.host("");
    let visit = async |url: &str| {
        let reply = office.system.http.get(url).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    // Another app's callback does not take it; then it is used, and is used up.
    let back = office.back(&office.link("t").await, LOCATION).await;
    let (status, page) = visit(&back.replace("/callback/demo", "/callback/other")).await;
    assert!(status == 400 && page.contains("another app"), "{status} {page}");
    let (status, page) = visit(&back).await;
    assert_eq!(status, 200, "{page}");
    let (status, page) = visit(&back).await;
    assert!(status == 400 && page.contains("used before"), "{status} {page}");
    // None of ours, or none.
    let (address, _) = back.split_once("state=").unwrap();
    for state in ["state=made-up", "state=", ""] {
        let (status, page) = visit(&format!("{address}{state}")).await;
        assert!(status == 400 && page.contains("missing or unknown"), "{status} {page}");
    }
    // A person who says no.
    let (status, page) = visit(&format!("{}&deny=1", office.link("t").await)).await;
    assert!(status == 400 && page.contains("access_denied"), "{status} {page}");
    assert_eq!(office.attempts("t").await[0]["step"], "consent");
    // A minute of product time is a second here.
    let late = office.back(&office.link("t").await, LOCATION).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let (status, page) = visit(&late).await;
    assert!(status == 400 && page.contains("good until"), "{status} {page}");
    assert_eq!(office.attempts("t").await[0]["outcome"], "expired");
    // Links for what is not there are refused.
    for (body, expected) in [
        (json!({"tenant": "nobody", "app": "demo"}), 404),
        (json!({"tenant": "t", "app": "nothing"}), 404),
        (json!({"tenant": "t", "app": "other"}), 409),
        (json!({"tenant": "t", "app": "demo", "scopes": "a&b"}), 400),
        (json!({"tenant": "t"}), 422),
    ] {
        let (status, problem) = office.ask("/v1/connections/authorize", body).await;
        assert!(status == expected || (expected == 422 && status == 400), "{status} {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_exchange_is_shown_and_kept_with_its_step_status_and_body() {
    let office = Office::with("", "wr0ng-secret").await;
    let _host = office.host("");
    let (status, page) = office.open(&office.link("t").await, LOCATION).await;
    assert_eq!(status, 502, "{page}");
    assert!(
        page.contains("code exchange") && page.contains("400") && page.contains("clientSecret"),
        "{page}"
    );
    let attempt = &office.attempts("t").await[0];
    assert_eq!(
        (&attempt["outcome"], &attempt["step"], &attempt["status"]),
        (&json!("failed"), &json!("code exchange"), &json!(400))
    );
    assert!(attempt["detail"].as_str().unwrap().contains("clientSecret"), "{attempt}");
    assert!(!attempt.to_string().contains("wr0ng"), "{attempt}");
    assert_eq!(office.of_location(LOCATION).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_counts_as_connected_only_after_a_first_read_worked() {
    let (office, _host) = Office::new().await;
    // All reads are refused: the quota of the day is used up.
    office.put("limits", json!({"calls": 100, "interval_millis": 10000, "daily": 0})).await;
    let link = office.link("t").await;
    let opening = office.open(&link, LOCATION);
    let looking = async {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let connection = office.of_location(LOCATION).await;
            if !connection.is_null() {
                assert_eq!(connection["state"], "connecting");
                office.put("limits", json!({})).await;
                return;
            }
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, ()) = futures_util::future::join(opening, looking).await;
    let id = office.of_location(LOCATION).await["id"].as_str().unwrap().to_owned();
    let connection = office.until_state(&id, "active").await;
    assert_eq!(connection["first_read"]["outcome"], "passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_calls_at_once_with_a_dead_token_cause_one_refresh() {
    let (office, _host) = Office::new().await;
    office.connect(LOCATION).await;
    let mut contacts = Vec::new();
    for number in 0..20 {
        contacts.push(office.system.create(json!({"email": format!("kim.{number}@example.com")})).await);
    }
    office.system.settle().await;
    // A minute of product time: younger tokens are not suspected.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    office.post("oauth/revoke", json!({"location_id": LOCATION})).await;
    let telling = contacts.iter().enumerate().map(|(number, contact)| {
        let office = &office;
        async move { office.note(&number.to_string(), contact).await }
    });
    let told = futures_util::future::join_all(telling).await;
    office.system.settle().await;
    assert_eq!(office.refreshes(), 1, "{:?}", office.grants());
    for contact in &contacts {
        assert_eq!(office.notes(contact).await, 1);
    }
    let (clean, report) = office.system.check(&told);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_refreshed_ahead_of_their_end_without_being_asked_for() {
    let (office, _host) = Office::new().await;
    // Four minutes of product time, four seconds here; refreshed after half of it.
    office.put("oauth/settings", json!({"access_seconds": 240})).await;
    let id = office.connect(LOCATION).await;
    let first = office.connection(&id).await["token"]["expires_at"].clone();
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(office.refreshes() >= 2, "{:?}", office.grants());
    let connection = office.connection(&id).await;
    assert_ne!(connection["token"]["expires_at"], first);
    office.note("1", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    assert_eq!(office.effects().await, ["done "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_refreshing_fails_the_old_token_works_to_its_end_and_nothing_is_lost_after_it() {
    let (office, _host) = Office::new().await;
    office.put("oauth/settings", json!({"access_seconds": 600})).await;
    let id = office.connect(LOCATION).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    office.system.faults(json!({"token_fail_before": 100_000})).await;
    // Refreshing is due after five minutes of product time and fails; five seconds here.
    office.until(&id, |connection| connection["token"]["last_failure"]["step"] == "refresh").await;
    office.note("1", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    assert_eq!(office.connection(&id).await["state"], "active");
    tokio::time::sleep(Duration::from_secs(6)).await;
    office.note("2", &contact).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(office.notes(&contact).await, 1, "the token has ended");
    assert_eq!(office.connection(&id).await["state"], "active");
    office.system.faults(json!({})).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 2);
    assert!(office.connection(&id).await["token"]["last_failure"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_refresh_is_won_back_without_a_person() {
    let (office, _host) = Office::new().await;
    office.put("oauth/settings", json!({"access_seconds": 240})).await;
    let id = office.connect(LOCATION).await;
    // GHL uses the refresh token up and the answer is lost: the next try finds it dead and asks for a code.
    office.system.faults(json!({"token_fail_after": 1})).await;
    let until = Instant::now() + Duration::from_secs(40);
    while office.grants() != ["authorization_code", "refresh_token", "authorization_code"] {
        assert!(Instant::now() < until, "{:?}; {}", office.grants(), office.system.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    office.until(&id, |connection| connection["token"]["last_failure"].is_null()).await;
    assert_eq!(office.connection(&id).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_connection_waits_for_a_person_loses_nothing_and_goes_on_after_reconnecting() {
    let (office, _host) = Office::new().await;
    let id = office.connect(LOCATION).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    office.put("oauth/settings", json!({"reconnect_off": true})).await;
    office.post("oauth/revoke", json!({"location_id": LOCATION, "all": true})).await;
    let told = office.note("1", &contact).await;
    let connection = office.until_state(&id, "reconnect-needed").await;
    assert_eq!(connection["token"]["last_failure"]["step"], "reconnect");
    assert_eq!(connection["token"]["last_failure"]["status"], 400);
    let log = std::fs::read_to_string(office.system.folder.path().join("host.log")).unwrap();
    assert!(log.contains("waits for a person"), "{log}");
    // What comes in meanwhile is taken; it needs to read, so it waits as well.
    office.system.crm("PUT", &format!("/contacts/{contact}"), &json!({"city": "Riverton"})).await;
    office.until_effect("a person has to reconnect it").await;
    office.until_event("ContactUpdate").await;
    assert!(office.effects().await[0].starts_with("waiting"));
    // The ready link leads to GHL's page, where the person chooses another location first.
    office.put("oauth/settings", json!({})).await;
    let ready = connection["reconnect_link"].as_str().unwrap();
    office.put("oauth/approval", json!({"approve": SECOND})).await;
    let reply = office.system.http.get(ready).send().await.unwrap();
    assert_eq!(reply.status(), 409);
    assert!(reply.text().await.unwrap().contains(LOCATION));
    office.put("oauth/approval", json!({"approve": LOCATION})).await;
    let reply = office.system.http.get(ready).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    office.system.settle().await;
    let connection = office.connection(&id).await;
    assert_eq!((&connection["state"], &connection["reconnect_link"]), (&json!("active"), &Value::Null));
    assert_eq!(office.notes(&contact).await, 1);
    assert_eq!(office.effects().await, ["done "]);
    assert_eq!(office.system.get("/v1/records?tenant=t").await["items"][0]["fields"]["city"], "Riverton");
    let (clean, report) = office.system.check(&[told]);
    assert!(clean, "{report}");
    // The ready link leads nowhere once nothing waits.
    assert_eq!(office.system.http.get(ready).send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_named_with_who_wants_it_before_a_call_is_spent() {
    let (office, _host) = Office::new().await;
    let asked = json!({"tenant": "t", "app": "demo", "scopes": "contacts.readonly"});
    let (_, link) = office.ask("/v1/connections/authorize", asked).await;
    assert_eq!(office.open(link["url"].as_str().unwrap(), LOCATION).await.0, 200);
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    office.note("1", &contact).await;
    office.system.settle().await;
    let effects = office.effects().await;
    assert!(effects[0].starts_with("refused"), "{effects:?}");
    for words in ["contacts.write", "contact_create_note", "task-reactions"] {
        assert!(effects[0].contains(words), "{words} is not in {effects:?}");
    }
    let metrics = office.system.http.get(format!("{}/metrics", office.system.host_url()));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("contact_create_note"), "a call was spent: {metrics}");
    // With the scope the next one goes out.
    let connection = office.of_location(LOCATION).await;
    let path = format!("/v1/connections/{}/reconnect", connection["id"].as_str().unwrap());
    let (status, link) = office.ask(&path, json!({})).await;
    assert_eq!(status, 201, "{link}");
    assert_eq!(office.open(link["url"].as_str().unwrap(), LOCATION).await.0, 200);
    office.note("2", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_are_corrected_by_what_ghl_refuses() {
    let office = Office::with("", "s3cr3t-of-the-app").await;
    let asked = json!({"location_id": LOCATION, "scopes": "contacts.readonly"});
    let token = office.post("tokens", asked).await["access_token"].as_str().unwrap().to_owned();
    let path = office.system.folder.path().join("host.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(&format!(
        "\n[[connection]]\nid = \"c\"\ntenant = \"t\"\napp = \"demo\"\nlocation = \"{LOCATION}\"\n\
         access_token = \"{token}\"\nscopes = \"contacts.readonly contacts.write\"\n"
    ));
    std::fs::write(&path, text).unwrap();
    let _host = office.host("");
    let app = json!({"app_id": "demo", "webhook_url": format!("{}/webhooks/ghl/demo", office.system.host_url()), "locations": [LOCATION]});
    office.post("apps", app).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    for key in ["1", "2"] {
        office.note(key, &contact).await;
        office.system.settle().await;
    }
    let effects = office.effects().await;
    assert!(
        effects.iter().all(|it| it.starts_with("refused") && it.contains("contacts.write")),
        "{effects:?}"
    );
    assert_eq!(office.connection("c").await["lacking_scopes"], json!(["contacts.write"]));
    let metrics = office.system.http.get(format!("{}/metrics", office.system.host_url()));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let spent = "mapwright_ghl_calls_total{operation=\"contact_create_note\",outcome=\"missing-scope\"} 1";
    assert!(metrics.contains(spent), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uninstalling_closes_the_connection_and_keeps_what_was_stored() {
    let (office, host) = Office::new().await;
    let id = office.connect(LOCATION).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    office.post("oauth/uninstall", json!({"app_id": "demo", "location_id": LOCATION})).await;
    let connection = office.until_state(&id, "closed").await;
    assert!(connection["closed_reason"].as_str().unwrap().contains("uninstalled"), "{connection}");
    assert!(connection["token"].is_null());
    office.note("1", &contact).await;
    office.system.settle().await;
    let effects = office.effects().await;
    assert!(effects[0].starts_with("refused") && effects[0].contains("uninstalled"), "{effects:?}");
    assert_eq!(office.system.get("/v1/records?tenant=t").await["items"].as_array().unwrap().len(), 1);
    assert!(!office.system.get("/v1/timeline?tenant=t").await["items"].as_array().unwrap().is_empty());
    drop(host);
    let _host = office.host("");
    assert_eq!(office.connection(&id).await["state"], "closed");
    // Installing anew opens the old connection again.
    assert_eq!(office.connect(LOCATION).await, id);
    office.note("2", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    // Closing by request destroys the tokens as well.
    let (status, closed) = office.ask(&format!("/v1/connections/{id}/close"), json!({})).await;
    assert_eq!((status, &closed["state"]), (200, &json!("closed")));
    assert!(closed["token"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_tenants_claim_to_a_location_is_refused_by_name() {
    let (office, _host) = Office::new().await;
    let id = office.connect(LOCATION).await;
    let (status, page) = office.open(&office.link("t2").await, LOCATION).await;
    assert_eq!(status, 409, "{page}");
    assert!(page.contains(LOCATION) && page.contains(&id) && page.contains("tenant t "), "{page}");
    let attempt = &office.attempts("t2").await[0];
    assert_eq!((&attempt["outcome"], &attempt["step"]), (&json!("failed"), &json!("location")));
    assert_eq!(office.connection(&id).await["tenant"], "t");
    // Once the first has closed it the second may have it.
    office.ask(&format!("/v1/connections/{id}/close"), json!({})).await;
    assert_eq!(office.open(&office.link("t2").await, LOCATION).await.0, 200);
    assert_eq!(office.of_location(LOCATION).await["tenant"], "t2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agencys_token_connects_the_chosen_locations_and_later_installs() {
    let (office, _host) = Office::new().await;
    office
        .put("oauth/settings", json!({"access_seconds": 240, "location_tokens_without_refresh": true}))
        .await;
    let link = format!("{}&locations={LOCATION}", office.link("t").await);
    let (status, page) = office.open(&link, COMPANY).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains(LOCATION) && page.contains(COMPANY) && !page.contains(SECOND), "{page}");
    let first = office.of_location(LOCATION).await;
    assert_eq!((&first["state"], &first["through_agency"]), (&json!("active"), &json!(true)));
    // Somebody installs it at the second location: no link of ours, only INSTALL.
    let _nobody_comes_back = office.back(&office.link("t").await, SECOND).await;
    let until = Instant::now() + Duration::from_secs(20);
    while office.of_location(SECOND).await["state"] != "active" {
        assert!(Instant::now() < until, "{}", office.system.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Its token came without a refresh token: the agency mints another in time.
    let second = office.of_location(SECOND).await;
    let ends = second["token"]["expires_at"].clone();
    office
        .until(second["id"].as_str().unwrap(), |it| {
            it["token"]["expires_at"] != ends && it["state"] == "active"
        })
        .await;
    // Through the agency, or by a code of GHL's reconnect call where the agency's own token is just being refreshed.
    let given = |grant: &&String| matches!(grant.as_str(), "location_token" | "authorization_code");
    assert!(office.grants().iter().filter(given).count() >= 4, "{:?}", office.grants());
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    let body = json!({"tenant": "t", "connection": first["id"], "type": "rankr.activity", "ghl_contact": contact, "data": {"text": "Hello"}});
    let request = office.system.http.post(format!("{}/v1/events", office.system.host_url())).bearer_auth(KEY);
    let told = request.header("idempotency-key", "1").json(&body).send().await.unwrap();
    assert_eq!(told.status(), 202);
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    // The agency takes the app off: all of it is closed.
    office.post("oauth/uninstall", json!({"app_id": "demo", "company_id": COMPANY})).await;
    for connection in [&first, &second] {
        office.until_state(connection["id"].as_str().unwrap(), "closed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inactive_location_waits_and_goes_on_when_it_is_active_again() {
    let (office, _host) = Office::new().await;
    office.put("oauth/settings", json!({"access_seconds": 240})).await;
    let id = office.connect(LOCATION).await;
    office.put(&format!("locations/{LOCATION}"), json!({"active": false})).await;
    let failed = |connection: &Value| {
        connection["token"]["last_failure"]["detail"].as_str().is_some_and(|it| it.contains("not active"))
    };
    assert_eq!(office.until(&id, failed).await["state"], "active");
    office.put(&format!("locations/{LOCATION}"), json!({"active": true})).await;
    let connection = office.until(&id, |it| it["token"]["last_failure"].is_null()).await;
    assert_eq!(connection["state"], "active");
    assert!(office.refreshes() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_keeps_installs_and_tokens_over_a_restart() {
    let (mut office, _host) = Office::new().await;
    office.connect(LOCATION).await;
    let contact = office.system.create(json!({"email": "ada@example.com"})).await;
    office.system.settle().await;
    office.system.restart_sandbox();
    office.note("1", &contact).await;
    office.system.settle().await;
    assert_eq!(office.notes(&contact).await, 1);
    office.system.crm("PUT", &format!("/contacts/{contact}"), &json!({"city": "Riverton"})).await;
    office.system.settle().await;
    assert_eq!(office.system.get("/v1/records?tenant=t").await["items"][0]["fields"]["city"], "Riverton");
}
