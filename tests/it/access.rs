//! Who may do what, what is written down of it, and how the door treats those who come: over the network and the
//! command line, as anyone would meet it.

use crate::system::{KEY, Plan, REACTING, System, last_line, named, product};
use mapwright::accounts::{RULES, Trace};
use serde_json::{Map, Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// An answer: status, headers, body.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

/// A caller with a key.
struct Caller<'a> {
    system: &'a System,
    key: String,
}

impl Caller<'_> {
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.system.host_url());
        let mut request = self.system.http.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Answer { status, headers, body: reply.json().await.unwrap_or_default() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(&body)).await
    }

    /// A caller with a new key.
    async fn with_role(&self, role: &str, tenant: Option<&str>) -> Self {
        let made = self.post("/v1/keys", json!({"name": "a test's", "role": role, "tenant": tenant})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        Self { system: self.system, key: made.body["key"].as_str().unwrap().to_owned() }
    }
}

fn owner(system: &System) -> Caller<'_> {
    Caller { system, key: KEY.to_owned() }
}

async fn document(system: &System) -> Value {
    system.http.get(format!("{}/openapi.json", system.host_url())).send().await.unwrap().json().await.unwrap()
}

/// Method, path and operation of everything below `/v1` that the document describes.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if path.starts_with("/v1/") && operation.is_object() {
                found.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    assert!(found.len() >= 15, "{}", found.len());
    found
}

fn parameters(operation: &Value, place: &str) -> Vec<String> {
    let all = operation["parameters"].as_array().cloned().unwrap_or_default();
    let here = all.iter().filter(|parameter| parameter["in"] == place);
    here.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
}

/// The schema of a JSON body, and its properties.
fn body_schema<'a>(document: &'a Value, operation: &Value) -> Option<&'a Value> {
    let name = operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str()?;
    document.pointer(name.trim_start_matches('#'))
}

/// A body with everything that is required, of the tenant.
fn body_of(schema: &Value, tenant: &str) -> Value {
    let mut body = Map::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let kind = &schema["properties"][name]["type"];
        let value = match kind.as_str().unwrap_or_default() {
            "integer" | "number" => json!(1),
            "boolean" => json!(false),
            "array" => json!([]),
            "object" => json!({}),
            _ if name == "rule" => json!({"name": "x", "kind": "cron", "cron": "0 9 * * *"}),
            _ => json!("x"),
        };
        body.insert(name.to_owned(), value);
    }
    body.insert("tenant".to_owned(), json!(tenant));
    Value::Object(body)
}

