//! Apps, tenants and connections from configuration: brought into the store at every start, idempotently.

use super::directory::StoredApp;
use super::registrations;
use crate::config::{ConnectionKind, Settings};
use crate::domain::{AppId, ConnectionId, LocationId, TenantId, Timestamp};
use crate::store::{AppRow, ConnectionRow, Store, StoreError, TenantRow};
use crate::vault::{Vault, VaultError};
use secrecy::ExposeSecret as _;

/// Why the configured tenants could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum OnboardingError {
    /// The store failed or a location is taken.
    #[error("connection {connection}: {cause}")]
    Connection {
        /// Which connection.
        connection: String,
        /// Why.
        #[source]
        cause: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret could not be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A stored value could not be written.
    #[error("the settings of app {0} can't be stored")]
    App(String),
}

/// Takes over what the configuration names.
///
/// # Errors
/// When the store fails, or a location has another connection already.
pub async fn apply_settings(
    store: &Store,
    settings: &Settings,
    vault: &Vault,
    now: Timestamp,
) -> Result<(), OnboardingError> {
    for app in &settings.apps {
        let stored = StoredApp {
            ghl_app_id: app.ghl_app_id.clone(),
            ed25519_keys: app.ed25519_keys.clone(),
            rsa_keys: app.rsa_keys.clone(),
            version_id: app.version_id.clone(),
            scopes: app.scopes.clone(),
        };
        let stored = serde_json::to_string(&stored).map_err(|_error| OnboardingError::App(app.id.clone()))?;
        let secret = app.client_secret.expose_secret();
        let sealed_secret = if secret.is_empty() {
            None
        } else {
            Some(vault.seal(&registrations::purpose(&app.id), secret.as_bytes())?)
        };
        store
            .put_app(AppRow {
                id: app.id.clone(),
                environment: app.environment.clone(),
                client_id: app.client_id.clone(),
                settings: stored,
                sealed_secret,
                created_at: now.millis(),
            })
            .await?;
    }
    for tenant in &settings.tenants {
        store
            .put_tenant(TenantRow {
                id: tenant.id.clone(),
                name: tenant.name.clone(),
                state: "active".to_owned(),
                created_at: now.millis(),
            })
            .await?;
    }
    let fixed = settings.connections.iter().filter(|connection| connection.kind == ConnectionKind::Fixed);
    for connection in fixed {
        let environment = settings
            .apps
            .iter()
            .find(|app| app.id == connection.app)
            .map_or_else(|| "live".to_owned(), |app| app.environment.clone());
        store
            .put_connection(ConnectionRow {
                id: ConnectionId::new(&connection.id),
                tenant: TenantId::new(&connection.tenant),
                app: Some(AppId::new(&connection.app)),
                environment,
                location: LocationId::new(&connection.location),
                company: None,
                kind: "fixed".to_owned(),
                state: "active".to_owned(),
                scopes: connection.scopes.clone(),
                created_at: now,
            })
            .await
            .map_err(|cause| OnboardingError::Connection { connection: connection.id.clone(), cause })?;
    }
    Ok(())
}
