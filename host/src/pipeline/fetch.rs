//! Asking GHL for lanes that are set aside, beside the workers: when the answers are there the lane runs again.

use super::arrived::Arrived;
use super::journey::{Asker, pause};
use super::scheduler::{Ended, Scheduler, Taken};
use crate::domain::{Answers, Clock, ConnectionId, ReadAnswer, ReadRequest, Sequence, Timestamp};
use crate::ghl::{self, Ghl, GhlError};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a lane rests whose connection has no usable credential.
const NO_CREDENTIAL: Duration = Duration::from_secs(60);

/// What was fetched for events that have not ended.
#[derive(Clone, Default)]
struct Pending {
    answers: Arc<Answers>,
    rounds: usize,
    failures: i64,
    upto: i64,
}

/// The fetcher. One for the process.
pub(super) struct Fetching {
    ghl: Ghl,
    clock: Clock,
    scheduler: Arc<Scheduler>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// After this long a run goes on with what it was refused.
    give_up_after: Duration,
    limits: ReadLimits,
    pending: Mutex<HashMap<Sequence, Pending>>,
}

/// How much GHL may be asked for one run.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Times it is asked.
    pub rounds: usize,
    /// Answers.
    pub reads: usize,
}

impl Fetching {
    pub(super) fn new(
        (ghl, clock): (Ghl, Clock),
        scheduler: Arc<Scheduler>,
        (tasks, stop): (TaskTracker, CancellationToken),
        (limits, give_up_after): (ReadLimits, Duration),
    ) -> Self {
        Self { ghl, clock, scheduler, tasks, stop, give_up_after, limits, pending: Mutex::default() }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Sequence, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was fetched for events beginning with this one.
    pub(super) fn answers(&self, first: &Arrived) -> Arc<Answers> {
        self.pending().get(&first.own()).map(|known| Arc::clone(&known.answers)).unwrap_or_default()
    }

    /// The last event that what was fetched is for.
    pub(super) fn upto(&self, first: Sequence) -> Option<i64> {
        self.pending().get(&first).map(|known| known.upto)
    }

    /// The events have ended.
    pub(super) fn forget(&self, first: &Arrived) {
        self.pending().remove(&first.own());
    }

    /// Asks for a lane; gives it back when the answers are there, or when to try again.
    pub(super) fn start(
        self: &Arc<Self>,
        (taken, took): (Taken, Duration),
        events: &[Arrived],
        requests: Vec<ReadRequest>,
        asker: Asker,
    ) {
        let last = events.iter().map(|arrived| arrived.own().0).max();
        let (Some(first), Some(upto)) = (events.first(), last) else {
            self.scheduler.give_back(&taken, &Ended::First(0), took);
            return;
        };
        let ask = Ask {
            first: first.own(),
            upto,
            connection: first.event.connection.clone(),
            received_at: first.since(),
            asker,
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                () = this.stop.cancelled() => return,
                ended = this.fetch(&ask, requests) => ended,
            };
            this.scheduler.give_back(&taken, &ended, took);
        });
    }

    async fn fetch(&self, ask: &Ask, requests: Vec<ReadRequest>) -> Ended {
        let known = self.pending().get(&ask.first).cloned().unwrap_or_default();
        let ReadLimits { rounds, reads } = self.limits;
        if known.rounds >= rounds || known.answers.len() + requests.len() > reads {
            let refused =
                ReadAnswer::Refused(format!("a run may ask GHL {rounds} times, for {reads} answers"));
            return self.keep(ask, requests.into_iter().map(|request| (request, refused.clone())).collect());
        }
        let wanted_by = ask.asker.to_string();
        let asked =
            requests.iter().map(|request| ghl::answer(&self.ghl, &ask.connection, request, &wanted_by));
        let asked = join_all(asked).await;
        let now = self.clock.now();
        let give_up = now.since(ask.received_at) >= self.give_up_after;
        let mut answers = Vec::with_capacity(requests.len());
        let mut later: Option<Timestamp> = None;
        for (request, answer) in requests.into_iter().zip(asked) {
            match answer {
                Ok(answer) => answers.push((request, answer)),
                Err(error) if give_up || (ask.asker == Asker::Host && !error.is_transient()) => {
                    answers.push((request, ReadAnswer::Refused(error.to_string())));
                }
                Err(error) => {
                    let until = match error {
                        GhlError::RateLimited { until } => until,
                        GhlError::Unauthorized { .. } | GhlError::NoToken(_) => now.plus(NO_CREDENTIAL),
                        _ => now.plus(pause(known.failures)),
                    };
                    later = Some(later.map_or(until, |known| known.max(until)));
                }
            }
        }
        let ended = self.keep(ask, answers);
        match later {
            Some(until) => {
                self.pending().entry(ask.first).or_default().failures += 1;
                Ended::Later(until)
            }
            None => ended,
        }
    }

    fn keep(&self, ask: &Ask, answers: Vec<(ReadRequest, ReadAnswer)>) -> Ended {
        let mut pending = self.pending();
        let known = pending.entry(ask.first).or_default();
        known.rounds += 1;
        known.upto = ask.upto;
        Arc::make_mut(&mut known.answers).extend(answers);
        Ended::First(0)
    }
}

/// What a fetch is for.
struct Ask {
    first: Sequence,
    upto: i64,
    connection: ConnectionId,
    received_at: Timestamp,
    asker: Asker,
}
