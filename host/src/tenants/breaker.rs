//! Breakers and holds: an assignment that fails on many contacts waits instead of failing on all of them, and what it
//! has not run on is kept in order. Everything else of those events goes on.

use crate::domain::{AssignmentId, Clock, Lane, Sequence, TenantId, Timestamp};
use crate::store::{BreakerRow, HeldReason, Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Runs of an assignment that are looked back on; more than enough for the number of contacts that opens a breaker.
const LOOK_BACK: usize = 512;
/// The longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// When breakers open and how long they stay so.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// Contacts an assignment must have failed on.
    pub contacts: usize,
    /// Product time within which.
    pub window: Duration,
    /// Product time until one held run is tried; doubles with each that fails.
    pub pause: Duration,
}

/// Whether an assignment may run on an event now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Run,
    /// It is held.
    Hold(HeldReason),
}

/// One run's end, as breakers see it.
#[derive(Clone, Debug)]
pub struct RunEnded {
    /// Which assignment ran.
    pub assignment: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which lane.
    pub lane: Lane,
    /// On which event.
    pub sequence: Sequence,
    /// The outcome's word if it finally failed.
    pub failed: Option<&'static str>,
}

/// How a breaker stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BreakerState {
    /// `closed`, `open`, or `half-open` while one run is tried.
    pub state: &'static str,
    /// Since when it is open, RFC 3339.
    pub opened_at: Option<String>,
    /// When one held run is tried, RFC 3339.
    pub probe_at: Option<String>,
    /// How many contacts it failed on when it opened.
    pub contacts: Option<i64>,
    /// The outcome's word of the last failure.
    pub outcome: Option<String>,
}

/// All breakers. Cheap to clone.
#[derive(Clone)]
pub struct Breakers(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    settings: BreakerSettings,
    watched: Mutex<HashMap<AssignmentId, Watched>>,
    changed: Notify,
}

#[derive(Default)]
struct Watched {
    recent: VecDeque<Seen>,
    open: Option<Open>,
    held: HashMap<Lane, Held>,
    /// How far what is held was given to the lanes again; none: it need not be.
    released: Option<Sequence>,
}

struct Seen {
    at: Timestamp,
    lane: Lane,
    failed: bool,
}

struct Open {
    row: BreakerRow,
    /// The run that is tried, and since when.
    probing: Option<(Sequence, Timestamp)>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    runs: usize,
    failed: bool,
}

/// What is to be given to the lanes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// What is held of the assignment after that sequence.
    From(AssignmentId, Sequence),
    /// One of what is held, after so many probes that failed.
    Probe(AssignmentId, u32),
}

impl Breakers {
    /// The breakers as they are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(store: Store, clock: Clock, settings: BreakerSettings) -> Result<Self, StoreError> {
        let mut watched: HashMap<AssignmentId, Watched> = HashMap::new();
        for held in store.held_lanes().await? {
            let one = watched.entry(held.assignment).or_default();
            one.held.insert(held.lane, Held { runs: held.held, failed: held.failed });
            one.released = Some(Sequence(0));
        }
        for row in store.breakers().await? {
            let one = watched.entry(row.assignment.clone()).or_default();
            one.released = None;
            one.open = Some(Open { row, probing: None });
        }
        let watched = Mutex::new(watched);
        let breakers = Self(Arc::new(Inner { store, clock, settings, watched, changed: Notify::new() }));
        breakers.measure();
        Ok(breakers)
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<AssignmentId, Watched>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an assignment may run on an event: a new one, or one that was held before.
    #[must_use]
    pub fn gate(&self, assignment: &AssignmentId, lane: &Lane, (sequence, again): (Sequence, bool)) -> Gate {
        let now = self.0.clock.now();
        let pause = self.0.settings.pause;
        let mut all = self.watched();
        let Some(watched) = all.get_mut(assignment) else { return Gate::Run };
        if !again && watched.held.get(lane).is_some_and(|held| held.runs > 0) {
            return Gate::Hold(HeldReason::Behind);
        }
        let nothing_held = watched.held.is_empty();
        let Some(open) = &mut watched.open else { return Gate::Run };
        match open.probing {
            Some((probe, _)) if probe == sequence => Gate::Run,
            // A probe that never came back does not keep the breaker open for good.
            Some((_, since)) if now.since(since) < pause => Gate::Hold(HeldReason::Breaker),
            _ if nothing_held && now >= open.row.probe_at => {
                open.probing = Some((sequence, now));
                Gate::Run
            }
            _ => Gate::Hold(HeldReason::Breaker),
        }
    }

    /// Whether this run is the one that is tried while the breaker is open.
    #[must_use]
    pub fn is_probe(&self, assignment: &AssignmentId, sequence: Sequence) -> bool {
        let all = self.watched();
        let open = all.get(assignment).and_then(|watched| watched.open.as_ref());
        open.and_then(|open| open.probing).is_some_and(|(probe, _)| probe == sequence)
    }

