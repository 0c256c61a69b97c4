//! Deployment from the configured folder, and the activations the configuration names.

use crate::config::Settings;
use crate::domain::{PluginName, TenantId, Timestamp, VersionId};
use crate::plugins::{CAPABILITIES, Description, Limits, Package, Runtime};
use crate::store::{ActivationRow, Store, VersionRow};
use anyhow::{Context as _, bail};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What deploying needs.
pub(super) struct Deployment<'a> {
    pub(super) store: &'a Store,
    pub(super) runtime: &'a Runtime,
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
}

impl Deployment<'_> {
    /// Deploys every .wasm file of a folder; a bad file changes nothing and is named in the log.
    pub(super) async fn folder(&self, folder: &Path) -> anyhow::Result<HashMap<PluginName, Package>> {
        let mut deployed = HashMap::new();
        if folder.as_os_str().is_empty() {
            return Ok(deployed);
        }
        let files = std::fs::read_dir(folder)
            .with_context(|| format!("plugins.folder {} can't be read", folder.display()))?;
        for file in files {
            let path =
                file.with_context(|| format!("plugins.folder {} can't be read", folder.display()))?.path();
            if path.extension().is_none_or(|end| end != "wasm") {
                continue;
            }
            let uploaded =
                std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
            match self.deploy(uploaded).await {
                Ok(package) => {
                    tracing::info!(plugin = %package.description.name, version = %package.version, "deployed {}", path.display());
                    deployed.insert(PluginName::new(&package.description.name), package);
                }
                Err(error) => tracing::error!("{} is not deployed: {error:#}", path.display()),
            }
        }
        Ok(deployed)
    }

    async fn deploy(&self, uploaded: Vec<u8>) -> anyhow::Result<Package> {
        let package = self.runtime.check(&uploaded, self.limits).await?;
        crate::config::failpoint("mid-deployment");
        self.runtime.load(&package.version, &package.component)?;
        let row = VersionRow {
            id: package.version.clone(),
            plugin: PluginName::new(&package.description.name),
            semver: package.description.version.clone(),
            description: serde_json::to_string(&package.description)?,
            uploaded,
            component: package.component.clone(),
            created_at: self.now,
        };
        self.store.put_version(row).await?;
        Ok(package)
    }

    /// Activates what the configuration assigns.
    pub(super) async fn assign(
        &self,
        settings: &Settings,
        deployed: &HashMap<PluginName, Package>,
    ) -> anyhow::Result<()> {
        for assigned in &settings.assignments {
            let plugin = PluginName::new(&assigned.plugin);
            let package = deployed.get(&plugin).with_context(|| {
                let folder = settings.plugins.folder.display();
                format!("assignment of tenant {} names the plugin {plugin}, which is not in plugins.folder {folder}", assigned.tenant)
            })?;
            granted(package, &assigned.grants)
                .with_context(|| format!("assignment of {plugin} to tenant {}", assigned.tenant))?;
            let prepared = self.prepare(&package.version, &package.component, &assigned.config).await?;
            let tenant = TenantId::new(&assigned.tenant);
            let assignment = self.store.assignment(&tenant, &plugin, self.now).await?;
            self.store
                .activate(ActivationRow {
                    assignment,
                    tenant,
                    plugin,
                    version: package.version.clone(),
                    description: String::new(),
                    mode: "active".to_owned(),
                    config: assigned.config.clone(),
                    prepared: Arc::from(prepared),
                    grants: serde_json::to_string(&assigned.grants)?,
                    activated_at: self.now,
                })
                .await?;
        }
        Ok(())
    }

    async fn prepare(&self, id: &VersionId, component: &[u8], config: &str) -> anyhow::Result<Vec<u8>> {
        let version = self.runtime.load(id, component)?;
        match self.runtime.prepare(&version, config, self.limits).await? {
            Ok(prepared) => Ok(prepared),
            Err(faults) => {
                let faults: Vec<String> =
                    faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
                bail!("the plugin refuses its configuration: {}", faults.join("; "))
            }
        }
    }
}

/// Holds what a plugin asks for and imports against what it is granted.
fn granted(package: &Package, grants: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = grants.iter().find(|grant| !CAPABILITIES.contains(&grant.as_str())) {
        bail!("there is no capability {unknown:?}; there are {}", CAPABILITIES.join(", "));
    }
    let has = |name: &str| grants.iter().any(|grant| grant == name);
    let asked = &package.description.capabilities;
    if let Some(missing) = asked.iter().find(|asked| !asked.optional && !has(&asked.name)) {
        bail!(
            "the plugin needs the capability {}: {}; add it to the assignment's grants",
            missing.name,
            missing.reason
        );
    }
    for function in &package.imports {
        let Some(needed) = Description::capability_of_import(function) else { continue };
        let declared = |name: &&&str| asked.iter().any(|asked| asked.name == **name);
        if !needed.iter().any(|name| has(name)) && !needed.iter().any(|name| declared(&name)) {
            bail!(
                "the plugin imports {function}, which needs {}, but does not ask for it",
                needed.join(" or ")
            );
        }
    }
    Ok(())
}
