//! Which lane runs next: lanes in the order of ingest, tenants by deficit round robin over worker time.
//!
//! It holds slim entries only; bodies stay in the database until a worker takes the lane.

use super::adjacent::next_events;
use crate::domain::{AssignmentId, Lane, Sequence, TenantId, Timestamp};
use crate::store::SlimEvent;
use crate::tenants::PausedTenants;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Worker time a tenant is given a round: long enough to amortise the turn, short enough that ten tenants come
/// round within a tenth of a second.
const QUANTUM: Duration = Duration::from_millis(10);
/// What a run is taken to cost until its tenant has had one.
const FIRST_GUESS: Duration = Duration::from_micros(200);
/// Worker time of a batch, as far as it can be foreseen: its events are committed together, so each waits for all.
pub(super) const BATCH: Duration = Duration::from_millis(20);

/// A lane taken by a worker, with the events to run now.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// Whose it is.
    pub(super) tenant: TenantId,
    /// Which lane.
    pub(super) lane: Lane,
    /// Adjacent events of one type and cause, oldest first; never empty.
    pub(super) events: Vec<SlimEvent>,
    /// The place of this run in the order of runs.
    pub(super) run_order: i64,
    charged: Duration,
}

/// What became of the events of a taken lane.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// The first `n` events have ended; the rest, if any, go back to the head of the lane.
    First(usize),
    /// None has; the lane waits until that moment.
    Later(Timestamp),
    /// They belong into another lane, whose last they become. What comes after them in an object's own lane goes the same
    /// way: it must not run before them.
    Move(Lane),
}

/// How much there is to do, for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerStatus {
    /// Events known and not ended.
    pub events: usize,
    /// Lanes that have events.
    pub lanes: usize,
}

#[derive(Default)]
struct LaneQueue {
    tenant: Option<TenantId>,
    events: VecDeque<SlimEvent>,
    busy: bool,
    not_before: Option<Timestamp>,
    /// Lanes whose events come here while there are any in it.
    led: Vec<Lane>,
}

#[derive(Default)]
struct TenantQueue {
    ready: VecDeque<Lane>,
    deficit_micros: i64,
    guess: Option<Duration>,
    in_round: bool,
    /// Its events that are known and not ended.
    open: usize,
}

#[derive(Default)]
struct State {
    lanes: HashMap<Lane, LaneQueue>,
    /// Lanes of objects, to the lanes of the contacts in which their earlier events wait.
    led: HashMap<Lane, Lane>,
    tenants: HashMap<TenantId, TenantQueue>,
    round: VecDeque<TenantId>,
    resting: BTreeSet<(Timestamp, Lane)>,
    open: BTreeSet<i64>,
    /// Whose lanes do not run.
    paused: PausedTenants,
    /// Tenants whose events from this sequence on stay in the database: they were paused when these came by.
    held: HashMap<TenantId, i64>,
    /// Held runs that wait in their lanes to be run again.
    again: HashSet<(AssignmentId, i64)>,
    fed_up_to: i64,
    run_order: i64,
}

/// The lanes and their order. One for the process.
pub(super) struct Scheduler {
    state: Mutex<State>,
    changed: Notify,
}

