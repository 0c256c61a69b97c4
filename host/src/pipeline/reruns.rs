//! What people ask to have run again: retries of dead letters, reprocessed events. Each becomes an event in its lane, so
//! that it runs in order and once.

use super::rerun::Request;
use crate::domain::{AssignmentId, Clock, PluginName, RerunKind, Sequence, TenantId, Timestamp, dedupe_key};
use crate::store::{
    AuditRow, DeadLetterFilter, EventCommit, InboxRow, Original, RerunListing, RerunRow, ResolvedRow, Store,
    StoreError,
};
use crate::tenants::{ActiveVersion, Assignments};
use std::sync::Arc;
use std::time::Duration;

/// Dead letters retried by one request.
const AT_ONCE: i64 = 1000;
/// Machine time between two looks at a rerun that somebody waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Why something is not run again.
#[derive(Debug, thiserror::Error)]
pub enum RerunRefusal {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It stands otherwise.
    #[error("{0}")]
    State(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which dead letters are retried.
pub type RetryFilter = DeadLetterFilter;

/// Takes wishes for reruns. Cheap to clone.
#[derive(Clone)]
pub struct Reruns {
    store: Store,
    clock: Clock,
    assignments: Assignments,
}

impl Reruns {
    /// Reruns over these.
    #[must_use]
    pub fn new(store: Store, clock: Clock, assignments: Assignments) -> Self {
        Self { store, clock, assignments }
    }

    /// Retries a dead letter with the present active version; gives the rerun's id.
    ///
    /// # Errors
    /// Why it can't be retried.
    pub async fn retry(
        &self,
        tenant: &TenantId,
        (sequence, assignment): (Sequence, &AssignmentId),
        audit: Option<AuditRow>,
    ) -> Result<String, RerunRefusal> {
        let letter = self.letter(tenant, sequence, assignment).await?;
        if let Some(id) = letter.retrying {
            return Err(RerunRefusal::State(format!("it is being retried already by {id}")));
        }
        self.active(tenant, assignment)?;
        let original = self.original(tenant, sequence).await?;
        let mut commit = EventCommit { audit: Vec::from_iter(audit), ..EventCommit::default() };
        let asked = (RerunKind::Retry, sequence, vec![assignment.clone()]);
        let id = self.ask(&original, asked, &mut commit)?;
        self.store.commit_event(commit).await?;
        Ok(id)
    }

    /// Retries a tenant's open dead letters that fit, up to a thousand; gives the reruns' ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_all(
        &self,
        tenant: &TenantId,
        filter: &RetryFilter,
        audit: Option<AuditRow>,
    ) -> Result<Vec<String>, RerunRefusal> {
        let filter = RetryFilter { open: Some(true), ..filter.clone() };
        let letters = self.store.list_dead_letters(tenant, &filter, AT_ONCE).await?;
        let mut ids = Vec::new();
        let mut commit = EventCommit { audit: Vec::from_iter(audit), ..EventCommit::default() };
        for letter in letters.into_iter().filter(|letter| letter.retrying.is_none()) {
            let (sequence, assignment) = (Sequence(letter.sequence), AssignmentId::from(letter.assignment));
            if self.active(tenant, &assignment).is_err() {
                continue;
            }
            let Ok(original) = self.original(tenant, sequence).await else { continue };
            let asked = (RerunKind::Retry, sequence, vec![assignment]);
            ids.push(self.ask(&original, asked, &mut commit)?);
        }
        self.store.commit_event(commit).await?;
        Ok(ids)
    }

    /// Settles a dead letter without a retry.
    ///
    /// # Errors
    /// Why it can't be settled.
    pub async fn dismiss(
        &self,
        tenant: &TenantId,
        (sequence, assignment): (Sequence, &AssignmentId),
        (reason, audit): (&str, Option<AuditRow>),
    ) -> Result<(), RerunRefusal> {
        self.letter(tenant, sequence, assignment).await?;
        let mut commit = EventCommit { audit: Vec::from_iter(audit), ..EventCommit::default() };
        commit.resolved.push(ResolvedRow {
            tenant: tenant.clone(),
            sequence,
            assignment: assignment.clone(),
            resolution: "dismissed",
            reason: Some(reason.to_owned()),
            at: self.clock.now(),
        });
        Ok(self.store.commit_event(commit).await?)
    }

    /// Runs an event again for these assignments, or all; gives the rerun's id.
    ///
    /// # Errors
    /// Why it can't be run again.
    pub async fn reprocess(
        &self,
        tenant: &TenantId,
        (sequence, assignments): (Sequence, Vec<AssignmentId>),
        kind: RerunKind,
        audit: Option<AuditRow>,
    ) -> Result<String, RerunRefusal> {
        let original = self.original(tenant, sequence).await?;
        for assignment in &assignments {
            let active = self.active(tenant, assignment)?;
            if !active.wants(&original.event_type) {
                let (plugin, wanted): (&PluginName, _) = (&active.plugin, &original.event_type);
                return Err(RerunRefusal::State(format!("{plugin} does not want events of type {wanted}")));
            }
        }
        let mut commit = EventCommit { audit: Vec::from_iter(audit), ..EventCommit::default() };
        let id = self.ask(&original, (kind, sequence, assignments), &mut commit)?;
        self.store.commit_event(commit).await?;
        Ok(id)
    }

    /// A rerun as it stands once it has ended, or after that much machine time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wait(&self, id: &str, longest: Duration) -> Result<Option<RerunListing>, StoreError> {
        let began = self.clock.machine_now();
        loop {
            let known = self.store.rerun(id).await?;
            if known.as_ref().is_none_or(|rerun| rerun.state != "waiting") || began.elapsed() >= longest {
                return Ok(known);
            }
            self.clock.machine_sleep(LOOK_AGAIN).await;
        }
    }

