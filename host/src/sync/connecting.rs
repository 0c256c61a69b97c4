//! The way in for a key: the connection is made, the poller tries the key at once, and the answer tells what came of it.

use super::pass::fresh;
use super::poller::{PollerParts, PollerSettings, Shared};
use super::self_test::SelfTest;
use crate::domain::{ConnectionId, TenantId, Timestamp};
use crate::store::{ConnectionRow, DuePolling, PollingRow};
use crate::tenants::{ApiKeyError, NewApiKey};
use secrecy::SecretString;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Machine time an answer waits for the key's test; the test goes on without it.
const TEST_WAIT: Duration = Duration::from_secs(20);
/// Machine time between two looks for its result.
const LOOK: Duration = Duration::from_millis(25);

/// A connection with an API key, never the key itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct KeyConnection {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's location.
    pub location: String,
    /// `api-key`.
    pub kind: String,
    /// `connected` after the first real read; `checking` before; `reconnect-needed` when the key or its scopes are not good.
    pub state: String,
    /// Scopes as declared, without those the key turned out to lack; space separated.
    pub scopes: String,
    /// Why it is not connected.
    pub failure: Option<String>,
    /// What the key could read.
    pub self_test: Option<SelfTest>,
}

/// How far a connection was polled.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PollingView {
    /// The connection.
    #[serde(flatten)]
    pub connection: KeyConnection,
    /// Passes that ended well.
    pub passes: i64,
    /// When the last pass began, RFC 3339.
    pub last_began_at: Option<String>,
    /// When the last whole pass ended, RFC 3339.
    pub last_ended_at: Option<String>,
    /// When the next pass is due, RFC 3339.
    pub next_at: Option<String>,
    /// When everything had been read once, RFC 3339; what was found until then is a backfill.
    pub backfilled_at: Option<String>,
    /// What was changed in GHL before this moment has been found, RFC 3339.
    pub covers_until: Option<String>,
    /// Events by kind of object.
    pub found: BTreeMap<String, i64>,
    /// Calls of GHL so far.
    pub calls: i64,
    /// Since when passes stop before their end, RFC 3339.
    pub failing_since: Option<String>,
}

/// Makes connections with API keys and shows how they are polled. Cheap to clone.
#[derive(Clone)]
pub struct Connecting(Arc<Shared>);

impl Connecting {
    /// A way in over these rooms; passes run once a poller is started on it.
    #[must_use]
    pub fn new(parts: PollerParts, settings: PollerSettings) -> Self {
        Self(Arc::new(Shared::new(parts, settings)))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    /// Makes a connection and waits for its test.
    ///
    /// # Errors
    /// [`ApiKeyError`]; nothing is stored then.
    pub async fn add(&self, new: NewApiKey) -> Result<KeyConnection, ApiKeyError> {
        let id = self.0.parts.keys.add(new).await?;
        self.tested(&id).await
    }

    /// Gives a connection another key and waits for its test.
    ///
    /// # Errors
    /// [`ApiKeyError`]; nothing is changed then.
    pub async fn replace(
        &self,
        id: &ConnectionId,
        key: &SecretString,
        scopes: Option<&str>,
    ) -> Result<KeyConnection, ApiKeyError> {
        self.0.parts.keys.replace(id, key, scopes).await?;
        self.tested(id).await
    }

    /// Whose connection it is.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] when there is no such connection or it is not polled.
    pub async fn tenant(&self, id: &ConnectionId) -> Result<TenantId, ApiKeyError> {
        Ok(self.0.parts.keys.row(id).await?.tenant)
    }

    /// How far a connection was polled.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] when there is no such connection or it is not polled.
    pub async fn view(&self, id: &ConnectionId) -> Result<PollingView, ApiKeyError> {
        let row = self.0.parts.keys.row(id).await?;
        let polling = self.polling(&row).await?;
        let text = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        Ok(PollingView {
            passes: polling.passes,
            last_began_at: text(polling.began_at),
            last_ended_at: text(polling.ended_at),
            next_at: text(Some(polling.next_at).filter(|at| *at > Timestamp::default())),
            backfilled_at: text(polling.backfilled_at),
            covers_until: text(polling.covers_until),
            found: serde_json::from_str(&polling.found).unwrap_or_default(),
            calls: polling.calls,
            failing_since: text(polling.failed_at),
            connection: shown(row, &polling),
        })
    }

    async fn polling(&self, row: &ConnectionRow) -> Result<PollingRow, ApiKeyError> {
        let stored = self.0.parts.store.polling(&row.tenant, &row.id).await?;
        Ok(stored.unwrap_or_else(|| fresh(&due(row))))
    }

    /// Has the poller try the key now, and waits for what comes of it. Where no poller runs it is tried when one does.
    async fn tested(&self, id: &ConnectionId) -> Result<KeyConnection, ApiKeyError> {
        let row = self.0.parts.keys.row(id).await?;
        self.0.parts.store.hasten_polling(&row.tenant, &row.id).await?;
        self.0.wake.notify_one();
        let clock = self.0.parts.clock.clone();
        let tried = async {
            while self.0.polls() {
                let row = self.0.parts.keys.row(id).await?;
                if row.state == "active" || self.polling(&row).await?.failure.is_some() {
                    break;
                }
                clock.machine_sleep(LOOK).await;
            }
            Ok::<(), ApiKeyError>(())
        };
        clock.within(TEST_WAIT, tried).await.transpose()?;
        let row = self.0.parts.keys.row(id).await?;
        let polling = self.polling(&row).await?;
        Ok(shown(row, &polling))
    }
}

fn due(row: &ConnectionRow) -> DuePolling {
    DuePolling {
        connection: row.id.clone(),
        tenant: row.tenant.clone(),
        location: row.location.clone(),
        state: row.state.clone(),
        scopes: row.scopes.clone(),
    }
}

fn shown(row: ConnectionRow, polling: &PollingRow) -> KeyConnection {
    let state = match row.state.as_str() {
        "active" => "connected".to_owned(),
        other => other.to_owned(),
    };
    KeyConnection {
        id: row.id.as_str().to_owned(),
        tenant: row.tenant.as_str().to_owned(),
        environment: row.environment,
        location: row.location.as_str().to_owned(),
        kind: row.kind,
        state,
        scopes: row.scopes,
        failure: polling.failure.clone(),
        self_test: polling.self_test.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}
