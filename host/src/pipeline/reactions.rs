//! Reactions: what plugins ask for becomes the event's plan. Local effects go into the event's own commit, remote ones
//! into the outbox.

use super::arrived::Arrived;
use super::journey::{Journey, Stop, Working};
use super::merged::MergedObject;
use super::rounds::{Interface, Progress};
use super::runs::{RunEnd, RunResult};
use super::writes::run_row;
use crate::domain::{Action, Cause, Effect, Fields, LocalEffect, ObjectKind, RankrId};
use crate::store::{EventCommit, LinkRow, StateRow, StoreError};
use crate::tenants::ActiveVersion;
use std::time::Duration;

/// Remote effects one contact may get from one assignment within [`GUARDED`], before the guard against loops opens.
const MOST_EFFECTS: i64 = 20;
/// The time the guard looks back.
const GUARDED: Duration = Duration::from_secs(10 * 60);
/// A find of the reconciler is reacted to when it is younger than this.
const REACT_WITHIN: Duration = Duration::from_secs(3600);
/// Schedules a contact may have of one assignment.
const MOST_SCHEDULES: i64 = 100;

/// The record a reaction is told the event found.
type Before = (ObjectKind, Option<(RankrId, Fields)>);

impl Journey<'_> {
    /// Whether events of this cause, with what is left of them, are reacted to.
    pub(super) fn reacts_to(&self, newest: &Arrived, merged: &MergedObject<'_>) -> bool {
        let cause = match newest.event.cause {
            Cause::Live | Cause::Rankr | Cause::Timing | Cause::Schedule => true,
            Cause::Reconcile => newest.first_run(self.now).since(newest.event.source_time) < REACT_WITHIN,
            Cause::Backfill | Cause::Test => false,
        };
        cause && !merged.all_stale() && merged.is_news()
    }

    /// Runs every reaction that wants the event, unless one of its mappings failed for good.
    pub(super) async fn react_all(
        &self,
        events: &[Arrived],
        newest: &Arrived,
        merged: &MergedObject<'_>,
        (kind, before): Before,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        if !progress.commit.dead_letters.is_empty() || !self.reacts_to(newest, merged) {
            return Ok(());
        }
        for active in self.wanting(newest, Interface::Reaction) {
            if !self.may_run(newest, merged, active, &mut progress.commit)? {
                continue;
            }
            let before = before.as_ref().map(|(id, fields)| (kind, id, fields));
            let result =
                self.rounds(newest, merged, (Interface::Reaction, active), (kind, before), progress).await?;
            let (end, detail) = match result.end.clone() {
                RunEnd::Reacted(effects) => match self.guard(newest, active, merged, &effects).await? {
                    None => {
                        self.plan((newest, active, merged), effects, progress).await?;
                        (None, None)
                    }
                    Some(detail) => (Some("loop-guard"), Some(detail)),
                },
                other => self.failure(events, &result, other)?,
            };
            let commit = &mut progress.commit;
            self.keep_state(active, &result, end.is_none(), commit);
            commit.runs.push(run_row(newest, active, "reaction", &result, detail.clone(), self.now));
            if let Some(outcome) = end {
                self.fail((newest, merged, active), (outcome, detail), progress).await?;
            }
        }
        Ok(())
    }

    /// Why the effects are not taken: the same contact got too many lately from the same assignment.
    async fn guard(
        &self,
        newest: &Arrived,
        active: &ActiveVersion,
        merged: &MergedObject<'_>,
        effects: &[Effect],
    ) -> Result<Option<String>, StoreError> {
        let remote = effects.iter().filter(|effect| matches!(effect.action, Action::Remote(_))).count();
        let schedules = effects
            .iter()
            .filter(|it| matches!(it.action, Action::Local(LocalEffect::Schedule { .. })))
            .count();
        let Some(contact) = merged.contact.as_ref() else { return Ok(None) };
        if schedules > 0 {
            let there = self.store.count_schedules(&active.assignment, contact).await?;
            if there + i64::try_from(schedules).unwrap_or(i64::MAX) > MOST_SCHEDULES {
                return Ok(Some(format!("a contact may have {MOST_SCHEDULES} schedules of one assignment")));
            }
        }
        // What people have run again answers nobody.
        if remote == 0 || newest.event.cause == Cause::Test || newest.rerun.is_some() {
            return Ok(None);
        }
        let since = self.now.minus(GUARDED);
        let lately = self.store.count_recent_effects(&active.assignment, contact, since).await?;
        let all = lately + i64::try_from(remote).unwrap_or(i64::MAX);
        Ok((all > MOST_EFFECTS).then(|| {
            format!("{all} effects on one contact within {GUARDED:?}, {MOST_EFFECTS} are allowed: does it answer itself?")
        }))
    }

    /// What a run that did well wants remembered.
    pub(super) fn keep_state(
        &self,
        active: &ActiveVersion,
        result: &RunResult,
        did_well: bool,
        commit: &mut EventCommit,
    ) {
        if !did_well {
            return;
        }
        commit.state.extend(result.state.iter().map(|set| StateRow {
            tenant: active.tenant.clone(),
            plugin: active.plugin.clone(),
            schema: active.state_schema,
            contact: set.contact.clone(),
            key: set.key.clone(),
            value: set.value.clone(),
            seen: set.seen,
        }));
    }

    /// The link of a record with its GHL object.
    pub(super) fn link(
        &self,
        newest: &Arrived,
        kind: ObjectKind,
        working: &Working,
        ghl_id: &crate::domain::GhlId,
    ) -> LinkRow {
        LinkRow {
            tenant: newest.event.tenant.clone(),
            kind,
            connection: newest.event.connection.clone(),
            ghl_id: ghl_id.clone(),
            rankr_id: working.id.clone(),
            at: self.now,
        }
    }
}
