//! The running timing: looks at what came late, then at the rules that have something to do, page by page, fair
//! between rules. What it makes and how far it has come are one commit.

use super::late::Late;
use super::rules::read;
use crate::domain::{Clock, Timestamp, TimingPlan};
use crate::store::{EventCommit, InboxRow, Store, StoreError, TimingRuleRow, TimingStep};
use crate::tenants::DirectoryCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Rules taken in one round; each gets one page of it.
const RULES: i64 = 64;
/// Machine time between two looks at the most: what comes late is seen after it, at any rate of the clock.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Machine time after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A stored rule that can't be read any more is looked at again after this long.
const UNREADABLE: Duration = Duration::from_secs(3600);

/// What timing is made of.
#[derive(Clone)]
pub struct TimingParts {
    /// The database.
    pub store: Store,
    /// Product time.
    pub clock: Clock,
    /// Which connections receive.
    pub directory: DirectoryCell,
    /// Told when a rule changed.
    pub wake: Arc<Notify>,
    /// Product time after its slot from which an event counts as missed.
    pub late: Duration,
}

/// The running timing.
pub struct Timing {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Timing {
    /// Starts it.
    #[must_use]
    pub fn start(parts: TimingParts) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Running::new(parts).run(stop.clone()));
        tasks.close();
        Self { stop, tasks }
    }

    /// Stops it; what is due meanwhile is done or passed over at the next start, as each rule says.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// The task's own state.
pub(super) struct Running {
    pub(super) parts: TimingParts,
    /// Checked rules by id, of the revision they were checked at.
    plans: HashMap<String, (i64, Arc<TimingPlan>)>,
    pub(super) late: Late,
}

/// A stored rule with its plan.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) row: TimingRuleRow,
    pub(super) plan: Arc<TimingPlan>,
}

impl Running {
    pub(super) fn new(parts: TimingParts) -> Self {
        Self { parts, plans: HashMap::new(), late: Late::default() }
    }

    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "timing rules could not be looked at; trying again"
                    );
                    self.parts.clock.machine_sleep(AFTER_FAILURE).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.parts.wake.notified() => {}
                () = rest(&self.parts) => {}
            }
        }
        if let Err(error) = self.note_seen().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "how far moments were looked at is not noted; the next start looks again"
            );
        }
    }

    /// Looks once; whether there may be more.
    pub(super) async fn look(&mut self) -> Result<bool, StoreError> {
        let more = self.look_at_changes().await?;
        let now = self.parts.clock.now();
        let due = self.parts.store.due_timing_rules(now, RULES).await?;
        let any = !due.is_empty();
        for row in due {
            match self.planned(row) {
                Ok(rule) => self.step(&rule, now).await?,
                Err(row) => self.park(*row, now).await?,
            }
        }
        Ok(more || any)
    }

    /// The rule with its plan; the row again when it can't be read.
    pub(super) fn planned(&mut self, row: TimingRuleRow) -> Result<Rule, Box<TimingRuleRow>> {
        if let Some((revision, plan)) = self.plans.get(&row.id)
            && *revision == row.revision
        {
            return Ok(Rule { plan: Arc::clone(plan), row });
        }
        let Some(Ok(plan)) = read(&row).map(|spec| spec.plan()) else { return Err(Box::new(row)) };
        let plan = Arc::new(plan);
        self.plans.insert(row.id.clone(), (row.revision, Arc::clone(&plan)));
        Ok(Rule { row, plan })
    }

    async fn park(&self, row: TimingRuleRow, now: Timestamp) -> Result<(), StoreError> {
        tracing::error!(
            timing.rule = row.id,
            "a stored timing rule can't be read any more and does not fire; put it anew over the API"
        );
        let mut cursor = row.cursor.clone();
        cursor.next_at = Some(now.plus(UNREADABLE));
        self.commit(&row, cursor, Vec::new(), None).await
    }

    /// Writes events of a rule and how far it has come, in one commit.
    pub(super) async fn commit(
        &self,
        row: &TimingRuleRow,
        cursor: crate::store::TimingCursor,
        mut events: Vec<InboxRow>,
        last_slot: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let keys: Vec<[u8; 16]> = events.iter().map(|event| event.dedupe).collect();
        if !keys.is_empty() {
            // What was told before is not told again, however its contact has changed since.
            let known = self.parts.store.known_keys(&keys).await?;
            events.retain(|event| !known.contains(&event.dedupe));
        }
        if events.is_empty() && cursor == row.cursor {
            return Ok(());
        }
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        metrics::counter!("mapwright_timing_events_total", "kind" => row.kind.clone()).increment(count);
        let step = TimingStep {
            rule: row.id.clone(),
            tenant: row.tenant.clone(),
            revision: row.revision,
            cursor,
            fired: i64::try_from(count).unwrap_or(i64::MAX),
            last_slot: if events.is_empty() { None } else { last_slot },
        };
        let commit = EventCommit { inbox: events, timing: vec![step], ..EventCommit::default() };
        self.parts.store.commit_event(commit).await
    }
}

/// Until the next rule is due, but not for long.
async fn rest(parts: &TimingParts) {
    let clock = &parts.clock;
    match parts.store.next_timing().await {
        Ok(Some(at)) => drop(clock.within(LONGEST_WAIT, clock.sleep_until(at)).await),
        _ => clock.machine_sleep(LONGEST_WAIT).await,
    }
}
