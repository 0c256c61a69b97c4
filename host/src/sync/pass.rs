//! One pass over a connection: its steps, its commits, and when the next is due.

use super::finds::{Find, Look};
use super::poller::Shared;
use super::progress::Progress;
use super::self_test::SelfTest;
use crate::domain::{Cause, GhlId, Lane, ObjectKind, Timestamp, dedupe_key};
use crate::ghl::{GhlError, Quota};
use crate::store::{DuePolling, InboxRow, PolledRow, PollingRow, PollingStep, StoreError};
use crate::tenants::{ApiKeyError, NEEDED_SCOPE};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A find is reacted to when it is not older than this; the same as the pipeline's.
const REACT_WITHIN: Duration = Duration::from_secs(3600);
/// How long a key that is not taken rests before it is tried again.
const KEY_REST: Duration = Duration::from_secs(15 * 60);
/// How long a connection rests whose day is nearly used up.
const DAY_REST: Duration = Duration::from_secs(15 * 60);
/// Calls that any pass may make.
const FEWEST_CALLS: u64 = 12;
/// Passes without a find after which the interval doubles.
const QUIET: u32 = 3;

/// Why a pass stops before its end.
pub(super) enum Stop {
    /// GHL.
    Ghl(GhlError),
    /// The key can't be used, with the sentence for the operator.
    Key(String),
    /// The day's quota is needed for other things.
    Day,
    /// The store.
    Store(StoreError),
}

impl From<GhlError> for Stop {
    fn from(error: GhlError) -> Self {
        Self::Ghl(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ApiKeyError> for Stop {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Store(error) => Self::Store(error),
            other => Self::Key(other.to_string()),
        }
    }
}

/// A pass under way.
pub(super) struct Pass<'a> {
    pub(super) shared: &'a Shared,
    pub(super) due: DuePolling,
    pub(super) polling: PollingRow,
    pub(super) progress: Progress,
    pub(super) began: Timestamp,
    found: BTreeMap<String, i64>,
    /// Calls of this pass.
    calls: u64,
    /// Finds of this pass.
    news: usize,
}

/// The row of a connection that was not polled yet.
pub(super) fn fresh(due: &DuePolling) -> PollingRow {
    PollingRow {
        connection: due.connection.clone(),
        tenant: due.tenant.clone(),
        progress: "{}".to_owned(),
        passes: 0,
        began_at: None,
        ended_at: None,
        next_at: Timestamp::default(),
        backfilled_at: None,
        covers_until: None,
        found: "{}".to_owned(),
        calls: 0,
        failure: None,
        failed_at: None,
        self_test: None,
    }
}

impl<'a> Pass<'a> {
    /// A pass that goes on where the last one ended or was cut off.
    pub(super) async fn begin(shared: &'a Shared, due: DuePolling) -> Result<Self, StoreError> {
        let corrupt = |error: serde_json::Error| StoreError::corrupt("polling progress", &error);
        let stored = shared.parts.store.polling(&due.tenant, &due.connection).await?;
        let polling = stored.unwrap_or_else(|| fresh(&due));
        let progress: Progress = serde_json::from_str(&polling.progress).map_err(corrupt)?;
        let found = serde_json::from_str(&polling.found).map_err(corrupt)?;
        let began = shared.parts.clock.now();
        Ok(Self { shared, due, polling, progress, began, found, calls: 0, news: 0 })
    }

