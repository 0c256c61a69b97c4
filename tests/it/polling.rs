//! Connections with an API key: no webhook comes, so what people do in the CRM is found by polling, once, and our own
//! writes are no news.

use crate::system::{KEY, LOCATION, Plan, Process, REACTING, System, last_line, named, product, run};
use mapwright::domain::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Product seconds per machine second: two passes a machine second.
const RATE: u32 = 120;
/// All scopes that polling can use, and those for writing.
const SCOPES: &str = "contacts.readonly contacts.write locations/tasks.readonly calendars.readonly \
    calendars/events.readonly calendars/events.write";
const CALENDAR: &str = "calFrontDesk000000001";

/// What polling finds.
const LIVE: &[&str] = &[
    "ContactCreate",
    "ContactUpdate",
    "ContactTagUpdate",
    "ContactDelete",
    "TaskCreate",
    "TaskUpdate",
    "TaskComplete",
    "TaskDelete",
    "NoteCreate",
    "NoteUpdate",
    "NoteDelete",
    "AppointmentCreate",
    "AppointmentUpdate",
    "AppointmentDelete",
];

/// Mapping with what it may read.
const MAPPING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "contact-profile"
grants = ["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read"]
"#;

/// A guest that does what it is told.
const ACTING: &str = r#"
[[assignment]]
tenant = "t"
plugin = "actor"
grants = ["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read", "crm.contacts.write",
    "crm.tasks.write", "crm.notes.write", "crm.tags.write", "crm.appointments.write", "crm.workflows.run", "crm.call",
    "rankr.read", "rankr.write", "rankr.timeline", "rankr.events", "state.contact", "state.tenant", "schedule"]
"#;

fn millis() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A sandbox, a host's configuration and a location with an API key.
struct Polled {
    system: System,
    key: String,
    origin: i64,
}

/// What a system is made of.
struct Made<'a> {
    plan: Plan,
    /// Scopes the key has.
    scopes: &'a str,
    /// Scopes the configuration declares; empty: the connection is made over the API.
    declared: &'a str,
    /// More of the configuration.
    more: &'a str,
}

fn mapping() -> Plan {
    Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: MAPPING }
}

impl Polled {
    async fn new(plan: Plan, scopes: &str) -> Self {
        Self::with(Made { plan, scopes, declared: scopes, more: "" }).await
    }

    async fn with(made: Made<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = millis();
        let mut command = Command::new(product());
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--clock-rate", &RATE.to_string()]);
        command.args(["--clock-origin", &origin.to_string(), "--data"]).arg(folder.path().join("sandbox"));
        let sandbox = Process::start(command).expect("the sandbox starts");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let http = reqwest::Client::new();
        let (person, rate) = (String::new(), RATE.to_string());
        let mut system = System { folder, sandbox, http, port, person, rate };
        system.person = system.token(json!({"location_id": LOCATION})).await;
        let asked = json!({"location_id": LOCATION, "scopes": made.scopes});
        let reply = system.http.post(system.control("api-keys")).json(&asked).send().await.unwrap();
        let key = reply.json::<Value>().await.unwrap()["api_key"].as_str().unwrap().to_owned();
        assert!(key.starts_with("pit-"));
        let mut toml = String::new();
        writeln!(toml, "[data]\nfolder = \"{}\"", system.folder.path().join("host").display()).unwrap();
        writeln!(toml, "[http]\nlisten = \"127.0.0.1:{port}\"\n[api]\nhost_key = \"{KEY}\"").unwrap();
        writeln!(toml, "[clock]\nrate = {RATE}.0\norigin_millis = {origin}").unwrap();
        writeln!(toml, "[plugins]\nfolder = \"{}\"", made.plan.plugins.display()).unwrap();
        writeln!(toml, "[ghl]\nsandbox_url = \"{}\"\n{}", system.sandbox.url, made.more).unwrap();
        writeln!(toml, "[[tenant]]\nid = \"t\"\nname = \"Example\"").unwrap();
        if !made.declared.is_empty() {
            writeln!(toml, "[[connection]]\nid = \"c\"\ntenant = \"t\"\nkind = \"api-key\"").unwrap();
            writeln!(toml, "environment = \"sandbox\"\nlocation = \"{LOCATION}\"\napi_key = \"{key}\"")
                .unwrap();
            writeln!(toml, "scopes = \"{}\"", made.declared).unwrap();
        }
        writeln!(toml, "{}", made.plan.assignments).unwrap();
        std::fs::write(system.folder.path().join("host.toml"), toml).unwrap();
        Self { system, key, origin }
    }

