//! GHL's quota for one connection: so many calls in any interval, as its five headers say, and so many a day.

use crate::domain::{Clock, ConnectionId, Timestamp};
use crate::outbound::Reply;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What GHL allows until it says otherwise: 100 calls in 10 s.
const CALLS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(10);
/// Kept between our window and GHL's, since calls arrive later than they are sent.
const MARGIN: Duration = Duration::from_millis(500);
/// How long a connection rests whose day is used up, before it asks again.
const DAY_REST: Duration = Duration::from_secs(15 * 60);

/// Longest that a call in the background gives way before it takes any place it can get.
const PATIENCE: Duration = Duration::from_secs(60);
/// Calls a day until GHL says otherwise.
const DAILY: u64 = 200_000;

/// How urgent a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Effects and the reads of runs: any free place.
    Live,
    /// Polling: half of the places.
    Background,
}

/// A connection's quota of the day, as far as GHL told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls a day.
    pub daily: u64,
    /// Calls left today; none until the first answer.
    pub remaining: Option<u64>,
}

struct Window {
    daily: u64,
    remaining: Option<u64>,
    limit: usize,
    interval: Duration,
    sent: VecDeque<Timestamp>,
    parked_until: Option<Timestamp>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            daily: DAILY,
            remaining: None,
            limit: CALLS,
            interval: INTERVAL,
            sent: VecDeque::new(),
            parked_until: None,
        }
    }
}

impl Window {
    /// Takes one of the first `places` of the window, or says when to come again.
    fn take_of(&mut self, places: usize, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.parked_until {
            if now < until {
                return Err(until);
            }
            self.parked_until = None;
        }
        let span = self.interval + MARGIN;
        while self.sent.front().is_some_and(|at| now.since(*at) >= span) {
            self.sent.pop_front();
        }
        if self.sent.len() < places {
            self.sent.push_back(now);
            return Ok(());
        }
        // The place is free when so many have left that fewer than `places` remain.
        let leaving = self.sent.len().saturating_sub(places);
        Err(self.sent.get(leaving).map_or(now, |at| at.plus(span)))
    }

    /// Takes any place, or says when to come again.
    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.take_of(self.limit, now)
    }

    /// Follows what a reply says; gives the moment until which the connection rests, when it was refused.
    fn learn(&mut self, reply: &Reply, now: Timestamp) -> Option<Timestamp> {
        let number = |name: &str| reply.header(name).and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(limit) = number("x-ratelimit-max").and_then(|it| usize::try_from(it).ok()) {
            self.limit = limit.max(1);
        }
        if let Some(millis) = number("x-ratelimit-interval-milliseconds").filter(|it| *it > 0) {
            self.interval = Duration::from_millis(millis);
        }
        if let Some(remaining) = number("x-ratelimit-remaining").and_then(|it| usize::try_from(it).ok()) {
            // Calls that GHL counts and we did not send were another process's: they take places too.
            let counted = self.limit.saturating_sub(remaining);
            for _ in self.sent.len()..counted.min(self.limit) {
                self.sent.push_back(now);
            }
        }
        if let Some(daily) = number("x-ratelimit-limit-daily").filter(|daily| *daily > 0) {
            self.daily = daily;
        }
        self.remaining = number("x-ratelimit-daily-remaining").or(self.remaining);
        if number("x-ratelimit-daily-remaining") == Some(0) {
            self.parked_until = Some(now.plus(DAY_REST));
        }
        if reply.status == 429 {
            let date = || reply.header("retry-after").and_then(Timestamp::parse_http).map(|at| at.since(now));
            let asked = number("retry-after").map(Duration::from_secs).or_else(date).unwrap_or(self.interval);
            let until = now.plus(asked.max(self.interval) + MARGIN);
            self.parked_until = Some(self.parked_until.map_or(until, |known| known.max(until)));
            return self.parked_until;
        }
        None
    }
}

/// The quota of all connections. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Limiter(Arc<Mutex<HashMap<ConnectionId, Window>>>);

