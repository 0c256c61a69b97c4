//! Whoever is at the other end: the host itself if it runs, how GHL's webhooks fare, GHL's clock.

use super::Check;
use crate::config::Settings;
use crate::domain::{Clock, Timestamp};
use crate::outbound::{Client, ClientSettings, Method, Reply, Request};
use std::time::Duration;

/// GHL pauses an app whose webhooks succeed less often.
const PAUSED_BELOW: f64 = 0.90;
/// Attention is due before.
const ODD_BELOW: f64 = 0.97;
/// Clocks this far apart turn what is newer into what is older.
const SKEW_WARN: Duration = Duration::from_secs(2);
const SKEW_FAIL: Duration = Duration::from_secs(60);

async fn get(url: String) -> Option<Reply> {
    let settings = ClientSettings {
        connect_timeout: Duration::from_secs(3),
        request_timeout: Duration::from_secs(8),
        ..ClientSettings::default()
    };
    let request = Request { method: Method::GET, url, headers: Vec::new(), body: None };
    Client::new(settings).ok()?.send(request).await.ok()
}

/// The host's door, and what it counted of GHL's webhooks.
pub(super) async fn host(settings: &Settings) -> Vec<Check> {
    let name = "host";
    let listen = &settings.http.listen;
    let Some(live) = get(format!("http://{listen}/healthz")).await else {
        return vec![match std::net::TcpListener::bind(listen) {
            Ok(_free) => Check::ok(name, format!("none runs; {listen} is free")),
            Err(error) => Check::fail(
                name,
                format!("nothing answers at {listen}, and it can't be had: {error}"),
                "stop what holds the port, or set http.listen to another",
            ),
        }];
    };
    let said: serde_json::Value = serde_json::from_slice(&live.body).unwrap_or_default();
    let Some(version) = said.get("version").and_then(serde_json::Value::as_str) else {
        let mend = "stop it, or set http.listen to another port";
        return vec![Check::fail(name, format!("what answers at {listen} is no mapwright host"), mend)];
    };
    let number = |field: &str| said.get(field).and_then(serde_json::Value::as_i64).unwrap_or(0);
    let detail = format!(
        "mapwright {version} at {listen}; {} events and {} effects open",
        number("events_open"),
        number("effects_open")
    );
    let ready = get(format!("http://{listen}/readyz")).await;
    let mut checks = vec![match ready {
        Some(reply) if reply.status == 200 => Check::ok(name, detail),
        _ => Check::fail(
            name,
            format!("{detail}; it says it is not ready"),
            "read its log; /readyz says what is missing",
        ),
    }];
    if let Some(counted) = get(format!("http://{listen}/metrics")).await {
        checks.push(webhooks(&String::from_utf8_lossy(&counted.body)));
    }
    checks
}

/// How many of GHL's webhooks were answered 200 since the host's start.
fn webhooks(metrics: &str) -> Check {
    let name = "webhooks";
    let (mut all, mut refused) = (0.0, 0.0);
    for line in metrics.lines().filter(|line| line.starts_with("mapwright_webhooks_total{")) {
        let count = line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        all += count;
        if line.contains("outcome=\"refused\"") {
            refused += count;
        }
    }
    if all == 0.0 {
        return Check::ok(name, "none came since the host's start");
    }
    let rate = (all - refused) / all;
    let detail = format!("{:.1} % of {all:.0} were answered 200 since the host's start", rate * 100.0);
    let mend = "GHL pauses an app below 90 %: look at mapwright_webhooks_total by outcome, and in the log for why they are refused";
    if rate < PAUSED_BELOW {
        Check::fail(name, detail, mend)
    } else if rate < ODD_BELOW {
        Check::warn(name, detail, mend)
    } else {
        Check::ok(name, detail)
    }
}

/// The machine's clock beside GHL's.
pub(super) async fn clock(settings: &Settings) -> Check {
    let name = "clock";
    let sandbox = settings.clock.rate > 1.0
        || (!settings.apps.is_empty() && settings.apps.iter().all(|app| app.environment == "sandbox"));
    let url = if sandbox { &settings.ghl.sandbox_url } else { &settings.ghl.live_url };
    let before = Clock::system().now();
    let Some(reply) = get(url.clone()).await else {
        return Check::warn(
            name,
            format!("{url} can't be reached"),
            "open the way out to it; without it no effect can be sent",
        );
    };
    let Some(theirs) = reply.header("date").and_then(http_date) else {
        return Check::warn(
            name,
            format!("{url} names no date"),
            "compare the machine's clock by hand (NTP)",
        );
    };
    if settings.clock.rate > 1.0 {
        return Check::ok(name, "not compared: this host's clock runs faster than life");
    }
    skew(before, theirs)
}

fn skew(ours: Timestamp, theirs: Timestamp) -> Check {
    let name = "clock";
    let apart = ours.since(theirs).max(theirs.since(ours));
    let detail = format!("{} s apart from GHL's", apart.as_secs());
    let mend = "set the machine's clock by NTP";
    if apart > SKEW_FAIL {
        Check::fail(name, detail, mend)
    } else if apart > SKEW_WARN {
        Check::warn(name, detail, mend)
    } else {
        Check::ok(name, detail)
    }
}

/// A `Date` header as HTTP writes it: `Tue, 24 Nov 2026 08:12:31 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| Timestamp::from_millis(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::State;

    #[test]
    fn the_share_of_answered_webhooks_decides() {
        let of = |stored: u32, refused: u32| {
            webhooks(&format!(
                "mapwright_webhooks_total{{outcome=\"stored\"}} {stored}\nmapwright_webhooks_total{{outcome=\"refused\"}} {refused}\n"
            ))
            .state
        };
        assert_eq!(
            (of(0, 0), of(100, 1), of(95, 5), of(80, 20)),
            (State::Ok, State::Ok, State::Warn, State::Fail)
        );
    }

    #[test]
    fn clocks_that_are_far_apart_fail() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(skew(at(100), at(101)).state, State::Ok);
        assert_eq!(skew(at(100), at(90)).state, State::Warn);
        assert_eq!(skew(at(100), at(400)).state, State::Fail);
        assert_eq!(http_date("Tue, 24 Nov 2026 08:12:31 GMT"), Timestamp::parse("2026-11-24T08:12:31Z"));
    }
}
