//! The sandbox's state: objects, apps, tokens; every change goes through the journal.

use super::caller::Grant;
use super::consent::Approval;
use super::delivery::Outgoing;
use super::index::Index;
use super::installs::Installs;
use super::journal::{AttemptEntry, DeliveryEntry, Entry, Journal, ObjectEntry, WriteEntry};
use super::keys::Keys;
use super::limits::{Limits, Script, Windows};
use super::refusal::Refusal;
use super::shape::{Change, Kind};
use super::sign::Signer;
use crate::domain::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// One app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    /// GHL's id of it.
    pub(super) app_id: String,
    /// Where its webhooks go.
    pub(super) webhook_url: String,
    /// Locations it is installed at without anybody's doing.
    #[serde(default)]
    pub(super) locations: Vec<String>,
    /// Its client id; empty: it has no OAuth.
    #[serde(default)]
    pub(super) client_id: String,
    /// Its secret.
    #[serde(default)]
    pub(super) client_secret: String,
    /// Where people may be sent back to.
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    /// Scopes it may ask for, space separated.
    #[serde(default)]
    pub(super) scopes: String,
}

/// How tokens live and what programs may do without a person.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OauthSettings {
    /// Product seconds an access token lives.
    pub(super) access_seconds: u64,
    /// Product seconds a code lives.
    pub(super) code_seconds: u64,
    /// Whether the reconnect call refuses everybody.
    pub(super) reconnect_off: bool,
    /// Whether minted tokens come without a refresh token, as one of GHL's documents says.
    pub(super) location_tokens_without_refresh: bool,
    /// What is approved without a person.
    #[serde(skip)]
    pub(super) approval: Approval,
}

impl Default for OauthSettings {
    fn default() -> Self {
        Self {
            access_seconds: 86_399,
            code_seconds: 600,
            reconnect_off: false,
            location_tokens_without_refresh: false,
            approval: Approval::default(),
        }
    }
}

/// An object as GET answers it.
pub(super) type Object = Map<String, Value>;

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
    /// So many next messages about tasks name no contact, as live ones do.
    pub(super) tasks_without_contact: u32,
    /// So many next writes of programs are answered 503 and not done.
    pub(super) fail_before: u32,
    /// So many next writes of programs are done and answered 504.
    pub(super) fail_after: u32,
    /// So many next calls of programs are answered 429.
    pub(super) too_many: u32,
    /// So many next calls of the token endpoints are answered 503 and not done.
    pub(super) token_fail_before: u32,
    /// So many next calls of the token endpoints are done and answered 503.
    pub(super) token_fail_after: u32,
    /// So many next calls of the token endpoints are slow.
    pub(super) token_slow: u32,
    /// Machine milliseconds that slow ones take.
    pub(super) token_slow_millis: u64,
}

/// Takes one from a count.
pub(super) fn strikes(count: &mut u32) -> bool {
    std::mem::replace(count, count.saturating_sub(1)) > 0
}

#[derive(Default)]
pub(super) struct Inner {
    objects: BTreeMap<(Kind, String), Object>,
    pub(super) installs: Installs,
    pub(super) oauth: OauthSettings,
    /// Tokens that do not end, by their hash.
    pub(super) tokens: HashMap<String, Grant>,
    pub(super) faults: Faults,
    pub(super) script: Script,
    pub(super) limits: Limits,
    pub(super) windows: Windows,
    pub(super) index: Index,
    pending: usize,
    /// The last change's time; the next is later, so that no two changes tie.
    last_change: Timestamp,
}

