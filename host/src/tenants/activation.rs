//! Activation: a tenant's events meet a version from now on. Asked is held against granted, the plugin prepares the
//! configuration in the sandbox, and only then one pointer is flipped; what was before stays ready for a roll back.

use super::assignments::OnFailure;
use super::deployer::{Deployer, Version};
use crate::domain::{AssignmentId, PluginName, TenantId, VersionId};
use crate::plugins::{CAPABILITIES, ConfigFault, Description, PluginError, RunFailure};
use crate::store::{ActivationRow, AssignmentRow, NewActivation, StoreError};

/// Why an activation was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    /// There is no such assignment.
    #[error("there is no assignment {0}")]
    UnknownAssignment(AssignmentId),
    /// Neither plugin nor version was named.
    #[error("name the plugin, or the version by its id")]
    Nothing,
    /// The plugin was never deployed, or not in that version.
    #[error("{wanted} is not deployed; {known}")]
    NotDeployed {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// The version is one of another plugin.
    #[error("{version} is a version of {plugin} and not of {named}")]
    OtherPlugin {
        /// The version asked for.
        version: VersionId,
        /// Whose version it is.
        plugin: PluginName,
        /// The plugin asked for.
        named: PluginName,
    },
    /// A grant is no capability.
    #[error("there is no capability {name:?}; there are {}", CAPABILITIES.join(", "))]
    UnknownGrant {
        /// Its place in the list.
        place: usize,
        /// The grant.
        name: String,
    },
    /// A capability the plugin can't do without is not granted.
    #[error(
        "the plugin needs the capability {capability}: {reason} Add it to the grants, or leave the plugin off"
    )]
    NotGranted {
        /// The capability.
        capability: String,
        /// The plugin's reason.
        reason: String,
    },
    /// It imports what it neither asks for nor is granted.
    #[error(
        "the plugin imports {function}, which needs {needed}, but does not ask for it; grant it only if you trust the plugin, or have its author ask for it"
    )]
    NotAsked {
        /// The imported function.
        function: String,
        /// Capabilities of which one is needed.
        needed: String,
    },
    /// The configuration is no JSON.
    #[error("the configuration is no JSON: {0}")]
    NoJson(String),
    /// The plugin refuses its configuration.
    #[error("the plugin refuses its configuration: {}", faults(.0))]
    Config(Vec<ConfigFault>),
    /// The plugin failed while it prepared its configuration.
    #[error("the plugin failed while it prepared its configuration: {0}")]
    Prepare(#[source] RunFailure),
    /// There is no activation before this one.
    #[error("assignment {0} has no activation before its present one; activate the version you want")]
    NothingBefore(AssignmentId),
    /// Someone else changed the assignment meanwhile.
    #[error("assignment {0} was changed meanwhile; look at it again")]
    Changed(AssignmentId),
    /// The version can't be loaded.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn faults(faults: &[ConfigFault]) -> String {
    let words = |fault: &ConfigFault| {
        let path = if fault.path.is_empty() { "the whole" } else { &fault.path };
        format!("{path}: {}", fault.message)
    };
    faults.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// What is to be activated.
#[derive(Clone, Debug)]
pub struct ActivationRequest {
    /// For whom.
    pub tenant: TenantId,
    /// Which plugin; may be left out where the version is named by its id.
    pub plugin: Option<PluginName>,
    /// Its id or its semantic version; none: the version deployed last.
    pub version: Option<String>,
    /// The configuration, JSON.
    pub config: String,
    /// Granted capabilities.
    pub grants: Vec<String>,
    /// What becomes of events it finally fails on.
    pub on_failure: OnFailure,
}

/// Who asks for an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A person or program over the API.
    Api,
    /// The configuration, with the hash of what it asks for.
    Configuration(String),
    /// The watched folder, told to activate what is new.
    Folder,
}

/// What came of an activation.
#[derive(Clone, Debug)]
pub struct Activation {
    /// The assignment.
    pub assignment: AssignmentId,
    /// The version.
    pub version: Version,
    /// Whether anything changed; the same activation again changes nothing.
    pub changed: bool,
    /// Whether it is the tenant's first of this plugin.
    pub first: bool,
    /// Grants that the plugin does not ask for.
    pub unused_grants: Vec<String>,
}

impl Deployer {
    /// Activates a version for a tenant. Runs under way finish on the version before; the next event meets this one.
    ///
    /// # Errors
    /// [`ActivationError`]; then nothing is changed.
    pub async fn activate(&self, request: ActivationRequest) -> Result<Activation, ActivationError> {
        self.activate_from(request, Source::Api).await
    }

