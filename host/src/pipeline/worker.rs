//! The workers: each takes lanes, loads what their events need by two statements, runs them, commits together.

use super::feeder;
use super::journey::{self, Arrived, Finished, Journey};
use super::runs::PluginRunner;
use super::scheduler::{Ended, Scheduler, SchedulerStatus, Taken};
use crate::domain::{Clock, Event};
use crate::store::{BodyRow, EventCommit, LoadedContext, ObjectKey, Store, StoreError};
use crate::tenants::Assignments;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Machine time a worker waits after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Machine time after which an idle worker looks again at lanes that rest.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How the pipeline works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Workers.
    pub workers: usize,
    /// Lanes taken at once.
    pub batch: usize,
    /// Events known to the scheduler at once.
    pub window: usize,
}

/// What the pipeline is made of.
#[derive(Clone)]
pub struct PipelineParts {
    /// The database.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// Which plugins a tenant's events meet.
    pub assignments: Assignments,
    /// Who runs plugins.
    pub runner: Arc<dyn PluginRunner>,
}

/// The running pipeline.
pub struct Pipeline {
    scheduler: Arc<Scheduler>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Pipeline {
    /// Starts feeder and workers.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn start(parts: PipelineParts, settings: WorkerSettings) -> Result<Self, StoreError> {
        let scheduler = Arc::new(Scheduler::new(parts.store.last_run_order().await?));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(feeder::feed(
            parts.store.clone(),
            Arc::clone(&scheduler),
            parts.clock.clone(),
            settings.window,
            stop.clone(),
        ));
        for _ in 0..settings.workers.max(1) {
            let worker =
                Worker { parts: parts.clone(), scheduler: Arc::clone(&scheduler), batch: settings.batch };
            tasks.spawn(worker.work(stop.clone()));
        }
        tasks.close();
        Ok(Self { scheduler, stop, tasks })
    }

    /// How much there is to do.
    #[must_use]
    pub fn status(&self) -> SchedulerStatus {
        self.scheduler.status()
    }

    /// Takes nothing new, finishes what is under way and stops.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

struct Worker {
    parts: PipelineParts,
    scheduler: Arc<Scheduler>,
    batch: usize,
}

impl Worker {
    async fn work(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let changed = self.scheduler.changed();
            let taken = self.scheduler.take(self.batch, self.parts.clock.now());
            if taken.is_empty() {
                let rest = async {
                    // A resting lane is looked at again within a moment of machine time, whatever the clock's rate.
                    match self.scheduler.next_due() {
                        Some(due) => drop(
                            self.parts.clock.within(LONGEST_WAIT, self.parts.clock.sleep_until(due)).await,
                        ),
                        None => self.parts.clock.machine_sleep(LONGEST_WAIT).await,
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = changed => {}
                    () = rest => {}
                }
                continue;
            }
            self.run_batch(&taken).await;
        }
    }

    async fn run_batch(&self, taken: &[Taken]) {
        let started = self.parts.clock.machine_now();
        let ended = self.try_batch(taken).await;
        let share = started.elapsed() / u32::try_from(taken.len().max(1)).unwrap_or(1);
        match ended {
            Ok(ended) => {
                for (taken, ended) in taken.iter().zip(&ended) {
                    self.scheduler.give_back(taken, ended, share);
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch of events could not be committed; trying again"
                );
                self.parts.clock.machine_sleep(AFTER_FAILURE).await;
                for taken in taken {
                    self.scheduler.give_back(taken, &Ended::First(0), share);
                }
            }
        }
    }

    async fn try_batch(&self, taken: &[Taken]) -> Result<Vec<Ended>, StoreError> {
        let sequences: Vec<i64> =
            taken.iter().flat_map(|it| &it.events).map(|event| event.sequence.0).collect();
        let mut bodies = self.parts.store.bodies(&sequences).await?;
        let groups: Vec<Vec<Arrived>> = taken.iter().map(|taken| group(taken, &mut bodies)).collect();
        let mut keys: Vec<ObjectKey> = groups
            .iter()
            .flatten()
            .flat_map(|arrived| {
                journey::keys(&arrived.event.tenant, &arrived.event.connection, &arrived.payload)
            })
            .collect();
        keys.sort_unstable_by(|a, b| {
            (&a.connection, a.kind, &a.ghl_id).cmp(&(&b.connection, b.kind, &b.ghl_id))
        });
        keys.dedup();
        let contexts = self.parts.store.load_contexts(&keys).await?;
        let mut commit = EventCommit::default();
        let mut ended = Vec::with_capacity(groups.len());
        for (taken, events) in taken.iter().zip(&groups) {
            let finished = self.run_lane(taken, events, &contexts).await?;
            ended.push(match finished.retry_at {
                Some(until) => Ended::Later(until),
                None => Ended::First(events.len()),
            });
            add(&mut commit, finished.commit);
        }
        crate::config::failpoint("before-event-commit");
        self.parts.store.commit_event(commit).await?;
        crate::config::failpoint("after-event-commit");
        Ok(ended)
    }

    async fn run_lane(
        &self,
        taken: &Taken,
        events: &[Arrived],
        contexts: &HashMap<ObjectKey, LoadedContext>,
    ) -> Result<Finished, StoreError> {
        let versions = self.parts.assignments.of(&taken.tenant);
        let journey = Journey {
            runner: &*self.parts.runner,
            versions: &versions,
            contexts,
            now: self.parts.clock.now(),
            run_order: taken.run_order,
        };
        journey.run(events).await
    }
}

/// The events of a taken lane that go into one run; the scheduler gets the others back.
fn group(taken: &Taken, bodies: &mut HashMap<i64, BodyRow>) -> Vec<Arrived> {
    let mut arrived: Vec<Arrived> = taken
        .events
        .iter()
        .map_while(|slim| {
            let body = bodies.remove(&slim.sequence.0)?;
            let event = Event {
                sequence: slim.sequence,
                tenant: slim.tenant.clone(),
                connection: body.connection,
                event_type: Arc::clone(&slim.event_type),
                cause: slim.cause,
                lane: slim.lane.clone(),
                received_at: body.received_at,
                source_time: body.source_time,
                body: body.body,
            };
            Some(journey::arrive(event, slim.attempts))
        })
        .collect();
    arrived.truncate(journey::foldable(&arrived).max(1));
    arrived
}

fn add(all: &mut EventCommit, one: EventCommit) {
    all.events.extend(one.events);
    all.runs.extend(one.runs);
    all.mirror.extend(one.mirror);
    all.records.extend(one.records);
    all.links.extend(one.links);
    all.timeline.extend(one.timeline);
    all.dead_letters.extend(one.dead_letters);
}
