//! The connections' tokens: sealed in the store, opened for the request that needs them.
//!
//! The row in the database is the only truth; what is kept opened is used only while the row is at the same version.

use super::directory::DirectoryCell;
use super::registrations::Registrations;
use super::renew::Renewal;
use super::sealed;
use crate::domain::{Clock, ConnectionId, TenantId, Timestamp, TokenOwner};
use crate::ghl::{Access, Accessing, GhlError, Oauth, Tokens};
use crate::store::{AccessRow, CredentialRow, Store, StoreError};
use crate::vault::{Vault, VaultError};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// What the keeper of tokens is made of.
#[derive(Clone)]
pub struct CredentialParts {
    /// The database.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// Where secrets are sealed.
    pub vault: Vault,
    /// Who receives what.
    pub directory: DirectoryCell,
    /// Apps.
    pub registrations: Registrations,
    /// GHL's token endpoint.
    pub oauth: Oauth,
    /// How long before their end tokens are refreshed.
    pub refresh_ahead: Duration,
}

/// What a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The connection's work.
    Work,
    /// The first read, before the connection counts as connected.
    FirstRead,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Keeps the tokens of all connections.
pub struct Credentials {
    pub(super) parts: CredentialParts,
    /// What this process calls itself on the marks of its refreshes.
    pub(super) process: String,
    opened: Mutex<HashMap<ConnectionId, (i64, SecretString)>>,
    turns: Mutex<HashMap<TokenOwner, Turn>>,
}

impl Credentials {
    /// A keeper over these rooms.
    #[must_use]
    pub fn new(parts: CredentialParts) -> Self {
        let process = uuid::Uuid::new_v4().simple().to_string();
        Self { parts, process, opened: Mutex::default(), turns: Mutex::default() }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<ConnectionId, (i64, SecretString)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of an owner within this process: spares the others of it from asking the database again and again.
    pub(super) fn turn(&self, owner: &TokenOwner) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(owner.clone()).or_default())
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
        let owner = TokenOwner::from(connection);
        let known = self.parts.store.credential(&owner).await?;
        let sealed = sealed::seal(&self.parts.vault, &owner, token, None)?;
        let version = known.map_or(0, |row| row.version);
        self.parts
            .store
            .put_credential(CredentialRow::lasting(owner, tenant.clone(), sealed, version))
            .await?;
        // What another token lacked this one may have.
        self.parts.store.correct_scopes(connection, None, Some(String::new())).await?;
        Ok(())
    }

    /// Whether this is the fixed token that is sealed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_fixed(
        &self,
        connection: &ConnectionId,
        token: &SecretString,
    ) -> Result<bool, CredentialError> {
        let Some(row) = self.parts.store.credential(&TokenOwner::from(connection)).await? else {
            return Ok(false);
        };
        let opened = sealed::open(&self.parts.vault, &row);
        Ok(opened.is_ok_and(|known| known.access_token.expose_secret() == token.expose_secret()))
    }

    /// Destroys what is kept opened of a connection.
    pub fn forget(&self, connection: &ConnectionId) {
        self.opened().remove(connection);
    }

    async fn row(&self, connection: &ConnectionId, purpose: Purpose) -> Result<AccessRow, GhlError> {
        let none = |why: &str| Err(GhlError::NoToken(why.to_owned()));
        let Ok(found) = self.parts.store.access(connection).await else {
            return none("the database failed");
        };
        let Some(row) = found else { return none("there is no such connection") };
        match row.state.as_str() {
            "closed" => {
                Err(GhlError::Closed(row.closed_reason.unwrap_or_else(|| "it was closed".to_owned())))
            }
            "suspended" => none("the connection is suspended"),
            "reconnect-needed" if row.kind == "oauth" => {
                none("a person has to reconnect it at GHL; GET /v1/connections/{id} has the link")
            }
            "connecting" if purpose == Purpose::Work => none("its first read has not worked yet"),
            _ => Ok(row),
        }
    }

    pub(super) async fn open(&self, connection: &ConnectionId, purpose: Purpose) -> Result<Access, GhlError> {
        let mut row = self.row(connection, purpose).await?;
        let now = self.parts.clock.now();
        if row.credential.as_ref().is_some_and(|tokens| has_ended(tokens, now)) {
            let owner = TokenOwner::from(connection);
            if let Err(error) = self.renew(&owner, Renewal::Due).await {
                return Err(GhlError::NoToken(error.to_string()));
            }
            row = self.row(connection, purpose).await?;
        }
        let Some(tokens) = &row.credential else {
            return Err(GhlError::NoToken("none is stored; connect anew".to_owned()));
        };
        if has_ended(tokens, self.parts.clock.now()) {
            let why = tokens.failure.as_deref().and_then(said).unwrap_or_default();
            return Err(GhlError::NoToken(format!(
                "the access token has ended and is not renewed yet; {why}"
            )));
        }
        Ok(Access {
            token: self.token(connection, tokens)?,
            base_url: Arc::clone(self.parts.registrations.addresses().api(&row.environment)),
            location: row.location.as_str().into(),
            scopes: Arc::from(row.scopes),
            lacking: Arc::from(row.lacking),
        })
    }

    fn token(&self, connection: &ConnectionId, tokens: &CredentialRow) -> Result<SecretString, GhlError> {
        if let Some((version, token)) = self.opened().get(connection)
            && *version == tokens.version
        {
            return Ok(token.clone());
        }
        let opened = sealed::open(&self.parts.vault, tokens).map_err(GhlError::NoToken)?;
        self.opened().insert(connection.clone(), (tokens.version, opened.access_token.clone()));
        Ok(opened.access_token)
    }

    /// Whether there is another token now than this one, which GHL did not take.
    async fn replaced(&self, connection: &ConnectionId, token: &SecretString) -> bool {
        let owner = TokenOwner::from(connection);
        if let Err(error) = self.renew(&owner, Renewal::Rejected(token)).await {
            tracing::warn!(connection = connection.as_str(), %error, "a token that GHL did not take is not renewed");
        }
        let Ok(Some(row)) = self.parts.store.credential(&owner).await else { return false };
        sealed::open(&self.parts.vault, &row)
            .is_ok_and(|now| now.access_token.expose_secret() != token.expose_secret())
    }

    /// Notes that a connection lacks a scope whatever was granted or declared.
    async fn note_lack(&self, connection: &ConnectionId, scope: &str) {
        let Ok(Some(row)) = self.parts.store.access(connection).await else { return };
        if row.lacking.split_whitespace().any(|known| known == scope) {
            return;
        }
        let lacking = format!("{} {scope}", row.lacking);
        tracing::warn!(connection = connection.as_str(), scope, "GHL says that the connection lacks a scope");
        metrics::counter!("mapwright_scopes_lacking_total", "scope" => scope.to_owned()).increment(1);
        if let Err(error) =
            self.parts.store.correct_scopes(connection, None, Some(lacking.trim().to_owned())).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "a missing scope could not be noted; GHL says so again");
        }
    }
}