    pub(super) async fn activate_from(
        &self,
        request: ActivationRequest,
        source: Source,
    ) -> Result<Activation, ActivationError> {
        let store = &self.parts.store;
        if !store.tenants().await?.iter().any(|known| known.id == request.tenant.as_str()) {
            return Err(ActivationError::UnknownTenant(request.tenant));
        }
        let version = self.choose(request.plugin.as_ref(), request.version.as_deref()).await?;
        held_against_grants(&version.description, &version.imports, &request.grants)?;
        let config: serde_json::Value = serde_json::from_str(&request.config)
            .map_err(|error| ActivationError::NoJson(error.to_string()))?;
        let config = config.to_string();
        let prepared = self.prepare(&version.id, &config).await?;
        let mut grants = request.grants;
        grants.sort_unstable();
        grants.dedup();
        let asks = |grant: &String| version.description.capabilities.iter().any(|asked| asked.name == *grant);
        let unused_grants = grants.iter().filter(|grant| !asks(grant)).cloned().collect();
        let (source, configured) = match source {
            Source::Api => ("api", None),
            Source::Configuration(hash) => ("configuration", Some(hash)),
            Source::Folder => ("folder", None),
        };
        let new = NewActivation {
            plugin: version.plugin.clone(),
            version: version.id.clone(),
            config,
            prepared,
            grants: serde_json::to_string(&grants).map_err(|error| StoreError::corrupt("grants", &error))?,
            on_failure: request.on_failure.as_str(),
            source,
            configured,
            at: self.parts.clock.now(),
        };
        let done = store.activate(&request.tenant, new).await?;
        self.parts.assignments.refresh(store).await?;
        if done.changed {
            self.parts.breakers.resume(&request.tenant, &done.assignment).await?;
            metrics::counter!("mapwright_activations_total", "act" => "activate").increment(1);
            tracing::info!(tenant = %request.tenant, plugin = %version.plugin, version = %version.id, source, "activated");
        }
        let (assignment, changed, first) = (done.assignment, done.changed, done.first);
        Ok(Activation { assignment, version, changed, first, unused_grants })
    }

    /// Goes back to the activation before the present one, with its own prepared bytes, grants and policy.
    ///
    /// # Errors
    /// [`ActivationError`]; then nothing is changed.
    pub async fn roll_back(&self, assignment: &AssignmentRow) -> Result<ActivationRow, ActivationError> {
        let nothing = || ActivationError::NothingBefore(assignment.id.clone());
        let store = &self.parts.store;
        let current = assignment.current.as_ref().ok_or_else(nothing)?;
        let present = store.activation(&assignment.tenant, current).await?.ok_or_else(nothing)?;
        let before = present.previous.as_ref().ok_or_else(nothing)?;
        let before = store.activation(&assignment.tenant, before).await?.ok_or_else(nothing)?;
        self.make_ready(&before.version).await?;
        if !store.switch_activation(&assignment.tenant, &assignment.id, (current, &before.id)).await? {
            return Err(ActivationError::Changed(assignment.id.clone()));
        }
        self.parts.assignments.refresh(store).await?;
        self.parts.breakers.resume(&assignment.tenant, &assignment.id).await?;
        metrics::counter!("mapwright_activations_total", "act" => "rollback").increment(1);
        tracing::info!(tenant = %assignment.tenant, plugin = %assignment.plugin, version = %before.version, "rolled back");
        Ok(before)
    }

    /// Switches an assignment off, or on again; whether that changed anything.
    ///
    /// # Errors
    /// [`ActivationError`]; then nothing is changed.
    pub async fn switch(&self, assignment: &AssignmentRow, on: bool) -> Result<bool, ActivationError> {
        let store = &self.parts.store;
        let current = match &assignment.current {
            Some(id) => store.activation(&assignment.tenant, id).await?,
            None => None,
        };
        let Some(current) = current else {
            return Err(ActivationError::NothingBefore(assignment.id.clone()));
        };
        if on {
            self.make_ready(&current.version).await?;
        }
        let changed = store.switch_assignment(&assignment.tenant, &assignment.id, on).await?;
        self.parts.assignments.refresh(store).await?;
        if changed && on {
            self.parts.breakers.resume(&assignment.tenant, &assignment.id).await?;
        }
        if changed {
            metrics::counter!("mapwright_activations_total", "act" => if on { "on" } else { "off" })
                .increment(1);
            tracing::info!(tenant = %assignment.tenant, plugin = %assignment.plugin, on, "switched");
        }
        Ok(changed)
    }

    /// The version that is meant: by its id, by its semantic version, or the one deployed last.
    async fn choose(
        &self,
        plugin: Option<&PluginName>,
        version: Option<&str>,
    ) -> Result<Version, ActivationError> {
        let store = &self.parts.store;
        if let Some(id) = version.filter(|version| version.starts_with("sha256:")) {
            let id = VersionId::from(id);
            let found = store.version_summary(&id).await?.ok_or_else(|| ActivationError::NotDeployed {
                wanted: id.to_string(),
                known: "deploy its file first".to_owned(),
            })?;
            if let Some(named) = plugin.filter(|named| **named != found.plugin) {
                return Err(ActivationError::OtherPlugin {
                    version: id,
                    plugin: found.plugin,
                    named: named.clone(),
                });
            }
            return Ok(Version::try_from(found)?);
        }
        let plugin = plugin.ok_or(ActivationError::Nothing)?;
        let mut found = store.versions_of(plugin, version).await?;
        if found.is_empty() {
            let mut known: Vec<String> =
                store.versions_of(plugin, None).await?.into_iter().map(|version| version.semver).collect();
            known.dedup();
            known.truncate(10);
            return Err(ActivationError::NotDeployed {
                wanted: version.map_or_else(|| plugin.to_string(), |version| format!("{plugin} {version}")),
                known: if known.is_empty() {
                    "deploy its file first".to_owned()
                } else {
                    format!("deployed are {}", known.join(", "))
                },
            });
        }
        Ok(Version::try_from(found.swap_remove(0))?)
    }

