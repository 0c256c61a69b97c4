//! Which app, tenant and connection something is addressed to. Derived from the store, never registered by hand.

use crate::domain::{AppId, ConnectionId, LocationId, TenantId};
use crate::store::{ConnectionRow, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What an app's stored settings hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredApp {
    pub(super) ghl_app_id: String,
    pub(super) ed25519_keys: Vec<String>,
    pub(super) rsa_keys: Vec<String>,
    #[serde(default)]
    pub(super) version_id: String,
    #[serde(default)]
    pub(super) scopes: String,
}

/// One registration with GHL.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id here.
    pub id: AppId,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's id of it, which bodies carry.
    pub ghl_app_id: String,
    /// Ed25519 public keys, PEM.
    pub ed25519_keys: Vec<String>,
    /// RSA public keys of the legacy signature, PEM.
    pub rsa_keys: Vec<String>,
}

/// A tenant's link to a location, as far as addressing needs it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which app.
    pub app: Option<AppId>,
    /// GHL's location.
    pub location: LocationId,
    /// `live` or `sandbox`.
    pub environment: String,
    /// Granted scopes, space separated; empty: not known.
    pub scopes: Arc<str>,
    /// Whether events are taken: neither suspended nor closed.
    pub receiving: bool,
}

/// Everything that addressing needs, at one moment.
#[derive(Debug, Default)]
pub struct Directory {
    apps: HashMap<AppId, Arc<App>>,
    by_location: HashMap<(AppId, LocationId), Connection>,
    connections: HashMap<ConnectionId, Connection>,
}

impl Directory {
    /// Reads the directory.
    ///
    /// # Errors
    /// When the database fails or a stored app can't be read.
    pub async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut directory = Self::default();
        for row in store.apps().await? {
            let stored: StoredApp = serde_json::from_str(&row.settings)
                .map_err(|error| StoreError::Corrupt { what: "app", detail: error.to_string() })?;
            let app = App {
                id: row.id(),
                environment: row.environment,
                ghl_app_id: stored.ghl_app_id,
                ed25519_keys: stored.ed25519_keys,
                rsa_keys: stored.rsa_keys,
            };
            directory.apps.insert(app.id.clone(), Arc::new(app));
        }
        for row in store.connections().await? {
            directory.add(row);
        }
        Ok(directory)
    }

    fn add(&mut self, row: ConnectionRow) {
        let connection = Connection {
            id: row.id,
            tenant: row.tenant,
            app: row.app,
            location: row.location,
            environment: row.environment,
            scopes: Arc::from(row.scopes),
            receiving: !matches!(row.state.as_str(), "suspended" | "closed"),
        };
        if let Some(app) = &connection.app
            && row.state != "closed"
        {
            self.by_location.insert((app.clone(), connection.location.clone()), connection.clone());
        }
        self.connections.insert(connection.id.clone(), connection);
    }

    /// The app of that id.
    #[must_use]
    pub fn app(&self, id: &AppId) -> Option<&Arc<App>> {
        self.apps.get(id)
    }

    /// All apps.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }

    /// The connection that receives an app's events of a location.
    #[must_use]
    pub fn receiver(&self, app: &AppId, location: &str) -> Option<&Connection> {
        self.by_location.get(&(app.clone(), LocationId::from(location)))
    }

    /// A tenant's connections.
    pub fn of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = &Connection> {
        self.connections.values().filter(move |connection| connection.tenant == *tenant)
    }

    /// The connection of that id.
    #[must_use]
    pub fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.connections.get(id)
    }
}

/// The current directory; swapped whole when something in it changed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct DirectoryCell(Arc<RwLock<Arc<Directory>>>);

impl DirectoryCell {
    /// The directory as it stands.
    #[must_use]
    pub fn get(&self) -> Arc<Directory> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads it anew.
    ///
    /// # Errors
    /// When the database fails; the old directory stays.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let fresh = Arc::new(Directory::read(store).await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}
