//! Connections with an API key (GHL's private integration token): made, given another key, marked by what became of it.

use super::credentials::{CredentialError, Credentials};
use super::directory::DirectoryCell;
use crate::domain::{Clock, ConnectionId, LocationId, TenantId};
use crate::store::{ConnectionRow, Store, StoreError};
use secrecy::SecretString;
use std::sync::Arc;

/// The kind of these connections.
pub const API_KEY: &str = "api-key";
/// The scope without which nothing can be polled.
pub const NEEDED_SCOPE: &str = "contacts.readonly";

/// A key for a location.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The connection's id; a new one if not given.
    pub id: Option<ConnectionId>,
    /// Whose it is.
    pub tenant: TenantId,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's location.
    pub location: LocationId,
    /// The key.
    pub key: SecretString,
    /// The scopes it was given, space separated.
    pub scopes: String,
}

/// Why a key is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// Something of it is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such tenant or connection.
    #[error("{0}")]
    Unknown(String),
    /// The location has a connection that receives.
    #[error(
        "location {location} has the connection {connection} of tenant {tenant} already; close that first, or give it \
         another key with PUT /v1/connections/{connection}/api-key if it is one with an API key"
    )]
    Taken {
        /// Which location.
        location: LocationId,
        /// Which connection.
        connection: ConnectionId,
        /// Whose.
        tenant: TenantId,
    },
    /// The key could not be sealed or stored.
    #[error("the key could not be kept")]
    Credential(#[from] CredentialError),
    /// The store failed.
    #[error("the connection could not be stored")]
    Store(#[from] StoreError),
}

/// Keeps connections with API keys. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys {
    store: Store,
    clock: Clock,
    directory: DirectoryCell,
    credentials: Arc<Credentials>,
}

impl ApiKeys {
    /// A keeper over these rooms.
    #[must_use]
    pub fn new(store: Store, clock: Clock, directory: DirectoryCell, credentials: Arc<Credentials>) -> Self {
        Self { store, clock, directory, credentials }
    }

    /// Makes a connection, or opens the tenant's closed one to the same location again. It counts as connected only
    /// after its first read.
    ///
    /// # Errors
    /// [`ApiKeyError`]; nothing is stored then.
    pub async fn add(&self, new: NewApiKey) -> Result<ConnectionId, ApiKeyError> {
        if !matches!(new.environment.as_str(), "live" | "sandbox") {
            return Err(ApiKeyError::Invalid(format!(
                "environment is {:?}: give \"live\" or \"sandbox\"",
                new.environment
            )));
        }
        if new.location.as_str().is_empty() {
            return Err(ApiKeyError::Invalid(
                "location is empty: give GHL's id of the sub-account (Settings > Business Profile)"
                    .to_owned(),
            ));
        }
        if !self.store.tenants().await?.iter().any(|tenant| tenant.id == new.tenant.as_str()) {
            return Err(ApiKeyError::Unknown(format!("there is no tenant {}", new.tenant)));
        }
        let scopes = checked_scopes(&new.scopes)?;
        let all = self.store.connections().await?;
        let here = |row: &&ConnectionRow| row.environment == new.environment && row.location == new.location;
        let open = all.iter().filter(here).find(|row| row.state != "closed");
        if let Some(row) = open {
            let unfinished = row.kind == API_KEY && row.tenant == new.tenant && row.state != "active";
            if !unfinished {
                return Err(ApiKeyError::Taken {
                    location: new.location,
                    connection: row.id.clone(),
                    tenant: row.tenant.clone(),
                });
            }
        }
        let closed = all.iter().filter(here).find(|row| row.tenant == new.tenant);
        let known = open.or(closed);
        let id = known.map(|row| row.id.clone()).or(new.id).unwrap_or_else(ConnectionId::generate);
        let row = ConnectionRow {
            id: id.clone(),
            tenant: new.tenant.clone(),
            app: None,
            environment: new.environment,
            location: new.location,
            company: None,
            kind: API_KEY.to_owned(),
            state: "checking".to_owned(),
            scopes,
            created_at: known.map_or_else(|| self.clock.now(), |row| row.created_at),
        };
        self.store.put_connection(row).await?;
        self.credentials.put_fixed(&new.tenant, &id, &new.key).await?;
        self.directory.refresh(&self.store).await?;
        Ok(id)
    }