    /// Notes that a run is held from now on, after the commit that says so; whether its turn comes by itself.
    #[must_use]
    pub fn held(&self, assignment: &AssignmentId, lane: &Lane, reason: HeldReason) -> bool {
        let mut all = self.watched();
        let watched = all.entry(assignment.clone()).or_default();
        let held = watched.held.entry(lane.clone()).or_default();
        held.runs += 1;
        held.failed |= reason == HeldReason::Failure;
        watched.open.is_none() && !held.failed
    }

    /// Notes that a held run failed again and stays where it is.
    pub fn failed_again(&self, assignment: &AssignmentId, lane: &Lane) {
        if let Some(held) = self.watched().get_mut(assignment).and_then(|watched| watched.held.get_mut(lane))
        {
            held.failed = true;
        }
    }

    /// Notes that a held run is held no more.
    pub fn let_go(&self, assignment: &AssignmentId, lane: &Lane) {
        let mut all = self.watched();
        let Some(watched) = all.get_mut(assignment) else { return };
        if let Some(held) = watched.held.get_mut(lane) {
            held.runs = held.runs.saturating_sub(1);
            if held.runs == 0 {
                watched.held.remove(lane);
            }
        }
    }

    /// Notes how a run ended: at once if it failed, after its commit if it did well. A breaker may open or close by it.
    pub async fn ended(&self, run: RunEnded) {
        let now = self.0.clock.now();
        let (change, store) = (self.note(&run, now), &self.0.store);
        let stored = match change {
            None => return,
            Some(Change::Closed) => {
                tracing::info!(assignment = %run.assignment, tenant = %run.tenant, "the breaker is closed: a run did well");
                store.delete_breaker(&run.tenant, &run.assignment).await
            }
            Some(Change::Open(row)) => {
                tracing::warn!(
                    assignment = %run.assignment, tenant = %run.tenant, outcome = row.outcome, probes = row.probes,
                    "the breaker is open: the assignment failed on {} contacts; its events wait, one is tried at {}",
                    row.contacts, row.probe_at
                );
                if row.probes == 0 {
                    metrics::counter!("mapwright_breakers_opened_total").increment(1);
                }
                store.put_breaker(row).await
            }
        };
        if let Err(error) = stored {
            // It stands in memory; a restart would learn it again.
            tracing::error!(error = &error as &dyn std::error::Error, "a breaker could not be stored");
        }
        self.measure();
        self.0.changed.notify_one();
    }

    fn note(&self, run: &RunEnded, now: Timestamp) -> Option<Change> {
        let settings = self.0.settings;
        let mut all = self.watched();
        if run.failed.is_none() && !all.contains_key(&run.assignment) {
            // Most assignments never fail; nothing is kept of them.
            return None;
        }
        let watched = all.entry(run.assignment.clone()).or_default();
        let probed = watched.open.as_ref().and_then(|open| open.probing);
        if let Some(open) = &mut watched.open {
            if probed.is_none_or(|(probe, _)| probe != run.sequence) {
                return None;
            }
            open.probing = None;
            let Some(outcome) = run.failed else {
                watched.open = None;
                watched.recent.clear();
                watched.released = Some(Sequence(0));
                return Some(Change::Closed);
            };
            open.row.probes = open.row.probes.saturating_add(1);
            let longer = settings.pause.saturating_mul(1 << open.row.probes.min(16));
            open.row.probe_at = now.plus(longer.min(LONGEST_PAUSE.max(settings.pause)));
            outcome.clone_into(&mut open.row.outcome);
            return Some(Change::Open(open.row.clone()));
        }
        while watched.recent.len() >= LOOK_BACK
            || watched.recent.front().is_some_and(|seen| now.since(seen.at) > settings.window)
        {
            watched.recent.pop_front();
        }
        watched.recent.push_back(Seen { at: now, lane: run.lane.clone(), failed: run.failed.is_some() });
        let outcome = run.failed?;
        let contacts = failing_contacts(&watched.recent, settings.contacts)?;
        let row = BreakerRow {
            assignment: run.assignment.clone(),
            tenant: run.tenant.clone(),
            opened_at: now,
            probe_at: now.plus(settings.pause),
            probes: 0,
            contacts: i64::try_from(contacts).unwrap_or(i64::MAX),
            outcome: outcome.to_owned(),
        };
        watched.released = None;
        watched.open = Some(Open { row: row.clone(), probing: None });
        Some(Change::Open(row))
    }

