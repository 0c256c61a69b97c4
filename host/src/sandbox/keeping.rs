//! Apps, installs and tokens of the state: journalled, taken over, looked up; and messages about them.

use super::caller::{Grant, Holder};
use super::installs::{Change, InstallEntry, hash};
use super::journal::{DeliveryEntry, Entry, Journal};
use super::keys::PREFIX;
use super::refusal::Refusal;
use super::state::{App, Inner, Object, State};
use serde_json::{Value, json};

impl State {
    pub(super) fn register(&self, app: App) -> std::io::Result<()> {
        self.keep_alone([Change::App { app }])
    }

    /// Journals changes of installs and takes them over.
    pub(super) fn keep(
        &self,
        inner: &mut Inner,
        journal: &mut Journal,
        changes: impl IntoIterator<Item = Change>,
    ) -> std::io::Result<()> {
        let at = self.clock.now().to_rfc3339();
        let entries: Vec<Entry> = changes
            .into_iter()
            .map(|change| Entry::Install(InstallEntry { at: at.clone(), change }))
            .collect();
        journal.append(&entries)?;
        for entry in entries {
            if let Entry::Install(entry) = entry {
                inner.take_over(entry.change);
            }
        }
        Ok(())
    }

    /// The same, with nothing else under the lock.
    pub(super) fn keep_alone(&self, changes: impl IntoIterator<Item = Change>) -> std::io::Result<()> {
        let mut guard = self.lock();
        let (inner, journal) = &mut *guard;
        self.keep(inner, journal, changes)
    }

    /// A token that does not end.
    pub(super) fn issue_token(&self, grant: &Grant) -> std::io::Result<String> {
        let token = format!("sandbox-{}", uuid::Uuid::new_v4().simple());
        let change = Change::Fixed {
            location_id: grant.location.clone(),
            scopes: grant.scopes.as_ref().map(|scopes| scopes.join(" ")),
            access: hash(&token),
        };
        self.keep_alone([change])?;
        Ok(token)
    }

    /// Whose token it is; none that is known, or it has ended.
    pub(super) fn holder_of(&self, token: &str) -> Option<Holder> {
        if token.starts_with(PREFIX) {
            return self.keys.grant_of(token).map(Holder::Lasting);
        }
        let guard = self.lock();
        if let Some(grant) = guard.0.tokens.get(&hash(token)) {
            return Some(Holder::Lasting(grant.clone()));
        }
        let pair = guard.0.installs.pair_of(token, self.clock.now())?;
        Some(match &pair.place.location_id {
            Some(location) => Holder::Location(Grant {
                location: location.clone(),
                scopes: Some(pair.scopes.split_whitespace().map(str::to_owned).collect()),
            }),
            None => Holder::Company(pair.clone()),
        })
    }

    /// What a token opens of a location's data.
    pub(super) fn grant_of(&self, token: &str) -> Option<Grant> {
        match self.holder_of(token)? {
            Holder::Lasting(grant) | Holder::Location(grant) => Some(grant),
            Holder::Company(_) => None,
        }
    }

    /// Sends an app a message with this body and what every message has; gives its id.
    pub(super) fn tell(
        &self,
        inner: &mut Inner,
        journal: &mut Journal,
        app: &App,
        body: Value,
    ) -> Result<String, Refusal> {
        let now = self.clock.now().to_rfc3339();
        let webhook_id = uuid::Uuid::new_v4().to_string();
        let mut body = match body {
            Value::Object(body) => body,
            _ => return Err(Refusal::Invalid(vec!["body must be an object".to_owned()])),
        };
        let text =
            |body: &Object, name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let told = [
            ("timestamp", json!(now)),
            ("webhookId", json!(webhook_id)),
            ("appId", json!(app.app_id)),
            ("versionId", json!(app.app_id)),
        ];
        body.extend(told.map(|(name, value)| (name.to_owned(), value)));
        let delivery = DeliveryEntry {
            at: now,
            webhook_id: webhook_id.clone(),
            event_type: text(&body, "type"),
            app_id: app.app_id.clone(),
            location_id: text(&body, "locationId"),
            object_id: text(&body, "id"),
            body: Value::Object(body).to_string(),
        };
        journal.append(&[Entry::Delivery(delivery.clone())])?;
        self.hand_over(inner, app.webhook_url.clone(), delivery);
        Ok(webhook_id)
    }
}

impl Inner {
    /// Takes over a change of installs.
    pub(super) fn take_over(&mut self, change: Change) {
        if let Change::Fixed { location_id, scopes, access } = change {
            let scopes = scopes.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
            self.tokens.insert(access, Grant { location: location_id, scopes });
        } else {
            self.installs.apply(change);
        }
    }
}
