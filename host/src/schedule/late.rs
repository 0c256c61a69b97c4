//! What came late: moments that changed after their slot was done, and those that make a rule due earlier than it
//! thought. Found by the number of the change, so that a look costs no more than what changed.

use super::timing::{Rule, Running};
use crate::domain::Timestamp;
use crate::store::{ChangedMoment, StoreError};
use std::collections::BTreeSet;

/// Changes of moments looked at by one statement.
const PAGE: i64 = 2000;
/// Changes between two notes of how far was looked; a start looks again at so many.
const NOTE_EVERY: i64 = 10_000;

/// How far moments were looked at.
#[derive(Default)]
pub(super) struct Late {
    /// The last change that was looked at; none before the first look.
    seen: Option<i64>,
    /// What of it is noted.
    noted: i64,
}

impl Running {
    /// Looks at what changed since the last look; whether there may be more.
    pub(super) async fn look_at_changes(&mut self) -> Result<bool, StoreError> {
        let store = self.parts.store.clone();
        let seen = match self.late.seen {
            Some(seen) => seen,
            None => {
                let noted = store.moments_seen().await?;
                self.late.noted = noted;
                noted
            }
        };
        let (changed, last) = store.changed_moments(seen, PAGE).await?;
        let Some(last) = last else {
            self.late.seen = Some(seen);
            return Ok(false);
        };
        let more = i64::try_from(changed.len()).is_ok_and(|count| count >= PAGE) || last - seen >= PAGE;
        let tenants: BTreeSet<&str> = changed.iter().map(|moment| moment.tenant.as_str()).collect();
        let tenants: Vec<&str> = tenants.into_iter().collect();
        let mut earlier = Vec::new();
        for row in store.moment_rules(&tenants).await? {
            // One that can't be read is named when it is due.
            let Ok(rule) = self.planned(row) else { continue };
            earlier.extend(self.look_for(&rule, &changed).await?);
        }
        if !earlier.is_empty() || last - self.late.noted >= NOTE_EVERY {
            store.wake_timing_rules(earlier, last).await?;
            self.late.noted = last;
        }
        self.late.seen = Some(last);
        Ok(more)
    }

    /// Tells what came late for a rule; when it has to look again if that is earlier than it thought.
    async fn look_for(
        &self,
        rule: &Rule,
        changed: &[ChangedMoment],
    ) -> Result<Option<(String, Timestamp)>, StoreError> {
        let row = &rule.row;
        let mut late = Vec::new();
        let mut first: Option<Timestamp> = None;
        for moment in changed {
            if moment.tenant != row.tenant || moment.kind != rule.plan.kind.basis() {
                continue;
            }
            let Some(slot) = rule.plan.slot_of(moment.at).filter(|slot| *slot > row.since) else { continue };
            if slot <= row.cursor.done_to || row.cursor.under_way == Some(slot) {
                late.push(moment.id);
            } else if !rule.plan.is_calendar() && row.cursor.next_at.is_none_or(|next| slot < next) {
                first = Some(first.map_or(slot, |first| first.min(slot)));
            }
        }
        if !late.is_empty() {
            let now = self.parts.clock.now();
            let objects = self.parts.store.objects_of(&row.tenant, &late).await?;
            let mut events = Vec::with_capacity(objects.len());
            let mut last_slot = None;
            for object in &objects {
                let Some(slot) = object.at.and_then(|at| rule.plan.slot_of(at)) else { continue };
                // It may have moved on since the look; then it comes in its own time.
                if slot <= row.cursor.done_to || row.cursor.under_way == Some(slot) {
                    let event = self.event(rule, object, slot, now);
                    last_slot = last_slot.max(event.as_ref().map(|_| slot));
                    events.extend(event);
                }
            }
            self.commit(row, row.cursor.clone(), events, last_slot).await?;
        }
        Ok(first.map(|at| (row.id.clone(), at)))
    }

    /// Notes how far was looked.
    pub(super) async fn note_seen(&self) -> Result<(), StoreError> {
        match self.late.seen {
            Some(seen) if seen > self.late.noted => {
                self.parts.store.wake_timing_rules(Vec::new(), seen).await
            }
            _ => Ok(()),
        }
    }
}
