//! Loading the settings and checking them as a whole.

use super::plugin_settings::PluginSettings;
use super::settings::{ConnectionKind, ConnectionSettings, PollingSettings, Settings};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use secrecy::ExposeSecret;
use std::path::Path;

const DEFAULTS: &str = include_str!("../../config.default.toml");

/// What is wrong with the settings: which key, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there.
    #[error(
        "the configuration file {0} is not there; make it, or leave --config out to run with the defaults"
    )]
    NoFile(String),
    /// A key is unknown, missing or of another type.
    #[error("{0}")]
    Key(String),
    /// Values contradict each other or pass their bounds.
    #[error("{}", .0.join("; "))]
    Values(Vec<String>),
}

/// Defaults, then the file if one is named, then the environment.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn load(file: Option<&Path>) -> Result<Settings, ConfigError> {
    let mut layers = Figment::from(Toml::string(DEFAULTS));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError::NoFile(path.display().to_string()));
        }
        layers = layers.merge(Toml::file_exact(path));
    }
    settled(&layers.merge(environment()))
}

/// Defaults and this text, without the environment.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn load_text(text: &str) -> Result<Settings, ConfigError> {
    settled(&Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(text)))
}

/// Variables of the form `MAPWRIGHT_TABLE__KEY`; others that begin so, such as `MAPWRIGHT_LOG`, are no settings.
fn environment() -> Env {
    Env::prefixed("MAPWRIGHT_").filter(|name| name.as_str().contains("__")).split("__")
}

fn settled(layers: &Figment) -> Result<Settings, ConfigError> {
    let settings: Settings = layers.extract().map_err(|error| {
        let faults: Vec<String> = error.into_iter().map(|fault| fault.to_string()).collect();
        ConfigError::Key(faults.join("; "))
    })?;
    check(&settings)?;
    Ok(settings)
}

fn check(settings: &Settings) -> Result<(), ConfigError> {
    let mut faults = Vec::new();
    let mut demand = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    demand(
        !settings.process.roles.is_empty(),
        "process.roles is empty: give at least one of \"ingest\", \"worker\", \"api\"".to_owned(),
    );
    demand(
        settings.http.listen.parse::<std::net::SocketAddr>().is_ok(),
        format!(
            "http.listen is {:?}: give an address and a port, such as 127.0.0.1:7800",
            settings.http.listen
        ),
    );
    demand(
        settings.http.public_url.starts_with("http://") || settings.http.public_url.starts_with("https://"),
        format!("http.public_url is {:?}: it must begin with http:// or https://", settings.http.public_url),
    );
    for (name, seconds) in
        [("request_seconds", settings.http.request_seconds), ("header_seconds", settings.http.header_seconds)]
    {
        demand((1..=3600).contains(&seconds), format!("http.{name} is {seconds}: give 1 to 3600"));
    }
    let key = settings.api.host_key.expose_secret();
    demand(
        key.is_empty() || key.len() >= 24,
        format!("api.host_key has {} characters: give at least 24, or none", key.len()),
    );
    demand(
        matches!(settings.database.synchronous.as_str(), "full" | "off"),
        format!("database.synchronous is {:?}: give \"full\" or \"off\"", settings.database.synchronous),
    );
    demand(
        settings.clock.rate.is_finite() && settings.clock.rate >= 1.0,
        format!("clock.rate is {}: give a number of at least 1", settings.clock.rate),
    );
    demand(settings.pipeline.batch > 0, "pipeline.batch is 0: give at least 1".to_owned());
    demand(
        settings.pipeline.window >= 1000,
        format!("pipeline.window is {}: give at least 1000", settings.pipeline.window),
    );
    demand(
        settings.pipeline.effects_at_once > 0,
        "pipeline.effects_at_once is 0: give at least 1".to_owned(),
    );
    for (key, hours) in [
        ("give_up_after_hours", settings.pipeline.give_up_after_hours),
        ("effects_give_up_after_hours", settings.pipeline.effects_give_up_after_hours),
    ] {
        demand((1..=720).contains(&hours), format!("pipeline.{key} is {hours}: give 1 to 720 hours"));
    }
    demand(
        settings.plugins.folder_every_millis >= 50,
        format!("plugins.folder_every_millis is {}: give at least 50", settings.plugins.folder_every_millis),
    );
    demand(
        settings.plugins.breaker_contacts > 0,
        "plugins.breaker_contacts is 0: give at least 1".to_owned(),
    );
    demand(
        settings.plugins.breaker_window_seconds > 0 && settings.plugins.breaker_pause_seconds > 0,
        "plugins.breaker_window_seconds and plugins.breaker_pause_seconds must be at least 1".to_owned(),
    );
    demand(settings.webhooks.max_waiting > 0, "webhooks.max_waiting is 0: give at least 1".to_owned());
    check_polling(&settings.polling, &mut demand);
    check_plugins(&settings.plugins, &mut demand);
    check_names(settings, &mut demand);
    check_ghl(settings, &mut demand);
    check_timing(settings, &mut demand);
    if faults.is_empty() { Ok(()) } else { Err(ConfigError::Values(faults)) }
}

