//! Due schedules become events, in the commit that takes them off the list.

use crate::domain::{Cause, Clock, dedupe_key};
use crate::store::{InboxRow, ScheduleRow, Store, StoreError};
use crate::tenants::Assignments;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Schedules fired by one commit.
const PAGE: i64 = 256;
/// Machine time between two looks at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The running timers.
pub struct Timers {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Timers {
    /// Starts them.
    #[must_use]
    pub fn start(store: Store, clock: Clock, assignments: Assignments) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(run(store, clock, assignments, stop.clone()));
        tasks.close();
        Self { stop, tasks }
    }

    /// Stops them; what is due meanwhile fires at the next start.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn run(store: Store, clock: Clock, assignments: Assignments, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wait = match fire(&store, &clock, &assignments).await {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "schedules could not be fired; trying again"
                );
                false
            }
        };
        if wait {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = rest(&store, &clock) => {}
        }
    }
}

/// Until the next is due, but not for long: one that is made meanwhile may be earlier.
async fn rest(store: &Store, clock: &Clock) {
    match store.next_schedule().await {
        Ok(Some(at)) => drop(clock.within(LONGEST_WAIT, clock.sleep_until(at)).await),
        _ => clock.machine_sleep(LONGEST_WAIT).await,
    }
}

/// Fires a page of what is due; whether there may be more.
async fn fire(store: &Store, clock: &Clock, assignments: &Assignments) -> Result<bool, StoreError> {
    let now = clock.now();
    let due = store.due_schedules(now, PAGE).await?;
    let more = i64::try_from(due.len()).is_ok_and(|count| count >= PAGE);
    if due.is_empty() {
        return Ok(false);
    }
    let fired = due
        .into_iter()
        .map(|schedule| {
            // Without an active version there is nobody to run; the schedule is cancelled.
            let versions = assignments.of(&schedule.tenant);
            let active = versions.iter().any(|version| version.assignment == schedule.assignment);
            let event = active.then(|| event(&schedule, clock));
            (schedule, event)
        })
        .collect();
    store.fire_schedules(fired).await?;
    Ok(more)
}

fn event(schedule: &ScheduleRow, clock: &Clock) -> InboxRow {
    let now = clock.now();
    let at = schedule.at.unwrap_or(now);
    let contact = schedule.contact.as_ref().map(|id| id.as_str().to_owned());
    let data: serde_json::Value = serde_json::from_str(&schedule.data).unwrap_or_default();
    let body = serde_json::json!({
        "type": "schedule", "assignment": schedule.assignment, "contactId": contact,
        "key": schedule.key, "data": data, "timestamp": at.to_rfc3339(),
    });
    InboxRow {
        dedupe: dedupe_key(&[
            "schedule",
            schedule.assignment.as_str(),
            contact.as_deref().unwrap_or_default(),
            &schedule.key,
            &at.millis().to_string(),
        ]),
        tenant: schedule.tenant.clone(),
        connection: schedule.connection.clone(),
        event_type: Arc::from("schedule"),
        cause: Cause::Schedule,
        lane: schedule.lane.clone(),
        webhook_id: None,
        received_at: now,
        source_time: at,
        body: Arc::from(body.to_string()),
    }
}
