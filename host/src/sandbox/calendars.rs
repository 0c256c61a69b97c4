//! GHL's calendars: their list, the appointments of one in a window of time, and taking an appointment out.

use super::caller::Caller;
use super::refusal::Refusal;
use super::shape::{Change, Kind};
use super::state::State;
use crate::domain::Timestamp;
use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which calendars or appointments.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    location_id: Option<String>,
    calendar_id: Option<String>,
    user_id: Option<String>,
    group_id: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
}

fn location(caller: &Caller, asked: &Asked) -> Result<(), Refusal> {
    match asked.location_id.as_deref() {
        Some(given) => caller.owns(given),
        None => Err(Refusal::Invalid(vec!["locationId should not be empty".to_owned()])),
    }
}

/// The calendars of a location: one for every calendar an appointment names.
pub(super) async fn list(
    Extract(state): Extract<Arc<State>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("calendars.readonly")?;
    location(&caller, &asked)?;
    let ids: BTreeSet<String> = state
        .objects(Kind::Appointment, &caller.location, |_| true)
        .iter()
        .filter_map(|it| it.get("calendarId")?.as_str().map(str::to_owned))
        .collect();
    let calendars: Vec<Value> = ids
        .into_iter()
        .map(|id| json!({"id": id, "locationId": caller.location, "name": "Calendar", "isActive": true}))
        .collect();
    Ok(Json(json!({"calendars": calendars})))
}

/// The appointments that begin in a window, of a calendar, a person or a group.
pub(super) async fn events(
    Extract(state): Extract<Arc<State>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("calendars/events.readonly")?;
    location(&caller, &asked)?;
    let (Some(from), Some(to)) = (asked.start_time, asked.end_time) else {
        return Err(Refusal::Invalid(vec!["startTime and endTime should not be empty".to_owned()]));
    };
    if asked.calendar_id.is_none() && asked.user_id.is_none() && asked.group_id.is_none() {
        return Err(Refusal::Invalid(vec!["either of calendarId, userId or groupId is required".to_owned()]));
    }
    let wanted = [
        ("calendarId", &asked.calendar_id),
        ("assignedUserId", &asked.user_id),
        ("groupId", &asked.group_id),
    ];
    let events = state.objects(Kind::Appointment, &caller.location, |it| {
        let text = |name: &str| it.get(name).and_then(Value::as_str);
        let begins = text("startTime").and_then(Timestamp::parse).map(Timestamp::millis);
        begins.is_some_and(|at| at >= from && at <= to)
            && wanted
                .iter()
                .all(|(name, asked)| asked.as_deref().is_none_or(|asked| text(name) == Some(asked)))
    });
    Ok(Json(json!({"events": events})))
}

/// Takes an appointment out.
pub(super) async fn delete(
    Extract(state): Extract<Arc<State>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("calendars/events.write")?;
    let appointment = state.object(Kind::Appointment, &id, &caller.location)?;
    let change = Change {
        kind: Kind::Appointment,
        id: &id,
        location: &caller.location,
        op: "delete",
        by: caller.by(),
    };
    state.change(change, appointment)?;
    if caller.by() == "api" {
        state.wrote("calendar_delete_event", &id, caller.request_id.as_deref())?;
    }
    Ok(Json(json!({"succeeded": true})))
}