fn check_ghl(settings: &Settings, demand: &mut impl FnMut(bool, String)) {
    let ghl = &settings.ghl;
    for (key, url) in [
        ("live_url", ghl.live_url.clone()),
        ("sandbox_url", ghl.sandbox_url.clone()),
        ("live_authorize_url", ghl.live_authorize_url.clone()),
        ("sandbox_authorize_url", ghl.authorize_url("sandbox")),
    ] {
        demand(
            url.starts_with("http://") || url.starts_with("https://"),
            format!("ghl.{key} is {url:?}: it must begin with http:// or https://"),
        );
    }
    demand(ghl.authorize_minutes > 0, "ghl.authorize_minutes is 0: give at least 1".to_owned());
    demand(
        ghl.refresh_ahead_seconds <= 12 * 3600,
        format!(
            "ghl.refresh_ahead_seconds is {}: give at most 43200, half of an access token's life",
            ghl.refresh_ahead_seconds
        ),
    );
}

/// Limits under which no plugin could run, or which the machine can't keep.
fn check_plugins(plugins: &PluginSettings, demand: &mut impl FnMut(bool, String)) {
    let mut within = |key: &str, value: u64, least: u64, most: u64| {
        demand((least..=most).contains(&value), format!("plugins.{key} is {value}: give {least} to {most}"));
    };
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    within("fuel", plugins.fuel, 1_000_000, 1_000_000_000_000);
    within("host_call_fuel", plugins.host_call_fuel, 0, plugins.fuel);
    within("memory_bytes", number(plugins.memory_bytes), 1 << 20, 1 << 32);
    within("table_elements", number(plugins.table_elements), 1, 10_000_000);
    within("stack_bytes", number(plugins.stack_bytes), 64 << 10, 16 << 20);
    within("wall_seconds", plugins.wall_seconds, 1, 3600);
    within("copied_bytes", number(plugins.copied_bytes), 64 << 10, 1 << 30);
    within("output_bytes", number(plugins.output_bytes), 1024, 1 << 28);
    within("read_rounds", number(plugins.read_rounds), 1, 100);
    within("reads", number(plugins.reads), 0, 1000);
    within("upload_bytes", number(plugins.upload_bytes), 1024, 1 << 30);
    within("function_bytes", number(plugins.function_bytes), 1024, 1 << 30);
    within("compile_seconds", plugins.compile_seconds, 1, 3600);
    within("loaded_versions", number(plugins.loaded_versions), 1, 1_000_000);
}

/// Apps are well named, and what connections and assignments name is there.
fn check_names(settings: &Settings, demand: &mut impl FnMut(bool, String)) {
    for app in &settings.apps {
        demand(
            !app.id.is_empty() && app.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            format!("app.id is {:?}: use letters, digits and hyphens", app.id),
        );
        demand(
            matches!(app.environment.as_str(), "live" | "sandbox"),
            format!("app.environment of {} is {:?}: give \"live\" or \"sandbox\"", app.id, app.environment),
        );
        demand(
            app.client_secret.expose_secret().is_empty() || !app.client_id.is_empty(),
            format!("app {} has a client_secret and no client_id: give both, or none", app.id),
        );
    }
    for connection in &settings.connections {
        match connection.kind {
            ConnectionKind::Fixed => {
                demand(
                    settings.apps.iter().any(|app| app.id == connection.app),
                    format!(
                        "connection {} names the app {:?}, which is not configured",
                        connection.id, connection.app
                    ),
                );
                demand(
                    !connection.access_token.expose_secret().is_empty(),
                    format!("connection {} has no access_token", connection.id),
                );
            }
            ConnectionKind::ApiKey => check_api_key(connection, demand),
        }
        demand_tenant(settings, demand, &format!("connection {}", connection.id), &connection.tenant);
    }
    // Whether tenant and plugin of an assignment are there is known only to the running host, since people make both.
    for assignment in &settings.assignments {
        demand(
            matches!(assignment.on_failure.as_str(), "dead-letter" | "hold"),
            format!(
                "assignment.on_failure of {} is {:?}: give \"dead-letter\" or \"hold\"",
                assignment.plugin, assignment.on_failure
            ),
        );
    }
}

