//! What a batch's lanes bring along: their events with bodies, and what reruns name.

use super::arrived::{Arrived, arrive};
use super::journey;
use super::rerun::Rerun;
use super::scheduler::Taken;
use super::worker::Worker;
use crate::domain::{Event, RerunKind};
use crate::store::{BodyRow, LoadedContext, ObjectKey, Original, StoreError};
use std::collections::HashMap;
use std::sync::Arc;

impl Worker {
    /// What is known of the events that are to be run again.
    pub(super) async fn reruns(
        &self,
        taken: &[Taken],
        bodies: &HashMap<i64, BodyRow>,
    ) -> Result<HashMap<i64, Asked>, StoreError> {
        let mut reruns = HashMap::new();
        for slim in taken.iter().flat_map(|taken| &taken.events) {
            let Some(kind) = RerunKind::parse(&slim.event_type) else { continue };
            let Some(body) = bodies.get(&slim.sequence.0) else { continue };
            let asked = (kind, slim.sequence);
            let (rerun, original) =
                Rerun::load(&self.parts.store, asked, body.received_at, &body.body).await?;
            reruns.insert(slim.sequence.0, (Arc::new(rerun), original));
        }
        Ok(reruns)
    }

    /// The events of a taken lane that go into one run; the scheduler gets the others back.
    pub(super) fn group(
        &self,
        taken: &Taken,
        bodies: &mut HashMap<i64, BodyRow>,
        reruns: &mut HashMap<i64, Asked>,
    ) -> Vec<Arrived> {
        // Answers were fetched for these events and no later ones.
        let upto =
            taken.events.first().and_then(|first| self.fetching.upto(first.sequence)).unwrap_or(i64::MAX);
        let mut arrived: Vec<Arrived> = taken
            .events
            .iter()
            .take_while(|slim| slim.sequence.0 <= upto)
            .map_while(|slim| {
                let body = bodies.remove(&slim.sequence.0)?;
                let event = Event {
                    sequence: slim.sequence,
                    tenant: slim.tenant.clone(),
                    connection: body.connection,
                    event_type: Arc::clone(&slim.event_type),
                    cause: slim.cause,
                    lane: slim.lane.clone(),
                    received_at: body.received_at,
                    source_time: body.source_time,
                    body: body.body,
                };
                Some(match reruns.remove(&slim.sequence.0) {
                    Some(again) => run_again(event, again, slim.attempts),
                    None => Arrived { only: slim.only.clone(), ..arrive(event, slim.attempts) },
                })
            })
            .collect();
        arrived.truncate(journey::foldable(&arrived).max(1));
        arrived
    }
}

/// A rerun with its event, if that is still kept.
pub(super) type Asked = (Arc<Rerun>, Option<Original>);

/// The event that is run again, in the lane of the one that asks for it.
fn run_again(asking: Event, (rerun, original): Asked, attempts: i64) -> Arrived {
    let event = match original {
        Some(original) => Event {
            sequence: rerun.request.event,
            tenant: original.tenant,
            connection: original.connection,
            event_type: original.event_type,
            cause: original.cause,
            lane: asking.lane,
            received_at: original.received_at,
            source_time: original.source_time,
            body: original.body,
        },
        None => asking,
    };
    Arrived { rerun: Some(rerun), ..arrive(event, attempts) }
}

/// Whether all that is known of an event's objects is loaded.
pub(super) fn has_context(arrived: &Arrived, contexts: &HashMap<ObjectKey, LoadedContext>) -> bool {
    journey::keys(&arrived.event.tenant, &arrived.event.connection, &arrived.payload)
        .iter()
        .all(|key| contexts.contains_key(key))
}
