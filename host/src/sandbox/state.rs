//! The sandbox's state: contacts, apps, tokens; every change goes through the journal.

use super::delivery::Outgoing;
use super::journal::{AttemptEntry, DeliveryEntry, Entry, Journal, ObjectEntry};
use super::refusal::Refusal;
use super::sign::Signer;
use crate::domain::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Fields a contact may be written with.
pub(super) const WRITABLE: &[&str] = &[
    "firstName",
    "lastName",
    "name",
    "email",
    "phone",
    "address1",
    "city",
    "state",
    "country",
    "postalCode",
    "website",
    "timezone",
    "companyName",
    "gender",
    "source",
    "dateOfBirth",
    "tags",
    "customFields",
    "dnd",
    "assignedTo",
];

/// One app that webhooks are sent to.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct App {
    /// GHL's id of it.
    pub(super) app_id: String,
    /// Where its webhooks go.
    pub(super) webhook_url: String,
    /// Locations it is installed at.
    pub(super) locations: Vec<String>,
}

/// A contact.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) location_id: String,
    /// As GET answers it.
    pub(super) fields: Map<String, Value>,
}

/// What is switched on to go wrong: counts are used up one by one.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Faults {
    /// So many next messages are sent twice.
    pub(super) duplicate: u32,
    /// So many next messages are held back, so that later ones pass them.
    pub(super) hold_back: u32,
    /// Product seconds a held-back message waits.
    pub(super) hold_back_seconds: u64,
}

#[derive(Default)]
struct Inner {
    contacts: BTreeMap<String, Contact>,
    apps: Vec<App>,
    tokens: HashMap<String, String>,
    faults: Faults,
    pending: usize,
    /// The last change's time; the next is later, so that no two changes tie.
    last_change: Timestamp,
}

/// The state, its journal and the way to the sender.
pub(super) struct State {
    inner: Mutex<(Inner, Journal)>,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    outgoing: mpsc::Sender<Outgoing>,
}

impl State {
    /// Opens the state in its folder, as the journal left it.
    pub(super) fn open(
        folder: &Path,
        clock: Clock,
        outgoing: mpsc::Sender<Outgoing>,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (journal, entries) = Journal::open(&folder.join("journal.jsonl"))?;
        let mut inner = Inner::default();
        for entry in entries {
            if let Entry::Object(object) = entry {
                if object.op == "delete" {
                    inner.contacts.remove(&object.id);
                } else {
                    let contact = Contact { location_id: object.location_id, fields: object.after };
                    inner.contacts.insert(object.id, contact);
                }
            }
        }
        Ok(Self { inner: Mutex::new((inner, journal)), clock, signer: Signer::open(folder)?, outgoing })
    }