fn check_api_key(connection: &ConnectionSettings, demand: &mut impl FnMut(bool, String)) {
    let id = &connection.id;
    demand(
        !connection.api_key.expose_secret().is_empty(),
        format!("connection {id} has the kind \"api-key\": give its api_key"),
    );
    demand(
        connection.app.is_empty() && connection.access_token.expose_secret().is_empty(),
        format!("connection {id} has the kind \"api-key\": leave app and access_token out"),
    );
    demand(
        matches!(connection.environment.as_deref(), Some("live" | "sandbox")),
        format!("connection {id} has the kind \"api-key\": give environment as \"live\" or \"sandbox\""),
    );
    demand(
        connection.scopes.split_whitespace().any(|scope| scope == "contacts.readonly"),
        format!("connection {id}: scopes must name those of the API key, contacts.readonly among them"),
    );
}

fn check_polling(polling: &PollingSettings, demand: &mut impl FnMut(bool, String)) {
    demand(
        polling.shortest_seconds >= 60,
        format!("polling.shortest_seconds is {}: give at least 60", polling.shortest_seconds),
    );
    demand(
        polling.longest_seconds >= polling.shortest_seconds,
        format!("polling.longest_seconds is {}: give at least shortest_seconds", polling.longest_seconds),
    );
    demand(
        (1..=500).contains(&polling.page_rows),
        format!("polling.page_rows is {}: give 1 to 500", polling.page_rows),
    );
    demand(
        (1..=90).contains(&polling.daily_percent),
        format!("polling.daily_percent is {}: give 1 to 90", polling.daily_percent),
    );
}

/// The timeline's types are types, and timing rules are as they should be.
fn check_timing(settings: &Settings, demand: &mut impl FnMut(bool, String)) {
    for pattern in &settings.timeline.types {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        demand(
            !pattern.is_empty() && !name.contains('*'),
            format!("timeline.types has {pattern:?}: give an event type, with * at its end at the most"),
        );
    }
    let mut ids = std::collections::HashSet::new();
    for configured in &settings.timing_rules {
        let id = &configured.id;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        demand(
            !id.is_empty() && id.chars().all(plain),
            format!("timing_rule.id is {id:?}: use letters, digits, hyphens and underscores"),
        );
        demand(ids.insert(id), format!("timing_rule {id} is there twice: give each an id of its own"));
        demand_tenant(settings, demand, &format!("timing_rule {id}"), &configured.tenant);
        if let Err(faults) = configured.rule.plan() {
            demand(false, format!("timing_rule {id}: {}", faults.join("; ")));
        }
    }
}

