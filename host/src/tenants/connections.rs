//! Making, reconnecting and closing connections: the links that people open at GHL, and what they lead to.

use super::connect_error::ConnectError;
use super::credentials::Credentials;
use super::directory::DirectoryCell;
use super::registrations::{Registration, Registrations};
use crate::domain::{AppId, AuthorizationId, Clock, ConnectionId, TenantId, Timestamp};
use crate::ghl::{Ghl, Oauth};
use crate::store::{ConnectionDetail, NewAuthorization, Store};
use crate::vault::Vault;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes of a link's state.
const STATE_BYTES: usize = 32;
/// What the ready link of a connection is sealed for.
const READY_LINK: &str = "reconnect-link";

/// What connecting is made of.
#[derive(Clone)]
pub struct ConnectionParts {
    /// The database.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// Where secrets are sealed.
    pub vault: Vault,
    /// GHL's token endpoint.
    pub oauth: Oauth,
    /// GHL's API, for first reads.
    pub ghl: Ghl,
    /// Apps.
    pub registrations: Registrations,
    /// Who receives what.
    pub directory: DirectoryCell,
    /// The tokens.
    pub credentials: Arc<Credentials>,
    /// Told when what waits for a connection can go on.
    pub planned: Arc<Notify>,
    /// Told when there is something to keep: installs, tokens.
    pub wake: Arc<Notify>,
    /// How long a link is good.
    pub link_life: Duration,
    /// How long before their end tokens are refreshed.
    pub refresh_ahead: Duration,
}

/// What is to be connected.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// For whom.
    pub tenant: TenantId,
    /// Through which app.
    pub app: AppId,
    /// Scopes to ask for, space separated; the app's if left out.
    pub scopes: Option<String>,
}

/// A link for a person to open.
#[derive(Clone, Debug)]
pub struct Link {
    /// The attempt's id.
    pub id: AuthorizationId,
    /// The address at GHL.
    pub url: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Scopes it asks for.
    pub scopes: String,
}

/// Connections and how they come about. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    pub(super) parts: Arc<ConnectionParts>,
}

/// The hash under which a link's state is kept.
pub(super) fn hash(state: &str) -> Vec<u8> {
    digest(&SHA256, state.as_bytes()).as_ref().to_vec()
}

impl Connections {
    /// Over these rooms.
    #[must_use]
    pub fn new(parts: ConnectionParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The transport to GHL over the connections.
    #[must_use]
    pub fn ghl(&self) -> Ghl {
        self.parts.ghl.clone()
    }

    /// To be told when an install was stored.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.parts.wake)
    }