    /// Loads a version from the store if it is not loaded, so that the next event does not wait for it.
    async fn make_ready(&self, id: &VersionId) -> Result<(), ActivationError> {
        if self.parts.runtime.loaded_version(id).is_some() {
            return Ok(());
        }
        let row = self.parts.store.version(id).await?;
        let row = row.ok_or_else(|| StoreError::corrupt("version", &"it is not there"))?;
        self.parts.runtime.load(id, &row.component).await?;
        Ok(())
    }

    async fn prepare(&self, id: &VersionId, config: &str) -> Result<Vec<u8>, ActivationError> {
        self.make_ready(id).await?;
        let runtime = &self.parts.runtime;
        let version = runtime
            .loaded_version(id)
            .ok_or_else(|| PluginError::Load("it was unloaded again at once; try again".to_owned()))?;
        runtime
            .prepare(&version, config, &self.parts.limits)
            .await
            .map_err(ActivationError::Prepare)?
            .map_err(ActivationError::Config)
    }
}

/// Holds what a plugin asks for and imports against what it is granted.
fn held_against_grants(
    description: &Description,
    imports: &[String],
    grants: &[String],
) -> Result<(), ActivationError> {
    if let Some((place, unknown)) =
        grants.iter().enumerate().find(|(_, grant)| !CAPABILITIES.contains(&grant.as_str()))
    {
        return Err(ActivationError::UnknownGrant { place, name: unknown.chars().take(64).collect() });
    }
    let has = |name: &str| grants.iter().any(|grant| grant == name);
    let asked = &description.capabilities;
    if let Some(missing) = asked.iter().find(|asked| !asked.optional && !has(&asked.name)) {
        return Err(ActivationError::NotGranted {
            capability: missing.name.clone(),
            reason: missing.reason.clone(),
        });
    }
    for function in imports {
        let Some(needed) = Description::capability_of_import(function) else { continue };
        let declared = |name: &&&str| asked.iter().any(|asked| asked.name == **name);
        if !needed.iter().any(|name| has(name)) && !needed.iter().any(|name| declared(&name)) {
            return Err(ActivationError::NotAsked {
                function: function.clone(),
                needed: needed.join(" or "),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::CapabilityRequest;

    fn asking(capabilities: &[(&str, bool)]) -> Description {
        Description {
            name: "p".into(),
            version: "1.0.0".into(),
            summary: "x".into(),
            config_schema: "{}".into(),
            events: vec!["*".into()],
            reads: vec![],
            capabilities: capabilities
                .iter()
                .map(|(name, optional)| CapabilityRequest {
                    name: (*name).into(),
                    reason: "To show it.".into(),
                    optional: *optional,
                })
                .collect(),
            state_schema: 0,
            interfaces: vec![],
        }
    }

    fn check(asked: &[(&str, bool)], imports: &[&str], grants: &[&str]) -> Result<(), String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        held_against_grants(&asking(asked), &owned(imports), &owned(grants))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_needed_capability_that_is_not_granted_is_refused_with_the_plugins_reason() {
        let words = check(&[("crm.tasks.write", false)], &[], &["crm.notes.write"]).unwrap_err();
        assert!(words.contains("crm.tasks.write") && words.contains("To show it."), "{words}");
        assert_eq!(check(&[("crm.tasks.write", false)], &[], &["crm.tasks.write"]), Ok(()));
        assert_eq!(check(&[("crm.tasks.write", true)], &[], &[]), Ok(()));
    }

    #[test]
    fn an_unknown_grant_is_refused_by_name() {
        let words = check(&[], &[], &["crm.everything"]).unwrap_err();
        assert!(words.contains("crm.everything") && words.contains("crm.tasks.write"), "{words}");
    }

    #[test]
    fn an_import_beyond_what_is_asked_and_granted_is_refused_by_name() {
        let words = check(&[], &["log.write", "state.get"], &[]).unwrap_err();
        assert!(words.contains("state.get") && words.contains("state.contact or state.tenant"), "{words}");
        assert_eq!(check(&[], &["state.get"], &["state.contact"]), Ok(()));
        // Asked for as optional and not granted: the call is refused at run time.
        assert_eq!(check(&[("state.tenant", true)], &["state.get"], &[]), Ok(()));
    }
}
