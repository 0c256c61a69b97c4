//! Which tenants' tasks and appointments timing rules count from: the webhook door takes them in, whoever else wants
//! them or not.

use crate::domain::{ObjectKind, TenantId, TimingKind, TimingNeeds};
use crate::store::{Store, StoreError};
use std::sync::{Arc, PoisonError, RwLock};

/// The current needs; swapped whole when a rule changes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TimingNeedsCell(Arc<RwLock<Arc<TimingNeeds>>>);

impl TimingNeedsCell {
    /// Whether a rule of the tenant counts from objects of that kind.
    #[must_use]
    pub fn has(&self, tenant: &TenantId, kind: ObjectKind) -> bool {
        let current = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        current.contains(&(tenant.clone(), kind))
    }

    /// Reads them anew.
    ///
    /// # Errors
    /// When the database fails; the old ones stay.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let kinds = store.timing_kinds().await?;
        let fresh: TimingNeeds = kinds
            .into_iter()
            .filter_map(|(tenant, kind)| Some((tenant, TimingKind::parse(&kind)?.basis())))
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }
}