fn has_ended(tokens: &CredentialRow, now: Timestamp) -> bool {
    tokens.expires_at.is_some_and(|end| end <= now)
}

/// What a stored failure says.
fn said(failure: &str) -> Option<String> {
    let failure: serde_json::Value = serde_json::from_str(failure).ok()?;
    failure.get("detail")?.as_str().map(str::to_owned)
}

impl Tokens for Credentials {
    fn access<'a>(&'a self, connection: &'a ConnectionId) -> Accessing<'a> {
        Box::pin(self.open(connection, Purpose::Work))
    }

    fn rejected<'a>(
        &'a self,
        connection: &'a ConnectionId,
        token: &'a SecretString,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.replaced(connection, token))
    }

    fn lacks<'a>(
        &'a self,
        connection: &'a ConnectionId,
        scope: &'a str,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.note_lack(connection, scope))
    }
}

/// The same tokens for the first read of a connection that does not count as connected yet.
pub(super) struct FirstRead(pub(super) Arc<Credentials>);

impl Tokens for FirstRead {
    fn access<'a>(&'a self, connection: &'a ConnectionId) -> Accessing<'a> {
        Box::pin(self.0.open(connection, Purpose::FirstRead))
    }

    fn rejected<'a>(
        &'a self,
        connection: &'a ConnectionId,
        token: &'a SecretString,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        self.0.rejected(connection, token)
    }

    fn lacks<'a>(
        &'a self,
        connection: &'a ConnectionId,
        scope: &'a str,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.lacks(connection, scope)
    }
}