/// The state, its journal and the way to the sender.
pub(super) struct State {
    inner: Mutex<(Inner, Journal)>,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    pub(super) keys: Keys,
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
            let object = match entry {
                Entry::Object(object) => object,
                Entry::Install(entry) => {
                    inner.take_over(entry.change);
                    continue;
                }
                Entry::Delivery(_) | Entry::Attempt(_) | Entry::Write(_) => continue,
            };
            let Some(kind) = Kind::parse(&object.object) else { continue };
            if object.op == "delete" {
                inner.remove(kind, &object.id);
            } else {
                inner.objects.insert((kind, object.id), object.after);
            }
        }
        for ((kind, id), object) in &inner.objects {
            if *kind == Kind::Contact {
                inner.index.take(id, Some(object.clone()), Timestamp::default());
            }
        }
        let keys = Keys::open(folder)?;
        Ok(Self { inner: Mutex::new((inner, journal)), clock, signer: Signer::open(folder)?, keys, outgoing })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, (Inner, Journal)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages made and neither answered nor given up.
    pub(super) fn pending(&self) -> usize {
        self.lock().0.pending
    }

    /// An object of a location.
    pub(super) fn object(&self, kind: Kind, id: &str, location: &str) -> Result<Object, Refusal> {
        let found = self.lock().0.objects.get(&(kind, id.to_owned())).cloned();
        let found = found.ok_or_else(|| Refusal::not_found(kind, id))?;
        if found.get("locationId").and_then(Value::as_str) == Some(location) {
            Ok(found)
        } else {
            Err(Refusal::OtherLocation)
        }
    }

    /// Objects of a location that fit, in the order of their ids.
    pub(super) fn objects(&self, kind: Kind, location: &str, fits: impl Fn(&Object) -> bool) -> Vec<Object> {
        let guard = self.lock();
        guard
            .0
            .objects
            .iter()
            .filter(|((known, _), object)| {
                *known == kind && object.get("locationId").and_then(Value::as_str) == Some(location)
            })
            .map(|(_, object)| object)
            .filter(|object| fits(object))
            .cloned()
            .collect()
    }

    /// The contacts of a location as a search finds them now.
    pub(super) fn searchable(&self, location: &str) -> Vec<Object> {
        self.lock().0.index.seen(location, self.clock.now())
    }

    /// The contact of that location with this e-mail or phone.
    pub(super) fn same_contact(
        &self,
        location: &str,
        given: &Object,
        own: Option<&str>,
    ) -> Option<(String, &'static str)> {
        ["email", "phone"].into_iter().find_map(|field| {
            let value = given.get(field).filter(|value| !value.is_null() && **value != "")?;
            let same = self.objects(Kind::Contact, location, |known| {
                known.get(field) == Some(value) && known.get("id").and_then(Value::as_str) != own
            });
            let id = same.first()?.get("id")?.as_str()?.to_owned();
            Some((id, field))
        })
    }

    /// Journals a change with the messages it causes, takes it over, and hands the messages to the sender.
    pub(super) fn change(&self, change: Change<'_>, mut after: Object) -> Result<Object, Refusal> {
        let mut guard = self.lock();
        let (inner, journal) = &mut *guard;
        inner.last_change = self.clock.now().max(inner.last_change.plus(Duration::from_millis(1)));
        let now = inner.last_change.to_rfc3339();
        if matches!(change.kind, Kind::Contact | Kind::Appointment) {
            after.insert("dateUpdated".into(), json!(now));
        }
        let contact_id = after.get("contactId").and_then(Value::as_str).map(str::to_owned);
        let mut entries = vec![Entry::Object(ObjectEntry {
            at: now.clone(),
            object: change.kind.word().to_owned(),
            id: change.id.to_owned(),
            contact_id,
            location_id: change.location.to_owned(),
            op: change.op.to_owned(),
            by: change.by.to_owned(),
            after: after.clone(),
        })];
        let mut messages = Vec::new();
        if let Some(event_type) = change.kind.event_type(&change) {
            let nameless = change.kind == Kind::Task && strikes(&mut inner.faults.tasks_without_contact);
            let told = change.kind.message(&after, !nameless);
            let installs = &inner.installs;
            for app in installs.apps.iter().filter(|app| installs.hears(app, change.location)) {
                let delivery = delivery(app, event_type, &change, &told, &now);
                entries.push(Entry::Delivery(delivery.clone()));
                messages.push((app.webhook_url.clone(), delivery));
            }
        }
        journal.append(&entries)?;
        if change.op == "delete" {
            inner.remove(change.kind, change.id);
        } else {
            inner.objects.insert((change.kind, change.id.to_owned()), after.clone());
        }
        if change.kind == Kind::Contact {
            let state = (change.op != "delete").then(|| after.clone());
            inner.index.take(change.id, state, self.clock.now());
        }
        for (url, delivery) in messages {
            self.hand_over(inner, url, delivery);
        }
        drop(guard);
        Ok(after)
    }

    pub(super) fn hand_over(&self, inner: &mut Inner, url: String, delivery: DeliveryEntry) {
        let outgoing = Outgoing {
            url,
            webhook_id: delivery.webhook_id,
            body: delivery.body,
            times: if strikes(&mut inner.faults.duplicate) { 2 } else { 1 },
            wait_seconds: if strikes(&mut inner.faults.hold_back) {
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

    /// Journals a program's write that was done.
    pub(super) fn wrote(&self, operation: &str, id: &str, request_id: Option<&str>) -> Result<(), Refusal> {
        let entry = Entry::Write(WriteEntry {
            at: self.clock.now().to_rfc3339(),
            operation: operation.to_owned(),
            id: id.to_owned(),
            request_id: request_id.map(str::to_owned),
        });
        Ok(self.lock().1.append(&[entry])?)
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

impl Inner {
    /// Removes an object; a contact takes its tasks, notes and appointments along.
    fn remove(&mut self, kind: Kind, id: &str) {
        self.objects.remove(&(kind, id.to_owned()));
        if kind == Kind::Contact {
            self.objects.retain(|_, object| object.get("contactId").and_then(Value::as_str) != Some(id));
        }
    }
}

fn delivery(app: &App, event_type: &str, change: &Change<'_>, told: &Object, now: &str) -> DeliveryEntry {
    let webhook_id = uuid::Uuid::new_v4().to_string();
    let mut body = Map::new();
    body.insert("type".into(), json!(event_type));
    body.insert("locationId".into(), json!(change.location));
    body.extend(told.clone());
    body.insert("timestamp".into(), json!(now));
    body.insert("webhookId".into(), json!(webhook_id));
    body.insert("appId".into(), json!(app.app_id));
    body.insert("versionId".into(), json!(app.app_id));
    DeliveryEntry {
        at: now.to_owned(),
        webhook_id,
        event_type: event_type.to_owned(),
        app_id: app.app_id.clone(),
        location_id: change.location.to_owned(),
        object_id: change.id.to_owned(),
        body: Value::Object(body).to_string(),
    }
}

/// A new id in GHL's form: 20 letters and digits.
pub(super) fn new_id() -> String {
    use rand::RngExt as _;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(20).map(char::from).collect()
}
