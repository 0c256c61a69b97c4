//! Brings what is stored and not ended to the scheduler, in the order of ingest, within a window.

use super::scheduler::Scheduler;
use crate::domain::{Clock, Sequence};
use crate::store::{Store, StoreError};
use crate::tenants::PausedTenants;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Events read by one statement.
const PAGE: i64 = 5000;
/// Machine time between looks while the window is full or the database failed.
const PAUSE: Duration = Duration::from_millis(50);
/// Events between two notes of how far everything has ended.
const NOTE_EVERY: i64 = 10_000;

/// Feeds until it is stopped.
pub(super) async fn feed(
    store: Store,
    scheduler: Arc<Scheduler>,
    (clock, mut paused): (Clock, watch::Receiver<PausedTenants>),
    window: usize,
    stop: CancellationToken,
) {
    let mut appended = store.appended();
    scheduler.set_paused(paused.borrow_and_update().clone());
    let mut after = Sequence(0);
    let mut noted = 0;
    match store.ended_up_to().await {
        Ok(ended) => {
            after = ended;
            noted = ended.0;
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not read how far events have ended"
        ),
    }
    while !stop.is_cancelled() {
        if paused.has_changed().unwrap_or_default() {
            scheduler.set_paused(paused.borrow_and_update().clone());
        }
        let found = page(&store, &scheduler, &mut after, window).await;
        let ended = scheduler.ended_up_to();
        if ended - noted >= NOTE_EVERY && store.note_ended_up_to(Sequence(ended)).await.is_ok() {
            noted = ended;
        }
        let idle = match found {
            Ok(found) => found == 0,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not read the inbox; trying again"
                );
                clock.machine_sleep(PAUSE * 10).await;
                false
            }
        };
        if scheduler.in_window() >= window {
            clock.machine_sleep(PAUSE).await;
        } else if idle {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = appended.wait_for(|newest| *newest > after.0) => {
                    if changed.is_err() {
                        return;
                    }
                }
                Ok(()) = paused.changed() => scheduler.set_paused(paused.borrow_and_update().clone()),
            }
        }
    }
}

/// Brings a page of what is new, and one of what a resumed tenant has to catch up with; how many events they hold.
async fn page(
    store: &Store,
    scheduler: &Scheduler,
    after: &mut Sequence,
    window: usize,
) -> Result<usize, StoreError> {
    if scheduler.in_window() >= window {
        return Ok(0);
    }
    let events = store.open_events(*after, PAGE).await?;
    let mut found = events.len();
    if let Some(last) = events.last() {
        *after = last.sequence;
        scheduler.feed(events);
    }
    if let Some((tenant, from, upto)) = scheduler.behind() {
        let events = store.open_events_of(&tenant, (from, upto), PAGE).await?;
        let more = i64::try_from(events.len()).is_ok_and(|count| count >= PAGE);
        // At least one, so that the next look is at once: another tenant may have to catch up too.
        found += events.len().max(1);
        scheduler.catch_up(&tenant, events, more);
    }
    Ok(found)
}
