//! Which effect is next: within a lane the order of planning, connections in turn, each resting for as long as it must.
//!
//! It holds slim entries only, so that what it costs to find the next one does not grow with what waits.

use crate::domain::{ConnectionId, Lane, TenantId, Timestamp};
use crate::store::SlimEffect;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In its connection's list.
    Ready,
    /// Until its first effect is due.
    Resting(Timestamp),
    /// The effect of that number is under way.
    Busy(i64),
    /// Nowhere yet.
    New,
}

struct LaneQueue {
    connection: ConnectionId,
    /// Effects by number, with the moment they are due.
    effects: BTreeMap<i64, Option<Timestamp>>,
    place: Place,
    /// The effect under way was put in again meanwhile.
    again: bool,
}

struct ConnectionQueue {
    tenant: TenantId,
    ready: VecDeque<Lane>,
    parked_until: Option<Timestamp>,
    in_round: bool,
}

/// An effect taken out to be performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) id: i64,
    pub(super) lane: Lane,
    pub(super) connection: ConnectionId,
}

/// What the outbox does after an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It has ended, or waits for a person.
    Gone,
    /// It is looked at again then; the effects behind it in its lane wait.
    Later(Timestamp),
    /// So does the whole connection.
    Park(Timestamp),
}

/// The open effects and their order.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<Lane, LaneQueue>,
    connections: HashMap<ConnectionId, ConnectionQueue>,
    round: VecDeque<ConnectionId>,
    resting: BTreeSet<(Timestamp, Lane)>,
    fed_up_to: i64,
    open: usize,
}

impl Queue {
    /// How many effects it holds.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// The greatest number it was fed.
    pub(super) fn fed_up_to(&self) -> i64 {
        self.fed_up_to
    }

    /// Adds an effect, or learns when it is due now.
    pub(super) fn put(&mut self, effect: SlimEffect) {
        let SlimEffect { id, tenant, connection, lane, due } = effect;
        self.fed_up_to = self.fed_up_to.max(id);
        self.connections.entry(connection.clone()).or_insert_with(|| ConnectionQueue {
            tenant,
            ready: VecDeque::new(),
            parked_until: None,
            in_round: false,
        });
        let queue = self.lanes.entry(lane.clone()).or_insert_with(|| LaneQueue {
            connection,
            effects: BTreeMap::new(),
            place: Place::New,
            again: false,
        });
        if queue.effects.insert(id, due).is_none() {
            self.open += 1;
        }
        match queue.place {
            Place::Busy(under_way) => queue.again |= under_way == id,
            _ => self.offer(&lane),
        }
    }

    /// Forgets an effect that is open no more; one under way is forgotten when it comes back.
    pub(super) fn forget(&mut self, id: i64, lane: &Lane) {
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        if queue.place == Place::Busy(id) || queue.effects.remove(&id).is_none() {
            return;
        }
        self.open -= 1;
        if !matches!(queue.place, Place::Busy(_)) {
            self.offer(lane);
        }
    }

    /// The next effect that is due, of a tenant that is not paused; its lane is busy until it is given back.
    pub(super) fn take(&mut self, now: Timestamp, paused: impl Fn(&TenantId) -> bool) -> Option<Taken> {
        self.wake(now);
        for _ in 0..self.round.len() {
            let connection = self.round.pop_front()?;
            let Some(queue) = self.connections.get_mut(&connection) else { continue };
            let parked = queue.parked_until.is_some_and(|until| now < until) || paused(&queue.tenant);
            let lane = if parked { None } else { queue.ready.pop_front() };
            if queue.ready.is_empty() {
                queue.in_round = false;
            } else {
                self.round.push_back(connection.clone());
            }
            let Some(lane) = lane else { continue };
            let Some(entry) = self.lanes.get_mut(&lane) else { continue };
            let Some(id) = entry.effects.first_key_value().map(|(id, _)| *id) else { continue };
            (entry.place, entry.again) = (Place::Busy(id), false);
            return Some(Taken { id, lane, connection });
        }
        None
    }

    /// Takes an effect back.
    pub(super) fn give_back(&mut self, taken: &Taken, next: Next) {
        let Some(queue) = self.lanes.get_mut(&taken.lane) else { return };
        match next {
            Next::Gone if queue.again => drop(queue.effects.insert(taken.id, None)),
            Next::Gone => {
                if queue.effects.remove(&taken.id).is_some() {
                    self.open -= 1;
                }
            }
            Next::Later(until) => drop(queue.effects.insert(taken.id, Some(until))),
            Next::Park(until) => {
                queue.effects.insert(taken.id, None);
                if let Some(connection) = self.connections.get_mut(&taken.connection) {
                    connection.parked_until = connection.parked_until.max(Some(until));
                }
            }
        }
        self.offer(&taken.lane);
    }

    /// Lets a lane be taken, or rest until its first effect is due.
    fn offer(&mut self, lane: &Lane) {
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        match queue.place {
            Place::Resting(until) => drop(self.resting.remove(&(until, lane.clone()))),
            // A lane that nobody has taken stays where it is in its connection's list.
            Place::Ready if !queue.effects.is_empty() => return,
            Place::Ready | Place::Busy(_) | Place::New => {}
        }
        let Some((_, due)) = queue.effects.first_key_value() else {
            if queue.place == Place::Ready
                && let Some(connection) = self.connections.get_mut(&queue.connection)
            {
                connection.ready.retain(|known| known != lane);
            }
            self.lanes.remove(lane);
            return;
        };
        if let Some(until) = *due {
            queue.place = Place::Resting(until);
            self.resting.insert((until, lane.clone()));
            return;
        }
        queue.place = Place::Ready;
        let connection = queue.connection.clone();
        let Some(queue) = self.connections.get_mut(&connection) else { return };
        queue.ready.push_back(lane.clone());
        if !queue.in_round {
            queue.in_round = true;
            self.round.push_back(connection);
        }
    }