fn demand_tenant(settings: &Settings, demand: &mut impl FnMut(bool, String), who: &str, tenant: &str) {
    demand(
        settings.tenants.iter().any(|known| known.id == tenant),
        format!("{who} names the tenant {tenant:?}, which is not configured"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let settings = load_text("").unwrap();
        assert_eq!(settings.http.body_limit_bytes, 1_048_576);
        assert!(settings.apps.is_empty());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = load_text("[http]\nlisten_on = \"x\"").unwrap_err().to_string();
        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn wrong_values_are_refused_by_name_all_at_once() {
        let error =
            load_text("[http]\nlisten = \"nowhere\"\n[api]\nhost_key = \"short\"").unwrap_err().to_string();
        assert!(error.contains("http.listen") && error.contains("api.host_key"), "{error}");
    }

    #[test]
    fn an_unknown_role_and_a_process_without_roles_are_refused() {
        let unknown = load_text("[process]\nroles = [\"cook\"]").unwrap_err().to_string();
        assert!(unknown.contains("cook") && unknown.contains("ingest"), "{unknown}");
        let none = load_text("[process]\nroles = []").unwrap_err().to_string();
        assert!(none.contains("process.roles"), "{none}");
    }

    #[test]
    fn limits_under_which_nothing_runs_are_refused_by_name() {
        let error =
            load_text("[plugins]\nfuel = 10\nwall_seconds = 0\nstack_bytes = 1").unwrap_err().to_string();
        for key in ["plugins.fuel is 10", "plugins.wall_seconds is 0", "plugins.stack_bytes is 1"] {
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_wrong_type_is_refused_by_name() {
        let error = load_text("[pipeline]\nbatch = \"many\"").unwrap_err().to_string();
        assert!(error.contains("batch"), "{error}");
    }

    #[test]
    fn a_connection_with_an_api_key_has_no_app() {
        let head = "[[tenant]]\nid = \"t\"\nname = \"T\"\n[[connection]]\nid = \"c\"\ntenant = \"t\"\nlocation = \"l\"\nkind = \"api-key\"\n";
        let whole =
            format!("{head}environment = \"live\"\napi_key = \"pit-x\"\nscopes = \"contacts.readonly\"");
        assert_eq!(load_text(&whole).unwrap().connections[0].kind, ConnectionKind::ApiKey);
        let error = load_text(&format!("{head}app = \"a\"")).unwrap_err().to_string();
        for named in ["api_key", "leave app", "environment", "contacts.readonly"] {
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn passes_are_at_least_a_minute_apart() {
        let error = load_text("[polling]\nshortest_seconds = 59").unwrap_err().to_string();
        assert!(error.contains("polling.shortest_seconds"), "{error}");
    }

    #[test]
    fn trusted_proxies_are_networks() {
        let settings = load_text("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]").unwrap();
        assert_eq!(settings.http.trusted_proxies.len(), 2);
        let error = load_text("[http]\ntrusted_proxies = [\"proxy.example\"]").unwrap_err().to_string();
        assert!(error.contains("trusted_proxies"), "{error}");
    }

    #[test]
    fn the_sandboxs_page_is_its_own_unless_named() {
        let settings = load_text("[ghl]\nsandbox_url = \"http://127.0.0.1:1/\"").unwrap();
        assert_eq!(settings.ghl.authorize_url("sandbox"), "http://127.0.0.1:1/oauth/chooselocation");
        assert!(settings.ghl.authorize_url("live").ends_with("/v2/oauth/chooselocation"));
        let error = load_text("[ghl]\nlive_authorize_url = \"nowhere\"").unwrap_err().to_string();
        assert!(error.contains("ghl.live_authorize_url"), "{error}");
    }

    #[test]
    fn a_timing_rule_is_checked_with_the_rest() {
        let rule = |keys: &str| {
            let text = format!(
                "[[tenant]]\nid = \"t\"\nname = \"T\"\n[[timing_rule]]\nid = \"r\"\ntenant = \"t\"\n{keys}"
            );
            load_text(&text).map_err(|error| error.to_string())
        };
        let good = rule("name = \"n\"\nkind = \"contact-idle\"\nafter = \"30d\"").unwrap();
        assert_eq!(good.timing_rules[0].rule.after.as_deref(), Some("30d"));
        let wrong = rule("name = \"n\"\nkind = \"cron\"\ncron = \"99 * * * *\"").unwrap_err();
        assert!(wrong.contains("timing_rule r") && wrong.contains("99 * * * *"), "{wrong}");
        let unknown = rule("name = \"n\"\nkind = \"task-due\"\nbeforehand = \"1d\"").unwrap_err();
        assert!(unknown.contains("beforehand"), "{unknown}");
        let pattern = load_text("[timeline]\ntypes = [\"*Create\"]").unwrap_err().to_string();
        assert!(pattern.contains("timeline.types"), "{pattern}");
    }

    #[test]
    fn a_connection_names_a_known_app_and_tenant() {
        let error = load_text(
            "[[connection]]\nid = \"c\"\ntenant = \"t\"\napp = \"a\"\nlocation = \"l\"\naccess_token = \"x\"",
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("the app \"a\"") && error.contains("the tenant \"t\""), "{error}");
    }
}
