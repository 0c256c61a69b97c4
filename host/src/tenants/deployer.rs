//! Deployment: uploaded bytes become an immutable version, whole or not at all.

use super::assignments::Assignments;
use super::breaker::Breakers;
use crate::domain::{Clock, PluginName, VersionId};
use crate::plugins::{Description, Limits, PackageError, PluginError, Runtime, version_of};
use crate::store::{Store, StoreError, VersionRow, VersionSummary};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};

/// Why bytes were not deployed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// They are no plugin this host can run.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The host could not load them.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A version as people and programs see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Version {
    /// `sha256:` and the hash of the uploaded bytes.
    #[schema(value_type = String)]
    pub id: VersionId,
    /// Which plugin it is a version of.
    #[schema(value_type = String)]
    pub plugin: PluginName,
    /// Its own version, SemVer.
    pub semver: String,
    /// What the plugin says of itself, the capabilities it asks for among it.
    pub description: Description,
    /// Functions of the host that it imports, as `interface.function`.
    pub imports: Vec<String>,
    /// Bytes of what was uploaded.
    pub uploaded_bytes: i64,
    /// When it was deployed, RFC 3339.
    pub deployed_at: String,
}

impl TryFrom<VersionSummary> for Version {
    type Error = StoreError;

    fn try_from(stored: VersionSummary) -> Result<Self, StoreError> {
        let corrupt = |error: serde_json::Error| StoreError::corrupt("description", &error);
        Ok(Self {
            description: serde_json::from_str(&stored.description).map_err(corrupt)?,
            imports: serde_json::from_str(&stored.imports).map_err(corrupt)?,
            id: stored.id,
            plugin: stored.plugin,
            semver: stored.semver,
            uploaded_bytes: stored.uploaded_bytes,
            deployed_at: stored.created_at.to_rfc3339(),
        })
    }
}

/// What came of a deployment.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The version.
    pub version: Version,
    /// Whether it was not known before.
    pub new: bool,
}

/// What deploying and activating need.
pub struct DeployerParts {
    /// The database.
    pub store: Store,
    /// The WebAssembly runtime.
    pub runtime: Arc<Runtime>,
    /// Limits of the runs that a deployment makes.
    pub limits: Limits,
    /// Product time.
    pub clock: Clock,
    /// Told of each activation.
    pub assignments: Assignments,
    /// Told of each activation too: another version deserves another try.
    pub breakers: Breakers,
}

/// Deploys versions and activates them. Cheap to clone.
#[derive(Clone)]
pub struct Deployer {
    pub(super) parts: Arc<DeployerParts>,
    /// One package is checked at a time: compiling takes a core and its memory.
    one: Arc<Mutex<()>>,
    /// Told of each new version.
    pub(super) deployed: Arc<Notify>,
}

impl Deployer {
    /// A deployer over these rooms.
    #[must_use]
    pub fn new(parts: DeployerParts) -> Self {
        Self { parts: Arc::new(parts), one: Arc::default(), deployed: Arc::default() }
    }

    /// Deploys uploaded bytes; bytes that are known already are found again and not checked anew.
    ///
    /// # Errors
    /// [`DeployError`]; then nothing is changed.
    pub async fn deploy(&self, uploaded: Vec<u8>) -> Result<Deployed, DeployError> {
        let DeployerParts { store, runtime, limits, clock, .. } = &*self.parts;
        let _alone = self.one.lock().await;
        if let Some(known) = store.version_summary(&version_of(&uploaded)).await? {
            return Ok(Deployed { version: Version::try_from(known)?, new: false });
        }
        let package = runtime.check(&uploaded, limits).await?;
        crate::config::failpoint("mid-deployment");
        // Whatever can be stored can be loaded: a version that can't would fail at its first run.
        runtime.load(&package.version, &package.component).await?;
        let text = |error: serde_json::Error| StoreError::corrupt("description", &error);
        let row = VersionRow {
            id: package.version.clone(),
            plugin: PluginName::new(&package.description.name),
            semver: package.description.version.clone(),
            description: serde_json::to_string(&package.description).map_err(text)?,
            imports: serde_json::to_string(&package.imports).map_err(text)?,
            uploaded,
            component: package.component,
            created_at: clock.now(),
        };
        let new = store.put_version(row).await?;
        let stored = store
            .version_summary(&package.version)
            .await?
            .ok_or_else(|| StoreError::corrupt("version", &"it is not there after it was stored"))?;
        let version = Version::try_from(stored)?;
        self.deployed.notify_one();
        metrics::counter!("mapwright_deployments_total").increment(1);
        tracing::info!(plugin = %version.plugin, version = %version.id, semver = version.semver, "deployed");
        Ok(Deployed { version, new })
    }
}
