//! Assignments from the configuration: taken over when the configuration asks for something else than last time, and
//! otherwise left to what people have done since. One that can't be taken over stops nothing but itself.

use super::activation::{ActivationError, ActivationRequest, Source};
use super::assignments::OnFailure;
use super::deployer::Deployer;
use crate::config::AssignmentSettings;
use crate::domain::{PluginName, TenantId, dedupe_key};
use std::fmt::Write as _;

/// A configured assignment that is not in force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotApplied {
    /// Whose, what and why, for people.
    pub(super) why: String,
}

impl Deployer {
    /// Takes over the configured assignments that ask for something new.
    pub(super) async fn apply_configured(&self, assigned: &[AssignmentSettings]) -> Vec<NotApplied> {
        let mut failed = Vec::new();
        for one in assigned {
            if let Err(error) = self.apply_one(one).await {
                let why = format!("assignment of {} to tenant {}: {error}", one.plugin, one.tenant);
                tracing::error!("{why}; the others are in force");
                failed.push(NotApplied { why });
            }
        }
        failed
    }

    async fn apply_one(&self, assigned: &AssignmentSettings) -> Result<(), ActivationError> {
        let (tenant, plugin) = (TenantId::new(&assigned.tenant), PluginName::new(&assigned.plugin));
        let asked = fingerprint(assigned);
        let known = self.parts.store.assignment_of(&tenant, &plugin).await?;
        if known.as_ref().is_some_and(|known| known.configured.as_ref() == Some(&asked)) {
            return Ok(());
        }
        let mut version = (!assigned.version.is_empty()).then(|| assigned.version.clone());
        if version.is_none()
            && let Some(current) = known.and_then(|known| known.current)
            && let Some(current) = self.parts.store.activation(&tenant, &current).await?
        {
            // The configuration names no version: which one runs is what people decided.
            version = Some(current.version.as_str().to_owned());
        }
        let request = ActivationRequest {
            tenant,
            plugin: Some(plugin),
            version,
            config: assigned.config.clone(),
            grants: assigned.grants.clone(),
            on_failure: OnFailure::parse(&assigned.on_failure).unwrap_or_default(),
        };
        self.activate_from(request, Source::Configuration(asked)).await?;
        Ok(())
    }
}

/// The same for the same wish, however its grants are ordered and its configuration is spaced.
fn fingerprint(assigned: &AssignmentSettings) -> String {
    let config = serde_json::from_str::<serde_json::Value>(&assigned.config)
        .map_or_else(|_no_json| assigned.config.clone(), |config| config.to_string());
    let mut grants: Vec<&str> = assigned.grants.iter().map(String::as_str).collect();
    grants.sort_unstable();
    let key = dedupe_key(&[&assigned.version, &config, &grants.join(" "), &assigned.on_failure]);
    key.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(config: &str, grants: &[&str]) -> AssignmentSettings {
        AssignmentSettings {
            tenant: "t".into(),
            plugin: "p".into(),
            version: String::new(),
            config: config.into(),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            on_failure: "dead-letter".into(),
        }
    }

    #[test]
    fn only_another_wish_is_another_fingerprint() {
        let first = fingerprint(&assigned(r#"{"a": 1, "b": 2}"#, &["x", "y"]));
        assert_eq!(first, fingerprint(&assigned(r#"{ "b":2,"a":1}"#, &["y", "x"])));
        assert_ne!(first, fingerprint(&assigned(r#"{"a": 1, "b": 3}"#, &["x", "y"])));
        assert_ne!(first, fingerprint(&assigned(r#"{"a": 1, "b": 2}"#, &["x"])));
        let held =
            AssignmentSettings { on_failure: "hold".into(), ..assigned(r#"{"a": 1, "b": 2}"#, &["x", "y"]) };
        assert_ne!(first, fingerprint(&held));
    }
}