impl Limiter {
    fn windows(&self) -> MutexGuard<'_, HashMap<ConnectionId, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the connection's quota, or says when to come again.
    pub(super) fn take(&self, connection: &ConnectionId, now: Timestamp) -> Result<(), Timestamp> {
        self.windows().entry(connection.clone()).or_default().take(now)
    }

    /// Waits for a place in the connection's quota.
    pub(super) async fn permit(&self, connection: &ConnectionId, clock: &Clock, urgency: Urgency) {
        let since = clock.now();
        loop {
            let now = clock.now();
            let taken = {
                let mut windows = self.windows();
                let window = windows.entry(connection.clone()).or_default();
                if urgency == Urgency::Background && now.since(since) < PATIENCE {
                    let half = (window.limit / 2).max(1);
                    window.take_of(half, now)
                } else {
                    window.take(now)
                }
            };
            match taken {
                Ok(()) => return,
                Err(until) => clock.sleep_until(until.max(now.plus(Duration::from_millis(10)))).await,
            }
        }
    }

    /// What is known of the connection's day.
    pub(super) fn quota(&self, connection: &ConnectionId) -> Quota {
        let mut windows = self.windows();
        let window = windows.entry(connection.clone()).or_default();
        Quota { daily: window.daily, remaining: window.remaining }
    }

    /// Follows what a reply says.
    pub(super) fn learn(
        &self,
        connection: &ConnectionId,
        reply: &Reply,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.windows().entry(connection.clone()).or_default().learn(reply, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)]) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply { status, headers, body: Vec::new() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn no_more_calls_than_allowed_in_any_interval() {
        let mut window = Window { limit: 2, ..Window::default() };
        assert_eq!(window.take(at(0)), Ok(()));
        assert_eq!(window.take(at(100)), Ok(()));
        assert_eq!(window.take(at(200)), Err(at(10_500)));
        assert_eq!(window.take(at(10_500)), Ok(()));
        assert_eq!(window.take(at(10_501)), Err(at(10_600)));
    }

    #[test]
    fn what_can_wait_leaves_half_of_the_places() {
        let mut window = Window { limit: 4, ..Window::default() };
        assert_eq!(window.take_of(2, at(0)), Ok(()));
        assert_eq!(window.take(at(100)), Ok(()));
        assert_eq!(window.take_of(2, at(200)), Err(at(10_500)));
        assert_eq!(window.take(at(200)), Ok(()));
        assert_eq!(window.take_of(2, at(300)), Err(at(10_600)));
        assert_eq!(window.take(at(300)), Ok(()));
        assert_eq!(window.take(at(400)), Err(at(10_500)));
    }

    #[test]
    fn headers_change_the_limit_and_count_what_others_sent() {
        let mut window = Window::default();
        window.take(at(0)).unwrap();
        let said = [
            ("x-ratelimit-max", "25"),
            ("x-ratelimit-interval-milliseconds", "10000"),
            ("x-ratelimit-remaining", "5"),
        ];
        assert_eq!(window.learn(&reply(200, &said), at(10)), None);
        for _ in 0..5 {
            window.take(at(20)).unwrap();
        }
        assert!(window.take(at(30)).is_err());
    }

    #[test]
    fn a_refusal_and_a_used_up_day_park_the_connection() {
        let mut window = Window::default();
        assert_eq!(window.learn(&reply(429, &[]), at(0)), Some(at(10_500)));
        assert_eq!(window.take(at(1)), Err(at(10_500)));
        assert_eq!(window.take(at(10_500)), Ok(()));
        let seconds = window.learn(&reply(429, &[("retry-after", "60")]), at(20_000));
        assert_eq!(seconds, Some(at(80_500)));
        let date = window.learn(&reply(429, &[("retry-after", "Thu, 01 Jan 1970 00:02:00 GMT")]), at(30_000));
        assert_eq!(date, Some(at(120_500)));
        let mut window = Window::default();
        window.learn(&reply(200, &[("x-ratelimit-daily-remaining", "0")]), at(20_000));
        assert_eq!(window.take(at(20_001)), Err(at(920_000)));
    }
}