    /// An open dead letter.
    async fn letter(
        &self,
        tenant: &TenantId,
        sequence: Sequence,
        assignment: &AssignmentId,
    ) -> Result<crate::store::DeadLetterListing, RerunRefusal> {
        let letter = self.store.dead_letter(sequence, assignment.as_str()).await?;
        let letter = letter.filter(|letter| letter.tenant == tenant.as_str()).ok_or_else(|| {
            RerunRefusal::Unknown(format!("there is no dead letter of {assignment} on event {sequence}"))
        })?;
        match &letter.resolution {
            Some(resolution) => Err(RerunRefusal::State(format!("it is {resolution} already"))),
            None => Ok(letter),
        }
    }

    fn active(&self, tenant: &TenantId, assignment: &AssignmentId) -> Result<ActiveVersion, RerunRefusal> {
        let versions = self.assignments.of(tenant);
        let found = versions.iter().find(|active| active.assignment == *assignment).cloned();
        found.ok_or_else(|| {
            RerunRefusal::State(format!(
                "the assignment {assignment} has no active version: activate one first"
            ))
        })
    }

    /// An event that has ended.
    async fn original(&self, tenant: &TenantId, sequence: Sequence) -> Result<Original, RerunRefusal> {
        let original = self.store.original(sequence).await?;
        let original = original
            .filter(|original| original.tenant == *tenant)
            .ok_or_else(|| RerunRefusal::Unknown(format!("there is no event {sequence}")))?;
        if RerunKind::parse(&original.event_type).is_some() {
            return Err(RerunRefusal::State(format!("event {sequence} is a rerun itself")));
        }
        if let Some(into) = original.folded_into {
            return Err(RerunRefusal::State(format!(
                "event {sequence} was done in one run with event {into}: run that again"
            )));
        }
        match original.state.as_str() {
            "done" | "dead" => Ok(original),
            state => Err(RerunRefusal::State(format!("event {sequence} has not ended yet, it is {state}"))),
        }
    }

    /// Adds a rerun, and the event that asks for it, to a commit.
    fn ask(
        &self,
        original: &Original,
        (kind, sequence, assignments): (RerunKind, Sequence, Vec<AssignmentId>),
        commit: &mut EventCommit,
    ) -> Result<String, StoreError> {
        let now: Timestamp = self.clock.now();
        let id = format!("rr_{}", uuid::Uuid::now_v7().simple());
        let json = |error: serde_json::Error| StoreError::corrupt("rerun", &error);
        commit.reruns.push(RerunRow {
            id: id.clone(),
            tenant: original.tenant.clone(),
            sequence,
            kind,
            assignments: serde_json::to_string(&assignments).map_err(json)?,
            asked_by: commit.audit.first().map(|row| row.actor.clone()),
            at: now,
        });
        let body = serde_json::to_string(&Request { rerun: id.clone(), event: sequence, assignments });
        commit.inbox.push(InboxRow {
            dedupe: dedupe_key(&["rerun", &id]),
            tenant: original.tenant.clone(),
            connection: original.connection.clone(),
            event_type: Arc::from(kind.as_str()),
            cause: original.cause,
            lane: original.lane.clone(),
            webhook_id: None,
            received_at: now,
            source_time: now,
            body: Arc::from(body.map_err(json)?),
        });
        Ok(id)
    }
}
