//! The poller: passes that are due, each connection's one after the other, several connections at once.

use super::connecting::Connecting;
use super::pass::Pass;
use crate::domain::{Clock, ConnectionId};
use crate::ghl::Ghl;
use crate::store::{DuePolling, Store, StoreError};
use crate::tenants::ApiKeys;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Machine time between two looks for due passes.
const LOOK: Duration = Duration::from_millis(100);
/// Connections that are polled at once; each waits for GHL most of the time.
const AT_ONCE: usize = 16;

/// What the poller works with.
#[derive(Clone)]
pub struct PollerParts {
    /// Storage.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// GHL.
    pub ghl: Ghl,
    /// The connections' keys.
    pub keys: ApiKeys,
}

/// How it polls; times are product time.
#[derive(Clone, Copy, Debug)]
pub struct PollerSettings {
    /// Between the beginnings of two passes at the least.
    pub shortest: Duration,
    /// The same at the most.
    pub longest: Duration,
    /// How far a pass looks back behind the last change it knows.
    pub overlap: Duration,
    /// Contacts in a page.
    pub page_rows: u32,
    /// The part of the day's quota for polling, percent.
    pub daily_percent: u8,
    /// How far back appointments are listed.
    pub appointments_back: Duration,
    /// How far ahead.
    pub appointments_ahead: Duration,
}

/// What all passes share.
pub(super) struct Shared {
    pub(super) parts: PollerParts,
    pub(super) settings: PollerSettings,
    /// Something became due.
    pub(super) wake: Notify,
    /// Whether passes run in this process.
    polls: AtomicBool,
    running: Mutex<HashSet<ConnectionId>>,
}

impl Shared {
    pub(super) fn new(parts: PollerParts, settings: PollerSettings) -> Self {
        Self {
            parts,
            settings,
            wake: Notify::new(),
            polls: AtomicBool::new(false),
            running: Mutex::default(),
        }
    }

    /// Whether passes run in this process.
    pub(super) fn polls(&self) -> bool {
        self.polls.load(Ordering::Relaxed)
    }

    fn running(&self) -> MutexGuard<'_, HashSet<ConnectionId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running poller.
pub struct Poller {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Poller {
    /// Starts it.
    #[must_use]
    pub fn start(connecting: &Connecting) -> Self {
        let shared = connecting.shared();
        shared.polls.store(true, Ordering::Relaxed);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(look(shared, tasks.clone(), stop.clone()));
        Self { stop, tasks }
    }

    /// Stops it; a pass goes on at the next start where it was.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn look(shared: Arc<Shared>, tasks: TaskTracker, stop: CancellationToken) {
    let clock = shared.parts.clock.clone();
    while !stop.is_cancelled() {
        if let Err(error) = begin_due(&shared, &tasks, &stop).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not read which connections are to be polled; trying again"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            () = clock.machine_sleep(LOOK) => {}
        }
    }
}

async fn begin_due(
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let parts = &shared.parts;
    for due in parts.store.due_pollings(parts.clock.now()).await? {
        {
            let mut running = shared.running();
            if running.len() >= AT_ONCE || !running.insert(due.connection.clone()) {
                continue;
            }
        }
        let (shared, stop) = (Arc::clone(shared), stop.clone());
        tasks.spawn(async move {
            let connection = due.connection.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = poll(&shared, due) => {}
            }
            shared.running().remove(&connection);
        });
    }
    Ok(())
}

async fn poll(shared: &Shared, due: DuePolling) {
    let connection = due.connection.clone();
    let began = shared.parts.clock.machine_now();
    let ended = match Pass::begin(shared, due).await {
        Ok(pass) => pass.run().await,
        Err(error) => Err(error),
    };
    let outcome = match &ended {
        Ok(outcome) => *outcome,
        Err(error) => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                connection = connection.as_str(),
                "a polling pass failed on the store; it goes on later"
            );
            // Nothing of it is stored; it is due again at once, but not in a tight loop.
            shared.parts.clock.machine_sleep(Duration::from_secs(1)).await;
            "store-failed"
        }
    };
    metrics::counter!("mapwright_polling_passes_total", "outcome" => outcome).increment(1);
    metrics::histogram!("mapwright_polling_pass_seconds").record(began.elapsed().as_secs_f64());
}
