//! Events from Rankr: checked, addressed to a contact's lane, stored once for each idempotency key.

use crate::domain::{
    Cause, Clock, ConnectionId, GhlId, Lane, ObjectKind, RankrId, TenantId, Timestamp, dedupe_key,
};
use crate::store::{Appended, InboxRow, Store, StoreError};
use crate::tenants::{Connection, DirectoryCell};
use serde_json::json;
use std::sync::Arc;

/// Bytes of an idempotency key.
const KEY_BYTES: usize = 255;

/// An event as Rankr tells it.
#[derive(Clone, Debug)]
pub struct RankrEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its type, beginning with `rankr.`.
    pub event_type: String,
    /// On which connection; may be left out where the tenant has one.
    pub connection: Option<ConnectionId>,
    /// Rankr's id of the contact.
    pub contact: Option<RankrId>,
    /// GHL's id of the contact, where Rankr knows it.
    pub ghl_contact: Option<GhlId>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// Its data.
    pub data: serde_json::Value,
}

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RankrRefusal {
    /// Something of it is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such tenant or connection.
    #[error("{0}")]
    Unknown(String),
    /// The key was used for another event.
    #[error("the Idempotency-Key was used for another event, number {0}; use a new key for each event")]
    KeyReused(i64),
    /// It could not be stored.
    #[error("the event could not be stored")]
    Store(#[from] StoreError),
}

/// The door for Rankr's events. Cheap to clone.
#[derive(Clone)]
pub struct RankrDoor {
    store: Store,
    clock: Clock,
    directory: DirectoryCell,
}

impl RankrDoor {
    /// A door over these rooms.
    #[must_use]
    pub fn new(store: Store, clock: Clock, directory: DirectoryCell) -> Self {
        Self { store, clock, directory }
    }

    /// Stores an event; when it returns `Ok` it is synced. Gives its sequence and whether it was there before.
    ///
    /// # Errors
    /// [`RankrRefusal`]; nothing is stored then.
    pub async fn take(&self, key: &str, event: RankrEvent) -> Result<(i64, bool), RankrRefusal> {
        if key.is_empty() || key.len() > KEY_BYTES {
            return Err(RankrRefusal::Invalid(format!(
                "the Idempotency-Key must have 1 to {KEY_BYTES} bytes"
            )));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if !event.event_type.starts_with("rankr.")
            || event.event_type.len() > 128
            || !event.event_type.bytes().all(plain)
        {
            return Err(RankrRefusal::Invalid(format!(
                "type is {:?}: give `rankr.` and lower-case letters, digits, dots, hyphens, such as rankr.race-finished",
                event.event_type
            )));
        }
        let connection = self.connection(&event)?;
        let contact = self.contact(&event, &connection.id).await?;
        let received_at = self.clock.now();
        let body = json!({
            "type": event.event_type, "contactId": contact, "rankrContactId": event.contact, "data": event.data,
            "timestamp": event.occurred_at.map(Timestamp::to_rfc3339),
        });
        let lane = match (&contact, &event.contact) {
            (Some(contact), _) => Lane::of_contact(&connection.id, contact),
            (None, Some(contact)) => Lane::new(format!("{}/rankr-contact:{contact}", connection.id)),
            (None, None) => Lane::new(format!("{}/", connection.id)),
        };
        let row = InboxRow {
            dedupe: dedupe_key(&["rankr", event.tenant.as_str(), key]),
            tenant: event.tenant.clone(),
            connection: connection.id.clone(),
            event_type: Arc::from(event.event_type.as_str()),
            cause: Cause::Rankr,
            lane,
            webhook_id: Some(Arc::from(key)),
            received_at,
            source_time: event.occurred_at.unwrap_or(received_at),
            body: Arc::from(body.to_string()),
        };
        match self.store.append(row).await? {
            Appended::New(sequence) => Ok((sequence.0, false)),
            Appended::Duplicate(sequence) => Ok((sequence.0, true)),
            Appended::Conflicting(sequence) => Err(RankrRefusal::KeyReused(sequence.0)),
        }
    }

    fn connection(&self, event: &RankrEvent) -> Result<Connection, RankrRefusal> {
        let directory = self.directory.get();
        let mut of_tenant = directory.of_tenant(&event.tenant);
        if let Some(named) = &event.connection {
            return of_tenant.find(|connection| connection.id == *named).cloned().ok_or_else(|| {
                RankrRefusal::Unknown(format!("tenant {} has no connection {named}", event.tenant))
            });
        }
        match (of_tenant.next(), of_tenant.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(RankrRefusal::Unknown(format!("tenant {} has no connection", event.tenant))),
            _ => Err(RankrRefusal::Invalid(format!(
                "tenant {} has several connections: name one as `connection`",
                event.tenant
            ))),
        }
    }

    async fn contact(
        &self,
        event: &RankrEvent,
        connection: &ConnectionId,
    ) -> Result<Option<GhlId>, RankrRefusal> {
        if let Some(contact) = &event.ghl_contact {
            return Ok(Some(contact.clone()));
        }
        let Some(contact) = &event.contact else { return Ok(None) };
        let linked = self.store.linked(&event.tenant, ObjectKind::Contact, contact).await?;
        Ok(linked.into_iter().find(|(through, _)| through == connection).map(|(_, id)| id))
    }
}