    /// Takes over a connection from configuration; a connection that is there keeps its state unless its key is another.
    ///
    /// # Errors
    /// [`ApiKeyError`], when the location is taken among others.
    pub async fn configured(&self, new: NewApiKey) -> Result<(), ApiKeyError> {
        let id = new.id.clone().unwrap_or_else(ConnectionId::generate);
        let Some(row) = self.store.connections().await?.into_iter().find(|row| row.id == id) else {
            return self.add(new).await.map(|_id| ());
        };
        if row.kind == API_KEY && self.credentials.is_fixed(&id, &new.key).await? {
            return Ok(());
        }
        let scopes = checked_scopes(&new.scopes)?;
        self.put(ConnectionRow { scopes, kind: API_KEY.to_owned(), app: None, ..row }, "checking").await?;
        self.credentials.put_fixed(&new.tenant, &id, &new.key).await?;
        Ok(())
    }

    /// Gives a connection another key, and other scopes if named.
    ///
    /// # Errors
    /// [`ApiKeyError`]; nothing is changed then.
    pub async fn replace(
        &self,
        id: &ConnectionId,
        key: &SecretString,
        scopes: Option<&str>,
    ) -> Result<(), ApiKeyError> {
        let row = self.row(id).await?;
        let scopes = match scopes {
            Some(scopes) => checked_scopes(scopes)?,
            None => row.scopes.clone(),
        };
        self.credentials.put_fixed(&row.tenant, id, key).await?;
        self.put(ConnectionRow { scopes, ..row }, "checking").await
    }

    /// The open connection with an API key of that id.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] when there is none.
    pub async fn row(&self, id: &ConnectionId) -> Result<ConnectionRow, ApiKeyError> {
        let found = self.store.connections().await?.into_iter().find(|row| row.id == *id);
        match found {
            None => Err(ApiKeyError::Unknown(format!("there is no connection {id}"))),
            Some(row) if row.kind != API_KEY => Err(ApiKeyError::Unknown(format!(
                "connection {id} has no API key: GHL tells it of changes by webhook, so it is not polled"
            ))),
            Some(row) if row.state == "closed" => {
                Err(ApiKeyError::Unknown(format!("connection {id} is closed; make it again with its key")))
            }
            Some(row) => Ok(row),
        }
    }

    /// Marks what became of the key: `active`, `checking` or `reconnect-needed`, with the scopes it turned out to have.
    ///
    /// # Errors
    /// When there is no such connection or the store fails.
    pub async fn mark(&self, id: &ConnectionId, state: &str, scopes: &str) -> Result<(), ApiKeyError> {
        let row = self.row(id).await?;
        if row.state == state && row.scopes == scopes {
            return Ok(());
        }
        tracing::info!(connection = id.as_str(), state, scopes, "the API key was tried");
        self.put(ConnectionRow { scopes: scopes.to_owned(), ..row }, state).await
    }

    async fn put(&self, row: ConnectionRow, state: &str) -> Result<(), ApiKeyError> {
        let id = row.id.clone();
        self.store.put_connection(ConnectionRow { state: state.to_owned(), ..row }).await?;
        self.directory.refresh(&self.store).await?;
        self.credentials.forget(&id);
        Ok(())
    }
}

/// The scopes in one order, each once; the one that polling needs has to be among them.
fn checked_scopes(scopes: &str) -> Result<String, ApiKeyError> {
    let mut each: Vec<&str> = Vec::new();
    for scope in scopes.split_whitespace() {
        if !each.contains(&scope) {
            each.push(scope);
        }
    }
    if each.contains(&NEEDED_SCOPE) {
        Ok(each.join(" "))
    } else {
        Err(ApiKeyError::Invalid(format!(
            "scopes are {scopes:?}: name those that the private integration was given, {NEEDED_SCOPE} among them"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_declared_and_polling_needs_one() {
        assert_eq!(checked_scopes(" a contacts.readonly  a ").unwrap(), "a contacts.readonly");
        let error = checked_scopes("contacts.write").unwrap_err().to_string();
        assert!(error.contains("contacts.readonly"), "{error}");
    }
}
