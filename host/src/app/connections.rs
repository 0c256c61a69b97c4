//! The connections' parts, put together: apps, tokens, the transport to GHL, and the way in for people.

use crate::config::{ConnectionKind, Settings};
use crate::domain::{Clock, ConnectionId, TenantId};
use crate::ghl::{Ghl, Oauth, Tokens};
use crate::outbound::{Client, ClientSettings};
use crate::store::Store;
use crate::tenants::{
    Addresses, ConnectionParts, Connections, CredentialParts, Credentials, DirectoryCell, Registrations,
};
use crate::vault::Vault;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The connections, their tokens, and the transport to GHL over them.
pub(super) async fn connections(
    settings: &Settings,
    (store, vault): (&Store, &Vault),
    (directory, clock): (&DirectoryCell, &Clock),
    planned: &Arc<Notify>,
) -> anyhow::Result<(Connections, Arc<Credentials>)> {
    let place = |url: &str| Arc::from(url.trim_end_matches('/'));
    let addresses = Addresses {
        live: place(&settings.ghl.live_url),
        sandbox: place(&settings.ghl.sandbox_url),
        live_authorize: Arc::from(settings.ghl.authorize_url("live")),
        sandbox_authorize: Arc::from(settings.ghl.authorize_url("sandbox")),
        public: place(&settings.http.public_url),
    };
    let client = Client::new(ClientSettings::default())?;
    let oauth = Oauth::new(client.clone(), clock.clone());
    let registrations = Registrations::new(store.clone(), vault.clone(), addresses);
    let refresh_ahead = Duration::from_secs(settings.ghl.refresh_ahead_seconds);
    let credentials = Arc::new(Credentials::new(CredentialParts {
        store: store.clone(),
        clock: clock.clone(),
        vault: vault.clone(),
        directory: directory.clone(),
        registrations: registrations.clone(),
        oauth: oauth.clone(),
        refresh_ahead,
    }));
    let fixed = settings.connections.iter().filter(|connection| connection.kind == ConnectionKind::Fixed);
    for connection in fixed {
        let (tenant, id) = (TenantId::new(&connection.tenant), ConnectionId::new(&connection.id));
        credentials.put_fixed(&tenant, &id, &connection.access_token).await?;
    }
    let connections = Connections::new(ConnectionParts {
        store: store.clone(),
        clock: clock.clone(),
        vault: vault.clone(),
        oauth,
        ghl: Ghl::new(client, clock.clone(), Arc::clone(&credentials) as Arc<dyn Tokens>),
        registrations,
        directory: directory.clone(),
        credentials: Arc::clone(&credentials),
        planned: Arc::clone(planned),
        wake: Arc::new(Notify::new()),
        link_life: Duration::from_secs(settings.ghl.authorize_minutes.saturating_mul(60)),
        refresh_ahead,
    });
    Ok((connections, credentials))
}
