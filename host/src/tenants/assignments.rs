//! Which plugin versions an event of a tenant meets.

use crate::domain::{ActivationId, AssignmentId, PluginName, TenantId, VersionId};
use crate::store::{Store, StoreError};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// What becomes of an event that an assignment finally fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It becomes a dead letter for a person, and the lane goes on.
    #[default]
    DeadLetter,
    /// It waits, and the assignment's later events of the same lane behind it, until a person decides.
    Hold,
}

impl OnFailure {
    /// The policy's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead-letter",
            Self::Hold => "hold",
        }
    }

    /// The policy of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::DeadLetter, Self::Hold].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// An active version of an assignment, as runs need it.
#[derive(Clone, Debug)]
pub struct ActiveVersion {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: PluginName,
    /// The activation that made it so.
    pub activation: ActivationId,
    /// Which version.
    pub version: VersionId,
    /// What becomes of events it finally fails on.
    pub on_failure: OnFailure,
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
pub struct Assignments(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    current: RwLock<Arc<ByTenant>>,
    /// Reading and swapping is one act, so that what was read earlier never replaces what was read later.
    refreshing: Mutex<()>,
}

impl Assignments {
    /// A tenant's active versions, in the order of their plugins' names.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<[ActiveVersion]> {
        let current = Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner));
        current.get(tenant).cloned().unwrap_or_default()
    }

    /// Reads them anew.
    ///
    /// # Errors
    /// When the database fails; the old ones stay.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let _alone = self.0.refreshing.lock().await;
        let mut found: HashMap<TenantId, Vec<ActiveVersion>> = HashMap::new();
        for active in store.activations().await? {
            let row = active.activation;
            if row.mode != "active" {
                continue;
            }
            let grants: HashSet<String> = serde_json::from_str(&row.grants)
                .map_err(|error| StoreError::Corrupt { what: "grants", detail: error.to_string() })?;
            let wanted: Wanted = serde_json::from_str(&active.description)
                .map_err(|error| StoreError::Corrupt { what: "description", detail: error.to_string() })?;
            found.entry(row.tenant.clone()).or_default().push(ActiveVersion {
                assignment: row.assignment,
                tenant: row.tenant,
                plugin: row.plugin,
                activation: row.id,
                version: row.version,
                on_failure: OnFailure::parse(&row.on_failure).unwrap_or_default(),
                maps: wanted.interfaces.iter().any(|name| name == "mapping"),
                reacts: wanted.interfaces.iter().any(|name| name == "reaction"),
                events: Arc::from(wanted.events),
                reads: Arc::from(wanted.reads),
                state_schema: wanted.state_schema,
                prepared: active.prepared,
                grants: Arc::new(grants),
            });
        }
        let found: ByTenant =
            found.into_iter().map(|(tenant, versions)| (tenant, Arc::from(versions))).collect();
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }
}
