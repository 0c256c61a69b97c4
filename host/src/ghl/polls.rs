//! Reads for polling: pages of what a location has, what belongs to a contact, single objects. They give way to effects and
//! runs in the connection's quota.

use super::client::{Ghl, GhlRequest};
use super::error::GhlError;
use super::operations::operation;
use super::snapshots::Snapshot;
use crate::domain::{ConnectionId, GhlId, ObjectKind, Timestamp};
use serde_json::{Value as Json, json};

/// Which contacts, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactOrder {
    /// Those changed at or after this moment, the longest unchanged first; all without one.
    Changed(Option<Timestamp>),
    /// All, the oldest first; their places don't move while they are read.
    Made,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshots {
    /// The objects.
    pub rows: Vec<Snapshot>,
    /// Where the next page begins; none on the last.
    pub next: Option<Json>,
}

fn call(id: &'static str, parameters: &[&str]) -> Result<GhlRequest, GhlError> {
    let known = operation(id).ok_or(GhlError::BadAnswer {
        operation: id,
        detail: "the catalogue lacks the operation".to_owned(),
    })?;
    Ok(GhlRequest::new(known, parameters))
}

/// The list in an answer.
fn list<'a>(answer: &'a Json, at: &str, operation: &'static str) -> Result<&'a Vec<Json>, GhlError> {
    answer
        .get(at)
        .and_then(Json::as_array)
        .ok_or_else(|| GhlError::BadAnswer { operation, detail: format!("it has no list {at:?}") })
}

fn snapshots(kind: ObjectKind, rows: &[Json]) -> Vec<Snapshot> {
    rows.iter().filter_map(|row| Snapshot::of(kind, row)).collect()
}

/// A page of contacts from the search index, which is some seconds behind.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_contacts(
    ghl: &Ghl,
    connection: &ConnectionId,
    order: ContactOrder,
    after: Option<&Json>,
    rows: u32,
) -> Result<Snapshots, GhlError> {
    let field = match order {
        ContactOrder::Changed(_) => "dateUpdated",
        ContactOrder::Made => "dateAdded",
    };
    let mut body = json!({
        "locationId": "{locationId}", "pageLimit": rows, "sort": [{"field": field, "direction": "asc"}],
    });
    if let (ContactOrder::Changed(Some(from)), Some(body)) = (order, body.as_object_mut()) {
        let filter = json!([{"field": field, "operator": "range", "value": {"gte": from.to_rfc3339()}}]);
        body.insert("filters".to_owned(), filter);
    }
    if let (Some(after), Some(body)) = (after, body.as_object_mut()) {
        body.insert("searchAfter".to_owned(), after.clone());
    }
    let answer = ghl.poll(connection, &call("contact_search", &[])?.body(body)).await?.json;
    let found = list(&answer, "contacts", "contact_search")?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count >= rows);
    let next = found.last().filter(|_| full).and_then(|row| row.get("searchAfter")).cloned();
    Ok(Snapshots { rows: snapshots(ObjectKind::Contact, found), next })
}

/// A page of a location's tasks.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_tasks(
    ghl: &Ghl,
    connection: &ConnectionId,
    skip: u64,
    rows: u32,
) -> Result<Snapshots, GhlError> {
    let request = call("location_task_search", &[])?.body(json!({"limit": rows, "skip": skip}));
    let answer = ghl.poll(connection, &request).await?.json;
    let found = list(&answer, "tasks", "location_task_search")?;
    let count = u64::try_from(found.len()).unwrap_or(0);
    let next = (count >= u64::from(rows)).then(|| json!(skip + count));
    Ok(Snapshots { rows: snapshots(ObjectKind::Task, found), next })
}

/// The ids of a location's calendars.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_calendars(ghl: &Ghl, connection: &ConnectionId) -> Result<Vec<String>, GhlError> {
    let request = call("calendar_get_calendars", &[])?.query("locationId", "{locationId}");
    let answer = ghl.poll(connection, &request).await?.json;
    let found = list(&answer, "calendars", "calendar_get_calendars")?;
    Ok(found.iter().filter_map(|row| row.get("id")?.as_str().map(str::to_owned)).collect())
}

/// The appointments of a calendar that begin in a window; entries without a contact are no appointments.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_appointments(
    ghl: &Ghl,
    connection: &ConnectionId,
    calendar: &str,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Snapshot>, GhlError> {
    let request = call("calendar_get_calendar_events", &[])?
        .query("locationId", "{locationId}")
        .query("calendarId", calendar)
        .query("startTime", from.millis().to_string())
        .query("endTime", to.millis().to_string());
    let answer = ghl.poll(connection, &request).await?.json;
    let mut found =
        snapshots(ObjectKind::Appointment, list(&answer, "events", "calendar_get_calendar_events")?);
    found.retain(|it| it.contact.is_some());
    Ok(found)
}

/// What belongs to a contact, of one kind; none when GHL does not know the contact.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_of_contact(
    ghl: &Ghl,
    connection: &ConnectionId,
    kind: ObjectKind,
    contact: &GhlId,
) -> Result<Option<Vec<Snapshot>>, GhlError> {
    let (id, at) = match kind {
        ObjectKind::Task => ("contact_get_all_tasks", "tasks"),
        ObjectKind::Note => ("contact_get_all_notes", "notes"),
        _ => ("get_appointments_for_contact", "events"),
    };
    let answer = match ghl.poll(connection, &call(id, &[contact.as_str()])?).await {
        Ok(answer) => answer.json,
        Err(GhlError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = snapshots(kind, list(&answer, at, id)?);
    for snapshot in &mut found {
        snapshot.contact.get_or_insert_with(|| contact.clone());
    }
    Ok(Some(found))
}

/// One object; none when it is not there any more.
///
/// # Errors
/// See [`GhlError`].
pub async fn poll_one(
    ghl: &Ghl,
    connection: &ConnectionId,
    kind: ObjectKind,
    contact: Option<&GhlId>,
    id: &GhlId,
) -> Result<Option<Snapshot>, GhlError> {
    let of = contact.map_or("", GhlId::as_str);
    let (request, at) = match kind {
        ObjectKind::Contact => (call("get_contact", &[id.as_str()])?, "contact"),
        ObjectKind::Task => (call("contact_get_task", &[of, id.as_str()])?, "task"),
        ObjectKind::Note => (call("contact_get_note", &[of, id.as_str()])?, "note"),
        _ => (call("calendar_get_appointment", &[id.as_str()])?, "appointment"),
    };
    let answer = match ghl.poll(connection, &request).await {
        Ok(answer) => answer.json,
        Err(GhlError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let row = answer.get(at).or_else(|| answer.get("event")).unwrap_or(&answer);
    if row.get("deleted") == Some(&Json::Bool(true)) {
        return Ok(None);
    }
    let mut found = Snapshot::of(kind, row).ok_or_else(|| GhlError::BadAnswer {
        operation: request.operation.id,
        detail: format!("it has no {at:?} with an id"),
    })?;
    if found.contact.is_none() {
        found.contact = contact.cloned();
    }
    Ok(Some(found))
}
