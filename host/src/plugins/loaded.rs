//! Versions ready to run, the least recently used of them let go beyond a count and a sum of bytes.

use super::runtime::LoadedVersion;
use crate::domain::VersionId;
use lru::LruCache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The loaded versions. A run under way keeps its version, whatever is let go here.
pub(super) struct Loaded {
    kept: Mutex<Kept>,
    turns: Mutex<HashMap<VersionId, Arc<tokio::sync::Mutex<()>>>>,
    most: usize,
    most_bytes: usize,
}

struct Kept {
    versions: LruCache<VersionId, Arc<LoadedVersion>>,
    bytes: usize,
}

impl Loaded {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        let kept = Kept { versions: LruCache::unbounded(), bytes: 0 };
        Self { kept: Mutex::new(kept), turns: Mutex::default(), most, most_bytes }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version, which counts as used now.
    pub(super) fn get(&self, id: &VersionId) -> Option<Arc<LoadedVersion>> {
        self.kept().versions.get(id).cloned()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.kept().versions.len()
    }

    /// Keeps a version and lets others go where that is too much.
    pub(super) fn put(&self, version: &Arc<LoadedVersion>) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        kept.bytes += version.code_bytes();
        if let Some((_, before)) = kept.versions.push(version.id().clone(), Arc::clone(version)) {
            kept.bytes = kept.bytes.saturating_sub(before.code_bytes());
        }
        while kept.versions.len() > self.most.max(1)
            || (kept.bytes > self.most_bytes && kept.versions.len() > 1)
        {
            let Some((id, idle)) = kept.versions.pop_lru() else { break };
            kept.bytes = kept.bytes.saturating_sub(idle.code_bytes());
            metrics::counter!("mapwright_plugin_evictions_total").increment(1);
            tracing::debug!(version = %id, "a plugin version that was not used for longest is let go");
        }
        metrics::gauge!("mapwright_plugins_loaded")
            .set(f64::from(u32::try_from(kept.versions.len()).unwrap_or(u32::MAX)));
    }

    /// Who loads this version: held by one at a time, so that a version is loaded once.
    pub(super) fn turn(&self, id: &VersionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(id.clone()).or_default())
    }
}
