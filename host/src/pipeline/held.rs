//! Runs that are held: what is kept of them, how they are run again, and who gives them back to their lanes.

use super::arrived::Arrived;
use super::journey::Journey;
use super::merged::MergedObject;
use super::mirror::{Change, Mirror};
use super::scheduler::Scheduler;
use crate::domain::{AssignmentId, Clock, Lane, ObjectKind, Sequence};
use crate::store::{EventCommit, HeldReason, HeldRow, SlimEvent, Store, StoreError};
use crate::tenants::{ActiveVersion, Breakers, Gate, OnFailure, Release, RunEnded};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Held runs that are read by one statement.
const PAGE: i64 = 256;
/// Held runs that wait in their lanes at once; beyond it they wait in the database.
const MOST: usize = 2048;
/// Machine time between two looks at the most.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// What an event changed, as a held run will be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldChange {
    changed: Vec<String>,
    echo: Vec<String>,
    deleted: bool,
    own_deletion: bool,
}

/// A held run that is run again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    pub(super) assignment: AssignmentId,
    pub(super) change: HeldChange,
}

impl Again {
    /// Reads what is kept of a held run; none when it is held no more.
    pub(super) async fn read(
        store: &Store,
        assignment: &AssignmentId,
        sequence: Sequence,
    ) -> Result<Option<Self>, StoreError> {
        let Some(kept) = store.held_change(assignment, sequence).await? else { return Ok(None) };
        let change = serde_json::from_str(&kept).map_err(|error| StoreError::corrupt("held run", &error))?;
        Ok(Some(Self { assignment: assignment.clone(), change }))
    }
}

impl Journey<'_> {
    /// The object as it stands now, with what the held event changed then.
    pub(super) fn merged_again<'e>(
        &self,
        newest: &'e Arrived,
        held: &HeldChange,
    ) -> Result<MergedObject<'e>, StoreError> {
        let object = newest.payload.object.as_ref();
        let context = object.and_then(|object| self.context(&newest.event, object.kind, &object.id));
        let mirror = match context.and_then(|context| context.mirror.as_ref()) {
            Some((fields, deleted_at)) => Mirror::from_stored(fields, *deleted_at)
                .map_err(|error| StoreError::corrupt("mirror", &error))?,
            None => Mirror::default(),
        };
        let changed = held.changed.iter().map(|name| (name.clone(), None)).collect();
        let contact = newest.payload.contact.clone().or_else(|| {
            object.filter(|object| object.kind == ObjectKind::Contact).map(|object| object.id.clone())
        });
        Ok(MergedObject {
            fields: mirror.fields(),
            mirror,
            changes: vec![Change { changed, stale: false, deleted: held.deleted }],
            echo: held.echo.iter().cloned().collect(),
            own_deletion: held.own_deletion,
            settled: None,
            object,
            contact,
            deleted: held.deleted,
        })
    }

    /// Whether an assignment runs on the event; if not, that it is held goes into the commit.
    pub(super) fn may_run(
        &self,
        newest: &Arrived,
        merged: &MergedObject<'_>,
        active: &ActiveVersion,
        commit: &mut EventCommit,
    ) -> Result<bool, StoreError> {
        if newest.rerun.is_some() {
            // Someone asked for this very run.
            return Ok(true);
        }
        if commit.held.iter().any(|held| held.assignment == active.assignment) {
            return Ok(false);
        }
        let sequence = newest.event.sequence;
        match self.breakers.gate(&active.assignment, self.lane, (sequence, self.again.is_some())) {
            Gate::Run => Ok(true),
            Gate::Hold(reason) => {
                commit.held.push(self.held_row(newest, merged, active, reason)?);
                Ok(false)
            }
        }
    }

    /// What a final failure becomes: a dead letter, or a run that is held by the assignment's policy or its breaker. The
    /// breaker is told at once, so that it opens before a whole batch of lanes has failed.
    pub(super) async fn fail(
        &self,
        (newest, merged, active): (&Arrived, &MergedObject<'_>, &ActiveVersion),
        (outcome, detail): (&'static str, Option<String>),
        progress: &mut super::rounds::Progress,
    ) -> Result<(), StoreError> {
        let sequence = newest.event.sequence;
        progress.failed.push(active.assignment.clone());
        let reason = if newest.rerun.is_some() {
            None
        } else if self.breakers.is_probe(&active.assignment, sequence) {
            Some(HeldReason::Breaker)
        } else {
            (active.on_failure == OnFailure::Hold).then_some(HeldReason::Failure)
        };
        let (assignment, tenant, lane) =
            (active.assignment.clone(), active.tenant.clone(), self.lane.clone());
        self.breakers.ended(RunEnded { assignment, tenant, lane, sequence, failed: Some(outcome) }).await;
        let Some(reason) = reason else {
            let letter = super::writes::dead_letter(newest, active, outcome, detail, self.now);
            progress.commit.dead_letters.push(letter);
            return Ok(());
        };
        let mut row = self.held_row(newest, merged, active, reason)?;
        row.failure = Some((active.version.clone(), outcome, detail.unwrap_or_default()));
        progress.commit.held.push(row);
        Ok(())
    }

    fn held_row(
        &self,
        newest: &Arrived,
        merged: &MergedObject<'_>,
        active: &ActiveVersion,
        reason: HeldReason,
    ) -> Result<HeldRow, StoreError> {
        let change = HeldChange {
            changed: merged.changed().into_iter().map(str::to_owned).collect(),
            echo: merged.echo.iter().cloned().collect(),
            deleted: merged.deleted,
            own_deletion: merged.own_deletion,
        };
        Ok(HeldRow {
            assignment: active.assignment.clone(),
            sequence: newest.event.sequence,
            tenant: active.tenant.clone(),
            lane: self.lane.clone(),
            reason,
            changed: serde_json::to_string(&change)
                .map_err(|error| StoreError::corrupt("held run", &error))?,
            failure: None,
            at: self.now,
        })
    }
}

/// What breakers are told once a commit is stored; of failures they know.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    well: Vec<RunEnded>,
    held: Vec<(SlimEvent, HeldReason)>,
    failed_again: Option<(AssignmentId, Lane)>,
    let_go: Option<(AssignmentId, Lane)>,
}

