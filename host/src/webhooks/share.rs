//! Who may wait at the door: under load the tenant over its share is turned away first.

use crate::domain::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the deliveries that wait to be stored.
#[derive(Debug)]
pub(super) struct Shares {
    max: usize,
    waiting: Mutex<HashMap<TenantId, usize>>,
}

/// A place at the door; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    shares: Arc<Shares>,
    tenant: TenantId,
}

impl Shares {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, waiting: Mutex::new(HashMap::new()) })
    }

    /// A place for the tenant; none when the door is full, or more than half full and the tenant holds more than
    /// an even share already.
    pub(super) fn enter(self: &Arc<Self>, tenant: &TenantId) -> Option<Place> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = waiting.values().sum();
        let own = waiting.get(tenant).copied().unwrap_or(0);
        let even = self.max / waiting.len().max(1);
        let over_share = total * 2 >= self.max && waiting.len() > 1 && own >= even;
        if total >= self.max || over_share {
            return None;
        }
        waiting.insert(tenant.clone(), own + 1);
        Some(Place { shares: Arc::clone(self), tenant: tenant.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.shares.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let left = waiting.get(&self.tenant).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            waiting.remove(&self.tenant);
        } else {
            waiting.insert(self.tenant.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_over_its_share_is_turned_away_first() {
        let shares = Shares::new(8);
        let (loud, quiet) = (TenantId::from("loud"), TenantId::from("quiet"));
        let first = shares.enter(&quiet).unwrap();
        let held: Vec<_> = std::iter::from_fn(|| shares.enter(&loud)).collect();
        assert_eq!(held.len(), 4);
        assert!(shares.enter(&quiet).is_some());
        drop((first, held));
        assert!(shares.waiting.lock().unwrap().is_empty());
    }

    #[test]
    fn one_tenant_alone_may_use_it_all() {
        let shares = Shares::new(8);
        let only = TenantId::from("only");
        assert_eq!(std::iter::from_fn(|| shares.enter(&only)).collect::<Vec<_>>().len(), 8);
    }
}
