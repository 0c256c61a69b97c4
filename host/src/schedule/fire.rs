//! One step of a rule: a page of contacts or objects whose slot has come, as events.

use super::timing::{Rule, Running};
use crate::domain::{Cause, GhlId, Lane, Missed, ObjectKind, Timestamp, TimingKind, When, dedupe_key};
use crate::store::{Candidate, InboxRow, Place, StoreError, TimingCursor};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Objects looked at by one step; its events are one commit.
pub(super) const PAGE: i64 = 500;
/// A slot longer ago than this fires no more; deliveries are known for longer than that.
const MOST_LATE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a calendar rule does now.
enum Calendar {
    Fire(Timestamp),
    Rest(TimingCursor),
}

impl Running {
    /// Does the next page of a rule.
    pub(super) async fn step(&self, rule: &Rule, now: Timestamp) -> Result<(), StoreError> {
        if matches!(rule.plan.when, When::Offset(_)) {
            return self.step_of_objects(rule, now).await;
        }
        let slot = match self.calendar(rule, now) {
            Calendar::Fire(slot) => slot,
            Calendar::Rest(cursor) => return self.commit(&rule.row, cursor, Vec::new(), None).await,
        };
        let page = self.page_of_slot(rule, slot).await?;
        let events = page.iter().filter_map(|candidate| self.event(rule, candidate, slot, now)).collect();
        let mut cursor = rule.row.cursor.clone();
        match page.last() {
            Some(last) if is_full(&page) => {
                cursor.under_way = Some(slot);
                cursor.done_after = Some(place_text(&last.place));
            }
            _ => {
                cursor = TimingCursor {
                    done_to: slot,
                    under_way: None,
                    done_after: None,
                    next_at: rule.plan.next_slot(slot),
                };
            }
        }
        self.commit(&rule.row, cursor, events, Some(slot)).await
    }

    /// Which slot of the rule's own is to be told of now.
    fn calendar(&self, rule: &Rule, now: Timestamp) -> Calendar {
        let cursor = &rule.row.cursor;
        if let Some(slot) = cursor.under_way {
            return Calendar::Fire(slot);
        }
        let mut done_to = cursor.done_to;
        loop {
            let next = rule.plan.next_slot(done_to);
            let slot = match next {
                Some(slot) if slot <= now => slot,
                _ => {
                    return Calendar::Rest(TimingCursor {
                        done_to,
                        under_way: None,
                        done_after: None,
                        next_at: next,
                    });
                }
            };
            if now.since(slot) <= self.parts.late {
                return Calendar::Fire(slot);
            }
            let last = rule.plan.last_slot(now.minus(self.parts.late)).map_or(slot, |last| last.max(slot));
            if rule.plan.missed == Missed::Once && now.since(last) <= MOST_LATE {
                return Calendar::Fire(last);
            }
            done_to = last;
        }
    }

    async fn page_of_slot(&self, rule: &Rule, slot: Timestamp) -> Result<Vec<Candidate>, StoreError> {
        let (store, tenant) = (&self.parts.store, &rule.row.tenant);
        let after = rule.row.cursor.done_after.as_deref();
        match rule.plan.moments_of(slot) {
            None => {
                let (connection, contact): (String, String) =
                    after.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                store.contacts_after(tenant, (&connection, &contact), PAGE).await
            }
            Some((from, to)) => {
                let after = after
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or((from.millis() - 1, i64::MAX));
                let upto = Timestamp::from_millis(to.millis() - 1);
                store.objects_between(tenant, rule.plan.kind.basis(), (after, upto), PAGE).await
            }
        }
    }

    /// The next page of objects whose slots have come since what is done.
    async fn step_of_objects(&self, rule: &Rule, now: Timestamp) -> Result<(), StoreError> {
        let (store, tenant) = (&self.parts.store, &rule.row.tenant);
        let offset = rule.plan.offset_millis();
        let moment = |slot: Timestamp| slot.millis().saturating_sub(offset);
        let kind = rule.plan.kind.basis();
        let cursor = &rule.row.cursor;
        let row = cursor.done_after.as_deref().and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        let upto = Timestamp::from_millis(moment(now));
        let page = store.objects_between(tenant, kind, ((moment(cursor.done_to), row), upto), PAGE).await?;
        let mut last_slot = None;
        let mut events = Vec::with_capacity(page.len());
        for candidate in &page {
            let Some(slot) = candidate.at.and_then(|at| rule.plan.slot_of(at)) else { continue };
            if let Some(event) = self.event(rule, candidate, slot, now) {
                last_slot = Some(slot);
                events.push(event);
            }
        }
        let cursor = match page.last().map(|last| &last.place) {
            Some(Place::Moment(at, row)) if is_full(&page) => TimingCursor {
                done_to: Timestamp::from_millis(at.saturating_add(offset)),
                under_way: None,
                done_after: Some(row.to_string()),
                next_at: cursor.next_at,
            },
            _ => {
                let first = store.first_moment(tenant, kind, upto).await?;
                let next_at = first.map(|at| Timestamp::from_millis(at.millis().saturating_add(offset)));
                TimingCursor { done_to: now, under_way: None, done_after: None, next_at }
            }
        };
        self.commit(&rule.row, cursor, events, last_slot).await
    }