    /// Runs it; gives the outcome's word.
    pub(super) async fn run(mut self) -> Result<&'static str, StoreError> {
        let stopped = self.steps().await;
        self.end(stopped).await
    }

    async fn steps(&mut self) -> Result<(), Stop> {
        if self.due.state != "active" {
            self.try_key().await?;
        }
        if self.progress.since == Timestamp::default() {
            self.progress.since = self.began;
        }
        self.polling.began_at = Some(self.began);
        self.commit(Vec::new(), Vec::new(), true).await?;
        self.changed_contacts().await?;
        if self.has(TASKS) {
            let ended = self.tasks().await;
            self.without_scope(ended).await?;
        }
        if self.lists_appointments() {
            let ended = self.appointments().await;
            self.without_scope(ended).await?;
        }
        self.all_contacts().await?;
        for kind in [ObjectKind::Contact, ObjectKind::Task, ObjectKind::Appointment] {
            let ended = self.look_for_missing(kind).await;
            self.without_scope(ended).await?;
        }
        self.visits().await
    }

    /// Tries the key with one real read for each scope.
    async fn try_key(&mut self) -> Result<(), Stop> {
        let test = SelfTest::run(&self.shared.parts.ghl, &self.due, self.began).await;
        self.calls += u64::try_from(test.steps.len()).unwrap_or(0);
        self.polling.self_test = serde_json::to_string(&test).ok();
        let scopes = test.scopes(&self.due.scopes);
        let verdict = test.verdict();
        let state = match &verdict {
            Ok(()) => "active",
            Err(Stop::Key(_)) => "reconnect-needed",
            Err(_) => "checking",
        };
        self.shared.parts.store.put_polling(self.polling.clone()).await?;
        // A key that is refused keeps its declared scopes: they are tried again with the next key.
        let kept = if verdict.is_ok() { &scopes } else { &self.due.scopes };
        self.shared.parts.keys.mark(&self.due.connection, state, kept).await?;
        if verdict.is_ok() {
            self.due.scopes = scopes;
        }
        verdict
    }

    /// A step that turned out to lack its scope is left out from now on; without the one that is needed nothing goes.
    pub(super) async fn without_scope(&mut self, ended: Result<(), Stop>) -> Result<(), Stop> {
        let Err(Stop::Ghl(GhlError::MissingScope { scope, operation })) = ended else { return ended };
        if scope == NEEDED_SCOPE {
            return Err(Stop::Key(no_scope(&scope, &operation)));
        }
        let left: Vec<&str> = self.due.scopes.split_whitespace().filter(|own| *own != scope).collect();
        self.due.scopes = left.join(" ");
        self.shared.parts.keys.mark(&self.due.connection, "active", &self.due.scopes).await?;
        Ok(())
    }

    pub(super) fn has(&self, scope: &str) -> bool {
        self.due.scopes.split_whitespace().any(|own| own == scope)
    }

    /// Whether appointments can be listed for the whole location.
    pub(super) fn lists_appointments(&self) -> bool {
        self.has(CALENDARS) && self.has(APPOINTMENTS)
    }

    /// The window in which appointments are listed.
    pub(super) fn window(&self) -> (Timestamp, Timestamp) {
        let settings = &self.shared.settings;
        (self.began.minus(settings.appointments_back), self.began.plus(settings.appointments_ahead))
    }

    /// Whether everything was read once.
    pub(super) fn is_backfilled(&self) -> bool {
        self.polling.backfilled_at.is_some()
    }

    fn quota(&self) -> Quota {
        self.shared.parts.ghl.quota(&self.due.connection)
    }

    /// Product seconds that a call costs when polling keeps to its part of the day.
    fn seconds_per_call(&self) -> f64 {
        let daily = u32::try_from(self.quota().daily).unwrap_or(u32::MAX);
        let part = f64::from(daily) * f64::from(self.shared.settings.daily_percent) / 100.0;
        86_400.0 / part.max(1.0)
    }

    /// Calls that this pass may still make; the first complete pass is not limited but by the day.
    pub(super) fn calls_left(&self) -> u64 {
        if !self.is_backfilled() {
            return u64::MAX;
        }
        let share = self.shared.settings.shortest.as_secs_f64() / self.seconds_per_call();
        let whole = FEWEST_CALLS.max(Duration::from_secs_f64(share.clamp(0.0, 1e6)).as_secs());
        whole.saturating_sub(self.calls)
    }

    /// Counts calls about to be made; refuses when the rest of the day belongs to others.
    pub(super) fn spend(&mut self, calls: u64) -> Result<(), Stop> {
        self.calls += calls;
        self.polling.calls += i64::try_from(calls).unwrap_or(i64::MAX);
        metrics::counter!("mapwright_polling_calls_total").increment(calls);
        let quota = self.quota();
        let reserve = quota.daily / 100 * u64::from(100 - self.shared.settings.daily_percent.min(100)) / 2;
        match quota.remaining {
            Some(remaining) if remaining <= reserve => Err(Stop::Day),
            _ => Ok(()),
        }
    }

    /// How GHL is asked now.
    pub(super) fn look(&self, asked_at: Timestamp, before: Option<Timestamp>, round: i64) -> Look<'_> {
        Look { location: &self.due.location, asked_at, before, round, overlap: self.shared.settings.overlap }
    }

    /// Finds as events. On a first look only what GHL says to be newer than polling itself is news.
    pub(super) fn events(
        &mut self,
        (kind, id, contact): (ObjectKind, &GhlId, Option<&GhlId>),
        seen: &PolledRow,
        finds: Vec<Find>,
        first_look: bool,
    ) -> Vec<InboxRow> {
        let received_at = self.shared.parts.clock.now();
        let connection = &self.due.connection;
        let contact = if kind == ObjectKind::Contact { Some(id) } else { contact };
        let lane = match contact {
            Some(contact) => Lane::of_contact(connection, contact),
            None => Lane::new(format!("{connection}/{}:{id}", kind.as_str())),
        };
        self.news += finds.len();
        if !finds.is_empty() {
            let count = i64::try_from(finds.len()).unwrap_or(i64::MAX);
            *self.found.entry(kind.as_str().to_owned()).or_default() += count;
        }
        let changes = seen.changes.to_string();
        finds
            .into_iter()
            .map(|find| {
                let cause = if first_look && !(find.told && find.at > self.progress.since) {
                    Cause::Backfill
                } else if self.began.since(find.at) > REACT_WITHIN {
                    Cause::Reconcile
                } else {
                    Cause::Live
                };
                metrics::counter!("mapwright_polling_found_total", "type" => find.event_type, "cause" => cause.as_str())
                    .increment(1);
                InboxRow {
                    // The count of changes tells a state that comes back from one that was told.
                    dedupe: dedupe_key(&[
                        "poll",
                        connection.as_str(),
                        kind.as_str(),
                        id.as_str(),
                        find.event_type,
                        &seen.version,
                        &changes,
                    ]),
                    tenant: self.due.tenant.clone(),
                    connection: connection.clone(),
                    event_type: Arc::from(find.event_type),
                    cause,
                    lane: lane.clone(),
                    webhook_id: None,
                    received_at,
                    source_time: find.at,
                    body: Arc::from(find.body.to_string()),
                }
            })
            .collect()
    }

    /// One commit: the events, what was seen, how far the pass goes.
    pub(super) async fn commit(
        &mut self,
        events: Vec<InboxRow>,
        seen: Vec<PolledRow>,
        touch_answered: bool,
    ) -> Result<(), StoreError> {
        let json = |error: serde_json::Error| StoreError::corrupt("polling progress", &error);
        self.polling.progress = serde_json::to_string(&self.progress).map_err(json)?;
        self.polling.found = serde_json::to_string(&self.found).map_err(json)?;
        let step = PollingStep { polling: self.polling.clone(), seen, touch_answered };
        crate::config::failpoint("polling-found");
        self.shared.parts.store.commit_polling(step, events).await?;
        crate::config::failpoint("polling-committed");
        Ok(())
    }

    async fn end(mut self, stopped: Result<(), Stop>) -> Result<&'static str, StoreError> {
        let now = self.shared.parts.clock.now();
        let earliest = self.began.plus(self.shared.settings.shortest);
        let (outcome, next_at, failure) = match stopped {
            Ok(()) => {
                self.settle(now).await?;
                ("done", self.began.plus(self.interval()), None)
            }
            Err(Stop::Store(error)) => return Err(error),
            Err(Stop::Day) => {
                let words = "the rest of GHL's quota of the day is left to effects and plugins; polling goes on later";
                ("day-used-up", now.plus(DAY_REST), Some(words.to_owned()))
            }
            Err(Stop::Key(words)) => self.key_refused(now, words).await,
            Err(Stop::Ghl(GhlError::Unauthorized { message })) => {
                self.key_refused(now, not_taken(&message)).await
            }
            Err(Stop::Ghl(GhlError::MissingScope { scope, operation })) => {
                self.key_refused(now, no_scope(&scope, &operation)).await
            }
            Err(Stop::Ghl(GhlError::RateLimited { until })) => {
                let words = GhlError::RateLimited { until }.to_string();
                ("rate-limited", until, Some(words))
            }
            Err(Stop::Ghl(error)) => (error.word(), earliest, Some(error.to_string())),
        };
        self.polling.next_at = if self.key_was_replaced().await { now } else { next_at.max(earliest) };
        self.polling.failed_at = failure.as_ref().map(|_| self.polling.failed_at.unwrap_or(now));
        if let Some(words) = &failure {
            tracing::warn!(
                connection = self.due.connection.as_str(),
                outcome,
                "a polling pass stopped: {words}"
            );
        }
        self.polling.failure = failure;
        self.commit(Vec::new(), Vec::new(), false).await?;
        Ok(outcome)
    }

    /// Whether a person gave the connection another key since the pass began.
    async fn key_was_replaced(&self) -> bool {
        let keys = &self.shared.parts.keys;
        self.due.state != "checking"
            && keys.row(&self.due.connection).await.is_ok_and(|row| row.state == "checking")
    }

    /// Marks the connection, unless it has another key by now.
    async fn key_refused(&self, now: Timestamp, words: String) -> (&'static str, Timestamp, Option<String>) {
        if self.key_was_replaced().await {
            return ("key-replaced", now, None);
        }
        let keys = &self.shared.parts.keys;
        if let Err(error) = keys.mark(&self.due.connection, "reconnect-needed", &self.due.scopes).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a connection could not be marked");
        }
        ("key-refused", now.plus(KEY_REST), Some(words))
    }

    /// What a whole pass leaves behind.
    async fn settle(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let (tenant, connection) = (&self.due.tenant, &self.due.connection);
        let visited = self.shared.parts.store.oldest_visit(tenant, connection).await?;
        self.polling.passes += 1;
        self.polling.ended_at = Some(now);
        let never = Some(Timestamp::default());
        let covered = [
            self.progress.changed.complete_at.map(|at| at.minus(self.shared.settings.overlap)),
            self.progress.contacts.covers.map(|at| at.minus(self.shared.settings.overlap)),
            if self.has(TASKS) { self.progress.tasks.covers } else { visited.or(Some(self.began)) },
            if self.lists_appointments() { self.progress.appointments.covers } else { Some(self.began) },
            visited.or(Some(self.began)),
        ];
        let complete = visited != never && covered.iter().all(Option::is_some);
        if complete && self.polling.backfilled_at.is_none() {
            self.polling.backfilled_at = Some(now);
            tracing::info!(connection = connection.as_str(), "the first complete polling pass has ended");
        }
        // Passes cut off in between may cover less again; what was found stays found.
        let covers = if complete { covered.into_iter().flatten().min() } else { None };
        self.polling.covers_until = covers.max(self.polling.covers_until);
        self.progress.quiet = if self.news > 0 { 0 } else { self.progress.quiet.saturating_add(1) };
        Ok(())
    }

    /// Between this pass's beginning and the next: longer when nothing changes, and as long as its calls cost.
    fn interval(&self) -> Duration {
        let settings = &self.shared.settings;
        let doublings = (self.progress.quiet / QUIET).min(16);
        let quiet = settings.shortest.saturating_mul(1 << doublings).min(settings.longest);
        if !self.is_backfilled() {
            return settings.shortest;
        }
        let calls = u32::try_from(self.calls).unwrap_or(u32::MAX);
        let cost = Duration::from_secs_f64((f64::from(calls) * self.seconds_per_call()).min(86_400.0));
        quiet.max(cost).max(settings.shortest)
    }
}

/// Scope of the location's task search.
pub(super) const TASKS: &str = "locations/tasks.readonly";
/// Scope of the list of calendars.
pub(super) const CALENDARS: &str = "calendars.readonly";
/// Scope of a calendar's appointments.
pub(super) const APPOINTMENTS: &str = "calendars/events.readonly";

/// What to do about a key that GHL does not take.
pub(super) fn not_taken(message: &str) -> String {
    format!(
        "GHL does not take the API key ({message}): open the location's Settings > Private Integrations, rotate the key or \
         make one, and give it with `mapwright connection replace-key` or PUT /v1/connections/{{id}}/api-key"
    )
}

/// What to do about a missing scope.
pub(super) fn no_scope(scope: &str, operation: &str) -> String {
    format!(
        "the API key lacks the scope {scope}, which {operation} needs: add it to the private integration in the location's \
         Settings > Private Integrations"
    )
}
