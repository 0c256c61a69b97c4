//! When nobody knows whether an effect was done: repeated, looked for, or left to a person, by its class.

use super::end::End;
use super::perform::{Performer, Work};
use super::queue::Next;
use crate::domain::{EffectClass, ReadObject, Timestamp, Value};
use crate::ghl::{self, Found, GhlError, WrittenObject};
use crate::store::{EffectStep, EventCommit, OpenEffect, StoreError};
use std::time::Duration;

/// How long a create that may have been done is looked for, before it is repeated.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// GHL's clock may be this far behind ours.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Answers that leave it open, after which it is repeated; the next one is left to a person.
const MOST_DOUBTS: i64 = 1;
/// Sendings at the most where it was the process that ended; each but the first comes after a look that found nothing.
const MOST_SENDINGS: i64 = 8;
/// The outcome of a sending that the end of the process cut off.
const INTERRUPTED: &str = "the process ended while it was sent";

impl Performer {
    /// GHL's answer leaves open whether it was done.
    pub(super) async fn unclear(&self, work: &mut Work<'_>, error: &GhlError) -> Result<Next, StoreError> {
        match ghl::class_of(work.resolved.effect) {
            EffectClass::Repeatable => self.try_later(work, false, error).await,
            EffectClass::Blind => self.finish(work, End::unclear(&error.to_string())).await,
            EffectClass::Findable => self.doubt(work, true, (error.word(), error.to_string())).await,
        }
    }

    /// It stands as being sent: its last sending is in doubt already, or the process ended meanwhile.
    pub(super) async fn doubted(&self, work: &mut Work<'_>) -> Result<Next, StoreError> {
        match (ghl::class_of(work.resolved.effect), work.open.doubt_since) {
            (EffectClass::Repeatable, _) => self.send(work).await,
            (EffectClass::Blind, _) => self.finish(work, End::unclear(INTERRUPTED)).await,
            (EffectClass::Findable, None) => {
                self.doubt(work, false, ("interrupted", INTERRUPTED.to_owned())).await
            }
            (EffectClass::Findable, Some(since)) => self.look(work, (since, work.open.doubts)).await,
        }
    }

    /// Writes down that it is in doubt, and looks for it.
    async fn doubt(
        &self,
        work: &mut Work<'_>,
        answered: bool,
        (outcome, detail): (&'static str, String),
    ) -> Result<Next, StoreError> {
        let now = self.parts.clock.now();
        let mut commit = EventCommit::default();
        commit.marks.push(work.mark(EffectStep::Doubtful { answered, outcome, detail }, now));
        self.parts.store.commit_event(commit).await?;
        self.look(work, (now, work.open.doubts + i64::from(answered))).await
    }

    /// Looks for what it may have made; adopts it, looks again a little later, repeats it, or leaves it to a person.
    async fn look(&self, work: &mut Work<'_>, (since, doubts): (Timestamp, i64)) -> Result<Next, StoreError> {
        match self.find(work).await? {
            Ok(Some(found)) => return self.finish(work, End::found(found)).await,
            Ok(None) => {}
            Err(GhlError::Closed(why)) => return self.finish(work, End::unclear(&why)).await,
            Err(error) => return Ok(Next::Park(self.until(&error))),
        }
        let (now, until) = (self.parts.clock.now(), since.plus(LOOK_FOR));
        if now < until {
            return Ok(Next::Later(now.plus(LOOK_AGAIN).min(until)));
        }
        if doubts <= MOST_DOUBTS && work.attempts < MOST_SENDINGS {
            return Box::pin(self.send(work)).await;
        }
        let why = "it was sent again after nothing was found, and again nobody knows whether it was done";
        self.finish(work, End::unclear(why)).await
    }

    /// What it made, if that can be seen: linked to nothing, made by no other effect, not known before it was first sent.
    pub(super) async fn find(
        &self,
        work: &Work<'_>,
    ) -> Result<Result<Option<WrittenObject>, GhlError>, StoreError> {
        let Some(first) = work.first_sent_at else { return Ok(Ok(None)) };
        let earliest = first.minus(CLOCKS_APART);
        let found = ghl::find(&self.parts.ghl, &work.open.connection, &work.resolved).await;
        let candidates = match found {
            Ok(Found::Candidates(candidates)) => candidates,
            Ok(Found::CanNotLook) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        for candidate in candidates {
            if self.is_nobodys(work.open, &candidate, earliest).await? {
                let (kind, id) = (candidate.kind, Some(candidate.id));
                return Ok(Ok(Some(WrittenObject { kind, id, fields: candidate.fields })));
            }
        }
        Ok(Ok(None))
    }

    /// Whether an object was linked to nothing before that time, was made by no effect of ours, and was not known.
    async fn is_nobodys(
        &self,
        open: &OpenEffect,
        candidate: &ReadObject,
        earliest: Timestamp,
    ) -> Result<bool, StoreError> {
        let store = &self.parts.store;
        let (kind, id) = (candidate.kind, &candidate.id);
        // Its own webhook may have linked it meanwhile.
        let linked = store.linked_since(&open.tenant, &open.connection, kind, id).await?;
        if linked.is_some_and(|since| since < earliest)
            || store.was_made(&open.tenant, &open.connection, id).await?
        {
            return Ok(false);
        }
        let added = candidate.fields.get("dateAdded").and_then(Value::as_text).and_then(Timestamp::parse);
        if added.is_some_and(|added| added < earliest) {
            return Ok(false);
        }
        let known = store.mirrored(&open.tenant, &open.connection, kind, id).await?;
        Ok(known.is_none_or(|(_, fields)| first_seen(&fields).is_none_or(|seen| seen >= earliest)))
    }
}

/// The oldest source time among a mirror's fields.
fn first_seen(fields: &str) -> Option<Timestamp> {
    let stamped: std::collections::BTreeMap<String, (serde_json::Value, Timestamp, i64)> =
        serde_json::from_str(fields).ok()?;
    stamped.into_values().map(|(_, at, _)| at).min()
}
