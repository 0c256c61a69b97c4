//! The outbox: the first open effect of each lane, several lanes at once.

use super::perform::{Next, Performer};
use crate::domain::{Clock, ConnectionId, Lane, Timestamp};
use crate::ghl::Ghl;
use crate::store::{OpenEffect, Store, StoreError};
use crate::tenants::Assignments;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Lanes looked at by one statement.
const PAGE: i64 = 512;
/// Machine time after which the outbox looks again in any case.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Machine time it waits after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the outbox is made of.
#[derive(Clone)]
pub struct OutboxParts {
    /// The database.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// Who asks GHL.
    pub ghl: Ghl,
    /// Who wants to know how effects ended.
    pub assignments: Assignments,
    /// Told when there are new effects.
    pub planned: Arc<Notify>,
}

#[derive(Default)]
struct Busy {
    lanes: HashSet<Lane>,
    parked: HashMap<ConnectionId, Timestamp>,
}

/// The running outbox.
pub struct Outbox {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Outbox {
    /// Starts it; `at_once` effects are under way at the most.
    #[must_use]
    pub fn start(parts: OutboxParts, at_once: usize) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let looking = Looking {
            performer: Arc::new(Performer { parts }),
            busy: Arc::default(),
            freed: Arc::default(),
            at_once: at_once.max(1),
            tasks: tasks.clone(),
        };
        tasks.spawn(looking.look(stop.clone()));
        Self { stop, tasks }
    }

    /// Takes nothing new and waits for what is under way.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Looking {
    performer: Arc<Performer>,
    busy: Arc<Mutex<Busy>>,
    freed: Arc<Notify>,
    at_once: usize,
    tasks: TaskTracker,
}

impl Looking {
    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(self, stop: CancellationToken) {
        let (clock, planned) =
            (self.performer.parts.clock.clone(), Arc::clone(&self.performer.parts.planned));
        while !stop.is_cancelled() {
            if let Err(error) = self.take().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the outbox could not be read; trying again"
                );
                clock.machine_sleep(AFTER_FAILURE).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = planned.notified() => {}
                () = self.freed.notified() => {}
                () = clock.machine_sleep(LONGEST_WAIT) => {}
            }
        }
    }

    /// Begins what is due and free, up to the limit.
    async fn take(&self) -> Result<(), StoreError> {
        if self.busy().lanes.len() >= self.at_once {
            return Ok(());
        }
        let heads = self.performer.parts.store.outbox_heads(PAGE).await?;
        let now = self.performer.parts.clock.now();
        for head in heads {
            let mut busy = self.busy();
            if busy.lanes.len() >= self.at_once {
                return Ok(());
            }
            let parked = busy.parked.get(&head.connection).is_some_and(|until| now < *until);
            let due = head.due.is_none_or(|due| due <= now);
            if parked || !due || !busy.lanes.insert(head.lane.clone()) {
                continue;
            }
            drop(busy);
            self.begin(head);
        }
        Ok(())
    }

    fn begin(&self, head: OpenEffect) {
        let (performer, busy, freed) =
            (Arc::clone(&self.performer), Arc::clone(&self.busy), Arc::clone(&self.freed));
        self.tasks.spawn(async move {
            let next = performer.perform(&head).await;
            let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
            if let Next::Park(until) = next {
                busy.parked.insert(head.connection.clone(), until);
            }
            busy.lanes.remove(&head.lane);
            drop(busy);
            freed.notify_one();
        });
    }
}
