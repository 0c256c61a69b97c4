//! One delivery from its raw bytes to its stored row.

use super::share::Shares;
use super::verify::{Signatures, Verifier};
use crate::domain::{AppId, Cause, Clock, Envelope, Lane, ObjectKind, Timestamp, dedupe_key, shape_of};
use crate::store::{Appended, InboxRow, NewInstall, Store, StoreError};
use crate::tenants::{App, Assignments, Connection, DirectoryCell, TimingNeedsCell};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// A delivery as it came.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The app in the path.
    pub app: &'a AppId,
    /// The signature headers.
    pub signatures: Signatures<'a>,
    /// The raw body.
    pub body: &'a [u8],
}

/// What became of a delivery that is answered 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// Stored and synced, or stored before.
    Stored(Appended),
    /// Nobody wants that type; counted.
    Unwanted,
    /// No connection receives for that location; counted.
    Unaddressed,
    /// The app was installed or uninstalled; kept until that is done.
    Install,
}

impl Ingested {
    /// The outcome's word, for counting.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored(Appended::New(_)) => "stored",
            Self::Stored(Appended::Duplicate(_)) => "duplicate",
            Self::Stored(Appended::Conflicting(_)) => "conflicting",
            Self::Unwanted => "unwanted",
            Self::Unaddressed => "unaddressed",
            Self::Install => "install",
        }
    }
}

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The path names no app.
    #[error("no app is registered under this path")]
    UnknownApp,
    /// No key of the app signed these bytes.
    #[error("the signature does not fit the body and the keys of this app")]
    BadSignature,
    /// The body is no event.
    #[error("the body is no webhook event: {0}")]
    BadBody(&'static str),
    /// The body was signed for another app.
    #[error("the body's appId is not that of this path's app")]
    OtherApp,
    /// Too much waits to be stored; GHL tries again.
    #[error("too many deliveries are waiting; try again")]
    Overloaded,
    /// It could not be stored; GHL tries again.
    #[error("the delivery could not be stored")]
    Store(#[from] StoreError),
}

/// The webhook door. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    store: Store,
    clock: Clock,
    directory: DirectoryCell,
    assignments: Assignments,
    timeline: Arc<[String]>,
    needs: TimingNeedsCell,
    shares: Arc<Shares>,
    installs: Arc<Notify>,
    verifiers: Arc<RwLock<HashMap<AppId, Arc<Verifier>>>>,
}