    /// Closes a breaker and has what is held run again, the failed ones among it too; what a person decides.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, tenant: &TenantId, assignment: &AssignmentId) -> Result<(), StoreError> {
        self.0.store.delete_breaker(tenant, assignment).await?;
        self.0.store.retry_failed(tenant, assignment).await?;
        if let Some(watched) = self.watched().get_mut(assignment) {
            watched.open = None;
            watched.recent.clear();
            watched.released = Some(Sequence(0));
            for held in watched.held.values_mut() {
                held.failed = false;
            }
        }
        self.measure();
        self.0.changed.notify_one();
        Ok(())
    }

    /// Makes dead letters of the failed ones among what is held, and has those behind them run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_failed(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
    ) -> Result<(), StoreError> {
        let buried = self.0.store.bury_failed(tenant, assignment, self.0.clock.now()).await?;
        for lane in buried {
            self.let_go(assignment, &lane);
        }
        self.resume(tenant, assignment).await
    }

    /// How an assignment's breaker stands.
    #[must_use]
    pub fn state_of(&self, assignment: &AssignmentId) -> BreakerState {
        let all = self.watched();
        let Some(open) = all.get(assignment).and_then(|watched| watched.open.as_ref()) else {
            return BreakerState {
                state: "closed",
                opened_at: None,
                probe_at: None,
                contacts: None,
                outcome: None,
            };
        };
        BreakerState {
            state: if open.probing.is_some() { "half-open" } else { "open" },
            opened_at: Some(open.row.opened_at.to_rfc3339()),
            probe_at: Some(open.row.probe_at.to_rfc3339()),
            contacts: Some(open.row.contacts),
            outcome: Some(open.row.outcome.clone()),
        }
    }

    /// What is to be given to the lanes again now: all that is held where the breaker is closed, one run where it is
    /// open and its pause is over.
    #[must_use]
    pub fn releases(&self) -> Vec<Release> {
        let now = self.0.clock.now();
        let pause = self.0.settings.pause;
        let mut all = self.watched();
        let mut found = BTreeMap::new();
        for (assignment, watched) in all.iter_mut() {
            if watched.held.is_empty() {
                continue;
            }
            let release = match (&watched.open, watched.released) {
                (None, Some(upto)) => Release::From(assignment.clone(), upto),
                (Some(open), _)
                    if now >= open.row.probe_at
                        && open.probing.is_none_or(|(_, since)| now.since(since) >= pause) =>
                {
                    Release::Probe(assignment.clone(), open.row.probes)
                }
                _ => continue,
            };
            found.insert(assignment.clone(), release);
        }
        found.into_values().collect()
    }

    /// Notes which run is tried.
    pub fn probing(&self, assignment: &AssignmentId, sequence: Sequence) {
        let now = self.0.clock.now();
        if let Some(open) = self.watched().get_mut(assignment).and_then(|watched| watched.open.as_mut()) {
            open.probing = Some((sequence, now));
        }
    }

    /// Notes how far what is held was given to the lanes; none: all of it was.
    pub fn released(&self, assignment: &AssignmentId, upto: Option<Sequence>) {
        if let Some(watched) = self.watched().get_mut(assignment)
            && watched.open.is_none()
        {
            watched.released = upto;
        }
    }

    /// Resolves when there may be something to release.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn measure(&self) {
        let open = self.watched().values().filter(|watched| watched.open.is_some()).count();
        metrics::gauge!("mapwright_breakers_open").set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
    }
}

enum Change {
    Closed,
    Open(BreakerRow),
}

/// How many contacts are failing, if they are enough and at least as many as those that do well: one poisoned contact
/// opens nothing, nor do a few odd ones among thousands.
fn failing_contacts(recent: &VecDeque<Seen>, enough: usize) -> Option<usize> {
    let (mut failing, mut well) = (HashSet::new(), HashSet::new());
    // A contact counts as it went last.
    for seen in recent.iter().rev() {
        if failing.contains(&seen.lane) || well.contains(&seen.lane) {
            continue;
        }
        if seen.failed {
            failing.insert(&seen.lane)
        } else {
            well.insert(&seen.lane)
        };
    }
    (failing.len() >= enough && failing.len() >= well.len()).then_some(failing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(runs: &[(&str, bool)]) -> VecDeque<Seen> {
        let at = Timestamp::from_millis(1);
        runs.iter().map(|(lane, failed)| Seen { at, lane: Lane::from(*lane), failed: *failed }).collect()
    }

    #[test]
    fn one_poisoned_contact_opens_nothing_five_do() {
        let poisoned = seen(&[("a", true); 40]);
        assert_eq!(failing_contacts(&poisoned, 5), None);
        let five = seen(&[("a", true), ("b", true), ("c", true), ("d", true), ("e", true)]);
        assert_eq!(failing_contacts(&five, 5), Some(5));
        assert_eq!(failing_contacts(&five, 6), None);
    }

    #[test]
    fn a_few_among_many_open_nothing_and_a_contact_counts_as_it_went_last() {
        let names: Vec<String> = (0..20).map(|number| format!("lane-{number}")).collect();
        let mut runs: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), false)).collect();
        runs.extend([("a", true), ("b", true), ("c", true), ("d", true), ("e", true)]);
        assert_eq!(failing_contacts(&seen(&runs), 5), None);
        let healed = seen(&[("a", true), ("b", true), ("c", true), ("d", true), ("e", true), ("a", false)]);
        assert_eq!(failing_contacts(&healed, 5), None);
    }
}
