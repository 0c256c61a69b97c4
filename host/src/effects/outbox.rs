//! The outbox: takes what is due out of its queue, several lanes at once, and has it performed.

use super::perform::Performer;
use super::queue::{Next, Queue, Taken};
use crate::domain::{Clock, TenantId};
use crate::ghl::Ghl;
use crate::store::{SlimEffect, Store, StoreError};
use crate::tenants::{Assignments, PausedTenants};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Effects read by one statement.
const PAGE: i64 = 5000;
/// Effects known to the queue at once; beyond it the rest waits in the database.
const WINDOW: usize = 200_000;
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
    /// Told which effects stand otherwise than the outbox knows.
    pub changed: Changed,
    /// Follows whose effects wait.
    pub paused: watch::Receiver<PausedTenants>,
    /// A failing effect is tried this long before it is dead.
    pub give_up_after: Duration,
}

/// Effects that people or other effects have moved: the outbox looks at them again. Cheap to clone.
#[derive(Clone, Default)]
pub struct Changed(Arc<(Mutex<Vec<i64>>, Notify)>);

impl Changed {
    /// These stand otherwise than before.
    pub fn tell(&self, ids: impl IntoIterator<Item = i64>) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.0.1.notify_one();
    }

    fn taken(&self) -> Vec<i64> {
        std::mem::take(&mut *self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
            state: Arc::default(),
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

#[derive(Default)]
struct State {
    queue: Queue,
    under_way: usize,
}

struct Looking {
    performer: Arc<Performer>,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
    at_once: usize,
    tasks: TaskTracker,
}

impl Looking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(self, stop: CancellationToken) {
        let mut parts = self.performer.parts.clone();
        while !stop.is_cancelled() {
            if let Err(error) = self.feed().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the outbox could not be read; trying again"
                );
                parts.clock.machine_sleep(AFTER_FAILURE).await;
            }
            self.begin_due();
            tokio::select! {
                () = stop.cancelled() => return,
                () = parts.planned.notified() => {}
                () = parts.changed.0.1.notified() => {}
                () = self.freed.notified() => {}
                Ok(()) = parts.paused.changed() => {}
                () = parts.clock.machine_sleep(LONGEST_WAIT) => {}
            }
        }
    }

    /// Brings new effects into the queue, and what has become of known ones.
    async fn feed(&self) -> Result<(), StoreError> {
        let store = &self.performer.parts.store;
        for id in self.performer.parts.changed.taken() {
            let Some(effect) = store.effect(id).await? else { continue };
            let open = matches!(effect.state.as_str(), "waiting" | "sending");
            let mut state = self.state();
            if !open {
                state.queue.forget(id, &effect.lane);
            } else if id <= state.queue.fed_up_to() {
                let (tenant, connection, lane) = (effect.tenant, effect.connection, effect.lane);
                state.queue.put(SlimEffect { id, tenant, connection, lane, due: None });
            }
        }
        loop {
            let (after, full) = {
                let state = self.state();
                (state.queue.fed_up_to(), state.queue.len() >= WINDOW)
            };
            if full {
                return Ok(());
            }
            let found = store.open_effects(after, PAGE).await?;
            let more = i64::try_from(found.len()).is_ok_and(|count| count >= PAGE);
            let mut state = self.state();
            for effect in found {
                state.queue.put(effect);
            }
            drop(state);
            if !more {
                return Ok(());
            }
        }
    }

    /// Begins what is due and free, up to the limit.
    fn begin_due(&self) {
        let now = self.performer.parts.clock.now();
        let whose = Arc::clone(&self.performer.parts.paused.borrow());
        let paused = |tenant: &TenantId| whose.contains(tenant);
        loop {
            let mut state = self.state();
            if state.under_way >= self.at_once {
                return;
            }
            let Some(taken) = state.queue.take(now, paused) else { return };
            state.under_way += 1;
            drop(state);
            self.begin(taken);
        }
    }

    fn begin(&self, taken: Taken) {
        let (performer, state, freed) =
            (Arc::clone(&self.performer), Arc::clone(&self.state), Arc::clone(&self.freed));
        self.tasks.spawn(async move {
            let next = performer.perform(taken.id).await;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.under_way -= 1;
            state.queue.give_back(&taken, next);
            drop(state);
            freed.notify_one();
        });
    }
}

impl Performer {
    /// Performs the effect of that number as it stands now; a failure of the database leaves it as it is.
    async fn perform(&self, id: i64) -> Next {
        let done = match self.parts.store.effect(id).await {
            Ok(Some(open)) if matches!(open.state.as_str(), "waiting" | "sending") => {
                self.try_perform(&open).await
            }
            Ok(_) => return Next::Gone,
            Err(error) => Err(error),
        };
        match done {
            Ok(next) => next,
            // Someone decided meanwhile; what they decided is told.
            Err(StoreError::Conflict) => {
                self.parts.changed.tell([id]);
                Next::Gone
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    effect = id,
                    "an effect could not be stored; trying again"
                );
                self.parts.clock.machine_sleep(AFTER_FAILURE).await;
                Next::Later(self.parts.clock.now())
            }
        }
    }
}
