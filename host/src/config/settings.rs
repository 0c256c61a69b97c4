//! The settings as types; `config.default.toml` documents each with its unit and reason.

use super::plugin_settings::PluginSettings;
use crate::domain::TimingSpec;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the process does.
    pub process: ProcessSettings,
    /// Where data is kept.
    pub data: DataSettings,
    /// Backups that the API makes.
    pub backup: BackupSettings,
    /// The HTTP door.
    pub http: HttpSettings,
    /// The REST API.
    pub api: ApiSettings,
    /// Product time.
    pub clock: ClockSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// The pipeline.
    pub pipeline: PipelineSettings,
    /// Limits of plugins.
    pub plugins: PluginSettings,
    /// The webhook door.
    pub webhooks: WebhookSettings,
    /// The timeline.
    pub timeline: TimelineSettings,
    /// Timing rules.
    pub timing: TimingSettings,
    /// GHL.
    pub ghl: GhlSettings,
    /// Polling of connections with an API key.
    pub polling: PollingSettings,
    /// Registrations with GHL.
    #[serde(default, rename = "app")]
    pub apps: Vec<AppSettings>,
    /// Tenants.
    #[serde(default, rename = "tenant")]
    pub tenants: Vec<TenantSettings>,
    /// Connections.
    #[serde(default, rename = "connection")]
    pub connections: Vec<ConnectionSettings>,
    /// Plugins that tenants use.
    #[serde(default, rename = "assignment")]
    pub assignments: Vec<AssignmentSettings>,
    /// Timing rules of tenants.
    #[serde(default, rename = "timing_rule")]
    pub timing_rules: Vec<TimingRuleSettings>,
}

/// What the process does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSettings {
    /// Its roles.
    pub roles: Vec<Role>,
}

impl ProcessSettings {
    /// Whether the process has that role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// A part of the host's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes webhooks.
    Ingest,
    /// Runs plugins and sends effects.
    Worker,
    /// Serves `/v1`.
    Api,
}

/// Where data is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// The folder.
    pub folder: PathBuf,
}

/// Backups that the API makes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// The folder; empty: `backups` in the data folder.
    pub folder: PathBuf,
    /// How many are kept; 0: all.
    pub keep: usize,
}

/// The HTTP door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port.
    pub listen: String,
    /// The address the outside uses.
    pub public_url: String,
    /// Largest body, bytes.
    pub body_limit_bytes: usize,
    /// Seconds to end after SIGTERM.
    pub drain_seconds: u64,
    /// Seconds for a request.
    pub request_seconds: u64,
    /// Seconds for a request's head.
    pub header_seconds: u64,
    /// Proxies that are believed when they name a client.
    pub trusted_proxies: Vec<IpNet>,
}

/// The REST API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// The key that opens it.
    pub host_key: SecretString,
    /// Wrong keys a minute from one address.
    pub wrong_keys_per_minute: u32,
}

/// Product time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSettings {
    /// Product seconds per machine second.
    pub rate: f64,
    /// Where the two are equal, milliseconds since 1970; 0: at the start.
    pub origin_millis: i64,
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `full` or `off`.
    pub synchronous: String,
    /// Reading connections.
    pub readers: u32,
}

/// The pipeline.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSettings {
    /// Workers; 0: twice the cores.
    pub workers: usize,
    /// Lanes taken at once.
    pub batch: usize,
    /// Events known to the scheduler at once.
    pub window: usize,
    /// Effects that are sent to GHL at once.
    pub effects_at_once: usize,
    /// Hours after which a failure that may mend itself is final.
    pub give_up_after_hours: u64,
    /// Hours of failing after which an effect is dead.
    pub effects_give_up_after_hours: u64,
}

/// The webhook door.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Deliveries that wait to be stored at once.
    pub max_waiting: usize,
    /// Whether the legacy signature is accepted.
    pub accept_legacy_rsa: bool,
}

/// The timeline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineSettings {
    /// Event types it takes in, though no plugin wants them.
    pub types: Vec<String>,
}

/// Timing rules.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingSettings {
    /// Product seconds after its slot from which an event counts as missed.
    pub late_seconds: u64,
}

/// A timing rule of a tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct TimingRuleSettings {
    /// Its id: letters, digits, hyphens, underscores.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The rule.
    pub rule: TimingSpec,
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for TimingRuleSettings {
    type Error = String;

    // By hand, since a flattened struct would not refuse unknown keys.
    fn try_from(mut table: serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let mut text = |name: &str| match table.remove(name) {
            Some(serde_json::Value::String(text)) => Ok(text),
            _ => Err(format!("a timing_rule has no `{name}`: give it as text")),
        };
        let (id, tenant) = (text("id")?, text("tenant")?);
        let rule = serde_json::from_value(serde_json::Value::Object(table))
            .map_err(|error| format!("timing_rule {id}: {error}"))?;
        Ok(Self { id, tenant, rule })
    }
}

