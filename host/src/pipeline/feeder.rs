//! Brings what is stored and not ended to the scheduler, in the order of ingest, within a window.

use super::scheduler::Scheduler;
use crate::domain::{Clock, Sequence};
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
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
    clock: Clock,
    window: usize,
    stop: CancellationToken,
) {
    let mut appended = store.appended();
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
        if scheduler.status().events >= window {
            clock.machine_sleep(PAUSE).await;
        } else if idle {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = appended.wait_for(|newest| *newest > after.0) => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn page(
    store: &Store,
    scheduler: &Scheduler,
    after: &mut Sequence,
    window: usize,
) -> Result<usize, StoreError> {
    if scheduler.status().events >= window {
        return Ok(0);
    }
    let events = store.open_events(*after, PAGE).await?;
    let found = events.len();
    if let Some(last) = events.last() {
        *after = last.sequence;
        scheduler.feed(events);
    }
    Ok(found)
}
