//! One effect: its targets, a place in the quota, its mark, one request, and what comes of it.

use super::end::End;
use super::outbox::OutboxParts;
use super::queue::Next;
use super::resolve::{Targets, Unresolved};
use crate::domain::{EffectClass, RemoteEffect, RemoteOp, Timestamp};
use crate::ghl::{self, GhlError, GhlReply, GhlRequest, ResolvedEffect};
use crate::store::{EffectMark, EffectStep, EventCommit, OpenEffect, StoreError};
use rand::RngExt as _;
use std::time::Duration;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The shortest bound of a pause between two tries.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a connection rests whose token is not taken.
const NO_CREDENTIAL: Duration = Duration::from_secs(60);
/// How long an effect waits for another one of its lane that was reopened.
const REOPENED: Duration = Duration::from_secs(2);

/// Performs effects.
pub(super) struct Performer {
    pub(super) parts: OutboxParts,
}

/// An effect under way, with everything that is known of it.
pub(super) struct Work<'a> {
    pub(super) open: &'a OpenEffect,
    pub(super) resolved: ResolvedEffect<'a>,
    pub(super) request: GhlRequest,
    /// Attempts so far, the present one among them.
    pub(super) attempts: i64,
    /// When it was first sent with nobody knowing whether it arrived.
    pub(super) first_sent_at: Option<Timestamp>,
}

impl Work<'_> {
    /// Whether it was sent just now.
    fn sent(&self) -> bool {
        self.attempts > self.open.attempts
    }

    /// A step of it, from where it is known to stand.
    pub(super) fn mark(&self, step: EffectStep, at: Timestamp) -> EffectMark {
        mark(self.open, self.attempts, step, at)
    }
}

/// A step of an open effect at that number of attempts.
pub(super) fn mark(open: &OpenEffect, attempts: i64, step: EffectStep, at: Timestamp) -> EffectMark {
    EffectMark { id: open.id, from: &["waiting", "sending"], attempts: Some(attempts), step, at }
}

impl Performer {
    /// Performs one as it stands; [`StoreError::Conflict`] when someone decided meanwhile.
    pub(super) async fn try_perform(&self, open: &OpenEffect) -> Result<Next, StoreError> {
        let effect: RemoteEffect =
            serde_json::from_str(&open.content).map_err(|error| StoreError::corrupt("effect", &error))?;
        let targets = match self.targets(open, &effect).await? {
            Ok(targets) => targets,
            Err(unresolved) => return self.unresolved(open, &effect, unresolved).await,
        };
        let resolved = resolved(&effect, &targets);
        let mut request = match ghl::request_of(&resolved) {
            Ok(request) => request,
            Err(why) => return self.end(open, &effect, open.attempts, End::refused(why)).await,
        };
        request.request_id = Some(open.effect_key.clone());
        let mut work =
            Work { open, resolved, request, attempts: open.attempts, first_sent_at: open.first_sent_at };
        if open.state == "sending" {
            return self.doubted(&mut work).await;
        }
        if ghl::class_of(&effect) == EffectClass::Findable && open.first_sent_at.is_some() {
            // An earlier sending may have arrived late.
            match self.find(&work).await? {
                Ok(Some(found)) => return self.finish(&work, End::found(found)).await,
                Ok(None) => {}
                Err(GhlError::Closed(why)) => return self.finish(&work, End::unclear(&why)).await,
                Err(error) => return Ok(Next::Park(self.until(&error))),
            }
        }
        self.send(&mut work).await
    }

