//! A run's plan: each effect a row, what is local done at once; in a rerun only what differs from what was done.

use super::arrived::Arrived;
use super::compare::{Verdict, author_of};
use super::journey::Journey;
use super::merge::Record;
use super::merged::MergedObject;
use super::rounds::Progress;
use crate::domain::{
    Action, Effect, Fields, LocalEffect, ObjectKind, RankrId, RemoteEffect, Target, Timestamp, Value,
};
use crate::ghl;
use crate::store::{EffectRow, RankrEventRow, RecordRow, ScheduleRow, StoreError, TimelineRow};
use crate::tenants::ActiveVersion;
use std::collections::BTreeMap;
use std::time::Duration;

/// A schedule is at least this far ahead.
const SHORTEST_SCHEDULE: Duration = Duration::from_secs(60);

/// Whose plan it is.
type Whose<'a> = (&'a Arrived, &'a ActiveVersion, &'a MergedObject<'a>);

/// Authors' keys of this run that make something, with the keys of their effects.
type Made = BTreeMap<String, String>;

impl Journey<'_> {
    /// Takes a run's effects into the commit, all of them.
    pub(super) async fn plan(
        &self,
        whose: Whose<'_>,
        effects: Vec<Effect>,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let (newest, active, _) = whose;
        let mut made = Made::new();
        for (position, effect) in effects.into_iter().enumerate() {
            let row = self.row(whose, position, effect.key);
            match effect.action {
                Action::Local(local) => self.plan_local(whose, row, local, progress).await?,
                Action::Remote(remote) => self.plan_remote(whose, row, (remote, &mut made), progress).await?,
            }
        }
        if let Some(rerun) = &newest.rerun {
            progress.comparison.close(rerun, &active.assignment);
        }
        Ok(())
    }

    /// An effect's row, but for what is to be done.
    fn row(
        &self,
        (newest, active, merged): Whose<'_>,
        position: usize,
        author_key: Option<String>,
    ) -> EffectRow {
        let name = author_key.clone().unwrap_or_else(|| format!("#{position}"));
        let revision = newest.rerun.as_ref().map(|rerun| format!("~{}", rerun.own)).unwrap_or_default();
        EffectRow {
            tenant: newest.event.tenant.clone(),
            connection: newest.event.connection.clone(),
            assignment: active.assignment.clone(),
            version: active.version.clone(),
            sequence: newest.event.sequence,
            effect_key: format!("{}/{}/{name}{revision}", newest.event.sequence, active.assignment),
            author_key,
            lane: self.lane.clone(),
            contact: merged.contact.clone(),
            cause: newest.event.cause,
            op: "",
            class: None,
            makes: false,
            content: String::new(),
            asked: None,
            after_key: None,
            state: "done",
            detail: None,
            at: self.now,
        }
    }

    async fn plan_local(
        &self,
        whose: Whose<'_>,
        mut row: EffectRow,
        local: LocalEffect,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        row.op = local.word();
        row.content = serde_json::to_string(&local).map_err(|error| StoreError::corrupt("effect", &error))?;
        if let Some(rerun) = &whose.0.rerun
            && let Verdict::Done(_) = progress.comparison.judge(rerun, &row, None)
        {
            return Ok(());
        }
        self.do_locally(whose, local, &row.effect_key, progress).await?;
        progress.commit.effects.push(row);
        Ok(())
    }

    async fn plan_remote(
        &self,
        (newest, active, _): Whose<'_>,
        mut row: EffectRow,
        (mut remote, made): (RemoteEffect, &mut Made),
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let waits = self.name_makers((newest, active), &mut remote, made).await?;
        fill(&mut row, &remote)?;
        let mut makes = row.effect_key.clone();
        match waits {
            Err(unknown) => {
                row.state = "refused";
                row.detail = Some(format!("nothing was made under the key {unknown:?} in this lane"));
            }
            Ok(after) => {
                (row.after_key, row.state) = (after, "waiting");
                if let Some(rerun) = &newest.rerun {
                    match progress.comparison.judge(rerun, &row, Some(&remote)) {
                        Verdict::Perform => {}
                        Verdict::Done(maker) => {
                            if let (Some(key), true) = (row.author_key, row.makes) {
                                made.insert(key, maker);
                            }
                            return Ok(());
                        }
                        Verdict::Update(update, maker) => {
                            row.asked = Some(std::mem::take(&mut row.content));
                            fill(&mut row, &update)?;
                            row.after_key = Some(maker.clone());
                            makes = maker;
                        }
                    }
                }
            }
        }
        if let (Some(key), true) = (row.author_key.clone(), remote.op.makes()) {
            made.insert(key, makes);
        }
        progress.commit.effects.push(row);
        Ok(())
    }

    /// Puts effects' keys in the place of authors' keys; the key it waits for, or the author's key nothing has.
    async fn name_makers(
        &self,
        (newest, active): (&Arrived, &ActiveVersion),
        effect: &mut RemoteEffect,
        made: &Made,
    ) -> Result<Result<Option<String>, String>, StoreError> {
        let mut after = None;
        for target in [effect.contact.as_mut(), effect.object.as_mut()].into_iter().flatten() {
            let Target::MadeBy(author_key) = target else { continue };
            // In a rerun it is what was named then, if it still has that key.
            let named = || newest.rerun.as_ref().and_then(|rerun| rerun.named(active, author_key));
            let found = match made.get(author_key).cloned().or_else(named) {
                Some(effect_key) => Some(effect_key),
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
        (newest, active, merged): Whose<'_>,
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
        (newest, active, merged): Whose<'_>,
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
        let own = records.get(&kind).is_some_and(|working| id.as_ref().is_none_or(|id| *id == working.id));
        if own {
            if let Some(working) = records.get_mut(&kind) {
                let changes = newest.merge(&mut working.record, fields, &active.version);
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
        newest.merge(&mut record, fields, &active.version);
        let (fields, provenance) = record.to_stored().map_err(corrupt)?;
        commit.records.push(RecordRow {
            tenant: newest.event.tenant.clone(),
            kind,
            id,
            fields,
            provenance,
            at: self.now,
            deleted_at: record.deleted_at,
        });
        Ok(())
    }
}

/// What is to be done in GHL, in an effect's row.
fn fill(row: &mut EffectRow, remote: &RemoteEffect) -> Result<(), StoreError> {
    row.op = remote.op.as_str();
    row.class = Some(ghl::class_of(remote));
    row.makes = remote.op.makes();
    row.content = serde_json::to_string(remote).map_err(|error| StoreError::corrupt("effect", &error))?;
    Ok(())
}

impl super::rerun::Rerun {
    /// The key of the maker that an effect of that assignment named when the event first ran, by its author's key.
    fn named(&self, active: &ActiveVersion, author_key: &str) -> Option<String> {
        self.prior_of(&active.assignment).into_iter().find_map(|prior| {
            let asked: RemoteEffect = serde_json::from_str(&prior.asked).ok()?;
            [asked.contact, asked.object].into_iter().flatten().find_map(|target| match target {
                Target::MadeBy(key) if author_of(&key) == Some(author_key) => Some(key),
                _ => None,
            })
        })
    }
}
