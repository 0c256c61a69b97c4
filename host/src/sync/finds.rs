//! What a snapshot says beside what was last seen: the events a webhook would have told, in its shape.

use crate::domain::{GhlId, LocationId, ObjectKind, Timestamp, dedupe_key};
use crate::ghl::Snapshot;
use crate::store::PolledRow;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use std::time::Duration;

/// A change whose time GHL does not tell counts as made when it was seen, if the look before is not longer ago than this;
/// else as made just after that look. So nothing old passes for new, and an answer of GHL to us is still known again.
const CLOSE_LOOK: Duration = Duration::from_secs(5 * 60);

/// Something that happened, as a webhook would have told it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Find {
    /// The event type.
    pub(super) event_type: &'static str,
    /// The body.
    pub(super) body: Json,
    /// When it happened.
    pub(super) at: Timestamp,
    /// Whether GHL told that time.
    pub(super) told: bool,
}

/// The circumstances of a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    /// The location.
    pub(super) location: &'a LocationId,
    /// When GHL was asked.
    pub(super) asked_at: Timestamp,
    /// When it was asked the same before; none on the first look.
    pub(super) before: Option<Timestamp>,
    /// The number of the listing.
    pub(super) round: i64,
    /// How far a list may be behind.
    pub(super) overlap: Duration,
}

impl Look<'_> {
    /// The time of a change that GHL gives none for.
    fn bound(&self) -> Timestamp {
        match self.before {
            Some(before) if self.asked_at.since(before) > CLOSE_LOOK => before.plus(Duration::from_millis(1)),
            _ => self.asked_at,
        }
    }
}

/// The events between what was last seen and now, and what is seen now.
pub(super) fn compare(known: Option<&PolledRow>, now: &Snapshot, look: Look<'_>) -> (Vec<Find>, PolledRow) {
    let version = version(now);
    let mut row = PolledRow {
        kind: now.kind,
        ghl_id: now.id.clone(),
        contact: now.contact.clone(),
        version: version.clone(),
        parts: parts(now),
        source_time: now.updated.or(now.added).unwrap_or(look.asked_at),
        changes: 1,
        round: look.round,
        starts_at: if now.kind == ObjectKind::Appointment { now.starts() } else { None },
        visited_at: None,
        due_at: 0,
        deleted_at: None,
    };
    let Some(known) = known else {
        let at = now.updated.filter(|_| now.kind == ObjectKind::Contact).or(now.added);
        row.source_time = at.unwrap_or_else(|| look.bound());
        return (created(now, look, &row, at.is_some()), row);
    };
    row.visited_at = known.visited_at;
    row.due_at = known.due_at;
    row.changes = known.changes;
    if lags(known, now, &version, look) {
        return (Vec::new(), PolledRow { round: row.round.max(known.round), ..known.clone() });
    }
    if known.deleted_at.is_none() && known.version == version {
        row.source_time = known.source_time;
        row.round = row.round.max(known.round);
        return (Vec::new(), row);
    }
    row.changes += 1;
    let told = now.updated.filter(|at| *at > known.source_time);
    row.source_time = told
        .unwrap_or_else(|| look.bound())
        .max(known.source_time.max(known.deleted_at.unwrap_or_default()).plus(Duration::from_millis(1)));
    let finds = if known.deleted_at.is_some() {
        created(now, look, &row, told.is_some())
    } else {
        changed(known, now, look, &row, told.is_some())
    };
    (finds, row)
}

/// Whether the list shows something older than what is known already.
fn lags(known: &PolledRow, now: &Snapshot, version: &str, look: Look<'_>) -> bool {
    if let Some(deleted) = known.deleted_at {
        return now.updated.map_or_else(
            || known.version == version && look.asked_at.since(deleted) < look.overlap,
            |updated| updated <= deleted || known.version == version,
        );
    }
    now.kind == ObjectKind::Contact && now.updated.is_some_and(|updated| updated < known.source_time)
}

