//! The connections' tokens: sealed in the store, opened for the request that needs them.

use super::directory::DirectoryCell;
use crate::domain::{ConnectionId, TenantId};
use crate::ghl::{Access, Accessing, GhlError, Tokens};
use crate::store::{CredentialRow, Store, StoreError};
use crate::vault::{Vault, VaultError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a credential could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    access_token: String,
}

/// Where GHL's API is, for live and for sandbox connections.
#[derive(Clone, Debug)]
pub struct BaseUrls {
    /// Live.
    pub live: Arc<str>,
    /// Sandbox.
    pub sandbox: Arc<str>,
}

/// Keeps the tokens of all connections.
pub struct Credentials {
    store: Store,
    vault: Vault,
    directory: DirectoryCell,
    urls: BaseUrls,
    opened: Mutex<HashMap<ConnectionId, Access>>,
}

impl Credentials {
    /// A keeper over these rooms.
    #[must_use]
    pub fn new(store: Store, vault: Vault, directory: DirectoryCell, urls: BaseUrls) -> Self {
        Self { store, vault, directory, urls, opened: Mutex::default() }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<ConnectionId, Access>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals a connection's fixed token.
    ///
    /// # Errors
    /// When vault or store fail.
    pub async fn put_fixed(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        token: &SecretString,
    ) -> Result<(), CredentialError> {
        let text = serde_json::json!({"access_token": token.expose_secret()}).to_string();
        let known = self.store.credential(connection).await?;
        let row = CredentialRow {
            connection: connection.clone(),
            tenant: tenant.clone(),
            sealed: self.vault.seal(connection.as_str(), text.as_bytes())?,
            sealed_previous: None,
            expires_at: None,
            refreshing_since: None,
            version: known.map_or(0, |row| row.version),
        };
        self.store.put_credential(row).await?;
        self.opened().remove(connection);
        Ok(())
    }

    /// Whether this is the fixed token that is sealed.
    ///
    /// # Errors
    /// When vault or store fail.
    pub async fn is_fixed(
        &self,
        connection: &ConnectionId,
        token: &SecretString,
    ) -> Result<bool, CredentialError> {
        let Some(row) = self.store.credential(connection).await? else { return Ok(false) };
        let text = self.vault.unseal(connection.as_str(), &row.sealed)?;
        let stored: Option<Stored> = serde_json::from_slice(&text).ok();
        Ok(stored.is_some_and(|stored| stored.access_token == token.expose_secret()))
    }

    /// Reads a connection's credential and scopes anew before they are used again.
    pub fn forget(&self, connection: &ConnectionId) {
        self.opened().remove(connection);
    }

    async fn open(&self, connection: &ConnectionId) -> Result<Access, GhlError> {
        if let Some(access) = self.opened().get(connection) {
            return Ok(access.clone());
        }
        let none = |why: &str| GhlError::NoToken(why.to_owned());
        let directory = self.directory.get();
        let known = directory.connection(connection).ok_or_else(|| none("there is no such connection"))?;
        let row = self
            .store
            .credential(connection)
            .await
            .map_err(|_failed| none("the database failed"))?
            .ok_or_else(|| none("none is stored; connect anew"))?;
        let text =
            self.vault.unseal(connection.as_str(), &row.sealed).map_err(|error| none(&error.to_string()))?;
        let stored: Stored =
            serde_json::from_slice(&text).map_err(|_broken| none("what is stored can't be read"))?;
        let access = Access {
            token: SecretString::from(stored.access_token),
            base_url: if known.environment == "live" {
                Arc::clone(&self.urls.live)
            } else {
                Arc::clone(&self.urls.sandbox)
            },
            location: known.location.clone(),
            scopes: Arc::clone(&known.scopes),
        };
        self.opened().insert(connection.clone(), access.clone());
        Ok(access)
    }
}

impl Tokens for Credentials {
    fn access<'a>(&'a self, connection: &'a ConnectionId) -> Accessing<'a> {
        Box::pin(self.open(connection))
    }

    fn rejected<'a>(
        &'a self,
        connection: &'a ConnectionId,
        _token: &'a SecretString,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        // A fixed token has no other; it is read anew, should a person have replaced it.
        self.opened().remove(connection);
        Box::pin(std::future::ready(()))
    }
}