impl Aftermath {
    /// What follows from a commit.
    pub(super) fn of(
        newest: &Arrived,
        lane: &Lane,
        (commit, failed): (&EventCommit, &[AssignmentId]),
    ) -> Self {
        let event = &newest.event;
        let mut well: Vec<RunEnded> = Vec::new();
        for run in commit.runs.iter().filter(|run| !failed.contains(&run.assignment)) {
            // A plugin that maps and reacts has run once, as breakers see it.
            if !well.iter().any(|known| known.assignment == run.assignment) {
                well.push(RunEnded {
                    assignment: run.assignment.clone(),
                    tenant: run.tenant.clone(),
                    lane: lane.clone(),
                    sequence: event.sequence,
                    failed: None,
                });
            }
        }
        let let_go = commit.let_go.first().map(|(assignment, _)| (assignment.clone(), lane.clone()));
        if newest.only.is_some() {
            let again = commit.held.first().filter(|held| held.reason == HeldReason::Failure);
            let failed_again = again.map(|held| (held.assignment.clone(), lane.clone()));
            return Self { well, held: Vec::new(), failed_again, let_go };
        }
        let slim = |held: &HeldRow| SlimEvent {
            sequence: event.sequence,
            tenant: event.tenant.clone(),
            lane: lane.clone(),
            event_type: Arc::clone(&event.event_type),
            cause: event.cause,
            attempts: 0,
            not_before: None,
            only: Some(held.assignment.clone()),
        };
        let held = commit.held.iter().map(|held| (slim(held), held.reason)).collect();
        Self { well, held, failed_again: None, let_go }
    }

    /// Tells them. What is held only behind others comes to the end of its lane at once.
    pub(super) async fn tell(self, breakers: &Breakers, scheduler: &Scheduler) {
        if let Some((assignment, lane)) = self.let_go {
            breakers.let_go(&assignment, &lane);
        }
        if let Some((assignment, lane)) = self.failed_again {
            breakers.failed_again(&assignment, &lane);
        }
        let mut next = Vec::new();
        for (slim, reason) in self.held {
            let Some(assignment) = &slim.only else { continue };
            if breakers.held(assignment, &slim.lane, reason) {
                next.push(slim);
            }
        }
        scheduler.feed_again(next);
        for run in self.well {
            breakers.ended(run).await;
        }
    }
}

/// Gives held runs back to their lanes, as breakers allow, until it is stopped.
pub(super) async fn release(
    store: Store,
    breakers: Breakers,
    scheduler: Arc<Scheduler>,
    clock: Clock,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        if let Err(error) = release_once(&store, &breakers, &scheduler).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "held runs could not be read; trying again"
            );
            clock.machine_sleep(LONGEST_WAIT).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = breakers.changed() => {}
            () = clock.machine_sleep(LONGEST_WAIT) => {}
        }
    }
}

async fn release_once(store: &Store, breakers: &Breakers, scheduler: &Scheduler) -> Result<(), StoreError> {
    for release in breakers.releases() {
        match release {
            Release::From(assignment, mut after) => {
                while scheduler.again() < MOST {
                    let page = store.held_page(&assignment, after, PAGE).await?;
                    let full = i64::try_from(page.len()).is_ok_and(|rows| rows >= PAGE);
                    let upto = page.last().filter(|_| full).map(|last| last.sequence);
                    breakers.released(&assignment, upto);
                    scheduler.feed_again(page);
                    match upto {
                        Some(upto) => after = upto,
                        None => break,
                    }
                }
            }
            Release::Probe(assignment, tried) => {
                if let Some(probe) = store.probe(&assignment, tried).await? {
                    breakers.probing(&assignment, probe.sequence);
                    scheduler.feed_again(vec![probe]);
                }
            }
        }
    }
    Ok(())
}