/// The event of an object that is gone, and how it is remembered.
pub(super) fn gone(known: &PolledRow, look: Look<'_>) -> (Find, PolledRow) {
    let at = look.asked_at.max(known.source_time.plus(Duration::from_millis(1)));
    let event_type = match known.kind {
        ObjectKind::Contact => "ContactDelete",
        ObjectKind::Task => "TaskDelete",
        ObjectKind::Note => "NoteDelete",
        _ => "AppointmentDelete",
    };
    let of = (known.kind, &known.ghl_id, known.contact.as_ref());
    let find =
        Find { event_type, body: body(event_type, of, Map::new(), (look.location, at)), at, told: false };
    let row = PolledRow { deleted_at: Some(at), changes: known.changes + 1, ..known.clone() };
    (find, row)
}

fn created(now: &Snapshot, look: Look<'_>, row: &PolledRow, told: bool) -> Vec<Find> {
    let mut fields = now.fields.clone();
    fields.retain(|_, value| !value.is_null());
    let event_type = match now.kind {
        ObjectKind::Contact => "ContactCreate",
        ObjectKind::Task => "TaskCreate",
        ObjectKind::Note => "NoteCreate",
        _ => "AppointmentCreate",
    };
    if now.kind == ObjectKind::Task && now.is_completed() {
        // Its completion is an event of its own, and news only there.
        fields.remove("completed");
        let done = find("TaskComplete", now, task_fields(now), look, (row.source_time, told));
        return vec![find(event_type, now, fields, look, (row.source_time, told)), done];
    }
    vec![find(event_type, now, fields, look, (row.source_time, told))]
}

fn changed(known: &PolledRow, now: &Snapshot, look: Look<'_>, row: &PolledRow, told: bool) -> Vec<Find> {
    let time = (row.source_time, told);
    let before: Vec<&str> = known.parts.split(' ').collect();
    let differs = |place: usize, part: &str| before.get(place).is_none_or(|known| *known != part);
    let after: Vec<&str> = row.parts.split(' ').collect();
    let part_changed = |place: usize| differs(place, after.get(place).copied().unwrap_or_default());
    match now.kind {
        ObjectKind::Contact => {
            let (rest, tags, dnd) = (part_changed(0), part_changed(1), part_changed(2));
            let only = |names: &[&str]| {
                let mut fields = now.fields.clone();
                fields.retain(|name, _| names.contains(&name.as_str()));
                fields
            };
            let mut finds = Vec::new();
            if tags {
                finds.push(find("ContactTagUpdate", now, only(&["tags"]), look, time));
            }
            if dnd {
                finds.push(find("ContactDndUpdate", now, only(&["dnd", "dndSettings"]), look, time));
            }
            if rest || finds.is_empty() {
                finds.push(find("ContactUpdate", now, now.fields.clone(), look, time));
            }
            finds
        }
        ObjectKind::Task => {
            let (rest, done) = (part_changed(0), part_changed(1) && now.is_completed());
            let mut finds = Vec::new();
            if rest || !done {
                let mut fields = now.fields.clone();
                if done {
                    fields.remove("completed");
                }
                finds.push(find("TaskUpdate", now, fields, look, time));
            }
            if done {
                finds.push(find("TaskComplete", now, task_fields(now), look, time));
            }
            finds
        }
        ObjectKind::Note => vec![find("NoteUpdate", now, now.fields.clone(), look, time)],
        _ => vec![find("AppointmentUpdate", now, now.fields.clone(), look, time)],
    }
}

/// A task's fields as events tell them, without its state.
fn task_fields(now: &Snapshot) -> Map<String, Json> {
    let mut fields = now.fields.clone();
    fields.retain(|name, value| name != "completed" && !value.is_null());
    fields
}

fn find(
    event_type: &'static str,
    now: &Snapshot,
    fields: Map<String, Json>,
    look: Look<'_>,
    (at, told): (Timestamp, bool),
) -> Find {
    let of = (now.kind, &now.id, now.contact.as_ref());
    Find { event_type, body: body(event_type, of, fields, (look.location, at)), at, told }
}

/// The webhook's body: flat, appointments nested.
fn body(
    event_type: &str,
    (kind, id, contact): (ObjectKind, &GhlId, Option<&GhlId>),
    mut fields: Map<String, Json>,
    (location, at): (&LocationId, Timestamp),
) -> Json {
    fields.insert("id".to_owned(), json!(id));
    if let Some(contact) = contact {
        fields.insert("contactId".to_owned(), json!(contact));
    }
    let mut body = match kind {
        ObjectKind::Appointment => Map::from_iter([("appointment".to_owned(), Json::Object(fields))]),
        _ => fields,
    };
    body.insert("type".to_owned(), json!(event_type));
    body.insert("locationId".to_owned(), json!(location));
    body.insert("timestamp".to_owned(), json!(at.to_rfc3339()));
    Json::Object(body)
}