/// GHL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GhlSettings {
    /// API of live connections.
    pub live_url: String,
    /// API of sandbox connections.
    pub sandbox_url: String,
    /// Page on which people authorise live apps.
    pub live_authorize_url: String,
    /// Page on which people authorise sandbox apps; empty: the sandbox's own.
    pub sandbox_authorize_url: String,
    /// Minutes for which a link to that page is good.
    pub authorize_minutes: u64,
    /// Seconds before their end at which access tokens are refreshed.
    pub refresh_ahead_seconds: u64,
}

impl GhlSettings {
    /// The page on which people authorise the apps of an environment.
    #[must_use]
    pub fn authorize_url(&self, environment: &str) -> String {
        match environment {
            "live" => self.live_authorize_url.clone(),
            _ if self.sandbox_authorize_url.is_empty() => {
                format!("{}/oauth/chooselocation", self.sandbox_url.trim_end_matches('/'))
            }
            _ => self.sandbox_authorize_url.clone(),
        }
    }
}

/// Polling of connections with an API key.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollingSettings {
    /// Product seconds between the beginnings of two passes at the least.
    pub shortest_seconds: u64,
    /// The same at the most, when nothing changes.
    pub longest_seconds: u64,
    /// Product seconds that each pass looks back behind the last change it knows.
    pub overlap_seconds: u64,
    /// Contacts in a page.
    pub page_rows: u32,
    /// The part of the day's quota that polling may use, percent.
    pub daily_percent: u8,
    /// How far back appointments are listed, days.
    pub appointments_back_days: u32,
    /// How far ahead.
    pub appointments_ahead_days: u32,
}

/// A registration with GHL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// Its id here, part of the webhook path: letters, digits, hyphens.
    pub id: String,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's app id, which bodies carry as `appId`.
    pub ghl_app_id: String,
    /// GHL's client id.
    #[serde(default)]
    pub client_id: String,
    /// GHL's client secret; sealed at the start, and may be left out from then on.
    #[serde(default = "no_secret")]
    pub client_secret: SecretString,
    /// GHL's id of the app's version, which links of private apps carry.
    #[serde(default)]
    pub version_id: String,
    /// Scopes that connections ask for, space separated.
    #[serde(default = "default_scopes")]
    pub scopes: String,
    /// Ed25519 public keys, PEM, against which `X-GHL-Signature` is checked.
    pub ed25519_keys: Vec<String>,
    /// RSA public keys, PEM, for the legacy `X-WH-Signature`.
    #[serde(default)]
    pub rsa_keys: Vec<String>,
}

/// A Rankr customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A tenant's link to a location.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSettings {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// `fixed`: an access token of an app; `api-key`: a private integration token, without an app.
    #[serde(default)]
    pub kind: ConnectionKind,
    /// Through which app; none with an API key.
    #[serde(default)]
    pub app: String,
    /// `live` or `sandbox`, with an API key; else it is the app's.
    #[serde(default)]
    pub environment: Option<String>,
    /// GHL's location.
    pub location: String,
    /// An access token of the location.
    #[serde(default)]
    pub access_token: SecretString,
    /// The API key.
    #[serde(default)]
    pub api_key: SecretString,
    /// Granted scopes, space separated; with an API key those that it was given.
    #[serde(default)]
    pub scopes: String,
}

/// How a configured connection gets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// With an access token that does not change.
    #[default]
    Fixed,
    /// With an API key.
    ApiKey,
}

/// A tenant's use of a plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentSettings {
    /// Whose.
    pub tenant: String,
    /// Which plugin, by the name in its description.
    pub plugin: String,
    /// Its id or its semantic version; empty: the one deployed last when it is first activated, then as people decide.
    #[serde(default)]
    pub version: String,
    /// Its configuration, JSON text.
    #[serde(default = "empty_object")]
    pub config: String,
    /// Capabilities it is granted.
    #[serde(default)]
    pub grants: Vec<String>,
    /// What becomes of events it finally fails on: `dead-letter` or `hold`.
    #[serde(default = "dead_letter")]
    pub on_failure: String,
}

fn dead_letter() -> String {
    "dead-letter".to_owned()
}

fn no_secret() -> SecretString {
    SecretString::from("")
}

fn default_scopes() -> String {
    "contacts.readonly".to_owned()
}

fn empty_object() -> String {
    "{}".to_owned()
}
