//! Polling from the settings: how it goes, and the connections they name.

use crate::config::{ConnectionKind, Settings};
use crate::domain::{Clock, ConnectionId, LocationId, TenantId};
use crate::ghl::Ghl;
use crate::store::Store;
use crate::sync::{Connecting, PollerParts, PollerSettings};
use crate::tenants::{ApiKeys, Credentials, DirectoryCell, NewApiKey};
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;

/// Takes over the connections with an API key that the configuration names.
async fn take_configured(settings: &Settings, keys: &ApiKeys) -> anyhow::Result<()> {
    let with_key = settings.connections.iter().filter(|it| it.kind == ConnectionKind::ApiKey);
    for connection in with_key {
        let new = NewApiKey {
            id: Some(ConnectionId::new(&connection.id)),
            tenant: TenantId::new(&connection.tenant),
            environment: connection.environment.clone().unwrap_or_default(),
            location: LocationId::new(&connection.location),
            key: connection.api_key.clone(),
            scopes: connection.scopes.clone(),
        };
        keys.configured(new).await.with_context(|| format!("connection {}", connection.id))?;
    }
    Ok(())
}

/// The way in for API keys, with the connections that the configuration names taken over.
pub(super) async fn connecting(
    settings: &Settings,
    (store, clock): (&Store, &Clock),
    (ghl, directory, credentials): (&Ghl, &DirectoryCell, Arc<Credentials>),
) -> anyhow::Result<Connecting> {
    let keys = ApiKeys::new(store.clone(), clock.clone(), directory.clone(), credentials);
    take_configured(settings, &keys).await?;
    let (polling, day) = (&settings.polling, Duration::from_secs(24 * 3600));
    let parts = PollerParts { store: store.clone(), clock: clock.clone(), ghl: ghl.clone(), keys };
    let settings = PollerSettings {
        shortest: Duration::from_secs(polling.shortest_seconds),
        longest: Duration::from_secs(polling.longest_seconds),
        overlap: Duration::from_secs(polling.overlap_seconds),
        page_rows: polling.page_rows,
        daily_percent: polling.daily_percent,
        appointments_back: day.saturating_mul(polling.appointments_back_days),
        appointments_ahead: day.saturating_mul(polling.appointments_ahead_days),
    };
    Ok(Connecting::new(parts, settings))
}