/// The same for the same state: GHL's time of the contact's last change, else a fingerprint of the fields.
fn version(now: &Snapshot) -> String {
    match (now.kind, now.updated) {
        (ObjectKind::Contact, Some(updated)) => updated.to_rfc3339(),
        _ => {
            let contact = now.contact.as_ref().map_or("", GhlId::as_str);
            format!("{} {}", fingerprint(now, |name| !name.starts_with("date")), fingerprint_of(&[contact]))
        }
    }
}

/// Fingerprints of the parts that have event types of their own, the rest first.
fn parts(now: &Snapshot) -> String {
    match now.kind {
        ObjectKind::Contact => format!(
            "{} {} {}",
            fingerprint(now, |name| !matches!(name, "tags" | "dnd" | "dndSettings")),
            fingerprint(now, |name| name == "tags"),
            fingerprint(now, |name| matches!(name, "dnd" | "dndSettings")),
        ),
        ObjectKind::Task => format!(
            "{} {}",
            fingerprint(now, |name| name != "completed" && name != "dateAdded"),
            now.is_completed()
        ),
        _ => String::new(),
    }
}

fn fingerprint(now: &Snapshot, part: impl Fn(&str) -> bool) -> String {
    let fields: Vec<(&String, &Json)> =
        now.fields.iter().filter(|(name, value)| part(name) && !value.is_null()).collect();
    fingerprint_of(&[&serde_json::to_string(&fields).unwrap_or_default()])
}

