//! Apps as GHL's token endpoint has to know them: client id, opened secret, addresses.

use super::connect_error::ConnectError;
use super::directory::StoredApp;
use crate::domain::AppId;
use crate::ghl::OauthApp;
use crate::store::{AppRow, Store, StoreError};
use crate::vault::Vault;
use secrecy::SecretString;
use std::sync::Arc;

/// Where GHL is, for live and for sandbox connections, and where we are.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Live API.
    pub live: Arc<str>,
    /// Sandbox API.
    pub sandbox: Arc<str>,
    /// The page on which people authorise live apps.
    pub live_authorize: Arc<str>,
    /// The page on which people authorise sandbox apps.
    pub sandbox_authorize: Arc<str>,
    /// The address under which the outside reaches this host, without a slash at its end.
    pub public: Arc<str>,
}

impl Addresses {
    /// Where the API of an environment is.
    #[must_use]
    pub fn api(&self, environment: &str) -> &Arc<str> {
        if environment == "live" { &self.live } else { &self.sandbox }
    }

    fn authorize(&self, environment: &str) -> &Arc<str> {
        if environment == "live" { &self.live_authorize } else { &self.sandbox_authorize }
    }
}

/// What the secret of an app is sealed for.
pub(super) fn purpose(app: &str) -> String {
    format!("app:{app}")
}

/// An app through which connections can be made.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) id: AppId,
    pub(super) environment: String,
    pub(super) ghl_app_id: String,
    pub(super) version_id: String,
    /// Scopes that connections ask for, space separated.
    pub(super) scopes: String,
    pub(super) authorize_url: Arc<str>,
    pub(super) oauth: OauthApp,
}

/// Finds them. Cheap to clone.
#[derive(Clone)]
pub struct Registrations {
    store: Store,
    vault: Vault,
    addresses: Addresses,
}

impl Registrations {
    /// Over these rooms.
    #[must_use]
    pub fn new(store: Store, vault: Vault, addresses: Addresses) -> Self {
        Self { store, vault, addresses }
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The app of that id, ready to be used for tokens.
    pub(super) async fn find(&self, id: &AppId) -> Result<Registration, ConnectError> {
        let rows = self.store.apps().await?;
        let row = rows.into_iter().find(|row| row.id == id.as_str());
        let row = row.ok_or_else(|| ConnectError::UnknownApp(id.clone()))?;
        self.open(row)
    }

    fn open(&self, row: AppRow) -> Result<Registration, ConnectError> {
        let (id, AppRow { environment, client_id, settings, sealed_secret, .. }) = (row.id(), row);
        let Some(sealed) = sealed_secret.filter(|_| !client_id.is_empty()) else {
            return Err(ConnectError::NotRegistered(id));
        };
        let secret = self.vault.unseal(&purpose(id.as_str()), &sealed)?;
        let secret = std::str::from_utf8(&secret)
            .map(SecretString::from)
            .map_err(|error| StoreError::corrupt("app's secret", &error))?;
        let stored: StoredApp =
            serde_json::from_str(&settings).map_err(|error| StoreError::corrupt("app", &error))?;
        Ok(Registration {
            oauth: OauthApp {
                client_id,
                client_secret: secret,
                redirect_uri: format!("{}/oauth/callback/{id}", self.addresses.public),
                base_url: Arc::clone(self.addresses.api(&environment)),
            },
            authorize_url: Arc::clone(self.addresses.authorize(&environment)),
            ghl_app_id: stored.ghl_app_id,
            version_id: stored.version_id,
            scopes: stored.scopes,
            environment,
            id,
        })
    }
}
