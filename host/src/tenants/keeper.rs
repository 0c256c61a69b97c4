//! What connections need without being asked: tokens refreshed ahead of their end, installs done, first reads repeated.

use super::connections::Connections;
use super::renew::Renewal;
use crate::domain::{ConnectionId, Timestamp};
use crate::store::StoreError;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Machine time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Refreshes at once.
const AT_ONCE: i64 = 8;
/// How long a first read that failed rests.
const FIRST_READ_REST: Duration = Duration::from_secs(10 * 60);

/// The running keeper.
pub struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Takes over what a process left that died, and starts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(connections: Connections) -> Result<Self, StoreError> {
        let store = &connections.parts.store;
        let left = store.orphan_refreshes().await?;
        if left > 0 {
            tracing::warn!(
                left,
                "{left} refreshes were under way when the last process ended; they are gone through again"
            );
        }
        store.end_broken_authorizations(connections.parts.clock.now()).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(connections, stop.clone()));
        Ok(Self { stop, task })
    }

    /// Finishes what is under way and stops.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.task.await);
    }
}

async fn keep(connections: Connections, stop: CancellationToken) {
    let mut rests = HashMap::new();
    let clock = connections.parts.clock.clone();
    while !stop.is_cancelled() {
        if let Err(error) = look(&connections, &mut rests).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the connections could not be looked after; trying again"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = connections.parts.wake.notified() => {}
            () = clock.machine_sleep(LOOK) => {}
        }
    }
}

async fn look(
    connections: &Connections,
    rests: &mut HashMap<ConnectionId, Timestamp>,
) -> Result<(), StoreError> {
    let parts = &connections.parts;
    let due = parts.store.due_refreshes(parts.clock.now(), AT_ONCE).await?;
    let renewed = join_all(due.iter().map(|owner| parts.credentials.renew(owner, Renewal::Due))).await;
    for (owner, done) in due.iter().zip(renewed) {
        if let Err(error) = done {
            tracing::error!(owner = owner.as_str(), %error, "tokens could not be renewed");
        }
    }
    connections.do_installs().await?;
    let now = parts.clock.now();
    for connection in parts.store.connecting().await? {
        // The attempt that made it reads first; this is for those whose first read failed or never came.
        let since = connection.connected_at.unwrap_or(now);
        let rest = rests.entry(connection.id.clone()).or_insert_with(|| since.plus(FIRST_READ_REST / 10));
        if *rest > now {
            continue;
        }
        *rest = now.plus(FIRST_READ_REST);
        if connections.first_read(&connection.id).await.is_ok() {
            rests.remove(&connection.id);
            parts.planned.notify_one();
        }
    }
    Ok(())
}
