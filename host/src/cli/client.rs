//! The way of a command to a host: over its API while it runs, else to its database itself.

use super::output;
use crate::app::App;
use crate::config::{self, Settings};
use crate::outbound::{Client, ClientSettings, Method, OutboundError, Reply, Request};
use crate::store::StoreError;
use anyhow::{Context as _, bail};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Machine time for connecting; a host that runs answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Machine time for an exchange; an upload is checked and compiled before it is answered.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Rows asked for at once when all pages are wanted.
const PAGE: i64 = 1000;

/// Which host, and how it is answered.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The host")]
pub(super) struct HostArgs {
    /// Where the host listens, such as <http://127.0.0.1:7800>; by default as the configuration says.
    #[arg(long, env = "MAPWRIGHT_HOST", value_name = "URL")]
    host: Option<String>,
    /// The key of its API; a file or the environment keeps it out of the list of processes.
    #[arg(long, env = "MAPWRIGHT_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// A file that holds the key.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The host's configuration file: where it listens and its key; when it does not run, its database is opened.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl HostArgs {
    /// Whether JSON is wanted.
    pub(super) fn json(&self) -> bool {
        self.json
    }
}

/// A host that can be asked.
pub(super) struct HostClient {
    http: Client,
    base: String,
    key: Option<SecretString>,
    /// The API over a database that no host has open.
    local: Option<App>,
}

impl HostClient {
    /// Finds the host. Where none runs and a configuration is named, the API is opened over its database in this
    /// process, so that a command works the same with and without a host.
    pub(super) async fn connect(args: &HostArgs) -> anyhow::Result<Self> {
        let http = Client::new(ClientSettings {
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            ..ClientSettings::default()
        })?;
        let settings = config::load(args.config.as_deref())?;
        let base = match &args.host {
            Some(host) => host.trim_end_matches('/').to_owned(),
            None => listening_at(&settings),
        };
        let key = match &args.key_file {
            Some(file) => Some(read_key(file)?),
            None => args.key.clone().map(SecretString::from),
        };
        let configured = || {
            let key = settings.api.host_key.clone();
            (!key.expose_secret().is_empty()).then_some(key)
        };
        let mut client = Self { http, base, key: key.or_else(configured), local: None };
        if client.answers().await? {
            return Ok(client);
        }
        if args.host.is_some() || args.config.is_none() {
            bail!(
                "no host answers at {}; start one (mapwright serve), name where it is (--host), or name its \
                 configuration (--config) to work on its database itself",
                client.base
            );
        }
        let (app, key) = match App::start_local(&settings).await {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::InUse { .. })) => bail!(
                "a host has the database in {} open, but does not answer at {}; name where it is (--host)",
                settings.data.folder.display(),
                client.base
            ),
            started => started.context("no host runs, and its database can't be opened here")?,
        };
        client.base = format!("http://{}", app.address());
        client.key = Some(key);
        client.local = Some(app);
        Ok(client)
    }

    /// Whether a host of ours is there.
    async fn answers(&self) -> anyhow::Result<bool> {
        match self.exchange(Method::GET, "/healthz", Body::None).await {
            Ok(reply) => {
                let health: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                if health.get("version").is_none() {
                    bail!(
                        "what answers at {} is no mapwright host (GET /healthz: {})",
                        self.base,
                        reply.status
                    );
                }
                Ok(true)
            }
            Err(OutboundError::NotSent(_)) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("GET {}/healthz", self.base)),
        }
    }

    /// Closes what was opened for the command.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self.local {
            Some(app) => app.stop().await,
            None => Ok(()),
        }
    }

    /// GET; parameters without a value are left out.
    pub(super) async fn get(&self, path: &str, query: &[(&str, Option<&str>)]) -> anyhow::Result<Value> {
        self.send(Method::GET, &with_query(path, query), Body::None).await
    }

    /// POST of JSON, or of nothing.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.send(Method::POST, path, body.map_or(Body::None, Body::Json)).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, Body::None).await
    }

    /// Any method; what is refused becomes one message that says what, where and how to mend it.
    pub(super) async fn send(&self, method: Method, path: &str, body: Body<'_>) -> anyhow::Result<Value> {
        let asked = format!("{method} {path}");
        let reply =
            self.exchange(method, path, body).await.with_context(|| format!("{asked} at {}", self.base))?;
        let json = serde_json::from_slice(&reply.body);
        if (200..300).contains(&reply.status) {
            return if reply.body.is_empty() {
                Ok(Value::Null)
            } else {
                json.with_context(|| format!("{asked} answered no JSON"))
            };
        }
        let problem: Value = json.unwrap_or_default();
        let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (title, detail) = (text("title"), text("detail"));
        if title.is_empty() {
            bail!("{asked} was answered {}", reply.status);
        }
        let mut words = format!("{title} ({}): {detail}", reply.status);
        for fault in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default();
            words.push_str("\n  at ");
            words.push_str(part("pointer"));
            words.push_str(": ");
            words.push_str(part("detail"));
        }
        bail!("{words}")
    }

    /// All rows of a listing, page by page, up to `most`, as one page.
    pub(super) async fn pages(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        most: Option<usize>,
    ) -> anyhow::Result<Value> {
        let most = most.unwrap_or(usize::MAX);
        let limit = i64::try_from(most).unwrap_or(PAGE).clamp(1, PAGE).to_string();
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut asked = query.to_vec();
            asked.extend([("after", after.as_deref()), ("limit", Some(limit.as_str()))]);
            let mut page = self.get(path, &asked).await?;
            if let Some(Value::Array(rows)) = page.get_mut("items").map(Value::take) {
                items.extend(rows);
            }
            after = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if after.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(serde_json::json!({"items": items, "next": after}));
            }
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Body<'_>) -> Result<Reply, OutboundError> {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if let Some(key) = &self.key {
            headers.push(("authorization".to_owned(), format!("Bearer {}", key.expose_secret())));
        }
        let body = match body {
            Body::None => None,
            Body::Json(json) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                Some(json.to_string().into_bytes())
            }
            Body::Bytes { content_type, bytes } => {
                headers.push(("content-type".to_owned(), content_type.to_owned()));
                Some(bytes)
            }
        };
        self.http.send(Request { method, url: format!("{}{path}", self.base), headers, body }).await
    }
}

