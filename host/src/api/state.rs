//! What handlers may reach, and nothing more.

use super::attempts::WrongKeys;
use crate::accounts::Accounts;
use crate::backup::Backups;
use crate::domain::Clock;
use crate::effects::Decisions;
use crate::pipeline::{Reruns, SchedulerStatus};
use crate::schedule::TimingRules;
use crate::store::Store;
use crate::sync::Connecting;
use crate::telemetry::HealthNotes;
use crate::tenants::{Breakers, Connections, Deployer, PluginFolder, Roster};
use crate::webhooks::{Ingest, RankrDoor};
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How the door treats connections and requests; machine time.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Longest time from a request's first byte, or an idle connection's last answer, to the end of its head.
    pub header_timeout: Duration,
    /// Longest time for a request.
    pub request_timeout: Duration,
    /// Proxies that are believed when they name a client.
    pub trusted_proxies: Vec<IpNet>,
}

/// The state of the API: one pointer, since each layer and handler of a request has a copy.
#[derive(Clone)]
pub struct ApiState(Arc<ApiParts>);

impl ApiState {
    /// The state of these parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for ApiState {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

/// What the API is made of.
pub struct ApiParts {
    /// Reading.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// The webhook door.
    pub ingest: Ingest,
    /// Connections.
    pub connections: Connections,
    /// The door for Rankr's events.
    pub rankr: RankrDoor,
    /// Connections with API keys.
    pub connecting: Connecting,
    /// Who has which key.
    pub accounts: Accounts,
    /// The tenants.
    pub roster: Roster,
    /// What people decide about effects.
    pub decisions: Decisions,
    /// What people ask to have run again.
    pub reruns: Reruns,
    /// Backups of this host.
    pub backups: Backups,
    /// Timing rules.
    pub timing_rules: TimingRules,
    /// Largest body, bytes.
    pub body_limit_bytes: usize,
    /// Whether this process takes webhooks.
    pub takes_webhooks: bool,
    /// Whether this process serves `/v1`.
    pub serves_api: bool,
    /// How the door treats connections and requests.
    pub door: Arc<DoorSettings>,
    /// Wrong keys so far.
    pub wrong_keys: WrongKeys,
    /// What is not as it should be.
    pub health: HealthNotes,
    /// Cancelled when the host is told to stop.
    pub stopping: CancellationToken,
    /// How much the pipeline has to do; nothing where this process only ingests.
    pub pipeline: Arc<dyn Fn() -> SchedulerStatus + Send + Sync>,
    /// Deploys and activates plugins.
    pub deployer: Deployer,
    /// Which assignments wait.
    pub breakers: Breakers,
    /// The watched folder.
    pub folder: PluginFolder,
    /// Largest uploaded plugin, bytes.
    pub upload_bytes: usize,
}
