//! GHL's quota for a token: so many calls in each interval and each day, told in five headers; and the faults of the API.

use super::caller;
use super::refusal::Refusal;
use super::state::{State, strikes};
use crate::domain::Timestamp;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How much a program may call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Calls in an interval.
    pub(super) calls: u32,
    /// The interval, product milliseconds.
    pub(super) interval_millis: u64,
    /// Calls in a day.
    pub(super) daily: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 100, interval_millis: 10_000, daily: 200_000 }
    }
}

impl Limits {
    /// Those of a sandbox account.
    const SANDBOX: Self = Self { calls: 25, interval_millis: 10_000, daily: 10_000 };
}

/// A location's counts.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Timestamp,
    calls: u32,
    day_began: Timestamp,
    day_calls: u32,
}

/// The counts of all locations.
#[derive(Debug, Default)]
pub(super) struct Windows(HashMap<String, Window>);

impl Windows {
    /// Counts a call; whether it is within the limits, and what is left of interval and day.
    fn count(&mut self, location: &str, limits: &Limits, now: Timestamp) -> (bool, u32, u32) {
        let window = self.0.entry(location.to_owned()).or_default();
        if now.since(window.began) >= Duration::from_millis(limits.interval_millis) {
            (window.began, window.calls) = (now, 0);
        }
        if now.since(window.day_began) >= Duration::from_secs(24 * 3600) {
            (window.day_began, window.day_calls) = (now, 0);
        }
        let allowed = window.calls < limits.calls && window.day_calls < limits.daily;
        if allowed {
            window.calls += 1;
            window.day_calls += 1;
        }
        (allowed, limits.calls - window.calls, limits.daily - window.day_calls)
    }
}

/// What happens to one of a program's next writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// It goes well.
    Well,
    /// It is answered 503 and not done.
    FailBefore,
    /// It is done and answered 504.
    FailAfter,
    /// The connection breaks before it is done.
    DropBefore,
    /// It is done, then the connection breaks.
    DropAfter,
    /// It is done and answered so late that its webhook comes first.
    Slow,
    /// It is answered 429 and not done.
    Limited,
}

/// Machine time that a slow answer takes.
const SLOW: Duration = Duration::from_millis(300);

/// What happens to the next writes, one after the other; those behind them go well.
pub(super) type Script = VecDeque<Step>;

/// An answer whose connection breaks before its end.
fn broken() -> Response {
    let fault = std::io::Error::other("a fault that was asked for");
    Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>(fault)])))
}

/// Counts a program's call, answers 429 beyond the quota, lets faults strike, and sets the headers.
pub(super) async fn guard(Extract(state): Extract<Arc<State>>, request: Request, next: Next) -> Response {
    let grant = caller::token(request.headers()).and_then(|token| state.grant_of(token));
    let Some(grant) = grant.filter(|grant| grant.scopes.is_some()) else { return next.run(request).await };
    let writes = request.method() != Method::GET && !request.uri().path().ends_with("/search");
    let (counted, limits, refuse, step) = {
        let mut guard = state.lock();
        let inner = &mut guard.0;
        let plan = inner.installs.location(&grant.location).map(|location| location.plan.as_str());
        let limits = if plan == Some("sandbox") { Limits::SANDBOX } else { inner.limits };
        let counted = inner.windows.count(&grant.location, &limits, state.clock.now());
        let refuse = !counted.0 || strikes(&mut inner.faults.too_many);
        let step = if !writes || refuse {
            Step::Well
        } else if strikes(&mut inner.faults.fail_before) {
            Step::FailBefore
        } else if strikes(&mut inner.faults.fail_after) {
            Step::FailAfter
        } else {
            inner.script.pop_front().unwrap_or(Step::Well)
        };
        (counted, limits, refuse || step == Step::Limited, step)
    };
    let mut response = if refuse {
        Refusal::TooMany.into_response()
    } else {
        match step {
            Step::FailBefore => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Step::DropBefore => broken(),
            Step::Well | Step::Limited => next.run(request).await,
            Step::FailAfter => {
                drop(next.run(request).await);
                StatusCode::GATEWAY_TIMEOUT.into_response()
            }
            Step::DropAfter => {
                drop(next.run(request).await);
                broken()
            }
            Step::Slow => {
                let done = next.run(request).await;
                state.clock.machine_sleep(SLOW).await;
                done
            }
        }
    };
    let said = [
        ("x-ratelimit-max", u64::from(limits.calls)),
        ("x-ratelimit-remaining", u64::from(counted.1)),
        ("x-ratelimit-interval-milliseconds", limits.interval_millis),
        ("x-ratelimit-limit-daily", u64::from(limits.daily)),
        ("x-ratelimit-daily-remaining", u64::from(counted.2)),
    ];
    for (name, value) in said {
        response.headers_mut().insert(name, HeaderValue::from(value));
    }
    response
}