/// What is sent along.
pub(super) enum Body<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a Value),
    /// Anything else.
    Bytes {
        /// What it is.
        content_type: &'a str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// Asks the host and shows its answer, then closes what was opened for it, whether it went well or not.
pub(super) async fn with_host<F>(args: &HostArgs, ask: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(&HostClient) -> anyhow::Result<Shown>,
{
    let client = HostClient::connect(args).await?;
    let shown = ask(&client).await;
    let closed = client.close().await;
    match shown? {
        Shown::Table(page, columns) => output::table(&page, columns, args.json()),
        Shown::Thing(thing) => output::thing(&thing, args.json()),
        Shown::Nothing => {}
    }
    closed
}

/// What a command shows.
pub(super) enum Shown {
    /// A page of a listing, by these columns.
    Table(Value, output::Columns),
    /// One thing, key by key.
    Thing(Value),
    /// Nothing more than was said.
    Nothing,
}

/// Where a host with these settings is reached from this machine.
fn listening_at(settings: &Settings) -> String {
    let Ok(mut address) = settings.http.listen.parse::<std::net::SocketAddr>() else {
        return settings.http.public_url.trim_end_matches('/').to_owned();
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

fn read_key(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the key file {} can't be read", file.display()))?;
    let key = text.trim();
    if key.is_empty() {
        bail!("the key file {} is empty", file.display());
    }
    Ok(SecretString::from(key))
}

/// A path with a query string; parameters without a value are left out.
fn with_query(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let mut whole = path.to_owned();
    for (name, value) in query {
        if let Some(value) = value {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            whole.push_str(name);
            whole.push('=');
            whole.push_str(&segment(value));
        }
    }
    whole
}

/// A text as one segment of a path or one value of a query.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_left_out_where_they_have_no_value() {
        assert_eq!(with_query("/v1/x", &[("a", Some("b c&d")), ("e", None)]), "/v1/x?a=b%20c%26d");
        assert_eq!(with_query("/v1/x?y=z", &[("a", Some("1"))]), "/v1/x?y=z&a=1");
        assert_eq!(segment("a/b"), "a%2Fb");
    }

    #[test]
    fn a_host_that_listens_everywhere_is_reached_over_the_loopback() {
        let settings = |listen: &str| config::load_text(&format!("[http]\nlisten = \"{listen}\"")).unwrap();
        assert_eq!(listening_at(&settings("0.0.0.0:7800")), "http://127.0.0.1:7800");
        assert_eq!(listening_at(&settings("[::]:7800")), "http://[::1]:7800");
        assert_eq!(listening_at(&settings("10.0.0.1:80")), "http://10.0.0.1:80");
    }
}
