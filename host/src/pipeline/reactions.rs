//! Reactions: what plugins ask for becomes the event's plan. Local effects go into the event's own commit, remote ones
//! into the outbox.

use super::journey::{Arrived, Journey, Stop, Working};
use super::merge::Record;
use super::merged::MergedObject;
use super::rounds::{Interface, Progress};
use super::runs::{RunEnd, RunResult};
use super::writes::{dead_letter, run_row};
use crate::domain::{
    Action, Cause, Effect, Fields, LocalEffect, ObjectKind, RankrId, RemoteEffect, Target, Timestamp, Value,
};
use crate::store::{
    EffectRow, EventCommit, LinkRow, RankrEventRow, RecordRow, ScheduleRow, StateRow, StoreError, TimelineRow,
};
use crate::tenants::ActiveVersion;
use std::collections::BTreeMap;
use std::time::Duration;

/// Remote effects one contact may get from one assignment within [`GUARDED`], before the guard against loops opens.
const MOST_EFFECTS: i64 = 20;
/// The time the guard looks back.
const GUARDED: Duration = Duration::from_secs(10 * 60);
/// A find of the reconciler is reacted to when it is younger than this.
const REACT_WITHIN: Duration = Duration::from_secs(3600);
/// A schedule is at least this far ahead.
const SHORTEST_SCHEDULE: Duration = Duration::from_secs(60);
/// Schedules a contact may have of one assignment.
const MOST_SCHEDULES: i64 = 100;

/// The record a reaction is told the event found.
type Before = (ObjectKind, Option<(RankrId, Fields)>);