    fn host(&self) -> Process {
        self.system.host("").unwrap_or_else(|| panic!("the host starts; {}", self.system.log()))
    }

    /// Product time.
    fn now(&self) -> i64 {
        self.origin + (millis() - self.origin) * i64::from(RATE)
    }

    async fn polling(&self) -> Value {
        self.system.get("/v1/connections/c/polling").await
    }

    /// Waits until everything that was done before this moment has been found and has ended.
    async fn caught_up(&self) -> Value {
        let done = self.now();
        let until = Instant::now() + Duration::from_secs(90);
        let polling = loop {
            let polling = self.polling().await;
            if polling["covers_until"].as_str().is_some_and(|covers| at(covers) > done) {
                break polling;
            }
            assert!(Instant::now() < until, "not found: {polling}; {}", self.system.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.system.settle().await;
        polling
    }

    async fn events(&self) -> Vec<Value> {
        let page = self.system.get("/v1/events?limit=1000").await;
        page["items"].as_array().unwrap().clone()
    }

    /// How many events there are of each type and cause, those the host makes itself left out.
    async fn counted(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        for event in self.events().await {
            let (name, cause) = (event["type"].as_str().unwrap(), event["cause"].as_str().unwrap());
            if !name.starts_with("effect-") && !name.starts_with("rankr.") {
                *counted.entry(format!("{name} {cause}")).or_default() += 1;
            }
        }
        counted
    }

    async fn task(&self, contact: &str, title: &str) -> String {
        let body = json!({"title": title, "dueDate": "2030-01-01T09:00:00Z", "completed": false});
        let made = self.system.crm("POST", &format!("/contacts/{contact}/tasks"), &body).await;
        made["task"]["id"].as_str().unwrap().to_owned()
    }

    async fn note(&self, contact: &str, text: &str) -> String {
        let made =
            self.system.crm("POST", &format!("/contacts/{contact}/notes"), &json!({"body": text})).await;
        made["note"]["id"].as_str().unwrap().to_owned()
    }

    async fn appointment(&self, contact: &str, start: &str) -> String {
        let body = json!({"calendarId": CALENDAR, "locationId": LOCATION, "contactId": contact, "startTime": start,
            "title": "Visit"});
        let made = self.system.crm("POST", "/calendars/events/appointments", &body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// A moment so many days from now, as people write it into a calendar.
    fn in_days(&self, days: i64) -> String {
        Timestamp::from_millis(self.now() / 1000 * 1000 + days * 86_400_000).to_rfc3339()
    }

    async fn metrics(&self) -> String {
        let reply = self.system.http.get(format!("{}/metrics", self.system.host_url())).send().await.unwrap();
        reply.text().await.unwrap()
    }

    /// Nothing was sent by webhook.
    fn no_webhooks(&self) {
        let journal = self.system.folder.path().join("sandbox/journal.jsonl");
        assert!(!std::fs::read_to_string(journal).unwrap().contains("\"kind\":\"delivery\""));
    }

    fn check(&self, told: &[String]) -> Value {
        let (clean, report) = self.system.check(told);
        assert!(clean, "{report}; {}", self.system.log());
        report
    }
}

fn at(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().millis()
}

fn count(counted: &BTreeMap<String, usize>, what: &str) -> usize {
    counted.get(what).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_do_is_found_by_polling() {
    let polled = Polled::new(mapping(), SCOPES).await;
    let crm = &polled.system;
    let ada = crm
        .create(json!({"firstName": "Ada", "email": "ada@example.com", "address1": "1 Old Road",
        "dateOfBirth": "1990-09-25", "customFields": [{"id": "cfShoeSize0000000001", "value": 42}]}))
        .await;
    let bela = crm.create(json!({"firstName": "Bela", "email": "bela@example.com"})).await;
    let (first, done) = (polled.task(&ada, "Send papers").await, polled.task(&ada, "Done before").await);
    crm.crm("PUT", &format!("/contacts/{ada}/tasks/{done}/completed"), &json!({"completed": true})).await;
    let note = polled.note(&ada, "Called").await;
    let (near, far) = (polled.in_days(3), "2099-03-01T09:00:00Z");
    let (soon, later) = (polled.appointment(&ada, &near).await, polled.appointment(&bela, far).await);
    let _host = polled.host();
    let polling = polled.caught_up().await;
    assert_eq!(
        (&polling["state"], &polling["location"]),
        (&json!("connected"), &json!(LOCATION)),
        "{polling}"
    );
    assert!(polling["backfilled_at"].is_string() && polling["passes"].as_i64().unwrap() > 0, "{polling}");
    let steps = polling["self_test"]["steps"].as_array().unwrap();
    let outcome = |scope: &str| &steps.iter().find(|step| step["scope"] == scope).unwrap()["outcome"];
    assert_eq!((outcome("contacts.readonly"), outcome("contacts.write")), (&json!("ok"), &json!("untested")));
    assert_eq!(outcome("calendars/events.readonly"), "ok");
    let before = polled.counted().await;
    let all = [
        "ContactCreate backfill 2",
        "TaskCreate backfill 2",
        "TaskComplete backfill 1",
        "NoteCreate backfill 1",
        "AppointmentCreate backfill 2",
    ];
    let told: Vec<String> = before.iter().map(|(name, count)| format!("{name} {count}")).collect();
    for wanted in all {
        assert!(told.contains(&wanted.to_owned()), "{wanted}: {told:?}");
    }
    assert_eq!(before.len(), all.len(), "{told:?}");
    polled.check(&[]);

    // Everything of every kind: made, changed, deleted; two changes between passes end at the newest.
    let cleo = crm.create(json!({"firstName": "Cleo", "phone": "+15550100001"})).await;
    crm.crm("PUT", &format!("/contacts/{ada}"), &json!({"city": "Between", "address1": "2 New Road"})).await;
    crm.crm("PUT", &format!("/contacts/{ada}"), &json!({"city": "Newest"})).await;
    crm.crm("POST", &format!("/contacts/{bela}/tags"), &json!({"tags": ["vip"]})).await;
    let second = polled.task(&cleo, "Welcome").await;
    crm.crm("PUT", &format!("/contacts/{ada}/tasks/{first}"), &json!({"title": "Send all papers"})).await;
    let written = polled.note(&cleo, "Hello").await;
    crm.crm("PUT", &format!("/contacts/{ada}/notes/{note}"), &json!({"body": "Called twice"})).await;
    polled.appointment(&cleo, &near).await;
    crm.crm("PUT", &format!("/calendars/events/appointments/{later}"), &json!({"title": "Late visit"})).await;
    crm.crm(
        "PUT",
        &format!("/calendars/events/appointments/{soon}"),
        &json!({"appointmentStatus": "showed"}),
    )
    .await;
    polled.caught_up().await;
    crm.crm("PUT", &format!("/contacts/{cleo}/tasks/{second}/completed"), &json!({"completed": true})).await;
    crm.crm("PUT", &format!("/contacts/{ada}/tasks/{done}/completed"), &json!({"completed": false})).await;
    crm.crm("DELETE", &format!("/contacts/{ada}/tasks/{first}"), &json!({})).await;
    crm.crm("DELETE", &format!("/contacts/{cleo}/notes/{written}"), &json!({})).await;
    crm.crm("DELETE", &format!("/calendars/events/{soon}"), &json!({})).await;
    crm.crm("DELETE", &format!("/contacts/{bela}"), &json!({})).await;
    let polling = polled.caught_up().await;
    let after = polled.counted().await;
    for wanted in LIVE {
        assert!(after.contains_key(&format!("{wanted} live")), "{wanted}: {after:?}");
    }
    for (name, count) in &before {
        assert_eq!(after.get(name), Some(count), "{name}");
    }
    let record = |records: &Value, id: &str| {
        records["items"].as_array().unwrap().iter().find(|record| record["ghl_id"] == id).cloned().unwrap()
    };
    let records = crm.get("/v1/records?tenant=t&kind=contact").await;
    let fields = &record(&records, &ada)["fields"];
    assert_eq!(
        (&fields["city"], &fields["address_line1"]),
        (&json!("Newest"), &json!("2 New Road")),
        "{fields}"
    );
    assert_eq!(
        (&fields["date_of_birth"], &fields["open_tasks"]),
        (&json!("1990-09-25"), &json!(1)),
        "{fields}"
    );
    assert!(record(&records, &bela)["deleted_at"].is_string());
    let report = polled.check(&[]);
    let found: i64 =
        polling["found"].as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
    assert_eq!(report["events_received"], found, "{report} {polling}");
    polled.no_webhooks();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_wakes_no_reaction_and_later_finds_do() {
    let plan = Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING };
    let polled = Polled::new(plan, SCOPES).await;
    let crm = &polled.system;
    crm.create(json!({"firstName": "Ada", "email": "ada@example.com", "tags": ["vip"]})).await;
    let bela = crm.create(json!({"firstName": "Bela", "email": "bela@example.com"})).await;
    let _host = polled.host();
    polled.caught_up().await;
    let effects = async || crm.get("/v1/effects?tenant=t").await["items"].as_array().unwrap().clone();
    assert_eq!(effects().await, Vec::<Value>::new());
    crm.crm("POST", &format!("/contacts/{bela}/tags"), &json!({"tags": ["vip"]})).await;
    polled.caught_up().await;
    let made = effects().await;
    assert!(made.iter().any(|effect| effect["op"] == "create_task" && effect["state"] == "done"), "{made:?}");
    polled.caught_up().await;
    assert_eq!(effects().await.len(), made.len(), "our own task set something off");
    polled.check(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_writes_are_found_and_are_no_news() {
    let plan = Plan { plugins: named("MAPWRIGHT_GUESTS"), assignments: ACTING };
    let polled = Polled::new(plan, SCOPES).await;
    let crm = &polled.system;
    let ada = crm.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    let host = polled.host();
    polled.caught_up().await;
    for (key, what) in [("1", "note"), ("2", "chain")] {
        let (status, body) = crm.tell(key, "rankr.act", &ada, &json!({"do": what, "text": "Ours"})).await;
        assert_eq!(status, 202, "{body}");
    }
    crm.settle().await;
    polled.caught_up().await;
    let entries = async || {
        let page = crm.get("/v1/timeline?tenant=t&limit=1000").await;
        let own = page["items"].as_array().unwrap().iter().filter(|it| it["kind"] == "entry").cloned();
        own.map(|it| it["entry"]["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let counted = polled.counted().await;
    assert_eq!(
        (count(&counted, "NoteCreate live"), count(&counted, "TaskComplete live")),
        (1, 1),
        "{counted:?}"
    );
    let seen = entries().await;
    assert!(!seen.iter().any(|title| title.contains("Note") || title.contains("Task")), "{seen:?}");
    // Nor are they after a time in which nobody polled.
    let (status, body) =
        crm.tell("3", "rankr.act", &ada, &json!({"do": "note", "text": "Ours, found late"})).await;
    assert_eq!(status, 202, "{body}");
    crm.settle().await;
    drop(host);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let _host = polled.host();
    polled.caught_up().await;
    assert_eq!(count(&polled.counted().await, "NoteCreate live"), 2);
    assert!(!entries().await.iter().any(|title| title.contains("Note")));
    // What a person does is news.
    polled.note(&ada, "Typed by hand").await;
    polled.caught_up().await;
    assert!(entries().await.contains(&"saw NoteCreate".to_owned()));
    polled.no_webhooks();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_location_wide_scopes_everything_is_found_contact_by_contact() {
    // The configuration declares more than the key has.
    let made = Made { plan: mapping(), scopes: "contacts.readonly", declared: SCOPES, more: "" };
    let polled = Polled::with(made).await;
    let crm = &polled.system;
    let ada = crm.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    let (task, visit) = (polled.task(&ada, "Call").await, polled.appointment(&ada, &polled.in_days(2)).await);
    let _host = polled.host();
    let polling = polled.caught_up().await;
    let scopes = polling["scopes"].as_str().unwrap();
    assert!(
        !scopes.contains("locations/tasks.readonly") && !scopes.contains("calendars.readonly"),
        "{polling}"
    );
    let steps = polling["self_test"]["steps"].as_array().unwrap();
    let lacking = steps.iter().find(|step| step["scope"] == "locations/tasks.readonly").unwrap();
    assert_eq!((&lacking["outcome"], &lacking["status"]), (&json!("refused"), &json!(401)), "{polling}");
    crm.crm("PUT", &format!("/contacts/{ada}/tasks/{task}/completed"), &json!({"completed": true})).await;
    polled.task(&ada, "Write").await;
    crm.crm("DELETE", &format!("/calendars/events/{visit}"), &json!({})).await;
    polled.caught_up().await;
    let counted = polled.counted().await;
    for wanted in [
        "TaskCreate backfill",
        "AppointmentCreate backfill",
        "TaskComplete live",
        "TaskCreate live",
        "AppointmentDelete live",
    ] {
        assert_eq!(count(&counted, wanted), 1, "{wanted}: {counted:?}");
    }
    polled.check(&[]);
}

/// The same by command line, the key in a file.
fn by_command_line(crm: &System, id: &str, key: &str) {
    let file = crm.folder.path().join("key.txt");
    std::fs::write(&file, key).unwrap();
    let file = file.display().to_string();
    let url = crm.host_url();
    let to = ["--host", &url, "--key", KEY, "--json"];
    let done = run(
        &product(),
        &[&["connection", "replace-key", id, "--api-key-file", &file], &to[..]].concat(),
        ("A", "b"),
    );
    assert_eq!(last_line(&done)["state"], "connected", "{}", String::from_utf8_lossy(&done.stderr));
    let shown = run(&product(), &[&["connection", "polling", id], &to[..]].concat(), ("A", "b"));
    assert_eq!(last_line(&shown)["id"], json!(id));
    let wrong = run(
        &product(),
        &[
            &[
                "connection",
                "add-key",
                "--tenant",
                "t",
                "--environment",
                "sandbox",
                "--location",
                LOCATION,
                "--scopes",
                "contacts.readonly",
                "--api-key-file",
                &file,
            ],
            &to[..],
        ]
        .concat(),
        ("A", "b"),
    );
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_tried_before_the_connection_counts_as_connected() {
    let made = Made { plan: mapping(), scopes: SCOPES, declared: "", more: "" };
    let polled = Polled::with(made).await;
    let crm = &polled.system;
    crm.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    let _host = polled.host();
    let send = async |method: reqwest::Method, path: &str, body: Value| {
        let request =
            crm.http.request(method, format!("{}{path}", crm.host_url())).bearer_auth(KEY).json(&body);
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let add = async |tenant: &str, key: &str, scopes: &str| {
        let body = json!({"tenant": tenant, "environment": "sandbox", "location": LOCATION, "api_key": key, "scopes": scopes});
        send(reqwest::Method::POST, "/v1/connections/api-key", body).await
    };
    assert_eq!(add("nobody", "pit-x", SCOPES).await.0, 404);
    let (status, body) = add("t", "pit-x", "contacts.write").await;
    assert!(status == 400 && body["detail"].as_str().unwrap().contains("contacts.readonly"), "{body}");
    // A wrong key: kept, not connected, and the answer says what to do.
    let (status, body) = add("t", "pit-00000000-0000-0000-0000-000000000000", SCOPES).await;
    let detail = body["detail"].as_str().unwrap().to_owned();
    assert_eq!((status, &body["type"]), (422, &json!("/problems/api-key-refused")), "{body}");
    assert!(
        detail.contains("Invalid Private Integration token")
            && detail.contains("Settings > Private Integrations"),
        "{detail}"
    );
    let id = detail.split_whitespace().nth(1).unwrap().to_owned();
    let view = crm.get(&format!("/v1/connections/{id}/polling")).await;
    assert_eq!(
        (&view["state"], &view["self_test"]["steps"][0]["status"]),
        (&json!("reconnect-needed"), &json!(401)),
        "{view}"
    );
    // The right one, given to the same location again.
    let (status, body) = add("t", &polled.key, SCOPES).await;
    assert_eq!((status, &body["state"], &body["id"]), (201, &json!("connected"), &json!(id)), "{body}");
    assert!(!body.to_string().contains(&polled.key));
    // The location has its connection now.
    let (status, body) = add("t", &polled.key, SCOPES).await;
    assert!(status == 409 && body["detail"].as_str().unwrap().contains(&id), "{body}");
    // The key is revoked: noticed by itself; another one mends it.
    let revoke = format!("{}/{}", crm.control("api-keys"), polled.key);
    crm.http.delete(revoke).send().await.unwrap().error_for_status().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let view = crm.get(&format!("/v1/connections/{id}/polling")).await;
        if view["state"] == "reconnect-needed" && view["failure"].is_string() {
            break;
        }
        assert!(Instant::now() < until, "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = json!({"location_id": LOCATION, "scopes": SCOPES});
    let fresh = crm
        .http
        .post(crm.control("api-keys"))
        .json(&asked)
        .send()
        .await
        .unwrap()
        .json::<Value>()
        .await
        .unwrap();
    let path = format!("/v1/connections/{id}/api-key");
    let (status, body) = send(reqwest::Method::PUT, &path, json!({"api_key": fresh["api_key"]})).await;
    assert_eq!((status, &body["state"]), (200, &json!("connected")), "{body}");
    assert_eq!(
        send(reqwest::Method::PUT, "/v1/connections/none/api-key", json!({"api_key": "x"})).await.0,
        404
    );
    by_command_line(crm, &id, fresh["api_key"].as_str().unwrap());
    assert!(!crm.log().contains("pit-"), "a key is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_behind_hides_nothing_for_good() {
    let polled = Polled::new(mapping(), SCOPES).await;
    let crm = &polled.system;
    let delay = json!({"delay_millis": 30_000});
    crm.http.put(crm.control("index")).json(&delay).send().await.unwrap().error_for_status().unwrap();
    let _host = polled.host();
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(crm.create(json!({"email": format!("kim.{number}@example.com"), "city": "Start"})).await);
        tokio::time::sleep(Duration::from_millis(40)).await;
        let id = &ids[number / 2];
        crm.crm("PUT", &format!("/contacts/{id}"), &json!({"city": format!("City {number}")})).await;
    }
    crm.crm("DELETE", &format!("/contacts/{}", ids[3]), &json!({})).await;
    polled.caught_up().await;
    // Deletions and late rows of the index do not fight.
    polled.caught_up().await;
    let counted = polled.counted().await;
    let deleted: usize =
        counted.iter().filter(|(name, _)| name.starts_with("ContactDelete")).map(|(_, count)| count).sum();
    assert!(deleted <= 1, "{counted:?}");
    polled.check(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_stays_within_the_quota() {
    let polled = Polled::new(mapping(), SCOPES).await;
    let crm = &polled.system;
    let limits = json!({"calls": 25, "interval_millis": 10_000, "daily": 10_000});
    crm.http.put(crm.control("limits")).json(&limits).send().await.unwrap().error_for_status().unwrap();
    for number in 0..40 {
        let id = crm.create(json!({"email": format!("kim.{number}@example.com")})).await;
        polled.note(&id, "Hello").await;
    }
    let _host = polled.host();
    polled.caught_up().await;
    let (began, before) = (polled.now(), polled.polling().await);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (ended, after) = (polled.now(), polled.polling().await);
    let calls = after["calls"].as_i64().unwrap() - before["calls"].as_i64().unwrap();
    // Half of 10,000 calls a day, and one pass that had begun.
    let allowed = (ended - began) * 5000 / 86_400_000 + 24;
    assert!(
        calls > 0 && calls <= allowed,
        "{calls} calls, {allowed} allowed in {} s",
        (ended - began) / 1000
    );
    let metrics = polled.metrics().await;
    assert!(metrics.contains("mapwright_polling_passes_total"), "{metrics}");
    assert!(!metrics.contains("rate-limited"), "GHL refused: {metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_pass_loses_and_doubles_nothing() {
    let made = Made { plan: mapping(), scopes: SCOPES, declared: SCOPES, more: "[polling]\npage_rows = 4" };
    let polled = Polled::with(made).await;
    let crm = &polled.system;
    let mut ids = Vec::new();
    for number in 0..24 {
        let id = crm.create(json!({"email": format!("kim.{number}@example.com"), "city": "Start"})).await;
        if number % 3 == 0 {
            polled.task(&id, &format!("Task {number}")).await;
            polled.note(&id, &format!("Note {number}")).await;
        }
        ids.push(id);
    }
    let mut killed = 0;
    for round in 0..24_usize {
        let point = if round % 2 == 0 { "polling-found" } else { "polling-committed" };
        let host = crm.host(&format!("{point}={}*off->1*return", round * 3));
        let id = &ids[round % ids.len()];
        crm.crm("PUT", &format!("/contacts/{id}"), &json!({"city": format!("City {round}")})).await;
        if round % 4 == 0 {
            polled.note(id, &format!("Late note {round}")).await;
        }
        let Some(mut host) = host else {
            killed += 1;
            continue;
        };
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if host.child.try_wait().unwrap().is_some() {
                killed += 1;
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(killed >= 20, "only {killed} kills; {}", crm.log());
    for _ in 0..8 {
        let host = crm.host("").expect("the host starts again");
        tokio::time::sleep(Duration::from_millis(150)).await;
        drop(host);
    }
    let _host = polled.host();
    crm.crm("DELETE", &format!("/contacts/{}", ids[5]), &json!({})).await;
    polled.caught_up().await;
    let report = polled.check(&[]);
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    let mut bodies: BTreeMap<String, usize> = BTreeMap::new();
    for entry in crm.get("/v1/timeline?tenant=t&limit=1000").await["items"].as_array().unwrap() {
        let (kind, id) = (entry["entry"]["type"].to_string(), entry["entry"]["object"]["id"].to_string());
        if kind.contains("Create") {
            *made.entry(format!("{kind} {id}")).or_default() += 1;
        }
        *bodies.entry(format!("{kind} {id} {} {}", entry["at"], entry["entry"]["details"])).or_default() += 1;
    }
    assert_eq!(made.len(), 24 + 8 + 8 + 6, "{made:?}");
    assert!(made.values().all(|count| *count == 1), "{made:?}");
    assert!(bodies.values().all(|count| *count == 1), "{bodies:?}");
    eprintln!("kills: {killed} at failpoints, 8 at any moment; {report}");
}
