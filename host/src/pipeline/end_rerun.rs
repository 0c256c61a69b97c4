//! What a rerun writes: its comparison, what it settles, and, unless it only compares, what differs.

use super::arrived::Arrived;
use super::compare::{Comparison, Failed};
use super::journey::Journey;
use super::merge::FieldChange;
use super::rerun::Rerun;
use crate::domain::{AssignmentId, RankrId, RerunKind};
use crate::store::{EventCommit, EventEnd, RerunEnd, ResolvedRow, StoreError, TimelineRow};

impl Journey<'_> {
    /// The commit of a rerun, from what an ordinary run of its event would write.
    pub(super) fn end_rerun(
        &self,
        (newest, rerun): (&Arrived, &Rerun),
        (mut comparison, changes): (Comparison, Vec<FieldChange>),
        contact: Option<RankrId>,
        mut commit: EventCommit,
    ) -> Result<EventCommit, StoreError> {
        comparison.performed = rerun.performs();
        comparison.record_changes = changes;
        comparison.failed = commit
            .dead_letters
            .iter()
            .map(|dead| Failed {
                assignment: dead.assignment.clone(),
                outcome: dead.outcome,
                detail: dead.detail.clone(),
            })
            .collect();
        match rerun.kind {
            RerunKind::Retry => {
                let ran = |id: &AssignmentId| commit.runs.iter().any(|run| run.assignment == *id);
                let failed =
                    |id: &AssignmentId| commit.dead_letters.iter().any(|dead| dead.assignment == *id);
                let did_well = rerun.request.assignments.iter().filter(|id| ran(id) && !failed(id));
                commit.resolved = did_well
                    .map(|assignment| ResolvedRow {
                        tenant: newest.event.tenant.clone(),
                        sequence: newest.event.sequence,
                        assignment: assignment.clone(),
                        resolution: "retried",
                        reason: None,
                        at: self.now,
                    })
                    .collect();
                if commit.runs.is_empty() {
                    comparison.nothing_to_do = Some("no active version wants the event");
                }
            }
            // What did well before is no dead letter because a newer version fails.
            RerunKind::Reprocess => commit.dead_letters.clear(),
            RerunKind::Compare => commit = EventCommit::default(),
        }
        if rerun.performs() {
            commit.timeline.push(self.rerun_entry(newest, rerun, contact, &comparison));
        }
        self.close_rerun(newest, rerun, &comparison, commit)
    }

    /// The commit of a rerun that has nothing to run.
    pub(super) fn idle(&self, newest: &Arrived, why: &'static str) -> Result<EventCommit, StoreError> {
        let Some(rerun) = &newest.rerun else { return Ok(EventCommit::default()) };
        let mut comparison = Comparison::default();
        comparison.nothing_to_do = Some(why);
        let mut commit = EventCommit::default();
        if rerun.performs() {
            commit.timeline.push(self.rerun_entry(newest, rerun, None, &comparison));
        }
        self.close_rerun(newest, rerun, &comparison, commit)
    }

    fn close_rerun(
        &self,
        newest: &Arrived,
        rerun: &Rerun,
        comparison: &Comparison,
        mut commit: EventCommit,
    ) -> Result<EventCommit, StoreError> {
        let failed = !comparison.failed.is_empty() || comparison.nothing_to_do.is_some();
        commit.rerun_ends.push(RerunEnd {
            id: rerun.request.rerun.clone(),
            state: if failed { "failed" } else { "done" },
            result: serde_json::to_string(comparison)
                .map_err(|error| StoreError::corrupt("comparison", &error))?,
            at: self.now,
        });
        commit.events.push(self.event_row(newest, EventEnd::Done, None));
        Ok(commit)
    }

    /// What the timeline says of a rerun.
    fn rerun_entry(
        &self,
        newest: &Arrived,
        rerun: &Rerun,
        contact: Option<RankrId>,
        comparison: &Comparison,
    ) -> TimelineRow {
        TimelineRow {
            tenant: newest.event.tenant.clone(),
            contact,
            at: self.now,
            sequence: rerun.own,
            kind: "event",
            entry: serde_json::json!({
                "type": rerun.kind.as_str(), "cause": newest.event.cause, "event": newest.event.sequence,
                "of": newest.event.event_type, "changes": comparison.record_changes,
                "failed": comparison.failed.iter().map(|failed| failed.outcome).collect::<Vec<_>>(),
            })
            .to_string(),
        }
    }
}
