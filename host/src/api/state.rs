//! What handlers may reach, and nothing more.

use crate::domain::Clock;
use crate::pipeline::SchedulerStatus;
use crate::store::Store;
use crate::webhooks::{Ingest, RankrDoor};
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// The one key of configuration, kept as its hash.
#[derive(Clone)]
pub struct HostKey(Option<Arc<[u8]>>);

impl HostKey {
    /// The key's hash; no key at all when it is empty, and then nobody is let in.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self((!key.is_empty()).then(|| Arc::from(digest(&SHA256, key.as_bytes()).as_ref())))
    }

    /// Whether this is the key; takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let given = digest(&SHA256, given.as_bytes());
        self.0.as_ref().is_some_and(|key| bool::from(key.as_ref().ct_eq(given.as_ref())))
    }
}

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
    /// The key of `/v1`.
    pub host_key: HostKey,
    /// Largest body, bytes.
    pub body_limit_bytes: usize,
    /// How much the pipeline has to do; nothing where this process only ingests.
    pub pipeline: Arc<dyn Fn() -> SchedulerStatus + Send + Sync>,
}
