//! Which plugin versions an event of a tenant meets.

use crate::domain::{AssignmentId, PluginName, TenantId, VersionId};
use crate::store::{Store, StoreError};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

/// An active version of an assignment, as runs need it.
#[derive(Clone, Debug)]
pub struct ActiveVersion {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub version: VersionId,
    /// Event types it wants; `*` is every type.
    pub events: Arc<[String]>,
    /// Reads it declares.
    pub reads: Arc<[String]>,
    /// Whether it maps.
    pub maps: bool,
    /// Whether it reacts.
    pub reacts: bool,
    /// The number of its state's layout.
    pub state_schema: u32,
    /// What `prepare` made of its configuration.
    pub prepared: Arc<[u8]>,
    /// Granted capabilities.
    pub grants: Arc<HashSet<String>>,
}

impl ActiveVersion {
    /// Whether it wants events of that type.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.events.iter().any(|wanted| wanted == "*" || wanted == event_type)
    }
}

/// The part of a stored description that is needed here.
#[derive(Deserialize)]
struct Wanted {
    events: Vec<String>,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    interfaces: Vec<String>,
    #[serde(default)]
    state_schema: u32,
}

type ByTenant = HashMap<TenantId, Arc<[ActiveVersion]>>;

/// All tenants' active versions; swapped whole when an activation changes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Assignments(Arc<RwLock<Arc<ByTenant>>>);

impl Assignments {
    /// A tenant's active versions, in the order of their plugins' names.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<[ActiveVersion]> {
        let current = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        current.get(tenant).cloned().unwrap_or_default()
    }

    /// Reads them anew.
    ///
    /// # Errors
    /// When the database fails; the old ones stay.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let mut found: HashMap<TenantId, Vec<ActiveVersion>> = HashMap::new();
        for row in store.activations().await? {
            if row.mode != "active" {
                continue;
            }
            let grants: HashSet<String> = serde_json::from_str(&row.grants)
                .map_err(|error| StoreError::Corrupt { what: "grants", detail: error.to_string() })?;
            let wanted: Wanted = serde_json::from_str(&row.description)
                .map_err(|error| StoreError::Corrupt { what: "description", detail: error.to_string() })?;
            found.entry(row.tenant.clone()).or_default().push(ActiveVersion {
                assignment: row.assignment,
                tenant: row.tenant,
                plugin: row.plugin,
                version: row.version,
                maps: wanted.interfaces.iter().any(|name| name == "mapping"),
                reacts: wanted.interfaces.iter().any(|name| name == "reaction"),
                events: Arc::from(wanted.events),
                reads: Arc::from(wanted.reads),
                state_schema: wanted.state_schema,
                prepared: row.prepared,
                grants: Arc::new(grants),
            });
        }
        let found: ByTenant =
            found.into_iter().map(|(tenant, versions)| (tenant, Arc::from(versions))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }
}
