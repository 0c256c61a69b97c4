//! What people decide about effects: an unclear one was done or is repeated, a failed one is retried, a waiting one is
//! cancelled. A decision is refused when the effect stands otherwise by then.

use super::end::{End, Ending};
use super::outbox::Changed;
use super::resolve::contact_of;
use crate::domain::{Clock, GhlId, RemoteEffect, TenantId};
use crate::ghl::WrittenObject;
use crate::store::{
    AuditRow, EffectMark, EffectStep, EventCommit, OpenEffect, Store, StoreError, TimelineRow,
};
use crate::tenants::Assignments;

/// What a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// An unclear effect was done; GHL's id of what it made.
    Done(Option<GhlId>),
    /// An unclear effect was not done and is sent once more.
    Repeat,
    /// A refused or dead effect is tried again, as it was planned.
    Retry,
    /// A waiting or held effect is not to be done any more, for that reason.
    Cancel(Option<String>),
}

impl Decided {
    fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Repeat => "repeat",
            Self::Retry => "retry",
            Self::Cancel(_) => "cancel",
        }
    }

    /// The states it can be decided in.
    fn from(&self) -> &'static [&'static str] {
        match self {
            Self::Done(_) | Self::Repeat => &["unclear"],
            Self::Retry => &["refused", "dead"],
            Self::Cancel(_) => &["waiting", "held"],
        }
    }
}

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such effect in GHL.
    #[error("there is no effect {0} that is done in GHL")]
    Unknown(i64),
    /// It stands otherwise.
    #[error("effect {id} is {state}; {word} needs one that is {}", .wanted.join(" or "))]
    State {
        /// Which.
        id: i64,
        /// How it stands.
        state: String,
        /// What was decided.
        word: &'static str,
        /// How it would have to stand.
        wanted: &'static [&'static str],
    },
    /// Others wait for the id of what it made.
    #[error("{held} effects wait for what effect {id} made: give its ghl_id, or decide to repeat it")]
    NeedsId {
        /// Which.
        id: i64,
        /// How many wait.
        held: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes decisions. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    store: Store,
    clock: Clock,
    assignments: Assignments,
    changed: Changed,
}

impl Decisions {
    /// Decisions over these; `changed` is the outbox's.
    #[must_use]
    pub fn new(store: Store, clock: Clock, assignments: Assignments, changed: Changed) -> Self {
        Self { store, clock, assignments, changed }
    }

    /// Takes a decision about an effect of that tenant, with the audit's row of who decided.
    ///
    /// # Errors
    /// Why it is not taken; then nothing changed.
    pub async fn decide(
        &self,
        (tenant, id): (&TenantId, i64),
        decided: &Decided,
        audit: Option<AuditRow>,
    ) -> Result<(), DecideError> {
        let open = self.store.effect(id).await?.filter(|open| open.remote && open.tenant == *tenant);
        let open = open.ok_or(DecideError::Unknown(id))?;
        if !decided.from().contains(&open.state.as_str()) {
            return Err(Self::stands_otherwise(&open, decided));
        }
        let effect: RemoteEffect =
            serde_json::from_str(&open.content).map_err(|error| StoreError::corrupt("effect", &error))?;
        let mut commit = self.commit(&open, &effect, decided).await?;
        commit.audit.extend(audit);
        match self.store.commit_event(commit).await {
            Err(StoreError::Conflict) => {
                let now = self.store.effect(id).await?.ok_or(DecideError::Unknown(id))?;
                return Err(Self::stands_otherwise(&now, decided));
            }
            done => done?,
        }
        metrics::counter!("mapwright_effect_decisions_total", "decision" => decided.word()).increment(1);
        let released = self.store.waiting_after(&open.effect_key).await?;
        self.changed.tell(std::iter::once(id).chain(released));
        Ok(())
    }

    fn stands_otherwise(open: &OpenEffect, decided: &Decided) -> DecideError {
        DecideError::State {
            id: open.id,
            state: open.state.clone(),
            word: decided.word(),
            wanted: decided.from(),
        }
    }

    async fn commit(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        decided: &Decided,
    ) -> Result<EventCommit, DecideError> {
        let ending = Ending { store: &self.store, assignments: &self.assignments, now: self.clock.now() };
        let mark = |step| EffectMark {
            id: open.id,
            from: decided.from(),
            attempts: Some(open.attempts),
            step,
            at: ending.now,
        };
        let mut commit = match decided {
            Decided::Done(ghl_id) => {
                let held = self.store.count_held(&open.effect_key).await?;
                if effect.op.makes() && ghl_id.is_none() && held > 0 {
                    return Err(DecideError::NeedsId { id: open.id, held });
                }
                let written = ghl_id.clone().map(|id| WrittenObject {
                    kind: effect.op.kind(),
                    id: Some(id),
                    fields: crate::domain::Fields::new(),
                });
                let end = End {
                    state: "done",
                    outcome: "decided",
                    written,
                    detail: Some("a person said that it was done".to_owned()),
                };
                let (state, outcome, detail) = (end.state, end.outcome, end.detail.clone());
                let step = EffectStep::Ended { state, ghl_id: ghl_id.clone(), outcome, detail };
                let mut commit = ending.commit(open, effect, &end, mark(step));
                // Nothing of it is an echo any more.
                commit.answered.clear();
                commit
            }
            Decided::Repeat | Decided::Retry => {
                let detail = match decided {
                    Decided::Repeat => "a person has it sent once more",
                    _ => "a person has it tried again",
                };
                let mut commit = EventCommit::default();
                commit.marks.push(mark(EffectStep::Again { detail: detail.to_owned() }));
                commit
            }
            Decided::Cancel(reason) => {
                let detail = reason.clone().unwrap_or_else(|| "a person cancelled it".to_owned());
                let step = EffectStep::Ended {
                    state: "cancelled",
                    ghl_id: None,
                    outcome: "cancelled",
                    detail: Some(detail),
                };
                let mut commit = EventCommit::default();
                commit.marks.push(mark(step));
                commit
            }
        };
        commit.timeline.push(self.entry(open, effect, decided).await?);
        Ok(commit)
    }

    /// What the timeline says of a decision.
    async fn entry(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        decided: &Decided,
    ) -> Result<TimelineRow, StoreError> {
        let contact = contact_of(&self.store, open).await?;
        let (ghl_id, reason) = match decided {
            Decided::Done(id) => (id.as_ref().map(GhlId::as_str), None),
            Decided::Cancel(reason) => (None, reason.as_deref()),
            Decided::Repeat | Decided::Retry => (None, None),
        };
        Ok(TimelineRow {
            tenant: open.tenant.clone(),
            contact,
            at: self.clock.now(),
            sequence: open.sequence,
            kind: "decision",
            entry: serde_json::json!({
                "effect": open.effect_key, "op": effect.op, "was": open.state, "decision": decided.word(),
                "id": ghl_id, "reason": reason,
            })
            .to_string(),
        })
    }
}