    /// What is done with an effect whose targets are not known.
    async fn unresolved(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        unresolved: Unresolved,
    ) -> Result<Next, StoreError> {
        let now = self.parts.clock.now();
        match unresolved {
            Unresolved::Held(after) => {
                let detail = "what it names is unclear; it waits until that is settled".to_owned();
                let mut commit = EventCommit::default();
                commit.marks.push(mark(open, open.attempts, EffectStep::Held { after, detail }, now));
                self.parts.store.commit_event(commit).await?;
                // It may have been settled while this was written: then it waits again.
                self.parts.changed.tell([open.id]);
                Ok(Next::Gone)
            }
            Unresolved::Later => Ok(Next::Later(now.plus(REOPENED))),
            Unresolved::Never(why) => self.end(open, effect, open.attempts, End::refused(why)).await,
            Unresolved::Dead(why) => self.end(open, effect, open.attempts, End::dead(why)).await,
        }
    }

    /// Sends it once: token and quota first, then the mark, then the request.
    pub(super) async fn send(&self, work: &mut Work<'_>) -> Result<Next, StoreError> {
        let (open, began) = (work.open, self.parts.clock.now());
        let ready = match self.parts.ghl.ready(&open.connection, work.request.operation).await {
            Ok(ready) => ready,
            Err(error) if error.parks_connection() => return self.park(work, &error).await,
            Err(error) if error.is_transient() => return self.try_later(work, true, &error).await,
            Err(error) => return self.refused(work, &error).await,
        };
        let mut commit = EventCommit::default();
        commit.marks.push(work.mark(EffectStep::Sending, began));
        // Its echo may be faster than its answer: what is about to be sent counts as answered until then.
        let nothing = GhlReply { json: serde_json::Value::Null };
        let expected = ghl::written(&work.resolved, &work.request, &nothing);
        commit.answered.extend(Self::answered_row(open, &work.resolved, &expected, began));
        self.parts.store.commit_event(commit).await?;
        work.attempts += 1;
        work.first_sent_at.get_or_insert(began);
        crate::config::failpoint("effect-sending");
        let sending = (&open.connection, &ready);
        #[cfg(feature = "test-support")]
        if crate::config::sabotage::strikes(crate::config::sabotage::Sabotage::DoubleEffect) {
            drop(self.parts.ghl.send_ready(sending, &work.request, 1).await);
        }
        let attempt = u32::try_from(work.attempts).unwrap_or(u32::MAX);
        let sent = self.parts.ghl.send_ready(sending, &work.request, attempt).await;
        crate::config::failpoint("effect-answered");
        match sent {
            Ok(reply) => {
                let written = ghl::written(&work.resolved, &work.request, &reply);
                self.finish(work, End::done(written)).await
            }
            Err(error) => self.failed(work, error).await,
        }
    }

    async fn failed(&self, work: &mut Work<'_>, error: GhlError) -> Result<Next, StoreError> {
        match error {
            GhlError::NotFound { .. } if removes(work.resolved.effect.op) => {
                let nothing = GhlReply { json: serde_json::Value::Null };
                let gone = ghl::written(&work.resolved, &work.request, &nothing);
                self.finish(work, End::done(gone)).await
            }
            GhlError::RateLimited { .. } | GhlError::Unauthorized { .. } | GhlError::NoToken(_) => {
                self.park(work, &error).await
            }
            GhlError::NotSent => self.try_later(work, true, &error).await,
            GhlError::Failed { .. } | GhlError::NoAnswer | GhlError::BadAnswer { .. } => {
                self.unclear(work, &error).await
            }
            GhlError::Refused { .. }
            | GhlError::NotFound { .. }
            | GhlError::Duplicate { .. }
            | GhlError::MissingScope { .. }
            | GhlError::Closed(_) => self.refused(work, &error).await,
        }
    }