impl Journey<'_> {
    /// Whether events of this cause, with what is left of them, are reacted to.
    pub(super) fn reacts_to(&self, newest: &Arrived, merged: &MergedObject<'_>) -> bool {
        let cause = match newest.event.cause {
            Cause::Live | Cause::Rankr | Cause::Timing | Cause::Schedule => true,
            Cause::Reconcile => self.now.since(newest.event.source_time) < REACT_WITHIN,
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
        for active in self.wanting(newest).filter(|active| active.reacts) {
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
                commit.dead_letters.push(dead_letter(newest, active, outcome, detail, self.now));
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
        if remote == 0 || newest.event.cause == Cause::Test {
            return Ok(None);
        }
        let since = self.now.minus(GUARDED);
        let lately = self.store.count_recent_effects(&active.assignment, contact, since).await?;
        let all = lately + i64::try_from(remote).unwrap_or(i64::MAX);
        Ok((all > MOST_EFFECTS).then(|| {
            format!("{all} effects on one contact within {GUARDED:?}, {MOST_EFFECTS} are allowed: does it answer itself?")
        }))
    }

    /// Takes a run's effects into the commit, all of them.
    async fn plan(
        &self,
        (newest, active, merged): (&Arrived, &ActiveVersion, &MergedObject<'_>),
        effects: Vec<Effect>,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let stem = format!("{}/{}", newest.event.sequence, active.assignment);
        // Author's keys of this run that make something, with the keys of their effects.
        let mut made: BTreeMap<String, String> = BTreeMap::new();
        for (position, effect) in effects.into_iter().enumerate() {
            let effect_key = match &effect.key {
                Some(key) => format!("{stem}/{key}"),
                None => format!("{stem}/#{position}"),
            };
            let mut row = EffectRow {
                tenant: newest.event.tenant.clone(),
                connection: newest.event.connection.clone(),
                assignment: active.assignment.clone(),
                version: active.version.clone(),
                sequence: newest.event.sequence,
                effect_key: effect_key.clone(),
                author_key: effect.key.clone(),
                lane: self.lane.clone(),
                contact: merged.contact.clone(),
                cause: newest.event.cause,
                op: "",
                class: None,
                makes: false,
                content: String::new(),
                after_key: None,
                state: "done",
                detail: None,
                at: self.now,
            };
            match effect.action {
                Action::Local(local) => {
                    row.op = local.word();
                    row.content = serde_json::json!({"op": row.op}).to_string();
                    self.do_locally((newest, active, merged), local, &effect_key, progress).await?;
                }
                Action::Remote(mut remote) => {
                    let waits = self.name_makers(active, &mut remote, &made).await?;
                    row.op = remote.op.as_str();
                    row.class = Some(remote.class());
                    row.makes = remote.op.makes();
                    row.content = serde_json::to_string(&remote)
                        .map_err(|error| StoreError::corrupt("effect", &error))?;
                    match waits {
                        Ok(after) => {
                            row.after_key = after;
                            row.state = "waiting";
                        }
                        Err(unknown) => {
                            row.state = "refused";
                            row.detail =
                                Some(format!("nothing was made under the key {unknown:?} in this lane"));
                        }
                    }
                    if let (Some(key), true) = (effect.key, remote.op.makes()) {
                        made.insert(key, effect_key);
                    }
                }
            }
            progress.commit.effects.push(row);
        }
        Ok(())
    }

    /// Puts effects' keys in the place of authors' keys; the key it waits for, or the author's key nothing has.
    async fn name_makers(
        &self,
        active: &ActiveVersion,
        effect: &mut RemoteEffect,
        made: &BTreeMap<String, String>,
    ) -> Result<Result<Option<String>, String>, StoreError> {
        let mut after = None;
        for target in [effect.contact.as_mut(), effect.object.as_mut()].into_iter().flatten() {
            let Target::MadeBy(author_key) = target else { continue };
            let found = match made.get(author_key) {
                Some(effect_key) => Some(effect_key.clone()),
                None => self.store.newest_made_by(&active.assignment, self.lane, author_key).await?,
            };
            let Some(effect_key) = found else { return Ok(Err(author_key.clone())) };
            *author_key = effect_key.clone();
            after = Some(effect_key);
        }
        Ok(Ok(after))
    }

    async fn do_locally(
        &self,
        (newest, active, merged): (&Arrived, &ActiveVersion, &MergedObject<'_>),
        effect: LocalEffect,
        effect_key: &str,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let contact = progress.contact();
        let commit = &mut progress.commit;
        match effect {
            LocalEffect::SetRecord { kind, id, fields } => {
                self.set_record((newest, active), (kind, id), fields, progress).await?;
            }
            LocalEffect::AddEntry { kind, title, details } => commit.timeline.push(TimelineRow {
                tenant: newest.event.tenant.clone(),
                contact,
                at: newest.event.source_time,
                sequence: newest.event.sequence,
                kind: "entry",
                entry: serde_json::json!({
                    "kind": kind, "title": title, "details": details, "plugin": active.plugin.as_str(), "effect": effect_key,
                })
                .to_string(),
            }),
            LocalEffect::SendEvent { event_type, data } => commit.rankr_events.push(RankrEventRow {
                tenant: newest.event.tenant.clone(),
                sequence: newest.event.sequence,
                assignment: active.assignment.clone(),
                contact,
                event_type,
                data: data.to_string(),
                at: self.now,
            }),
            LocalEffect::Schedule { key, at, data } => {
                let at = at.max(self.now.plus(SHORTEST_SCHEDULE));
                commit.schedules.push(self.schedule((newest, active, merged), key, Some(at), data.to_string()));
            }
            LocalEffect::CancelSchedule { key } => {
                commit.schedules.push(self.schedule((newest, active, merged), key, None, String::new()));
            }
        }
        Ok(())
    }

    fn schedule(
        &self,
        (newest, active, merged): (&Arrived, &ActiveVersion, &MergedObject<'_>),
        key: String,
        at: Option<Timestamp>,
        data: String,
    ) -> ScheduleRow {
        ScheduleRow {
            assignment: active.assignment.clone(),
            contact: merged.contact.clone(),
            key,
            tenant: newest.event.tenant.clone(),
            connection: newest.event.connection.clone(),
            lane: self.lane.clone(),
            at,
            data,
        }
    }

    /// New values of a record: one of the event's own, or any other by Rankr's id, made if it is not there.
    async fn set_record(
        &self,
        (newest, active): (&Arrived, &ActiveVersion),
        (kind, id): (ObjectKind, Option<RankrId>),
        mut fields: Fields,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let Progress { records, commit, .. } = progress;
        let (sequence, at) = (newest.event.sequence, newest.event.source_time);
        let own = records.get(&kind).is_some_and(|working| id.as_ref().is_none_or(|id| *id == working.id));
        if own {
            if let Some(working) = records.get_mut(&kind) {
                let changes = working.record.merge(fields, sequence, at, &active.version);
                working.touched |= !changes.is_empty();
            }
            return Ok(());
        }
        let Some(id) = id else { return Ok(()) };
        let pending = commit.records.iter().position(|row| row.kind == kind && row.id == id);
        let stored = match pending.map(|place| commit.records.remove(place)) {
            Some(row) => Some((row.fields, row.provenance, row.deleted_at)),
            None => self.store.record_fields(&newest.event.tenant, kind, &id).await?,
        };
        let corrupt = |error: serde_json::Error| StoreError::corrupt("record", &error);
        let mut record = match &stored {
            Some((fields, provenance, deleted_at)) => {
                Record::from_stored(fields, provenance, *deleted_at).map_err(corrupt)?
            }
            None => Record::default(),
        };
        if stored.is_none()
            && kind != ObjectKind::Contact
            && let Some(contact) = records.get(&ObjectKind::Contact)
        {
            fields.insert("contact_id".to_owned(), Value::Text(contact.id.as_str().to_owned()));
        }
        record.merge(fields, sequence, at, &active.version);
        commit.records.push(RecordRow {
            tenant: newest.event.tenant.clone(),
            kind,
            id,
            fields: serde_json::to_string(&record.fields).map_err(corrupt)?,
            provenance: serde_json::to_string(&record.provenance).map_err(corrupt)?,
            at: self.now,
            deleted_at: record.deleted_at,
        });
        Ok(())
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
