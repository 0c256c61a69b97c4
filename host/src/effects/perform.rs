//! One effect: its targets, its mark, one request, and what comes of it.

use super::end::End;
use super::outbox::OutboxParts;
use super::resolve::{Targets, Unresolved};
use crate::domain::{EffectClass, RemoteEffect, RemoteOp, Timestamp};
use crate::ghl::{self, Found, GhlError, GhlReply, GhlRequest, ResolvedEffect, WrittenObject};
use crate::store::{EffectMark, EventCommit, OpenEffect, StoreError};
use rand::RngExt as _;
use std::time::Duration;

/// A failing effect is tried this long before it is dead.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long a create that may have been done is looked for, before it is repeated.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// GHL's clock may be this far behind ours.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Sendings of a findable effect that may have arrived; each but the first comes after a look that found nothing.
const MOST_SENDINGS: i64 = 4;
/// How long a connection rests whose token is not taken.
const NO_CREDENTIAL: Duration = Duration::from_secs(60);

/// What the outbox does after an effect.
pub(super) enum Next {
    /// Goes on.
    Go,
    /// Leaves the whole connection alone until then.
    Park(Timestamp),
}

/// Performs effects.
pub(super) struct Performer {
    pub(super) parts: OutboxParts,
}

impl Performer {
    /// Performs one; a failure of the database leaves it as it is, to be looked at again.
    pub(super) async fn perform(&self, open: &OpenEffect) -> Next {
        match self.try_perform(open).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    effect = open.id,
                    "an effect could not be stored; trying again"
                );
                self.parts.clock.machine_sleep(Duration::from_secs(1)).await;
                Next::Go
            }
        }
    }

    async fn try_perform(&self, open: &OpenEffect) -> Result<Next, StoreError> {
        let effect: RemoteEffect =
            serde_json::from_str(&open.content).map_err(|error| StoreError::corrupt("effect", &error))?;
        let targets = match self.targets(open, &effect).await? {
            Ok(targets) => targets,
            Err(Unresolved::Held) => {
                self.end(open, &effect, End::held()).await?;
                return Ok(Next::Go);
            }
            Err(Unresolved::Never(why)) => {
                self.end(open, &effect, End::refused(why)).await?;
                return Ok(Next::Go);
            }
        };
        let resolved = resolved(&effect, &targets);
        let mut request = match ghl::request_of(&resolved) {
            Ok(request) => request,
            Err(why) => {
                self.end(open, &effect, End::refused(why)).await?;
                return Ok(Next::Go);
            }
        };
        request.request_id = Some(open.effect_key.clone());
        if let Some(since) = open.sending_since {
            // It was being sent when the process ended.
            return self
                .unclear(
                    open,
                    &resolved,
                    &request,
                    (since, open.attempts, "the process ended while it was sent"),
                )
                .await;
        }
        self.send(open, &resolved, &request, open.attempts).await
    }

    async fn send(
        &self,
        open: &OpenEffect,
        resolved: &ResolvedEffect<'_>,
        request: &GhlRequest,
        before: i64,
    ) -> Result<Next, StoreError> {
        let began = self.parts.clock.now();
        let mut commit = EventCommit::default();
        commit.marks.push(EffectMark::Sending { id: open.id, at: began });
        // Its echo may be faster than its answer: what is about to be sent counts as answered until then.
        let expected = ghl::written(resolved, request, &GhlReply { json: serde_json::Value::Null });
        commit.answered.extend(self.answered_row(open, resolved, &expected, began));
        self.parts.store.commit_event(commit).await?;
        crate::config::failpoint("effect-sending");
        #[cfg(feature = "test-support")]
        if crate::config::sabotage::strikes(crate::config::sabotage::Sabotage::DoubleEffect) {
            drop(self.parts.ghl.send(&open.connection, request, 1).await);
        }
        let attempt = u32::try_from(before + 1).unwrap_or(u32::MAX);
        let sent = self.parts.ghl.send(&open.connection, request, attempt).await;
        crate::config::failpoint("effect-answered");
        let error = match sent {
            Ok(reply) => {
                self.end(open, resolved.effect, End::done(ghl::written(resolved, request, &reply))).await?;
                return Ok(Next::Go);
            }
            Err(error) => error,
        };
        self.failed(open, resolved, request, (began, before + 1), error).await
    }

    async fn failed(
        &self,
        open: &OpenEffect,
        resolved: &ResolvedEffect<'_>,
        request: &GhlRequest,
        (began, sendings): (Timestamp, i64),
        error: GhlError,
    ) -> Result<Next, StoreError> {
        let now = self.parts.clock.now();
        let detail = error.to_string();
        match error {
            GhlError::NotFound { .. } if removes(resolved.effect.op) => {
                let gone = ghl::written(resolved, request, &GhlReply { json: serde_json::Value::Null });
                self.end(open, resolved.effect, End::done(gone)).await?;
                Ok(Next::Go)
            }
            GhlError::RateLimited { until } => {
                self.wait(open, until, false, detail).await.map(|()| Next::Park(until))
            }
            GhlError::Unauthorized { .. } | GhlError::NoToken(_) => {
                let until = now.plus(NO_CREDENTIAL);
                self.wait(open, until, false, detail).await.map(|()| Next::Park(until))
            }
            GhlError::NotSent => {
                self.try_later(open, resolved.effect, false, detail).await?;
                Ok(Next::Go)
            }
            GhlError::Failed { .. } | GhlError::NoAnswer | GhlError::BadAnswer { .. } => {
                self.unclear(open, resolved, request, (began, sendings, &detail)).await
            }
            GhlError::Refused { .. }
            | GhlError::NotFound { .. }
            | GhlError::Duplicate { .. }
            | GhlError::MissingScope { .. } => {
                self.end(open, resolved.effect, End::refused(detail)).await?;
                Ok(Next::Go)
            }
        }
    }

    /// Nobody knows whether it was done: by its class.
    async fn unclear(
        &self,
        open: &OpenEffect,
        resolved: &ResolvedEffect<'_>,
        request: &GhlRequest,
        (since, sendings, why): (Timestamp, i64, &str),
    ) -> Result<Next, StoreError> {
        match resolved.effect.class() {
            EffectClass::Repeatable => {
                self.try_later(open, resolved.effect, true, why.to_owned()).await?;
                Ok(Next::Go)
            }
            EffectClass::Blind => {
                self.end(open, resolved.effect, End::unclear(why)).await?;
                Ok(Next::Go)
            }
            EffectClass::Findable => match self.look(open, resolved, since).await? {
                Ok(Some(found)) => {
                    self.end(open, resolved.effect, End::done(found)).await?;
                    Ok(Next::Go)
                }
                Ok(None) if sendings < MOST_SENDINGS => {
                    Box::pin(self.send(open, resolved, request, sendings)).await
                }
                Ok(None) => {
                    self.end(open, resolved.effect, End::unclear(why)).await?;
                    Ok(Next::Go)
                }
                Err(error) => {
                    // It stays marked as being sent, so that the next try looks again.
                    let until = match error {
                        GhlError::RateLimited { until } => until,
                        _ => self.parts.clock.now().plus(NO_CREDENTIAL),
                    };
                    Ok(Next::Park(until))
                }
            },
        }
    }

    /// Looks for what a create may have made: linked to nothing, made by no other effect, not known before.
    async fn look(
        &self,
        open: &OpenEffect,
        resolved: &ResolvedEffect<'_>,
        since: Timestamp,
    ) -> Result<Result<Option<WrittenObject>, GhlError>, StoreError> {
        let until = self.parts.clock.now().plus(LOOK_FOR);
        let earliest = since.minus(CLOCKS_APART);
        loop {
            let candidates = match ghl::find(&self.parts.ghl, &open.connection, resolved).await {
                Ok(Found::Candidates(candidates)) => candidates,
                Ok(Found::CanNotLook) => return Ok(Ok(None)),
                Err(error) => return Ok(Err(error)),
            };
            for candidate in candidates {
                if self.is_nobodys(open, &candidate, earliest).await? {
                    let (kind, id) = (candidate.kind, Some(candidate.id));
                    return Ok(Ok(Some(WrittenObject { kind, id, fields: candidate.fields })));
                }
            }
            if self.parts.clock.now() >= until {
                return Ok(Ok(None));
            }
            self.parts.clock.sleep(LOOK_AGAIN).await;
        }
    }

    async fn try_later(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
        counts: bool,
        detail: String,
    ) -> Result<(), StoreError> {
        let age = self.parts.clock.now().since(open.created_at);
        if age >= GIVE_UP_AFTER {
            return self.end(open, effect, End::dead(detail)).await;
        }
        // Full jitter over as long as it has waited already: that doubles by itself.
        let bound = age.clamp(Duration::from_secs(2), LONGEST_PAUSE);
        let pause = bound.mul_f64(rand::rng().random_range(0.1..1.0));
        self.wait(open, self.parts.clock.now().plus(pause), counts, detail).await
    }

    async fn wait(
        &self,
        open: &OpenEffect,
        until: Timestamp,
        counts: bool,
        detail: String,
    ) -> Result<(), StoreError> {
        let mut commit = EventCommit::default();
        commit.marks.push(EffectMark::Waiting { id: open.id, until, counts, detail });
        self.parts.store.commit_event(commit).await
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