fn fingerprint_of(parts: &[&str]) -> String {
    let mut text = String::with_capacity(32);
    for byte in dedupe_key(parts) {
        let _ignored_infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDED: &str = "2026-01-01T00:00:00.000Z";

    fn look(location: &LocationId, at: i64, before: Option<i64>) -> Look<'_> {
        Look {
            location,
            asked_at: Timestamp::from_millis(at),
            before: before.map(Timestamp::from_millis),
            round: 1,
            overlap: Duration::from_secs(120),
        }
    }

    fn snapshot(kind: ObjectKind, fields: Json) -> Snapshot {
        let time = |name: &str| fields[name].as_str().and_then(Timestamp::parse);
        Snapshot {
            kind,
            id: GhlId::from("o1"),
            contact: (kind != ObjectKind::Contact).then(|| GhlId::from("c1")),
            updated: time("dateUpdated"),
            added: time("dateAdded"),
            fields: fields
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, _)| *name != "dateUpdated")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    fn types(finds: &[Find]) -> Vec<&str> {
        finds.iter().map(|find| find.event_type).collect()
    }

    #[test]
    fn a_contact_is_told_as_webhooks_tell_it() {
        let location = LocationId::from("l");
        let contact = |updated: &str, city: Json, tags: Json| {
            snapshot(ObjectKind::Contact, json!({"dateUpdated": updated, "city": city, "tags": tags}))
        };
        let first = contact("2026-01-01T00:00:01Z", json!(null), json!(["a"]));
        let (finds, seen) = compare(None, &first, look(&location, 0, None));
        assert_eq!(types(&finds), ["ContactCreate"]);
        assert_eq!(
            finds[0].body,
            json!({"type": "ContactCreate", "id": "o1", "locationId": "l", "tags": ["a"], "timestamp": "2026-01-01T00:00:01.000Z"})
        );
        assert!(compare(Some(&seen), &first, look(&location, 9, None)).0.is_empty());
        let tagged = contact("2026-01-01T00:00:02Z", json!(null), json!(["a", "b"]));
        assert_eq!(types(&compare(Some(&seen), &tagged, look(&location, 9, None)).0), ["ContactTagUpdate"]);
        let both = contact("2026-01-01T00:00:03Z", json!("Ulm"), json!(["b"]));
        let (finds, _) = compare(Some(&seen), &both, look(&location, 9, None));
        assert_eq!(types(&finds), ["ContactTagUpdate", "ContactUpdate"]);
        assert_eq!((finds[0].body.get("city"), &finds[1].body["city"]), (None, &json!("Ulm")));
        // An index that is behind shows an older state: no news.
        let (_, newest) = compare(Some(&seen), &both, look(&location, 9, None));
        assert!(compare(Some(&newest), &tagged, look(&location, 9, None)).0.is_empty());
    }

    #[test]
    fn what_is_gone_stays_gone_while_the_index_is_behind_and_can_come_back() {
        let location = LocationId::from("l");
        let contact = |updated: &str| snapshot(ObjectKind::Contact, json!({"dateUpdated": updated}));
        let (_, seen) = compare(None, &contact("1970-01-01T00:00:01Z"), look(&location, 0, None));
        let (find, tomb) = gone(&seen, look(&location, 5000, None));
        assert_eq!((find.event_type, find.body["id"].as_str()), ("ContactDelete", Some("o1")));
        assert!(
            compare(Some(&tomb), &contact("1970-01-01T00:00:02Z"), look(&location, 6000, None)).0.is_empty()
        );
        let (finds, back) =
            compare(Some(&tomb), &contact("1970-01-01T00:00:09Z"), look(&location, 9500, None));
        assert_eq!((types(&finds), back.deleted_at), (vec!["ContactCreate"], None));
        assert!(back.changes > seen.changes);
    }

    #[test]
    fn a_task_is_created_changed_and_completed() {
        let location = LocationId::from("l");
        let task = |title: &str, done: bool| {
            snapshot(ObjectKind::Task, json!({"title": title, "completed": done, "dateAdded": ADDED}))
        };
        let (finds, open) = compare(None, &task("A", false), look(&location, 50, None));
        assert_eq!((types(&finds), finds[0].told), (vec!["TaskCreate"], true));
        let (finds, _) = compare(None, &task("A", true), look(&location, 50, None));
        assert_eq!(types(&finds), ["TaskCreate", "TaskComplete"]);
        assert_eq!(finds[0].body.get("completed"), None);
        let change = |known: &PolledRow, now: &Snapshot| compare(Some(known), now, look(&location, 60, None));
        let (finds, done) = change(&open, &task("B", true));
        assert_eq!(types(&finds), ["TaskUpdate", "TaskComplete"]);
        let (finds, again) = change(&done, &task("B", false));
        assert_eq!((types(&finds), &finds[0].body["completed"]), (vec!["TaskUpdate"], &json!(false)));
        // A state that comes back is news again.
        assert_eq!((again.changes, types(&change(&again, &task("B", true)).0)), (3, vec!["TaskComplete"]));
    }

    #[test]
    fn a_change_without_a_time_is_as_old_as_the_look_before_may_make_it() {
        let location = LocationId::from("l");
        let note = |text: &str| snapshot(ObjectKind::Note, json!({"body": text}));
        let (_, seen) = compare(None, &note("a"), look(&location, 1000, None));
        let (finds, _) = compare(Some(&seen), &note("b"), look(&location, 61_000, Some(1000)));
        assert_eq!(finds[0].at, Timestamp::from_millis(61_000));
        let (finds, _) = compare(Some(&seen), &note("b"), look(&location, 4_000_000, Some(1000)));
        assert_eq!(finds[0].at, Timestamp::from_millis(1001));
    }

    #[test]
    fn an_appointment_is_nested_and_its_own_times_are_no_change() {
        let location = LocationId::from("l");
        let visit = |updated: &str, status: &str| {
            snapshot(
                ObjectKind::Appointment,
                json!({"startTime": "2026-02-01T10:00:00Z", "appointmentStatus": status, "dateUpdated": updated}),
            )
        };
        let (finds, seen) = compare(None, &visit(ADDED, "confirmed"), look(&location, 0, None));
        assert_eq!(finds[0].body["appointment"]["contactId"], "c1");
        assert_eq!(seen.starts_at, Timestamp::parse("2026-02-01T10:00:00Z"));
        let same = visit("2026-01-02T00:00:00Z", "confirmed");
        assert!(compare(Some(&seen), &same, look(&location, 9, None)).0.is_empty());
        let moved = visit("2026-01-02T00:00:00Z", "cancelled");
        assert_eq!(types(&compare(Some(&seen), &moved, look(&location, 9, None)).0), ["AppointmentUpdate"]);
    }
}
