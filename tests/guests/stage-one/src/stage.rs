//! What both versions of the guest share: it writes which version ran, and fails for whom it is told to.

use mapwright_sdk::{ConfigError, Event, Mapped, RunError};

/// What the person who activates it chooses.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Written to each record.
    #[serde(default)]
    pub label: String,
    /// First names of contacts it fails on; `*` is everyone.
    #[serde(default)]
    pub fail_for: Vec<String>,
}

/// The checks that types can't say.
pub fn check(config: &Config) -> Vec<ConfigError> {
    let long = config.label.len() > 20;
    let mut faults = Vec::new();
    if long {
        faults.push(ConfigError::new("/label", "it must have at most 20 characters"));
    }
    if let Some(place) = config.fail_for.iter().position(String::is_empty) {
        faults.push(ConfigError::new(format!("/fail_for/{place}"), "a first name must not be empty"));
    }
    faults
}

/// Maps one event.
///
/// # Errors
/// When it is told to fail for this contact, or there is none.
pub fn map(event: &Event, config: &Config, version: &str) -> Result<Mapped, RunError> {
    let contact = event.contact().ok_or_else(|| RunError::unmappable("the event is about no contact"))?;
    let name = contact.text("firstName").unwrap_or_default();
    if config.fail_for.iter().any(|failing| failing == "*" || failing == name) {
        return Err(RunError::unmappable("told to fail"));
    }
    Ok(Mapped::contact()
        .set("stage_version", version)
        .set("stage_label", config.label.as_str())
        .set("stage_city", contact.text("city").map(str::to_owned)))
}