fn with_path_parameters(path: &str, tenant: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{tenant}" => tenant,
        segment if segment.starts_with('{') => "1",
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_do_what_it_is_for_and_a_refusal_names_what_is_missing() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    let owner = owner(&system);
    let viewer = owner.with_role("viewer", None).await;
    assert_eq!(viewer.get("/v1/events").await.status, 200);
    assert_eq!(viewer.get("/v1/tenants/t").await.body["name"], "Example");
    let event = json!({"tenant": "t", "type": "rankr.x"});
    let refused = viewer.post("/v1/events", event.clone()).await;
    assert_eq!((refused.status, refused.body["type"].as_str()), (403, Some("/problems/permission-missing")));
    assert!(refused.body["detail"].as_str().unwrap().contains("events.send"), "{}", refused.body);
    let rankr = owner.with_role("rankr", Some("t")).await;
    let url = format!("{}/v1/events", system.host_url());
    let told = system.http.post(url).bearer_auth(&rankr.key).header("idempotency-key", "1").json(&event);
    assert_eq!(told.send().await.unwrap().status(), 202);
    assert_eq!(rankr.get("/v1/records?tenant=t").await.status, 200);
    let refused = rankr.post("/v1/tenants/t/pause", json!({})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body["detail"].as_str().unwrap().contains("tenants.manage"), "{}", refused.body);
    let operator = owner.with_role("operator", None).await;
    assert_eq!(operator.post("/v1/tenants/t/pause", json!({})).await.body["state"], "paused");
    let refused = operator.get("/v1/keys").await;
    assert!(refused.body["detail"].as_str().unwrap().contains("keys.manage"), "{}", refused.body);
    let keys = owner.get("/v1/keys").await.body;
    assert_eq!(keys["items"].as_array().unwrap().len(), 3);
    assert!(keys["items"][0].get("key").is_none() && keys["items"][0].get("hash").is_none());
    let id = keys["items"][0]["id"].as_str().unwrap();
    assert_eq!(owner.ask("DELETE", &format!("/v1/keys/{id}"), None).await.body["state"], "revoked");
    let gone = viewer.get("/v1/events").await;
    assert_eq!((gone.status, gone.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_tenant_reaches_nothing_of_this_one() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    system.settle().await;
    let owner = owner(&system);
    assert_eq!(owner.post("/v1/tenants", json!({"id": "other", "name": "Other"})).await.status, 201);
    let stranger = owner.with_role("operator", Some("other")).await;
    let document = document(&system).await;
    let (mut named, mut listed) = (0, 0);
    for (method, path, operation) in operations(&document) {
        let in_query = parameters(&operation, "query").iter().any(|name| name == "tenant");
        let schema = body_schema(&document, &operation);
        let in_body = schema.is_some_and(|schema| !schema["properties"]["tenant"].is_null());
        let url = with_path_parameters(&path, "t");
        if in_query || in_body || path.contains("{tenant}") {
            let body = schema.map(|schema| body_of(schema, "t"));
            let query = if in_query { "?tenant=t" } else { "" };
            let answer = stranger.ask(&method, &format!("{url}{query}"), body.as_ref()).await;
            let refused = matches!(answer.status, 403 | 404);
            assert!(refused, "{method} {path} answered {}: {}", answer.status, answer.body);
            named += 1;
        }
        if method == "GET" && !path.contains('{') {
            let needs = operation["parameters"].as_array().into_iter().flatten();
            let tenant_is_required = needs.clone().any(|it| it["name"] == "tenant" && it["required"] == true);
            let query = if tenant_is_required { "?tenant=other" } else { "" };
            let answer = stranger.get(&format!("{url}{query}")).await;
            assert!(!answer.body.to_string().contains("\"tenant\":\"t\""), "{path}: {}", answer.body);
            listed += usize::from(answer.status == 200);
        }
    }
    assert!(named >= 8 && listed >= 5, "{named} routes that name a tenant, {listed} listings");
    let seen = stranger.get("/v1/tenants").await.body;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["items"][0]["id"], "other");
    assert!(owner.get("/v1/events").await.body.to_string().contains("\"tenant\":\"t\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_leaves_a_row_also_when_it_is_refused() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    let owner = owner(&system);
    let document = document(&system).await;
    for (method, path, operation) in operations(&document).iter().filter(|(method, ..)| method != "GET") {
        let body = body_schema(&document, operation).map(|schema| body_of(schema, "t"));
        owner.ask(method, &with_path_parameters(path, "t"), Some(&body.unwrap_or_else(|| json!({})))).await;
    }
    let rows = owner.get("/v1/audit?limit=1000").await.body;
    let rows = rows["items"].as_array().unwrap();
    let mut changes = 0;
    for rule in RULES {
        let Trace::Audited(verb) = rule.trace else { continue };
        let row = rows.iter().find(|row| row["action"] == verb);
        let row = row.unwrap_or_else(|| panic!("{} {} left no row {verb}", rule.method, rule.path));
        assert_eq!(row["actor"], "host-key");
        assert_eq!(row["address"], "127.0.0.1");
        assert!(row["request"].as_str().unwrap().starts_with("rq_"), "{row}");
        changes += 1;
    }
    assert!(changes >= 5, "{changes}");
    let only = |query: &str| {
        let path = format!("/v1/audit?{query}");
        let owner = &owner;
        async move { owner.get(&path).await.body["items"].as_array().unwrap().clone() }
    };
    let paused = only("action=tenant.pause").await;
    assert_eq!((paused.len(), &paused[0]["object"], &paused[0]["result"]), (1, &json!("t"), &json!("done")));
    assert_eq!(paused[0]["tenant"], "t");
    assert!(only("action=tenant").await.len() >= 2);
    let refused = only("result=refused&action=key.create").await;
    assert_eq!((refused.len(), &refused[0]["status"]), (1, &json!(400)), "{refused:?}");
    assert!(only("tenant=nobody").await.is_empty());
    let viewer = owner.with_role("viewer", None).await;
    assert_eq!(viewer.post("/v1/tenants/t/resume", json!({})).await.status, 403);
    let refused = only("result=refused&action=tenant.resume").await;
    assert!(refused[0]["actor"].as_str().unwrap().starts_with("key:ky_"), "{refused:?}");
    let whole = owner.get("/v1/audit?limit=1000").await.body.to_string();
    assert!(!whole.contains(&viewer.key) && !whole.contains(KEY));
    let page = owner.get("/v1/audit?limit=2").await.body;
    let next = owner.get(&format!("/v1/audit?limit=2&after={}", page["next"].as_str().unwrap())).await.body;
    assert!(next["items"][0]["id"].as_i64() < page["items"][1]["id"].as_i64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_get_answers_as_its_schema_says() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let _host = system.host("").expect("the host starts");
    system.create(json!({"firstName": "Ada", "email": "ada@example.com", "tags": ["vip"]})).await;
    system.settle().await;
    let owner = owner(&system);
    owner.with_role("viewer", Some("t")).await;
    let document = document(&system).await;
    let (mut checked, mut filled) = (0, 0);
    for (method, path, operation) in operations(&document) {
        if method != "GET" {
            continue;
        }
        let query = if parameters(&operation, "query").iter().any(|name| name == "tenant") {
            "?tenant=t"
        } else {
            ""
        };
        let Some(url) = with_real_ids(&owner, &path).await else { continue };
        let answer = owner.get(&format!("{url}{query}")).await;
        let media = answer.headers["content-type"].to_str().unwrap().to_owned();
        let schema = operation["responses"][answer.status.to_string()]["content"][&media]["schema"].clone();
        assert!(
            !schema.is_null(),
            "GET {path} answered {} as {media}, which the document lacks",
            answer.status
        );
        let whole = json!({"allOf": [schema], "components": document["components"]});
        let validator = jsonschema::validator_for(&whole).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(&answer.body)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(
            faults.is_empty(),
            "GET {path} answered what its schema does not allow: {faults:?} {}",
            answer.body
        );
        assert!(answer.status < 500, "GET {path} answered {}", answer.status);
        checked += 1;
        filled += usize::from(answer.body["items"].as_array().is_some_and(|items| !items.is_empty()));
    }
    assert!(checked >= 9 && filled >= 7, "{checked} checked, {filled} with rows");
}

/// The path with ids of things that are there, taken from the listing it continues; none where there is nothing.
async fn with_real_ids(owner: &Caller<'_>, path: &str) -> Option<String> {
    let path = path.replace("{tenant}", "t");
    let Some((listing, rest)) = path.split_once("/{") else { return Some(path) };
    let (name, rest) = rest.split_once('}').unwrap();
    let listed = owner.get(&format!("{listing}?tenant=t")).await;
    let first = listed.body["items"].get(0)?;
    let id = first.get(name).or_else(|| first.get("id"))?;
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    (!rest.contains('{')).then(|| format!("{listing}/{id}{rest}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_tenant_loses_nothing_and_goes_on_in_order_also_over_a_restart() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let host = system.host("").expect("the host starts");
    let first = system.create(json!({"firstName": "Ada", "email": "ada@example.com"})).await;
    system.settle().await;
    // An effect that GHL does not take for now waits when the tenant is paused.
    system.faults(json!({"too_many": 1_000_000})).await;
    let task = json!({"task_id": "task-1", "title": "Call", "due": 4_070_908_800_000_i64});
    let (status, body) = system.tell("p1", "rankr.task-created", &first, &task).await;
    assert_eq!(status, 202, "{body}");
    let until = Instant::now() + Duration::from_secs(30);
    while system.get("/healthz").await["effects_open"] != 1 {
        assert!(Instant::now() < until, "no effect was planned");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let owner = owner(&system);
    assert_eq!(owner.post("/v1/tenants/t/pause", json!({})).await.body["state"], "paused");
    system.faults(json!({"too_many": 0})).await;
    let records =
        owner.get("/v1/records?tenant=t&kind=contact").await.body["items"].as_array().unwrap().len();
    for number in 0..20 {
        let contact =
            system.create(json!({"firstName": "Bob", "email": format!("bob.{number}@example.com")})).await;
        system.crm("PUT", &format!("/contacts/{contact}"), &json!({"lastName": format!("B{number}")})).await;
    }
    stored(&owner, 42).await;
    drop(host);
    let host = system.host("").expect("the host starts again");
    assert_eq!(owner.get("/v1/tenants/t").await.body["state"], "paused");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let events = owner.get("/v1/events?tenant=t&limit=1000").await.body;
    let waiting =
        events["items"].as_array().unwrap().iter().filter(|event| event["state"] == "received").count();
    assert!(waiting >= 40, "{waiting} events wait: {events}");
    let now = owner.get("/v1/records?tenant=t&kind=contact").await.body["items"].as_array().unwrap().len();
    assert_eq!(now, records);
    assert_eq!(system.get("/healthz").await["effects_open"], 1);
    assert_eq!(owner.post("/v1/tenants/t/resume", json!({})).await.body["state"], "active");
    system.settle().await;
    let (clean, report) = system.check(&["p1".to_owned()]);
    assert!(clean, "{report}");
    let events = owner.get("/v1/events?tenant=t&limit=1000").await.body;
    assert!(events["items"].as_array().unwrap().iter().all(|event| event["state"] == "done"), "{events}");
    let records = owner.get("/v1/records?tenant=t&kind=contact&limit=1000").await.body;
    assert_eq!(records["items"].as_array().unwrap().len(), 21);
    drop(host);
}

/// Waits until so many events are stored.
async fn stored(owner: &Caller<'_>, count: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let events = owner.get("/v1/events?tenant=t&limit=1000").await.body;
        let found = events["items"].as_array().unwrap().len();
        if found >= count {
            return;
        }
        assert!(Instant::now() < until, "{found} of {count} events are stored");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn cli(system: &System, args: &[&str]) -> Output {
    let config = system.folder.path().join("host.toml");
    Command::new(product())
        .args(args)
        .arg("--config")
        .arg(config)
        .env_remove("MAPWRIGHT_KEY")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_the_running_host_and_else_opens_its_database() {
    let system = System::new().await;
    let host = system.host("").expect("the host starts");
    let made = last_line(&cli(&system, &["key", "create", "--name", "ops", "--role", "operator", "--json"]));
    let key = made["key"].as_str().unwrap();
    let config = system.folder.path().join("host.toml");
    let with_key = |args: &[&str]| {
        let mut command = Command::new(product());
        command.args(args).args(["--host", &system.host_url()]).env("MAPWRIGHT_KEY", key).output().unwrap()
    };
    let table = text(&with_key(&["tenant", "list"]).stdout);
    assert!(table.contains("NAME") && table.contains("Example"), "{table}");
    let refused = with_key(&["key", "list"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("keys.manage"), "{}", text(&refused.stderr));
    let file = system.folder.path().join("key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let from_file = Command::new(product())
        .args(["tenant", "show", "t", "--json", "--key-file"])
        .arg(&file)
        .args(["--host", &system.host_url()])
        .output()
        .unwrap();
    assert_eq!(last_line(&from_file)["id"], "t");
    // Another address than the host's: the database is open, and the message says what to do.
    let elsewhere = Command::new(product())
        .args(["tenant", "list", "--config"])
        .arg(&config)
        .env("MAPWRIGHT_HTTP__LISTEN", "127.0.0.1:9")
        .output()
        .unwrap();
    assert!(text(&elsewhere.stderr).contains("--host"), "{}", text(&elsewhere.stderr));
    drop(host);
    let paused = cli(&system, &["tenant", "pause", "t", "--json"]);
    assert_eq!(last_line(&paused)["state"], "paused", "{}", text(&paused.stderr));
    let made =
        last_line(&cli(&system, &["tenant", "create", "--name", "Second", "--id", "second", "--json"]));
    assert_eq!(made["id"], "second");
    let rows = last_line(&cli(&system, &["audit", "--json", "--action", "tenant"]));
    let who: Vec<_> =
        rows["items"].as_array().unwrap().iter().map(|row| row["actor"].as_str().unwrap()).collect();
    assert_eq!(who, ["local", "local"], "{rows}");
    let none =
        Command::new(product()).args(["tenant", "list", "--host", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no host answers"), "{}", text(&none.stderr));
    let _host = system.host("").expect("the host starts over what the command line wrote");
    assert_eq!(owner(&system).get("/v1/tenants/t").await.body["state"], "paused");
    let printed = Command::new(product()).args(["openapi", "--compact"]).output().unwrap();
    assert_eq!(last_line(&printed), document(&system).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_request_is_a_problem_document_under_the_request_s_id() {
    let system = System::new().await;
    let _host = system.host("").expect("the host starts");
    let url = |path: &str| format!("{}{path}", system.host_url());
    let post = |path: &str| system.http.post(url(path)).bearer_auth(KEY).header("x-request-id", "mine-1.2");
    let json_post =
        |path: &str, body: &str| post(path).header("content-type", "application/json").body(body.to_owned());
    let problem = async |request: reqwest::RequestBuilder| {
        let reply = request.send().await.unwrap();
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        assert_eq!(reply.headers()["x-request-id"], "mine-1.2");
        let status = reply.status().as_u16();
        let body: Value = reply.json().await.unwrap();
        assert_eq!((&body["status"], &body["instance"]), (&json!(status), &json!("mine-1.2")));
        assert!(body["title"].as_str().is_some() && body["detail"].as_str().unwrap().len() > 10, "{body}");
        (status, body["type"].as_str().unwrap().to_owned(), body["detail"].as_str().unwrap().to_owned())
    };
    let (status, kind, _) = problem(json_post("/v1/keys", "{\"name\": ")).await;
    assert_eq!((status, kind.as_str()), (400, "/problems/bad-body"));
    let (status, _, detail) =
        problem(json_post("/v1/keys", r#"{"name": "x", "role": "viewer", "colour": 1}"#)).await;
    assert!(status == 400 && detail.contains("colour"), "{detail}");
    let (status, kind, _) = problem(post("/v1/keys").body("name=x")).await;
    assert_eq!((status, kind.as_str()), (415, "/problems/not-json"));
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    let (status, kind, _) = problem(json_post("/v1/keys", &large)).await;
    assert_eq!((status, kind.as_str()), (413, "/problems/body-too-large"));
    let get = |path: &str| system.http.get(url(path)).bearer_auth(KEY).header("x-request-id", "mine-1.2");
    assert_eq!(problem(get("/v1/tenants?limit=x")).await.1, "/problems/bad-parameter");
    assert_eq!(problem(get("/v1/tenants/%ff")).await.1, "/problems/bad-parameter");
    assert_eq!(problem(get("/v1/tenants/nobody")).await.1, "/problems/not-found");
    assert_eq!(problem(get("/v1/nothing")).await.1, "/problems/not-found");
    assert_eq!(
        problem(system.http.delete(url("/v1/tenants")).header("x-request-id", "mine-1.2")).await.0,
        405
    );
    let (status, kind, _) = problem(json_post("/v1/tenants", r#"{"id": "t", "name": "Again"}"#)).await;
    assert_eq!((status, kind.as_str()), (409, "/problems/exists"));
    let unasked = system.http.get(url("/healthz")).header("x-request-id", "not fine").send().await.unwrap();
    assert!(unasked.headers()["x-request-id"].to_str().unwrap().starts_with("rq_"));
    post("/v1/tenants/t/pause").send().await.unwrap().error_for_status().unwrap();
    let log = std::fs::read_to_string(system.folder.path().join("host.log")).unwrap();
    let line =
        log.lines().find(|line| line.contains("tenant t is paused")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("mine-1.2"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_keys_is_turned_away_by_the_address_that_a_trusted_proxy_names() {
    let system = System::new().await;
    let _host = system
        .host_with(&[
            ("MAPWRIGHT_API__WRONG_KEYS_PER_MINUTE", "3"),
            ("MAPWRIGHT_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]"),
        ])
        .expect("the host starts");
    let ask = async |key: &str, client: &str| {
        let request = system.http.get(format!("{}/v1/tenants", system.host_url())).bearer_auth(key);
        request.header("x-forwarded-for", client.to_owned()).send().await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(ask("mw_guess", "203.0.113.7").await.status(), 401);
    }
    let turned_away = ask(KEY, "203.0.113.7").await;
    assert_eq!(turned_away.status(), 429);
    assert!(turned_away.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 61);
    assert_eq!(ask(KEY, "203.0.113.8").await.status(), 200);
    // What the guesser wrote itself, left of what the proxy saw, is passed over.
    assert_eq!(ask(KEY, "203.0.113.8, 203.0.113.7").await.status(), 429);
    let request = system.http.post(format!("{}/v1/tenants/t/pause", system.host_url())).bearer_auth(KEY);
    request.header("forwarded", "for=\"[2001:db8::7]:80\"").send().await.unwrap().error_for_status().unwrap();
    let audit = owner(&system).get("/v1/audit?action=tenant.pause").await.body;
    assert_eq!(audit["items"][0]["address"], "2001:db8::7", "{audit}");
}

/// Sends this over a connection of its own.
fn begin(system: &System, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(system.host_url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    // A connection that is reset has ended too; what came before counts.
    let _ended = stream.read_to_end(&mut read);
    text(&read)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_slow_bodies_are_ended() {
    let system = System::new().await;
    let _host = system
        .host_with(&[("MAPWRIGHT_HTTP__HEADER_SECONDS", "1"), ("MAPWRIGHT_HTTP__REQUEST_SECONDS", "2")])
        .expect("the host starts");
    let began = Instant::now();
    let slow_head = begin(&system, "GET /healthz HTTP/1.1\r\nhost: x\r\n");
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nconnection: close\r\n\r\n{{"
    );
    let slow_body = begin(&system, &head);
    let of_head = rest(slow_head);
    assert!(!of_head.contains("200 OK"), "{of_head}");
    let of_body = rest(slow_body);
    assert!(of_body.starts_with("HTTP/1.1 503") && of_body.contains("/problems/timed-out"), "{of_body}");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_is_under_way_takes_nothing_new_and_exits_well() {
    let system = System::new().await;
    let mut host = system.host("").expect("the host starts");
    let ready = system.http.get(format!("{}/readyz", system.host_url())).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let body = r#"{"id": "late", "name": "Late"}"#;
    let (first, second) = body.split_at(10);
    let mut under_way = begin(
        &system,
        &format!(
            "POST /v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{first}",
            body.len()
        ),
    );
    // The request is under way only once the host has read its head.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let killed = Command::new("kill").args(["-TERM", &host.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let until = Instant::now() + Duration::from_secs(10);
    let address = system.host_url().trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < until, "new connections are still taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(host.child.try_wait().unwrap().is_none(), "it does not wait for what is under way");
    under_way.write_all(second.as_bytes()).unwrap();
    let answer = rest(under_way);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let until = Instant::now() + Duration::from_secs(15);
    let code = loop {
        if let Some(status) = host.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "the host does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(code, Some(0), "{}", system.log());
    let _again = system.host("").expect("the host starts again");
    assert_eq!(owner(&system).get("/v1/tenants/late").await.body["name"], "Late");
}
