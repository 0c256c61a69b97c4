//! Which events of a lane are taken together.

use crate::domain::Cause;
use crate::store::SlimEvent;
use std::collections::VecDeque;

/// Adjacent events of one lane that a worker takes together, for folding.
const RUN_AHEAD: usize = 16;

/// The events at the head of a lane that share type and cause; one that was tried or held before runs alone.
pub(super) fn next_events(waiting: &mut VecDeque<SlimEvent>) -> Vec<SlimEvent> {
    #[cfg(feature = "test-support")]
    if waiting.len() > 1 && crate::config::sabotage::strikes(crate::config::sabotage::Sabotage::SwapOrder) {
        return waiting.remove(1).into_iter().collect();
    }
    let Some(first) = waiting.pop_front() else {
        return Vec::new();
    };
    let (event_type, cause) = (first.event_type.clone(), first.cause);
    let alone = first.attempts > 0 || first.only.is_some();
    let mut events = vec![first];
    while !alone
        && events.len() < RUN_AHEAD
        && cause != Cause::Test
        && waiting.front().is_some_and(|next| {
            next.event_type == event_type
                && next.cause == cause
                && next.attempts == 0
                && next.not_before.is_none()
                && next.only.is_none()
        })
    {
        events.extend(waiting.pop_front());
    }
    events
}