    fn lock(&self) -> MutexGuard<'_, (Inner, Journal)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, app: App) {
        let mut guard = self.lock();
        guard.0.apps.retain(|known| known.app_id != app.app_id);
        guard.0.apps.push(app);
    }

    /// A token for one location that does not expire.
    pub(super) fn issue_token(&self, location: &str) -> String {
        let token = format!("sandbox-{}", uuid::Uuid::new_v4().simple());
        self.lock().0.tokens.insert(token.clone(), location.to_owned());
        token
    }

    /// The location a token opens.
    pub(super) fn location_of(&self, token: &str) -> Option<String> {
        self.lock().0.tokens.get(token).cloned()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.lock().0.faults = faults;
    }

    /// Messages made and neither answered nor given up.
    pub(super) fn pending(&self) -> usize {
        self.lock().0.pending
    }

    pub(super) fn contact(&self, id: &str) -> Result<Contact, Refusal> {
        let found = self.lock().0.contacts.get(id).cloned();
        found.ok_or_else(|| Refusal::NotFound(format!("Contact with id {id} not found")))
    }

    /// Creates a contact; answers it as GET would.
    pub(super) fn create(
        &self,
        location: &str,
        fields: Map<String, Value>,
        by: &str,
    ) -> Result<Map<String, Value>, Refusal> {
        let id = new_id();
        let mut made = self.checked(&fields)?;
        self.refuse_duplicate(location, &made, None)?;
        made.insert("id".into(), json!(id));
        made.insert("locationId".into(), json!(location));
        made.insert("dateAdded".into(), json!(self.clock.now().to_rfc3339()));
        self.change(&id, location, ("create", "ContactCreate"), made, by)
    }

    /// Updates fields of a contact; null empties one.
    pub(super) fn update(
        &self,
        id: &str,
        fields: &Map<String, Value>,
        by: &str,
    ) -> Result<Map<String, Value>, Refusal> {
        let contact = self.contact(id)?;
        let given = self.checked(fields)?;
        self.refuse_duplicate(&contact.location_id, &given, Some(id))?;
        let mut after = contact.fields;
        for (name, value) in given {
            after.insert(name, value);
        }
        self.change(id, &contact.location_id, ("update", "ContactUpdate"), after, by)
    }

    /// Deletes a contact.
    pub(super) fn delete(&self, id: &str, by: &str) -> Result<(), Refusal> {
        let contact = self.contact(id)?;
        self.change(id, &contact.location_id, ("delete", "ContactDelete"), contact.fields, by)?;
        Ok(())
    }

    fn checked(&self, fields: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let wrong: Vec<String> = fields
            .keys()
            .filter(|name| !WRITABLE.contains(&name.as_str()))
            .map(|name| format!("property {name} should not exist"))
            .collect();
        if wrong.is_empty() { Ok(fields.clone()) } else { Err(Refusal::Invalid(wrong)) }
    }

    fn refuse_duplicate(
        &self,
        location: &str,
        given: &Map<String, Value>,
        own: Option<&str>,
    ) -> Result<(), Refusal> {
        let guard = self.lock();
        for field in ["email", "phone"] {
            let Some(value) = given.get(field).filter(|value| !value.is_null()) else {
                continue;
            };
            let same = guard.0.contacts.iter().find(|(id, contact)| {
                contact.location_id == location
                    && own != Some(id.as_str())
                    && contact.fields.get(field) == Some(value)
            });
            if let Some((id, _)) = same {
                return Err(Refusal::Duplicate { id: id.clone(), field });
            }
        }
        Ok(())
    }

    /// Journals a change with the messages it causes, takes it over, and hands the messages to the sender.
    fn change(
        &self,
        id: &str,
        location: &str,
        (op, event_type): (&str, &str),
        mut after: Map<String, Value>,
        by: &str,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut guard = self.lock();
        let (inner, journal) = &mut *guard;
        inner.last_change = self.clock.now().max(inner.last_change.plus(Duration::from_millis(1)));
        let now = inner.last_change.to_rfc3339();
        after.insert("dateUpdated".into(), json!(now));
        let mut entries = vec![Entry::Object(ObjectEntry {
            at: now.clone(),
            id: id.to_owned(),
            location_id: location.to_owned(),
            op: op.to_owned(),
            by: by.to_owned(),
            after: after.clone(),
        })];
        let mut messages = Vec::new();
        for app in inner.apps.iter().filter(|app| app.locations.iter().any(|known| known == location)) {
            let delivery = message(app, (id, location, event_type), &after, &now);
            entries.push(Entry::Delivery(delivery.clone()));
            messages.push((app.webhook_url.clone(), delivery));
        }
        journal.append(&entries)?;
        if op == "delete" {
            inner.contacts.remove(id);
        } else {
            let contact = Contact { location_id: location.to_owned(), fields: after.clone() };
            inner.contacts.insert(id.to_owned(), contact);
        }
        for (url, delivery) in messages {
            let take = |count: &mut u32| std::mem::replace(count, count.saturating_sub(1)) > 0;
            let outgoing = Outgoing {
                url,
                webhook_id: delivery.webhook_id,
                body: delivery.body,
                times: if take(&mut inner.faults.duplicate) { 2 } else { 1 },
                wait_seconds: if take(&mut inner.faults.hold_back) {
                    inner.faults.hold_back_seconds
                } else {
                    0
                },
            };
            inner.pending += 1;
            if self.outgoing.try_send(outgoing).is_err() {
                tracing::error!("too many webhooks wait to be sent; one was given up");
                inner.pending -= 1;
            }
        }
        drop(guard);
        Ok(after)
    }

    /// Journals one sending.
    pub(super) fn attempted(&self, webhook_id: &str, status: Option<u16>) -> std::io::Result<()> {
        let at = self.clock.now().to_rfc3339();
        let entry = Entry::Attempt(AttemptEntry { at, webhook_id: webhook_id.to_owned(), status });
        self.lock().1.append(&[entry])
    }

    /// Notes that a message was answered or given up.
    pub(super) fn ended(&self) {
        let mut guard = self.lock();
        guard.0.pending = guard.0.pending.saturating_sub(1);
    }
}

/// A real-shaped message: flat, empty fields left out.
fn message(
    app: &App,
    (id, location, event_type): (&str, &str, &str),
    contact: &Map<String, Value>,
    now: &str,
) -> DeliveryEntry {
    let webhook_id = uuid::Uuid::new_v4().to_string();
    let mut body = Map::new();
    body.insert("type".into(), json!(event_type));
    for (name, value) in contact {
        if name != "dateUpdated" && !value.is_null() {
            body.insert(name.clone(), value.clone());
        }
    }
    body.insert("timestamp".into(), json!(now));
    body.insert("webhookId".into(), json!(webhook_id));
    body.insert("appId".into(), json!(app.app_id));
    body.insert("versionId".into(), json!(app.app_id));
    DeliveryEntry {
        at: now.to_owned(),
        webhook_id,
        event_type: event_type.to_owned(),
        app_id: app.app_id.clone(),
        location_id: location.to_owned(),
        contact_id: id.to_owned(),
        body: Value::Object(body).to_string(),
    }
}

/// A new id in GHL's form: 20 letters and digits.
pub(super) fn new_id() -> String {
    use rand::RngExt as _;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(20).map(char::from).collect()
}
