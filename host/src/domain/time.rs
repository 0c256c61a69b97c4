//! Time: the only place where the machine's clock is read and where anything sleeps.
//!
//! There are two kinds. *Product time* (event and token times, schedules, polls, retries, quota
//! windows, retention) runs at the clock's rate from one origin that host and sandbox share, so that
//! a day can be played in a minute. *Machine time* (socket and request deadlines, wall limits, commit
//! grouping, drain) is never scaled.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A moment in product time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment `by` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(by)))
    }

    /// The moment `by` earlier; saturates at the beginning of time.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(by)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339, also with an offset, as GHL writes its times.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// Parses the date of an HTTP header: `Thu, 01 Jan 1970 00:02:00 GMT`.
    #[must_use]
    pub fn parse_http(text: &str) -> Option<Self> {
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
        Some(Self(parsed.as_millisecond()))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-07-02T05:18:26.704Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How many times faster than the machine's clock product time runs, and from which moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockRate {
    /// Product seconds per machine second; at least 1.
    pub rate: f64,
    /// The machine's time, in milliseconds since the epoch, at which product time equals it.
    pub origin_millis: i64,
}

/// Now and sleep, for product time and for machine time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    Running { rate: f64, origin: Timestamp, started: Instant, machine_at_start: Timestamp },
    Manual { now: Mutex<Timestamp>, moved: tokio::sync::Notify },
}

impl Clock {
    /// The machine's clock, unscaled.
    #[must_use]
    pub fn system() -> Self {
        Self::at_rate(ClockRate { rate: 1.0, origin_millis: machine_wall().0 })
    }

    /// Product time runs at `rate`, beginning at its origin.
    #[must_use]
    pub fn at_rate(rate: ClockRate) -> Self {
        let factor = if rate.rate.is_finite() && rate.rate > 0.0 { rate.rate } else { 1.0 };
        Self(Arc::new(Kind::Running {
            rate: factor,
            origin: Timestamp(rate.origin_millis),
            started: machine_instant(),
            machine_at_start: machine_wall(),
        }))
    }

    /// A clock that moves only when told to, for tests.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Kind::Manual { now: Mutex::new(start), moved: tokio::sync::Notify::new() }))
    }

    /// Moves a manual clock on; other clocks move by themselves and ignore it.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual { now, moved } = &*self.0 {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = now.plus(by);
            moved.notify_waiters();
        }
    }

    /// Product time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Kind::Running { rate, origin, started, machine_at_start } => {
                // Monotonic from the start on, so that a step of the machine's clock moves nothing here; in parts of a
                // millisecond, so that a fast clock does not move in leaps.
                let before_start = machine_at_start.since(*origin);
                origin.plus((before_start + started.elapsed()).mul_f64(*rate))
            }
            Kind::Manual { now, .. } => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits for `span` of product time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now().plus(span)).await;
    }

    /// Waits until product time has reached `until`.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &*self.0 {
            Kind::Running { rate, .. } => {
                while self.now() < until {
                    machine_sleep(until.since(self.now()).div_f64(*rate).max(Duration::from_millis(1))).await;
                }
            }
            Kind::Manual { moved, .. } => loop {
                let notified = moved.notified();
                if self.now() >= until {
                    return;
                }
                notified.await;
            },
        }
    }

    /// The span of product time that passes in a span of machine time.
    #[must_use]
    pub fn product_span(&self, machine: Duration) -> Duration {
        match &*self.0 {
            Kind::Running { rate, .. } => machine.mul_f64(*rate),
            Kind::Manual { .. } => machine,
        }
    }

    /// A point of machine time to measure durations from.
    #[must_use]
    pub fn machine_now(&self) -> Instant {
        machine_instant()
    }

    /// Waits for `span` of machine time.
    pub async fn machine_sleep(&self, span: Duration) {
        machine_sleep(span).await;
    }

    /// Gives `work` at most `limit` of machine time; `None` when it took longer and was dropped.
    pub async fn within<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        machine_timeout(limit, work).await
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is where the machine's clock enters")]
fn machine_wall() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

#[expect(clippy::disallowed_methods, reason = "this file is where the machine's clock enters")]
fn machine_instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this file is where anything sleeps")]
async fn machine_sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

#[expect(clippy::disallowed_methods, reason = "this file is where machine deadlines are made")]
async fn machine_timeout<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_with_milliseconds() {
        let at = Timestamp::parse("2026-07-02T05:18:26.704Z").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-07-02T05:18:26.704Z");
        assert_eq!(Timestamp::parse("2026-07-02T07:18:26.704+02:00"), Some(at));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn a_scaled_clock_runs_from_its_origin() {
        let origin = machine_wall().minus(Duration::from_secs(10));
        let clock = Clock::at_rate(ClockRate { rate: 60.0, origin_millis: origin.millis() });
        let ran = clock.now().since(origin);
        assert!(ran >= Duration::from_secs(600) && ran < Duration::from_secs(900), "{ran:?}");
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let other = clock.clone();
        let sleeper = tokio::spawn(async move { other.sleep(Duration::from_secs(5)).await });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(4));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }
}