    /// Lanes whose first effect is due by now.
    fn wake(&mut self, now: Timestamp) {
        while self.resting.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, lane)) = self.resting.pop_first() else { return };
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            if let Some(mut first) = queue.effects.first_entry() {
                first.insert(None);
            }
            queue.place = Place::New;
            self.offer(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn effect(id: i64, connection: &str, lane: &str) -> SlimEffect {
        SlimEffect {
            id,
            tenant: TenantId::from("t"),
            connection: ConnectionId::from(connection),
            lane: Lane::from(lane),
            due: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(seconds))
    }

    fn taken(queue: &mut Queue, now: Timestamp) -> Vec<Taken> {
        std::iter::from_fn(|| queue.take(now, |_| false)).collect()
    }

    fn ids(taken: &[Taken]) -> Vec<i64> {
        taken.iter().map(|it| it.id).collect()
    }

    #[test]
    fn a_failing_effect_holds_the_later_ones_of_its_contact_and_no_others() {
        let mut queue = Queue::default();
        for (id, lane) in [(1, "a"), (2, "a"), (3, "b")] {
            queue.put(effect(id, "c", lane));
        }
        let first = taken(&mut queue, at(0));
        assert_eq!(ids(&first), [1, 3]);
        queue.give_back(&first[0], Next::Later(at(60)));
        queue.give_back(&first[1], Next::Gone);
        assert_eq!(taken(&mut queue, at(59)), []);
        let again = taken(&mut queue, at(60));
        assert_eq!(ids(&again), [1]);
        queue.give_back(&again[0], Next::Gone);
        assert_eq!(ids(&taken(&mut queue, at(60))), [2]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_parked_connection_rests_whole_and_others_go_on() {
        let mut queue = Queue::default();
        for id in 1..=1000 {
            queue.put(effect(id, "parked", &format!("p{id}")));
        }
        let first = queue.take(at(0), |_| false).unwrap();
        queue.give_back(&first, Next::Park(at(30)));
        queue.put(effect(1001, "other", "o"));
        assert_eq!(ids(&taken(&mut queue, at(29))), [1001]);
        assert_eq!(taken(&mut queue, at(30)).len(), 1000);
    }

    #[test]
    fn connections_take_turns() {
        let mut queue = Queue::default();
        for id in 1..=100 {
            queue.put(effect(id, "loud", &format!("l{id}")));
        }
        queue.put(effect(101, "quiet", "q"));
        let order = ids(&taken(&mut queue, at(0)));
        assert_eq!(order.iter().position(|id| *id == 101), Some(1));
        assert_eq!(order.len(), 101);
    }

    #[test]
    fn a_paused_tenants_effects_wait_and_go_on_in_order() {
        let mut queue = Queue::default();
        for id in 1..=3 {
            queue.put(effect(id, "c", "a"));
        }
        assert_eq!(queue.take(at(0), |_| true), None);
        assert_eq!(queue.take(at(0), |_| false).map(|it| it.id), Some(1));
    }

    #[test]
    fn what_is_cancelled_or_reopened_finds_its_place() {
        let mut queue = Queue::default();
        queue.put(SlimEffect { due: Some(at(500)), ..effect(5, "c", "a") });
        queue.put(effect(6, "c", "a"));
        assert_eq!(taken(&mut queue, at(0)), []);
        queue.forget(5, &Lane::from("a"));
        let six = taken(&mut queue, at(0));
        assert_eq!(ids(&six), [6]);
        // An older one comes back while a later one is under way: it is next.
        queue.put(effect(4, "c", "a"));
        queue.put(effect(7, "c", "a"));
        queue.give_back(&six[0], Next::Gone);
        let four = taken(&mut queue, at(0));
        assert_eq!(ids(&four), [4]);
        assert_eq!(queue.len(), 2);
        // One that was reopened while it was ending is taken again.
        queue.put(effect(4, "c", "a"));
        queue.give_back(&four[0], Next::Gone);
        assert_eq!(taken(&mut queue, at(0)), four);
        // One under way is not forgotten before it comes back.
        queue.forget(4, &Lane::from("a"));
        queue.give_back(&four[0], Next::Gone);
        queue.forget(7, &Lane::from("a"));
        assert_eq!((queue.len(), taken(&mut queue, at(0))), (0, vec![]));
        queue.put(effect(8, "c", "a"));
        assert_eq!(ids(&taken(&mut queue, at(0))), [8]);
    }

    #[test]
    fn a_hundred_thousand_waiting_effects_cost_no_more_each() {
        let began = Clock::system();
        let time = |lanes: i64| {
            let mut queue = Queue::default();
            let start = began.machine_now();
            for id in 1..=100_000 {
                queue.put(effect(id, "c", &format!("{}", id % lanes)));
            }
            let mut performed = 0;
            while let Some(taken) = queue.take(at(0), |_| false) {
                queue.give_back(&taken, Next::Gone);
                performed += 1;
            }
            assert_eq!((performed, queue.len()), (100_000, 0));
            start.elapsed()
        };
        for lanes in [1, 1000, 100_000] {
            let took = time(lanes);
            assert!(took < Duration::from_secs(5), "{lanes} lanes took {took:?}");
        }
    }

    use crate::domain::Clock;
}