impl Ingest {
    /// A door over these rooms; `max_waiting` deliveries may wait to be stored at once.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        directory: DirectoryCell,
        assignments: Assignments,
        max_waiting: usize,
    ) -> Self {
        Self {
            store,
            clock,
            directory,
            assignments,
            timeline: Arc::from(["*".to_owned()]),
            needs: TimingNeedsCell::default(),
            shares: Shares::new(max_waiting),
            installs: Arc::default(),
            verifiers: Arc::default(),
        }
    }

    /// The same door, telling of installs it has stored.
    #[must_use]
    pub fn telling(mut self, installs: Arc<Notify>) -> Self {
        self.installs = installs;
        self
    }

    /// Of events that no plugin wants, takes in those of these types (a `*` at the end stands for anything), and what
    /// timing rules count from.
    #[must_use]
    pub fn with_timeline(mut self, types: &[String], needs: TimingNeedsCell) -> Self {
        self.timeline = Arc::from(types);
        self.needs = needs;
        self
    }

    /// Takes the keys of all apps anew.
    ///
    /// # Errors
    /// When a key is none; the old ones stay.
    pub fn take_keys(&self, accept_legacy_rsa: bool) -> Result<(), super::KeyError> {
        let mut fresh = HashMap::new();
        for app in self.directory.get().apps() {
            fresh.insert(app.id.clone(), Arc::new(Verifier::new(app, accept_legacy_rsa)?));
        }
        *self.verifiers.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Verifies, addresses and stores a delivery. When it returns `Ok`, answer 200: what had to be kept is synced.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is stored then.
    pub async fn take(&self, delivery: Delivery<'_>) -> Result<Ingested, Refusal> {
        let verifier = {
            let verifiers = self.verifiers.read().unwrap_or_else(PoisonError::into_inner);
            verifiers.get(delivery.app).cloned()
        };
        let verifier = verifier.ok_or(Refusal::UnknownApp)?;
        if !verifier.holds(delivery.body, delivery.signatures) {
            return Err(Refusal::BadSignature);
        }
        let directory = self.directory.get();
        let app = directory.app(delivery.app).ok_or(Refusal::UnknownApp)?;
        let body =
            std::str::from_utf8(delivery.body).map_err(|_not_utf8| Refusal::BadBody("it is not UTF-8"))?;
        let envelope: Envelope = serde_json::from_str(body)
            .map_err(|_not_json| Refusal::BadBody("it is no JSON object with a type"))?;
        if envelope.event_type.is_empty() {
            return Err(Refusal::BadBody("it has no type"));
        }
        if envelope.app_id.as_deref().is_some_and(|id| id != app.ghl_app_id) {
            return Err(Refusal::OtherApp);
        }
        let install = self.keep_install(app, &envelope, body).await?;
        let nobody = |ingested: Ingested| Ok(if install { Ingested::Install } else { ingested });
        let Some(connection) = envelope.location().and_then(|location| directory.receiver(&app.id, location))
        else {
            return nobody(Ingested::Unaddressed);
        };
        if !connection.receiving {
            return nobody(Ingested::Unaddressed);
        }
        if !self.wanted(&envelope, connection) {
            return nobody(Ingested::Unwanted);
        }
        #[cfg(feature = "test-support")]
        if crate::config::sabotage::strikes(crate::config::sabotage::Sabotage::DropEvent) {
            return Ok(Ingested::Unwanted);
        }
        let _place = self.shares.enter(&connection.tenant).ok_or(Refusal::Overloaded)?;
        let row = self.row(app, connection, &envelope, body);
        Ok(Ingested::Stored(self.store.append(row).await?))
    }

    /// Keeps an install or uninstall, whether or not anybody is connected there yet; whether it was one.
    async fn keep_install(&self, app: &App, envelope: &Envelope, body: &str) -> Result<bool, StoreError> {
        let op = match envelope.event_type.as_str() {
            "INSTALL" => "INSTALL",
            "UNINSTALL" => "UNINSTALL",
            _ => return Ok(false),
        };
        let received_at = self.clock.now();
        let install = NewInstall {
            dedupe: dedupe(app, envelope.webhook_id.as_deref(), body),
            app: app.id.clone(),
            op,
            company: envelope.company_id.clone(),
            location: envelope.location_id.clone(),
            source_time: envelope.timestamp.as_deref().and_then(Timestamp::parse).unwrap_or(received_at),
            received_at,
        };
        if self.store.put_install(install).await? {
            self.installs.notify_one();
        }
        Ok(true)
    }

    /// Whether an active assignment names the type, the timeline takes it and it belongs to a contact, or a timing rule
    /// counts from its object.
    fn wanted(&self, envelope: &Envelope, connection: &Connection) -> bool {
        let event_type = envelope.event_type.as_str();
        let kind = shape_of(event_type).kind;
        let of_contact = kind != ObjectKind::Other || envelope.contact().is_some();
        let named = self.timeline.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => event_type.starts_with(start),
            None => event_type == pattern,
        });
        (of_contact && named)
            || self.needs.has(&connection.tenant, kind)
            || self.assignments.of(&connection.tenant).iter().any(|version| version.wants(event_type))
    }

    fn row(&self, app: &App, connection: &Connection, envelope: &Envelope, body: &str) -> InboxRow {
        let received_at = self.clock.now();
        InboxRow {
            dedupe: dedupe(app, envelope.webhook_id.as_deref(), body),
            tenant: connection.tenant.clone(),
            connection: connection.id.clone(),
            event_type: Arc::from(envelope.event_type.as_str()),
            cause: Cause::Live,
            lane: lane_of(envelope, connection),
            webhook_id: envelope.webhook_id.as_deref().map(Arc::from),
            received_at,
            source_time: envelope.timestamp.as_deref().and_then(Timestamp::parse).unwrap_or(received_at),
            body: Arc::from(body),
        }
    }
}

/// The lane: contact, else object, else connection.
fn lane_of(envelope: &Envelope, connection: &Connection) -> Lane {
    match (envelope.contact(), envelope.object_id()) {
        (Some(contact), _) => Lane::of_contact(&connection.id, &contact),
        (None, Some(object)) => {
            let kind = shape_of(&envelope.event_type).kind.as_str();
            Lane::new(format!("{}/{kind}:{object}", connection.id))
        }
        (None, None) => Lane::new(format!("{}/", connection.id)),
    }
}

/// The same for the same delivery: over app and webhook id, or over the body where it has none.
fn dedupe(app: &App, webhook_id: Option<&str>, body: &str) -> [u8; 16] {
    match webhook_id {
        Some(id) => dedupe_key(&[app.id.as_str(), "id", id]),
        None => dedupe_key(&[app.id.as_str(), "body", body]),
    }
}