    /// The event of a slot for an object or a contact; none when it is not selected or came too late.
    pub(super) fn event(
        &self,
        rule: &Rule,
        candidate: &Candidate,
        slot: Timestamp,
        now: Timestamp,
    ) -> Option<InboxRow> {
        let late = now.since(slot);
        let missed = late > self.parts.late && rule.plan.missed == Missed::Never;
        if candidate.gone || slot <= rule.row.since || missed || late > MOST_LATE {
            return None;
        }
        let contact = candidate.contact.as_ref()?;
        let of_other = rule.plan.connection.as_ref().is_some_and(|only| *only != candidate.connection);
        let directory = self.parts.directory.get();
        let receiving = directory
            .connection(&candidate.connection)
            .is_some_and(|known| known.receiving && known.tenant == rule.row.tenant);
        if of_other || !receiving || !rule.plan.selects(&record_fields(candidate), slot) {
            return None;
        }
        let object = match candidate.kind {
            ObjectKind::Contact => String::new(),
            kind => format!("{}:{}", kind.as_str(), candidate.ghl_id),
        };
        Some(InboxRow {
            dedupe: dedupe_key(&[
                "timing",
                &rule.row.id,
                candidate.connection.as_str(),
                contact.as_str(),
                &object,
                &slot.millis().to_string(),
            ]),
            tenant: rule.row.tenant.clone(),
            connection: candidate.connection.clone(),
            event_type: Arc::from(rule.plan.event_type.as_str()),
            cause: Cause::Timing,
            lane: Lane::of_contact(&candidate.connection, contact),
            webhook_id: None,
            received_at: now,
            source_time: slot,
            body: Arc::from(body(rule, candidate, contact, slot).to_string()),
        })
    }
}

pub(super) fn is_full(page: &[Candidate]) -> bool {
    i64::try_from(page.len()).is_ok_and(|count| count >= PAGE)
}

fn place_text(place: &Place) -> String {
    match place {
        Place::Moment(at, row) => json!([at, row]).to_string(),
        Place::Contact(connection, contact) => json!([connection, contact]).to_string(),
    }
}

/// The fields of a candidate's record; none where it has no record.
pub(super) fn record_fields(candidate: &Candidate) -> Map<String, Value> {
    candidate.record.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What the event tells plugins: which rule, which slot, whose record, which task or appointment.
fn body(rule: &Rule, candidate: &Candidate, contact: &GhlId, slot: Timestamp) -> Value {
    let kind = rule.plan.kind;
    let mut body = json!({
        "type": rule.plan.event_type, "contactId": contact, "timestamp": slot.to_rfc3339(),
        "rule": {"id": rule.row.id, "kind": kind.as_str()},
        "slot": slot.to_rfc3339(), "recordId": candidate.rankr_id,
    });
    if let Some(top) = body.as_object_mut() {
        if kind == TimingKind::ContactIdle {
            top.insert("lastActivity".to_owned(), json!(candidate.at.map(Timestamp::to_rfc3339)));
        }
        if candidate.kind != ObjectKind::Contact {
            let object = json!({
                "kind": candidate.kind.as_str(), "id": candidate.ghl_id, "fields": mirrored(candidate),
            });
            top.insert("object".to_owned(), object);
        }
    }
    body
}

/// An object's known fields without their stamps.
fn mirrored(candidate: &Candidate) -> Map<String, Value> {
    let stamped: Map<String, Value> =
        candidate.mirror.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let value = |stamped: Value| match stamped {
        Value::Array(parts) => parts.into_iter().next().unwrap_or_default(),
        other => other,
    };
    stamped.into_iter().map(|(name, stamped)| (name, value(stamped))).collect()
}