impl Scheduler {
    pub(super) fn new(last_run_order: i64) -> Self {
        Self {
            state: Mutex::new(State { run_order: last_run_order, ..State::default() }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events in the order of ingest; those of tenants that are paused, or that have to catch up first, are left
    /// where they are, so that they fill nobody's window.
    pub(super) fn feed(&self, events: Vec<SlimEvent>) {
        let mut state = self.state();
        for event in events {
            state.fed_up_to = state.fed_up_to.max(event.sequence.0);
            if state.paused.contains(&event.tenant) || state.held.contains_key(&event.tenant) {
                state.held.entry(event.tenant).or_insert(event.sequence.0);
            } else {
                state.add(event);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Says whose lanes do not run from now on; what is under way ends.
    pub(super) fn set_paused(&self, paused: PausedTenants) {
        let mut state = self.state();
        state.paused = paused;
        let back: Vec<TenantId> = state
            .tenants
            .iter()
            .filter(|(id, queue)| !queue.in_round && !queue.ready.is_empty() && !state.paused.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for tenant in back {
            state.join_round(&tenant);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A resumed tenant whose events are still in the database, and which of them it has to catch up with.
    pub(super) fn behind(&self) -> Option<(TenantId, Sequence, Sequence)> {
        let state = self.state();
        let (tenant, from) = state.held.iter().find(|(tenant, _)| !state.paused.contains(*tenant))?;
        Some((tenant.clone(), Sequence(*from), Sequence(state.fed_up_to)))
    }

    /// Adds a page of what a tenant has to catch up with; `more`: there are later ones to come.
    pub(super) fn catch_up(&self, tenant: &TenantId, events: Vec<SlimEvent>, more: bool) {
        let mut state = self.state();
        match events.last() {
            Some(last) if more => drop(state.held.insert(tenant.clone(), last.sequence.0 + 1)),
            _ => drop(state.held.remove(tenant)),
        }
        for event in events {
            state.add(event);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Adds held runs at the ends of their lanes; those that wait there already are left alone.
    pub(super) fn feed_again(&self, events: Vec<SlimEvent>) {
        let mut state = self.state();
        for event in events {
            let Some(only) = event.only.clone() else { continue };
            if state.again.insert((only, event.sequence.0)) {
                let (lane, tenant) = (event.lane.clone(), event.tenant.clone());
                state.append(&lane, &tenant, &[event]);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Held runs that wait in their lanes.
    pub(super) fn again(&self) -> usize {
        self.state().again.len()
    }

    /// Events known and not ended.
    pub(super) fn status(&self) -> SchedulerStatus {
        let state = self.state();
        SchedulerStatus { events: state.open.len() + state.again.len(), lanes: state.lanes.len() }
    }

    /// Events that fill the window: those of paused tenants wait outside it.
    pub(super) fn in_window(&self) -> usize {
        let state = self.state();
        let of = |tenant| state.tenants.get(tenant).map_or(0, |queue| queue.open);
        state.open.len().saturating_sub(state.paused.iter().map(of).sum())
    }

    /// Every event up to this sequence has ended.
    pub(super) fn ended_up_to(&self) -> i64 {
        let state = self.state();
        let first_held = state.held.values().min();
        [state.open.first(), first_held]
            .into_iter()
            .flatten()
            .map(|first| first - 1)
            .min()
            .unwrap_or(state.fed_up_to)
    }

    /// Takes up to `most` lanes that are due at `now`, no more than a batch's time is foreseen for; empty when there are
    /// none. A lane that takes longer than that is taken alone.
    pub(super) fn take(&self, most: usize, now: Timestamp) -> Vec<Taken> {
        let mut state = self.state();
        state.wake(now);
        let mut taken = Vec::new();
        let mut room = None;
        while taken.len() < most {
            let Some(next) = state.take_one(room) else { break };
            room = Some(room.unwrap_or(BATCH).saturating_sub(next.charged));
            taken.push(next);
        }
        taken
    }

    /// Gives a lane back that was not looked at, since the batch took longer than was foreseen.
    pub(super) fn put_off(&self, taken: &Taken) {
        let mut state = self.state();
        let queue = state.tenants.entry(taken.tenant.clone()).or_default();
        queue.deficit_micros += micros(taken.charged);
        state.put_back(taken, &taken.events, None);
        drop(state);
        self.changed.notify_waiters();
    }

    /// When the next resting lane is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.state().resting.first().map(|(at, _)| *at)
    }

    /// Resolves when something may have become due.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Gives a lane back, charging its tenant the worker time it took.
    pub(super) fn give_back(&self, taken: &Taken, ended: &Ended, took: Duration) {
        let mut state = self.state();
        state.charge(taken, took);
        let freed = match ended {
            Ended::First(count) => {
                for event in taken.events.iter().take(*count) {
                    match &event.only {
                        Some(only) => drop(state.again.remove(&(only.clone(), event.sequence.0))),
                        None => state.ended(&taken.tenant, event.sequence),
                    }
                }
                state.put_back(taken, taken.events.get(*count..).unwrap_or_default(), None)
            }
            Ended::Later(until) => state.put_back(taken, &taken.events, Some(*until)),
            Ended::Move(lane) => {
                let follows = !taken.lane.is_of_contact();
                let queue = state.lanes.get_mut(&taken.lane).filter(|_| follows);
                let rest = queue.map(|queue| std::mem::take(&mut queue.events)).unwrap_or_default();
                state.put_back(taken, &[], None);
                let moved: Vec<SlimEvent> = taken.events.iter().cloned().chain(rest).collect();
                state.append(lane, &taken.tenant, &moved);
                if follows {
                    state.led.insert(taken.lane.clone(), lane.clone());
                    state.lanes.entry(lane.clone()).or_default().led.push(taken.lane.clone());
                }
                true
            }
        };
        drop(state);
        if freed {
            self.changed.notify_waiters();
        }
    }
}

impl State {
    /// Adds an event at the end of its lane.
    fn add(&mut self, event: SlimEvent) {
        if self.open.insert(event.sequence.0) {
            self.tenants.entry(event.tenant.clone()).or_default().open += 1;
        }
        let lane = self.led.get(&event.lane).unwrap_or(&event.lane).clone();
        let event = SlimEvent { lane: lane.clone(), ..event };
        let queue = self.lanes.entry(lane.clone()).or_default();
        let idle = queue.events.is_empty() && !queue.busy;
        queue.tenant = Some(event.tenant.clone());
        if idle && let Some(until) = event.not_before {
            queue.not_before = Some(until);
        }
        queue.events.push_back(event);
        if idle {
            self.offer(lane);
        }
    }

    /// An event is no more to be done.
    fn ended(&mut self, tenant: &TenantId, sequence: Sequence) {
        if self.open.remove(&sequence.0)
            && let Some(queue) = self.tenants.get_mut(tenant)
        {
            queue.open = queue.open.saturating_sub(1);
        }
    }

    /// Gives a tenant its turns, unless it has them or is paused.
    fn join_round(&mut self, tenant: &TenantId) {
        if self.paused.contains(tenant) {
            return;
        }
        let queue = self.tenants.entry(tenant.clone()).or_default();
        if !queue.in_round {
            queue.in_round = true;
            // Whoever comes back starts even: unused time is not saved up.
            queue.deficit_micros = queue.deficit_micros.min(0);
            self.round.push_back(tenant.clone());
        }
    }

    /// Makes a lane ready, or lets it rest until it is due.
    fn offer(&mut self, lane: Lane) {
        let Some(queue) = self.lanes.get(&lane) else {
            return;
        };
        let Some(tenant) = queue.tenant.clone() else {
            return;
        };
        if let Some(until) = queue.not_before {
            self.resting.insert((until, lane));
            return;
        }
        self.tenants.entry(tenant.clone()).or_default().ready.push_back(lane);
        self.join_round(&tenant);
    }

    fn wake(&mut self, now: Timestamp) {
        while self.resting.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, lane)) = self.resting.pop_first() else {
                return;
            };
            if let Some(queue) = self.lanes.get_mut(&lane) {
                queue.not_before = None;
                self.offer(lane);
            }
        }
    }

    /// The next lane of the round; none if it is foreseen to take longer than there is room for.
    fn take_one(&mut self, room: Option<Duration>) -> Option<Taken> {
        // Each turn of the round either takes a lane, drops a tenant or adds a quantum, so it ends.
        loop {
            let tenant = self.round.front()?.clone();
            let queue = self.tenants.entry(tenant.clone()).or_default();
            if self.paused.contains(&tenant) {
                self.round.pop_front();
                queue.in_round = false;
                continue;
            }
            let charged = queue.guess.unwrap_or(FIRST_GUESS);
            if queue.deficit_micros >= 0 && !queue.ready.is_empty() && room.is_some_and(|room| charged > room)
            {
                return None;
            }
            let Some(lane) = (if queue.deficit_micros >= 0 { queue.ready.pop_front() } else { None }) else {
                self.round.pop_front();
                if queue.ready.is_empty() {
                    queue.in_round = false;
                } else {
                    queue.deficit_micros += micros(QUANTUM);
                    self.round.push_back(tenant);
                }
                continue;
            };
            queue.deficit_micros -= micros(charged);
            self.run_order += 1;
            let run_order = self.run_order;
            let Some(lane_queue) = self.lanes.get_mut(&lane) else {
                continue;
            };
            lane_queue.busy = true;
            let events = next_events(&mut lane_queue.events);
            if events.is_empty() {
                lane_queue.busy = false;
                continue;
            }
            return Some(Taken { tenant, lane, events, run_order, charged });
        }
    }

    fn charge(&mut self, taken: &Taken, took: Duration) {
        let queue = self.tenants.entry(taken.tenant.clone()).or_default();
        queue.deficit_micros += micros(taken.charged) - micros(took);
        let guess = queue.guess.map_or(took, |before| (before * 7 + took) / 8);
        queue.guess = Some(guess);
    }

    /// Adds events at the end of a lane.
    fn append(&mut self, lane: &Lane, tenant: &TenantId, events: &[SlimEvent]) {
        let queue = self.lanes.entry(lane.clone()).or_default();
        let idle = queue.events.is_empty() && !queue.busy;
        queue.tenant = Some(tenant.clone());
        queue.events.extend(events.iter().map(|event| SlimEvent { lane: lane.clone(), ..event.clone() }));
        if idle {
            self.offer(lane.clone());
        }
    }

    /// Whether the lane may run again.
    fn put_back(&mut self, taken: &Taken, rest: &[SlimEvent], until: Option<Timestamp>) -> bool {
        let Some(queue) = self.lanes.get_mut(&taken.lane) else {
            return false;
        };
        queue.busy = false;
        for event in rest.iter().rev() {
            queue.events.push_front(event.clone());
        }
        queue.not_before = until;
        if queue.events.is_empty() {
            for led in self.lanes.remove(&taken.lane).map(|queue| queue.led).unwrap_or_default() {
                self.led.remove(&led);
            }
            false
        } else {
            self.offer(taken.lane.clone());
            true
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cause, Sequence};
    use std::sync::Arc;

    fn event(sequence: i64, tenant: &str, lane: &str, event_type: &str) -> SlimEvent {
        SlimEvent {
            sequence: Sequence(sequence),
            tenant: TenantId::from(tenant),
            lane: Lane::from(lane),
            event_type: Arc::from(event_type),
            cause: Cause::Live,
            attempts: 0,
            not_before: None,
            only: None,
        }
    }

    fn sequences(taken: &[Taken]) -> Vec<Vec<i64>> {
        taken.iter().map(|it| it.events.iter().map(|event| event.sequence.0).collect()).collect()
    }

    const NOW: Timestamp = Timestamp::from_millis(1000);

    #[test]
    fn a_lane_runs_one_batch_at_a_time_in_order() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![
            event(1, "t", "a", "U"),
            event(2, "t", "a", "U"),
            event(3, "t", "a", "D"),
            event(4, "t", "b", "U"),
        ]);
        let first = scheduler.take(10, NOW);
        assert_eq!(sequences(&first), [vec![1, 2], vec![4]]);
        assert!(scheduler.take(10, NOW).is_empty());
        scheduler.give_back(&first[0], &Ended::First(1), Duration::ZERO);
        let second = scheduler.take(10, NOW);
        assert_eq!(sequences(&second), [vec![2]]);
        scheduler.give_back(&second[0], &Ended::First(1), Duration::ZERO);
        assert_eq!(sequences(&scheduler.take(10, NOW)), [vec![3]]);
        assert_eq!(scheduler.ended_up_to(), 2);
    }

    #[test]
    fn a_held_run_runs_alone_at_the_end_of_its_lane_and_is_there_once() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![event(7, "t", "a", "U")]);
        let again = SlimEvent { only: Some("as".into()), ..event(3, "t", "a", "U") };
        scheduler.feed_again(vec![again.clone(), again.clone()]);
        scheduler.feed(vec![event(8, "t", "a", "U")]);
        assert_eq!((scheduler.again(), scheduler.status().events), (1, 3));
        for expected in [7, 3, 8] {
            let taken = scheduler.take(10, NOW);
            assert_eq!(sequences(&taken), [vec![expected]]);
            scheduler.give_back(&taken[0], &Ended::First(1), Duration::ZERO);
        }
        assert_eq!((scheduler.again(), scheduler.status().events, scheduler.ended_up_to()), (0, 0, 8));
        scheduler.feed_again(vec![again]);
        assert_eq!(scheduler.again(), 1);
    }

    #[test]
    fn a_retried_lane_rests_until_it_is_due() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![event(1, "t", "a", "U"), event(2, "t", "a", "U")]);
        let taken = scheduler.take(1, NOW);
        let until = NOW.plus(Duration::from_secs(5));
        scheduler.give_back(&taken[0], &Ended::Later(until), Duration::ZERO);
        assert!(scheduler.take(1, NOW).is_empty());
        assert_eq!(scheduler.next_due(), Some(until));
        assert_eq!(sequences(&scheduler.take(1, until)), [vec![1, 2]]);
    }

    #[test]
    fn a_tenant_with_much_to_do_does_not_hold_up_the_others() {
        let scheduler = Scheduler::new(0);
        let flood = (1..=1000).map(|n| event(n, "loud", &format!("l{n}"), "U"));
        let quiet = (1001..=1010).map(|n| event(n, "quiet", &format!("q{n}"), "U"));
        scheduler.feed(flood.chain(quiet).collect());
        let mut order = Vec::new();
        loop {
            let taken = scheduler.take(1, NOW);
            let Some(next) = taken.first() else { break };
            order.push(next.tenant.to_string());
            scheduler.give_back(next, &Ended::First(1), Duration::from_millis(1));
        }
        let last_quiet = order.iter().rposition(|tenant| tenant == "quiet").unwrap();
        assert!(last_quiet < 120, "the quiet tenant's last event ran as number {last_quiet}");
        assert_eq!(order.len(), 1010);
    }

    fn paused(tenants: &[&str]) -> PausedTenants {
        Arc::new(tenants.iter().map(|id| TenantId::from(*id)).collect())
    }

    #[test]
    fn a_paused_tenant_does_not_run_and_goes_on_in_order() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![event(1, "p", "a", "U"), event(2, "q", "b", "U")]);
        scheduler.set_paused(paused(&["p"]));
        scheduler.feed(vec![event(3, "p", "a", "D"), event(4, "q", "b", "U"), event(5, "p", "c", "U")]);
        let taken = scheduler.take(10, NOW);
        assert_eq!(sequences(&taken), [vec![2, 4]]);
        scheduler.give_back(&taken[0], &Ended::First(2), Duration::ZERO);
        assert!(scheduler.take(10, NOW).is_empty());
        assert_eq!((scheduler.ended_up_to(), scheduler.in_window(), scheduler.behind()), (0, 0, None));
        scheduler.set_paused(paused(&[]));
        let first = scheduler.take(10, NOW);
        assert_eq!(sequences(&first), [vec![1]]);
        // What came while it was paused is in the database still; what comes now waits behind it.
        scheduler.feed(vec![event(6, "p", "c", "U")]);
        assert_eq!(scheduler.behind(), Some(("p".into(), Sequence(3), Sequence(6))));
        scheduler.catch_up(&"p".into(), vec![event(3, "p", "a", "D"), event(5, "p", "c", "U")], true);
        assert_eq!(scheduler.behind(), Some(("p".into(), Sequence(6), Sequence(6))));
        scheduler.catch_up(&"p".into(), vec![event(6, "p", "c", "U")], false);
        assert_eq!(scheduler.behind(), None);
        scheduler.give_back(&first[0], &Ended::First(1), Duration::ZERO);
        let mut rest = sequences(&scheduler.take(10, NOW));
        rest.sort();
        assert_eq!(rest, [vec![3], vec![5, 6]]);
    }

    #[test]
    fn what_is_held_is_not_taken_for_ended() {
        let scheduler = Scheduler::new(0);
        scheduler.set_paused(paused(&["p"]));
        scheduler.feed(vec![event(1, "q", "b", "U"), event(2, "p", "a", "U"), event(3, "q", "b", "U")]);
        let taken = scheduler.take(10, NOW);
        scheduler.give_back(&taken[0], &Ended::First(2), Duration::ZERO);
        assert_eq!(scheduler.ended_up_to(), 1);
    }

    #[test]
    fn a_lane_that_takes_long_is_taken_alone() {
        let scheduler = Scheduler::new(0);
        scheduler.feed((1..=20).map(|n| event(n, "slow", &format!("s{n}"), "U")).collect());
        let first = scheduler.take(1, NOW);
        scheduler.give_back(&first[0], &Ended::First(1), Duration::from_millis(50));
        scheduler.feed((21..=40).map(|n| event(n, "quick", &format!("q{n}"), "U")).collect());
        let mut batches = Vec::new();
        loop {
            let taken = scheduler.take(64, NOW);
            if taken.is_empty() {
                break;
            }
            let slow = taken.iter().filter(|it| it.tenant.as_str() == "slow").count();
            assert!(slow == 0 || taken.len() == 1, "{slow} slow lanes among {}", taken.len());
            for next in &taken {
                let took = if next.tenant.as_str() == "slow" { 50_000 } else { 200 };
                scheduler.give_back(next, &Ended::First(1), Duration::from_micros(took));
            }
            batches.push((slow, taken.len()));
        }
        assert_eq!(batches.iter().map(|(_, lanes)| lanes).sum::<usize>(), 39);
        let last_quick = batches.iter().rposition(|(slow, _)| *slow == 0).unwrap();
        assert!(last_quick < 4, "quick lanes waited for {last_quick} batches: {batches:?}");
    }

    #[test]
    fn a_lane_that_was_put_off_is_as_it_was() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![event(1, "t", "a", "U"), event(2, "t", "b", "U")]);
        let taken = scheduler.take(10, NOW);
        scheduler.give_back(&taken[0], &Ended::First(1), Duration::from_millis(50));
        scheduler.put_off(&taken[1]);
        assert_eq!(scheduler.status(), SchedulerStatus { events: 1, lanes: 1 });
        assert_eq!(sequences(&scheduler.take(10, NOW)), [vec![2]]);
    }

    #[test]
    fn events_move_to_the_end_of_their_real_lane() {
        let scheduler = Scheduler::new(0);
        scheduler.feed(vec![
            event(1, "t", "task", "T"),
            event(2, "t", "contact", "U"),
            event(3, "t", "task", "T"),
        ]);
        let taken = scheduler.take(10, NOW);
        assert_eq!(sequences(&taken), [vec![1, 3], vec![2]]);
        scheduler.give_back(&taken[0], &Ended::Move(Lane::from("contact")), Duration::ZERO);
        assert!(scheduler.take(10, NOW).is_empty());
        scheduler.give_back(&taken[1], &Ended::First(1), Duration::ZERO);
        let moved = scheduler.take(10, NOW);
        assert_eq!((sequences(&moved), moved[0].lane.as_str()), (vec![vec![1, 3]], "contact"));
    }

    #[test]
    fn what_comes_after_a_moved_event_follows_it_until_all_of_it_has_ended() {
        let scheduler = Scheduler::new(0);
        let (task, contact) = ("c/task:1", "c/contact:1");
        scheduler.feed(vec![event(1, "t", task, "TaskCreate"), event(2, "t", task, "TaskDelete")]);
        let taken = scheduler.take(10, NOW);
        assert_eq!(sequences(&taken), [vec![1]]);
        scheduler.feed(vec![event(3, "t", task, "TaskUpdate")]);
        scheduler.give_back(&taken[0], &Ended::Move(Lane::from(contact)), Duration::ZERO);
        scheduler.feed(vec![event(4, "t", task, "TaskComplete")]);
        for expected in 1..=4 {
            let taken = scheduler.take(10, NOW);
            assert_eq!((sequences(&taken), taken[0].lane.as_str()), (vec![vec![expected]], contact));
            scheduler.give_back(&taken[0], &Ended::First(1), Duration::ZERO);
        }
        scheduler.feed(vec![event(5, "t", task, "TaskUpdate")]);
        assert_eq!(scheduler.take(10, NOW)[0].lane.as_str(), task);
        // One contact's events do not follow an event that is another's.
        scheduler.feed(vec![event(6, "t", contact, "NoteCreate"), event(7, "t", contact, "TaskCreate")]);
        let taken = scheduler.take(10, NOW);
        scheduler.give_back(&taken[0], &Ended::Move(Lane::from("c/contact:2")), Duration::ZERO);
        let lanes: Vec<_> = scheduler.take(10, NOW).iter().map(|it| it.lane.as_str().to_owned()).collect();
        assert_eq!(lanes.len(), 2);
        assert!(lanes.contains(&contact.to_owned()) && lanes.contains(&"c/contact:2".to_owned()));
    }

    #[test]
    fn run_order_grows_from_where_it_ended() {
        let scheduler = Scheduler::new(41);
        scheduler.feed(vec![event(1, "t", "a", "U")]);
        assert_eq!(scheduler.take(1, NOW)[0].run_order, 42);
    }
}
