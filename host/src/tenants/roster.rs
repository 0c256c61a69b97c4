//! The tenants themselves: made, listed, paused, resumed. Who is paused is followed by those who work for tenants.

use crate::domain::{Clock, TenantId};
use crate::store::{AuditRow, Store, StoreError, TenantListing, TenantRow};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Longest id that is chosen, characters; it is part of paths.
const LONGEST_ID: usize = 64;
/// Longest name, characters.
const LONGEST_NAME: usize = 200;

/// Why something about tenants could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// What was asked for can't be.
    #[error("{0}")]
    Invalid(String),
    /// There is one of that id.
    #[error("there is a tenant {0} already; choose another id, or leave it out")]
    Exists(TenantId),
    /// There is none of that id.
    #[error("there is no tenant {0}")]
    Unknown(TenantId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a tenant's work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantState {
    /// It does.
    Active,
    /// What comes in is stored; nothing runs, nothing is sent, nothing fires.
    Paused,
}

impl TenantState {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// The tenants that are paused, at one moment.
pub type PausedTenants = Arc<HashSet<TenantId>>;

/// The keeper of tenants. Cheap to clone.
#[derive(Clone)]
pub struct Roster {
    store: Store,
    clock: Clock,
    paused: Arc<watch::Sender<PausedTenants>>,
}

impl Roster {
    /// Reads who is paused.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(store: Store, clock: Clock) -> Result<Self, StoreError> {
        let roster = Self { store, clock, paused: Arc::new(watch::Sender::default()) };
        roster.refresh().await?;
        Ok(roster)
    }

    /// Follows who is paused.
    #[must_use]
    pub fn paused(&self) -> watch::Receiver<PausedTenants> {
        self.paused.subscribe()
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let paused = self.store.paused_tenants().await?.into_iter().collect();
        self.paused.send_replace(Arc::new(paused));
        Ok(())
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// [`TenantError`], saying what is wrong with what was asked for.
    pub async fn create(
        &self,
        id: TenantId,
        name: &str,
        audit: Option<AuditRow>,
    ) -> Result<TenantListing, TenantError> {
        let well_formed = !id.as_str().is_empty()
            && id.as_str().len() <= LONGEST_ID
            && id.as_str().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !well_formed || id.as_str().starts_with('.') {
            return Err(TenantError::Invalid(format!(
                "id is {:?}: give 1 to {LONGEST_ID} letters, digits, hyphens, underscores and dots, or leave it out",
                id.as_str()
            )));
        }
        let name = name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(TenantError::Invalid(format!("name: give 1 to {LONGEST_NAME} characters")));
        }
        let row = TenantRow {
            id: id.as_str().to_owned(),
            name: name.to_owned(),
            state: TenantState::Active.word().to_owned(),
            created_at: self.clock.now().millis(),
        };
        match self.store.create_tenant(row, audit).await {
            Err(StoreError::Exists { .. }) => return Err(TenantError::Exists(id)),
            made => made?,
        }
        self.get(&id).await
    }

    /// The tenant of that id.
    ///
    /// # Errors
    /// [`TenantError::Unknown`], or when the database fails.
    pub async fn get(&self, id: &TenantId) -> Result<TenantListing, TenantError> {
        let mut found = self.store.list_tenants(Some(id), "", 1).await?;
        found.pop().ok_or_else(|| TenantError::Unknown(id.clone()))
    }

    /// A page of tenants in the order of their ids; only one where one is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        &self,
        only: Option<&TenantId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TenantListing>, StoreError> {
        self.store.list_tenants(only, after, limit).await
    }

    /// Pauses or resumes a tenant; asking for the state it has changes nothing. What is under way ends.
    ///
    /// # Errors
    /// [`TenantError::Unknown`], or when the database fails.
    pub async fn set_state(
        &self,
        id: &TenantId,
        state: TenantState,
        audit: Option<AuditRow>,
    ) -> Result<TenantListing, TenantError> {
        self.get(id).await?;
        self.store.set_tenant_state(id, state.word(), self.clock.now(), audit).await?;
        self.refresh().await?;
        tracing::info!(tenant.id = %id, state = state.word(), "tenant {id} is {}", state.word());
        self.get(id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::store::StoreSettings;

    async fn roster(folder: &std::path::Path) -> Roster {
        let store = Store::open(&StoreSettings::in_folder(folder)).await.unwrap();
        Roster::read(store, Clock::manual(Timestamp::from_millis(1_767_225_600_000))).await.unwrap()
    }

    #[tokio::test]
    async fn who_is_paused_is_told_and_survives_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = roster(folder.path()).await;
        first.create(TenantId::from("a"), "A", None).await.unwrap();
        first.create(TenantId::from("b"), "B", None).await.unwrap();
        let follower = first.paused();
        let made = first.set_state(&TenantId::from("a"), TenantState::Paused, None).await.unwrap();
        assert_eq!((made.state.as_str(), made.state_since.is_some()), ("paused", true));
        assert!(follower.borrow().contains(&TenantId::from("a")));
        let same_as_configured = TenantRow {
            id: "a".to_owned(),
            name: "A, renamed".to_owned(),
            state: "active".to_owned(),
            created_at: 0,
        };
        first.store.put_tenant(same_as_configured).await.unwrap();
        first.store.close().await;
        drop(first);
        let second = roster(folder.path()).await;
        assert_eq!(second.paused().borrow().iter().map(TenantId::as_str).collect::<Vec<_>>(), ["a"]);
        second.set_state(&TenantId::from("a"), TenantState::Active, None).await.unwrap();
        assert!(second.paused().borrow().is_empty());
        assert_eq!(second.get(&TenantId::from("a")).await.unwrap().name, "A, renamed");
    }

    #[tokio::test]
    async fn ids_are_well_formed_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(folder.path()).await;
        let refusal = async |id: &str, name: &str| {
            roster.create(TenantId::from(id), name, None).await.unwrap_err().to_string()
        };
        assert!(refusal("a/b", "A").await.contains("id is"));
        assert!(refusal("", "A").await.contains("id is"));
        assert!(refusal("a", " ").await.contains("name"));
        roster.create(TenantId::from("a"), "A", None).await.unwrap();
        assert!(refusal("a", "A").await.contains("already"));
        assert!(matches!(roster.get(&TenantId::from("z")).await, Err(TenantError::Unknown(_))));
    }
}
