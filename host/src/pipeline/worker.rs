//! The workers: each takes lanes, loads what their events need by two statements, runs them, commits them together.
//! A lane that GHL has to be asked for is set aside until the answers are there; nobody waits for it but itself.

use super::arrived::Arrived;
use super::batch::has_context;
use super::feeder;
use super::fetch::{Fetching, ReadLimits};
use super::held::{self, Aftermath, Again};
use super::journey::{self, Asker, Finished, Journey};
use super::reads;
use super::runs::PluginRunner;
use super::scheduler::{BATCH, Ended, Scheduler, SchedulerStatus, Taken};
use super::tally::Tally;
use crate::domain::{Clock, GhlId, Lane, ObjectKind, ReadRequest, Timestamp};
use crate::ghl::Ghl;
use crate::store::{EventCommit, LoadedContext, ObjectKey, Store, StoreError};
use crate::tenants::{ActiveVersion, Assignments, Breakers, PausedTenants};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
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
    /// How long a failure that may mend itself is tried.
    pub give_up_after: Duration,
    /// How much GHL may be asked for one run.
    pub reads: ReadLimits,
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
    /// Who asks GHL.
    pub ghl: Ghl,
    /// Whose lanes do not run.
    pub paused: watch::Receiver<PausedTenants>,
    /// Told when a commit brought effects.
    pub planned: Arc<Notify>,
    /// Which assignments wait.
    pub breakers: Breakers,
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
            (parts.clock.clone(), parts.paused.clone()),
            settings.window,
            stop.clone(),
        ));
        let fetching = Arc::new(Fetching::new(
            (parts.ghl.clone(), parts.clock.clone()),
            Arc::clone(&scheduler),
            (tasks.clone(), stop.clone()),
            (settings.reads, settings.give_up_after),
        ));
        tasks.spawn(held::release(
            parts.store.clone(),
            parts.breakers.clone(),
            Arc::clone(&scheduler),
            parts.clock.clone(),
            stop.clone(),
        ));
        for _ in 0..settings.workers.max(1) {
            let worker = Worker {
                parts: parts.clone(),
                scheduler: Arc::clone(&scheduler),
                fetching: Arc::clone(&fetching),
                batch: settings.batch,
                give_up_after: settings.give_up_after,
            };
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

/// One of those who run lanes.
pub(super) struct Worker {
    pub(super) parts: PipelineParts,
    scheduler: Arc<Scheduler>,
    pub(super) fetching: Arc<Fetching>,
    batch: usize,
    give_up_after: Duration,
}

/// What is to be done with a taken lane.
enum Next {
    /// It was not looked at: the batch has taken long enough.
    PutOff,
    Give(Ended),
    Commit(Box<EventCommit>, Ended, Aftermath),
    Fetch {
        requests: Vec<ReadRequest>,
        asker: Asker,
    },
}

/// A batch's lanes as they were tried.
type Tried = (Vec<Next>, Vec<Vec<Arrived>>, Vec<Duration>);

/// Machine time after which an event is looked at again whose row was not there.
const MISSING_ROW: Duration = Duration::from_secs(5);

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
            self.run_batch(taken).await;
        }
    }

    async fn run_batch(&self, taken: Vec<Taken>) {
        let started = self.parts.clock.machine_now();
        let (nexts, groups, spent) = match self.try_batch(&taken).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch of events could not be run; trying again"
                );
                self.parts.clock.machine_sleep(AFTER_FAILURE).await;
                let nothing = taken.iter().map(|_| Next::Give(Ended::First(0))).collect();
                (nothing, taken.iter().map(|_| Vec::new()).collect(), vec![Duration::ZERO; taken.len()])
            }
        };
        crate::config::failpoint("before-event-commit");
        let ended = join_all(nexts.into_iter().map(|next| self.settle(next))).await;
        crate::config::failpoint("after-event-commit");
        // Each tenant pays for its own runs; loading and committing, which all did together, is shared out.
        let ran = ended.iter().filter(|next| !matches!(next, Next::PutOff)).count();
        let common = started.elapsed().saturating_sub(spent.iter().sum());
        let common = common / u32::try_from(ran.max(1)).unwrap_or(1);
        for (((taken, ended), group), spent) in taken.into_iter().zip(ended).zip(groups).zip(spent) {
            let share = common + spent;
            match ended {
                Next::PutOff => self.scheduler.put_off(&taken),
                Next::Give(ended) => {
                    if let (Ended::First(count), Some(first)) = (&ended, group.first())
                        && *count > 0
                    {
                        self.fetching.forget(first);
                    }
                    self.scheduler.give_back(&taken, &ended, share);
                }
                Next::Fetch { requests, asker } => {
                    self.fetching.start((taken, share), &group, requests, asker);
                }
                Next::Commit(..) => self.scheduler.give_back(&taken, &Ended::First(0), share),
            }
        }
    }

    /// Commits what is to be committed.
    async fn settle(&self, next: Next) -> Next {
        let Next::Commit(commit, ended, aftermath) = next else { return next };
        let planned = !commit.effects.is_empty();
        let tally = Tally::of(&commit);
        match self.parts.store.commit_event(*commit).await {
            Ok(()) => {
                tally.count();
                if planned {
                    self.parts.planned.notify_one();
                }
                aftermath.tell(&self.parts.breakers, &self.scheduler).await;
                Next::Give(ended)
            }
            // Another lane changed what the run had read of the tenant's state: the run is made again.
            Err(StoreError::Conflict) => Next::Give(Ended::First(0)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "events could not be committed; trying again"
                );
                self.parts.clock.machine_sleep(AFTER_FAILURE).await;
                Next::Give(Ended::First(0))
            }
        }
    }

    /// What is to be done with each lane, its events, and the time its runs took.
    async fn try_batch(&self, taken: &[Taken]) -> Result<Tried, StoreError> {
        let sequences: Vec<i64> =
            taken.iter().flat_map(|it| &it.events).map(|event| event.sequence.0).collect();
        let mut bodies = self.parts.store.bodies(&sequences).await?;
        let mut reruns = self.reruns(taken, &bodies).await?;
        let mut groups: Vec<Vec<Arrived>> =
            taken.iter().map(|taken| self.group(taken, &mut bodies, &mut reruns)).collect();
        let mut contexts = self.contexts(groups.iter().flatten()).await?;
        let mut nexts: Vec<Option<Next>> = Vec::with_capacity(groups.len());
        let mut resolved = Vec::new();
        for (taken, group) in taken.iter().zip(&mut groups) {
            let next = self.resolve(taken, group, &contexts);
            if next.is_none() {
                resolved.extend(group.iter().filter(|it| !has_context(it, &contexts)).cloned());
            }
            nexts.push(next);
        }
        contexts.extend(self.contexts(resolved.iter()).await?);
        let began = self.parts.clock.machine_now();
        let mut done = Vec::with_capacity(groups.len());
        let mut spent = Vec::with_capacity(groups.len());
        for ((taken, group), next) in taken.iter().zip(&groups).zip(nexts) {
            let before = began.elapsed();
            done.push(match next {
                Some(next) => next,
                // Runs took longer than was foreseen: what is done is committed, the rest is another batch.
                None if before > BATCH => Next::PutOff,
                None => self.run_lane(taken, group, &contexts).await?,
            });
            spent.push(began.elapsed().saturating_sub(before));
        }
        Ok((done, groups, spent))
    }

    async fn contexts(
        &self,
        events: impl Iterator<Item = &Arrived>,
    ) -> Result<HashMap<ObjectKey, LoadedContext>, StoreError> {
        let mut keys: Vec<ObjectKey> = events
            .flat_map(|arrived| {
                journey::keys(&arrived.event.tenant, &arrived.event.connection, &arrived.payload)
            })
            .collect();
        keys.sort_unstable_by(|a, b| {
            (&a.connection, a.kind, &a.ghl_id).cmp(&(&b.connection, b.kind, &b.ghl_id))
        });
        keys.dedup();
        self.parts.store.load_contexts(&keys).await
    }

    /// Finds the contact of an event that names none, and moves the event into that contact's lane.
    fn resolve(
        &self,
        taken: &Taken,
        group: &mut [Arrived],
        contexts: &HashMap<ObjectKey, LoadedContext>,
    ) -> Option<Next> {
        let Some(first) = group.first_mut() else {
            tracing::error!(lane = taken.lane.as_str(), "an event's row could not be found; looking again");
            return Some(Next::Give(Ended::Later(self.parts.clock.now().plus(MISSING_ROW))));
        };
        let object = first.payload.object.as_ref().filter(|object| object.kind != ObjectKind::Contact)?;
        if first.payload.contact.is_some() {
            return None;
        }
        let key = ObjectKey {
            tenant: first.event.tenant.clone(),
            connection: first.event.connection.clone(),
            kind: object.kind,
            ghl_id: object.id.clone(),
        };
        let answers = self.fetching.answers(first);
        let known = contexts.get(&key).and_then(|context| context.contact.clone());
        let Some(contact) = known.or_else(|| reads::found_contact(&first.payload, &answers)) else {
            let search = reads::contact_search(&first.payload)?;
            let asked = answers.contains_key(&search);
            return (!asked).then(|| Next::Fetch { requests: vec![search], asker: Asker::Host });
        };
        let lane = Lane::of_contact(&first.event.connection, &contact);
        for arrived in group {
            arrived.payload.contact = Some(GhlId::clone(&contact));
            arrived.event.lane = lane.clone();
        }
        (taken.lane != lane).then_some(Next::Give(Ended::Move(lane)))
    }

    async fn run_lane(
        &self,
        taken: &Taken,
        events: &[Arrived],
        contexts: &HashMap<ObjectKey, LoadedContext>,
    ) -> Result<Next, StoreError> {
        let Some(first) = events.first() else { return Ok(Next::Give(Ended::First(0))) };
        let mut versions = self.parts.assignments.of(&taken.tenant);
        let mut again = None;
        if let Some(only) = &first.only {
            let sequence = first.event.sequence;
            again = Again::read(&self.parts.store, only, sequence).await?;
            versions = versions
                .iter()
                .filter(|active| active.assignment == *only)
                .cloned()
                .collect::<Arc<[ActiveVersion]>>();
            if again.is_none() || versions.is_empty() {
                // Held no more, or by an assignment that is off; then it stays held until that is on again.
                return Ok(Next::Give(Ended::First(1)));
            }
        }
        let journey = Journey {
            store: &self.parts.store,
            runner: &*self.parts.runner,
            versions: &versions,
            contexts,
            answers: self.fetching.answers(first),
            lane: &taken.lane,
            now: self.parts.clock.now(),
            run_order: taken.run_order,
            give_up_after: self.give_up_after,
            breakers: &self.parts.breakers,
            again,
        };
        let later = |until: Timestamp| Ended::Later(until);
        Ok(match journey.run(events).await? {
            Finished::Ended(commit, aftermath) => {
                Next::Commit(Box::new(commit), Ended::First(events.len()), aftermath)
            }
            Finished::Retry(commit, until) => {
                Next::Commit(Box::new(commit), later(until), Aftermath::default())
            }
            Finished::Hold(until) => Next::Give(later(until)),
            Finished::Reads { requests, asker } => Next::Fetch { requests, asker },
        })
    }
}
