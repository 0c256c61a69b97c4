//! GHL's quota for a token: so many calls in each interval and each day, told in five headers; and the faults of the API.

use super::caller;
use super::refusal::Refusal;
use super::state::{State, strikes};
use crate::domain::Timestamp;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use std::collections::HashMap;
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

/// Counts a program's call, answers 429 beyond the quota, lets faults strike, and sets the headers.
pub(super) async fn guard(Extract(state): Extract<Arc<State>>, request: Request, next: Next) -> Response {
    let grant = caller::token(request.headers()).and_then(|token| state.grant_of(token));
    let Some(grant) = grant.filter(|grant| grant.scopes.is_some()) else { return next.run(request).await };
    let writes = request.method() != Method::GET && !request.uri().path().ends_with("/search");
    let (counted, limits, refuse, fail_before, fail_after) = {
        let mut guard = state.lock();
        let inner = &mut guard.0;
        let limits = inner.limits;
        let counted = inner.windows.count(&grant.location, &limits, state.clock.now());
        let refuse = !counted.0 || strikes(&mut inner.faults.too_many);
        let fail_before = writes && !refuse && strikes(&mut inner.faults.fail_before);
        let fail_after = writes && !refuse && !fail_before && strikes(&mut inner.faults.fail_after);
        (counted, limits, refuse, fail_before, fail_after)
    };
    let mut response = if refuse {
        Refusal::TooMany.into_response()
    } else if fail_before {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else {
        let done = next.run(request).await;
        if fail_after { StatusCode::GATEWAY_TIMEOUT.into_response() } else { done }
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
