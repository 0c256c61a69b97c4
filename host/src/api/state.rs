//! What handlers may reach, and nothing more.

use crate::accounts::Accounts;
use crate::domain::Clock;
use crate::pipeline::SchedulerStatus;
use crate::store::Store;
use crate::sync::Connecting;
use crate::webhooks::{Ingest, RankrDoor};
use std::sync::Arc;

/// The state of the API.
#[derive(Clone)]
pub struct ApiState {
    /// Reading.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// The webhook door.
    pub ingest: Ingest,
    /// The door for Rankr's events.
    pub rankr: RankrDoor,
    /// Connections with API keys.
    pub connecting: Connecting,
    /// Who has which key.
    pub accounts: Accounts,
    /// Largest body, bytes.
    pub body_limit_bytes: usize,
    /// Whether this process takes webhooks.
    pub takes_webhooks: bool,
    /// Whether this process serves `/v1`.
    pub serves_api: bool,
    /// How much the pipeline has to do; nothing where this process only ingests.
    pub pipeline: Arc<dyn Fn() -> SchedulerStatus + Send + Sync>,
}