    /// GHL or the host says no. If an earlier sending may have arrived, it is looked for once more before that is believed.
    async fn refused(&self, work: &Work<'_>, error: &GhlError) -> Result<Next, StoreError> {
        let before = work.attempts - i64::from(work.sent());
        let findable = ghl::class_of(work.resolved.effect) == EffectClass::Findable;
        if findable && before > 0 && work.open.first_sent_at.is_some() {
            match self.find(work).await? {
                Ok(Some(found)) => return self.finish(work, End::found(found)).await,
                Ok(None) => {}
                Err(GhlError::Closed(why)) => return self.finish(work, End::unclear(&why)).await,
                Err(error) => return Ok(Next::Park(self.until(&error))),
            }
        }
        let mut why = error.to_string();
        if matches!(error, GhlError::MissingScope { .. }) {
            let (who, connection) = (self.author(work.open), &work.open.connection);
            why = format!("{why}; {who} wants it. Reconnect the connection {connection} with that scope");
        }
        self.finish(work, End::refused(why)).await
    }

    /// Who asked for it: the plugin's name where it still has an active version.
    fn author(&self, open: &OpenEffect) -> String {
        let versions = self.parts.assignments.of(&open.tenant);
        let active = versions.iter().find(|active| active.assignment == open.assignment);
        match active {
            Some(active) => format!("plugin {} (assignment {})", active.plugin, open.assignment),
            None => format!("assignment {}", open.assignment),
        }
    }

    /// The whole connection waits; it counts as no attempt.
    async fn park(&self, work: &Work<'_>, error: &GhlError) -> Result<Next, StoreError> {
        let until = self.until(error);
        if work.sent() || work.open.state != "sending" {
            self.wait(work, until, (false, work.sent()), error).await?;
        }
        // Else what was sent before stays in doubt.
        Ok(Next::Park(until))
    }

    /// Until when a connection rests after that.
    pub(super) fn until(&self, error: &GhlError) -> Timestamp {
        match error {
            GhlError::RateLimited { until } => *until,
            _ => self.parts.clock.now().plus(NO_CREDENTIAL),
        }
    }

    /// It is tried again later, unless it has failed for long enough; `undone`: it surely did not arrive.
    pub(super) async fn try_later(
        &self,
        work: &Work<'_>,
        undone: bool,
        error: &GhlError,
    ) -> Result<Next, StoreError> {
        let now = self.parts.clock.now();
        let failing = work.open.failing_since.map_or(Duration::ZERO, |since| now.since(since));
        // Full jitter over as long as it has failed already: that doubles by itself.
        let bound = failing.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let until = now.plus(bound.mul_f64(rand::rng().random_range(0.1..1.0)));
        let in_doubt = work.open.state == "sending" && !work.sent();
        if in_doubt && ghl::class_of(work.resolved.effect) != EffectClass::Repeatable {
            // What was sent before stays in doubt.
            return Ok(Next::Later(until));
        }
        if failing >= self.parts.give_up_after {
            return self.finish(work, End::dead(error.to_string())).await;
        }
        self.wait(work, until, (true, undone && work.sent()), error).await?;
        Ok(Next::Later(until))
    }

    async fn wait(
        &self,
        work: &Work<'_>,
        until: Timestamp,
        (failing, undone): (bool, bool),
        error: &GhlError,
    ) -> Result<(), StoreError> {
        let (outcome, detail) = (error.word(), error.to_string());
        let step = EffectStep::Waiting { until, failing, undone, outcome, detail };
        let mut commit = EventCommit::default();
        commit.marks.push(work.mark(step, self.parts.clock.now()));
        self.parts.store.commit_event(commit).await
    }

    /// Ends it.
    pub(super) async fn finish(&self, work: &Work<'_>, end: End) -> Result<Next, StoreError> {
        self.end(work.open, work.resolved.effect, work.attempts, end).await
    }
}

fn resolved<'a>(effect: &'a RemoteEffect, targets: &'a Targets) -> ResolvedEffect<'a> {
    ResolvedEffect { effect, contact: targets.contact.as_ref(), object: targets.object.as_ref() }
}

/// Whether what is not there any more is as it should be.
fn removes(op: RemoteOp) -> bool {
    matches!(
        op,
        RemoteOp::DeleteContact | RemoteOp::DeleteTask | RemoteOp::DeleteNote | RemoteOp::StopWorkflow
    )
}
