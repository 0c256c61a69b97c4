//! What a rule would do: its next slots, and how many contacts each concerns by what is known now.

use super::fire::record_fields;
use super::rules::{RuleError, TimingRules, read};
use crate::domain::{Timestamp, TimingPlan, When};
use crate::store::{Candidate, Place, TimingRuleRow};
use serde::Serialize;

/// Slots that are shown.
const SLOTS: usize = 5;
/// Objects or contacts looked at for one preview; beyond it the numbers are what was counted so far.
const MOST: usize = 10_000;
/// Those of one statement.
const PAGE: i64 = 1000;

/// What a rule would do.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Preview {
    /// As of when, RFC 3339.
    pub now: String,
    /// The next slots, the nearest first.
    pub slots: Vec<PreviewSlot>,
    /// Whether there was more to look at than a preview does: the numbers are what was counted so far.
    pub cut: bool,
}

/// A slot to come.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PreviewSlot {
    /// When, RFC 3339.
    pub at: String,
    /// How many contacts, tasks or appointments it concerns by what is known now.
    pub count: usize,
}

impl TimingRules {
    /// Shows what a stored rule would do.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn preview(&self, row: &TimingRuleRow) -> Result<Preview, RuleError> {
        let unreadable = || RuleError::Invalid(vec!["the stored rule can't be read; put it anew".to_owned()]);
        let plan = read(row).ok_or_else(unreadable)?.plan().map_err(RuleError::Invalid)?;
        let now = self.clock.now();
        let mut looked = 0;
        let mut slots = Vec::new();
        match &plan.when {
            When::Pattern(_) => {
                let count = self.count(row, &plan, now, &mut looked).await?;
                slots.extend(next_slots(&plan, now).map(|at| (at, count)));
            }
            When::Daily { .. } => {
                for at in next_slots(&plan, now) {
                    slots.push((at, self.count(row, &plan, at, &mut looked).await?));
                }
            }
            When::Offset(_) => slots = self.next_objects(row, &plan, now, &mut looked).await?,
        }
        let slots = slots.into_iter().map(|(at, count)| PreviewSlot { at: at.to_rfc3339(), count }).collect();
        Ok(Preview { now: now.to_rfc3339(), slots, cut: looked >= MOST })
    }

    /// How many the rule selects: of all contacts, or of the objects that have that slot.
    async fn count(
        &self,
        row: &TimingRuleRow,
        plan: &TimingPlan,
        slot: Timestamp,
        looked: &mut usize,
    ) -> Result<usize, RuleError> {
        let mut contact = (String::new(), String::new());
        let range = plan.moments_of(slot);
        let mut moment = range.map_or((0, 0), |(from, _)| (from.millis() - 1, i64::MAX));
        let mut count = 0;
        while *looked < MOST {
            let page = match range {
                None => self.store.contacts_after(&row.tenant, (&contact.0, &contact.1), PAGE).await?,
                Some((_, to)) => {
                    let upto = Timestamp::from_millis(to.millis() - 1);
                    let kind = plan.kind.basis();
                    self.store.objects_between(&row.tenant, kind, (moment, upto), PAGE).await?
                }
            };
            *looked += page.len();
            count += page.iter().filter(|it| is_selected(plan, it, slot)).count();
            match page.last().map(|last| last.place.clone()) {
                Some(place) if i64::try_from(page.len()).is_ok_and(|count| count >= PAGE) => match place {
                    Place::Moment(at, id) => moment = (at, id),
                    Place::Contact(connection, id) => contact = (connection, id),
                },
                _ => break,
            }
        }
        Ok(count)
    }

    /// The next slots that objects have, and how many have each.
    async fn next_objects(
        &self,
        row: &TimingRuleRow,
        plan: &TimingPlan,
        now: Timestamp,
        looked: &mut usize,
    ) -> Result<Vec<(Timestamp, usize)>, RuleError> {
        let mut after = (now.millis().saturating_sub(plan.offset_millis()), i64::MAX);
        let mut slots: Vec<(Timestamp, usize)> = Vec::new();
        let end = Timestamp::from_millis(i64::MAX);
        while *looked < MOST {
            let page = self.store.objects_between(&row.tenant, plan.kind.basis(), (after, end), PAGE).await?;
            *looked += page.len();
            for candidate in &page {
                let Some(slot) = candidate.at.and_then(|at| plan.slot_of(at)) else { continue };
                if !is_selected(plan, candidate, slot) {
                    continue;
                }
                let full = slots.len() >= SLOTS;
                match slots.last_mut() {
                    Some((last, count)) if *last == slot => *count += 1,
                    _ if full => return Ok(slots),
                    _ => slots.push((slot, 1)),
                }
            }
            match page.last().map(|last| &last.place) {
                Some(Place::Moment(at, id)) if i64::try_from(page.len()).is_ok_and(|count| count >= PAGE) => {
                    after = (*at, *id);
                }
                _ => break,
            }
        }
        Ok(slots)
    }
}

fn next_slots(plan: &TimingPlan, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(plan.next_slot(now), |slot| plan.next_slot(*slot)).take(SLOTS)
}

fn is_selected(plan: &TimingPlan, candidate: &Candidate, slot: Timestamp) -> bool {
    !candidate.gone
        && candidate.contact.is_some()
        && plan.connection.as_ref().is_none_or(|only| *only == candidate.connection)
        && plan.selects(&record_fields(candidate), slot)
}