    /// A link that connects a location of the person's choice for a tenant.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn authorize(&self, request: ConnectRequest) -> Result<Link, ConnectError> {
        self.known_tenant(&request.tenant).await?;
        let registration = self.parts.registrations.find(&request.app).await?;
        let scopes = match request.scopes {
            Some(asked) => named_scopes(&[&asked])?,
            None => named_scopes(&[&registration.scopes])?,
        };
        self.link(&registration, request.tenant, None, scopes).await
    }

    /// A link that connects a location again.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn reconnect(&self, id: &ConnectionId) -> Result<Link, ConnectError> {
        let connection = self.find(id).await?;
        let app = match (connection.kind.as_str(), &connection.app) {
            ("oauth", Some(app)) => AppId::from(app.as_str()),
            (kind, _) => {
                let mend = match kind {
                    "fixed" => "set its access_token in the configuration",
                    _ => "give it a new key",
                };
                return Err(ConnectError::NotOauth { connection: id.clone(), kind: kind.to_owned(), mend });
            }
        };
        let registration = self.parts.registrations.find(&app).await?;
        let scopes = named_scopes(&[&registration.scopes, &connection.scopes])?;
        self.link(&registration, connection.tenant, Some(id.clone()), scopes).await
    }

    /// An address of ours that leads to a fresh link for a connection whenever it is opened; for a connection that waits
    /// for a person.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn ready_link(&self, id: &ConnectionId) -> Result<String, ConnectError> {
        let sealed = self.parts.vault.seal(READY_LINK, id.as_str().as_bytes())?;
        let public = &self.parts.registrations.addresses().public;
        Ok(format!("{public}/oauth/reconnect/{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The link that an address of [`Connections::ready_link`] leads to.
    ///
    /// # Errors
    /// [`ConnectError::UnknownState`] when it is none of ours, or its connection waits for nobody any more.
    pub async fn follow(&self, ticket: &str) -> Result<Link, ConnectError> {
        let sealed = URL_SAFE_NO_PAD.decode(ticket).map_err(|_not_base64| ConnectError::UnknownState)?;
        let id =
            self.parts.vault.unseal(READY_LINK, &sealed).map_err(|_not_ours| ConnectError::UnknownState)?;
        let id = ConnectionId::from(String::from_utf8_lossy(&id).into_owned());
        if self.find(&id).await?.state != "reconnect-needed" {
            return Err(ConnectError::UnknownState);
        }
        self.reconnect(&id).await
    }

    /// Closes a connection: its tokens are destroyed, what waits to go out is refused, what was stored stays.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn close(&self, id: &ConnectionId, reason: &str) -> Result<bool, ConnectError> {
        self.find(id).await?;
        let closed = self.parts.store.close_connection(id, reason.to_owned(), self.parts.clock.now()).await?;
        self.parts.credentials.forget(id);
        self.parts.directory.refresh(&self.parts.store).await?;
        self.parts.planned.notify_one();
        if closed {
            tracing::info!(connection = id.as_str(), reason, "connection {id} is closed: {reason}");
            metrics::counter!("mapwright_connections_closed_total").increment(1);
        }
        Ok(closed)
    }

    /// The connection of that id.
    ///
    /// # Errors
    /// [`ConnectError::UnknownConnection`], or when the database fails.
    pub async fn find(&self, id: &ConnectionId) -> Result<ConnectionDetail, ConnectError> {
        let found = self.parts.store.connection_detail(id).await?;
        found.ok_or_else(|| ConnectError::UnknownConnection(id.clone()))
    }

    async fn known_tenant(&self, tenant: &TenantId) -> Result<(), ConnectError> {
        let tenants = self.parts.store.tenants().await?;
        if tenants.iter().any(|known| known.id == tenant.as_str()) {
            Ok(())
        } else {
            Err(ConnectError::UnknownTenant(tenant.clone()))
        }
    }

    async fn link(
        &self,
        registration: &Registration,
        tenant: TenantId,
        connection: Option<ConnectionId>,
        scopes: String,
    ) -> Result<Link, ConnectError> {
        let mut bytes = [0_u8; STATE_BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_unspecified| ConnectError::Vault(crate::vault::VaultError::Random))?;
        let state = URL_SAFE_NO_PAD.encode(bytes);
        let created_at = self.parts.clock.now();
        let (id, expires_at) = (AuthorizationId::generate(), created_at.plus(self.parts.link_life));
        let new = NewAuthorization {
            id: id.clone(),
            state_hash: hash(&state),
            tenant,
            app: registration.id.clone(),
            connection,
            scopes: scopes.clone(),
            created_at,
            expires_at,
        };
        self.parts.store.put_authorization(new).await?;
        let mut url = format!("{}?response_type=code", registration.authorize_url);
        let query = [
            ("redirect_uri", registration.oauth.redirect_uri.as_str()),
            ("client_id", &registration.oauth.client_id),
            ("scope", &scopes),
            ("state", &state),
            ("loginWindowOpenMode", "self"),
            ("version_id", &registration.version_id),
        ];
        for (name, value) in query.into_iter().filter(|(_, value)| !value.is_empty()) {
            url.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        Ok(Link { id, url, expires_at, scopes })
    }
}

/// The scopes of these lists, each once, in order.
fn named_scopes(lists: &[&str]) -> Result<String, ConnectError> {
    let named: BTreeSet<&str> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
    let plain = |scope: &&str| {
        scope.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'-' | b'_'))
    };
    if named.is_empty() || !named.iter().all(plain) {
        return Err(ConnectError::BadScopes(lists.join(" ")));
    }
    Ok(named.into_iter().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named_once_and_are_names() {
        assert_eq!(named_scopes(&["b a", "a  c/d.readonly"]).unwrap(), "a b c/d.readonly");
        assert!(named_scopes(&[""]).is_err());
        assert!(named_scopes(&["a&client_id=x"]).is_err());
    }
}
