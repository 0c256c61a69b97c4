//! Waiting: for the first poll of a location, and at the end until everything that was done has been sent, found, run
//! and performed.

use super::http::Http;
use crate::domain::{Clock, Timestamp};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::time::Duration;

/// Machine time everything has to end after the day.
const LONGEST: Duration = Duration::from_secs(60);
/// Machine time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Who looks, and where.
pub(super) struct Settling<'a> {
    pub(super) http: &'a Http,
    pub(super) clock: &'a Clock,
    pub(super) sandbox: &'a str,
    pub(super) host: &'a str,
    pub(super) key: &'a str,
}

impl Settling<'_> {
    /// Waits until all locations that are polled have been read once: what changes from then on is news.
    pub(super) async fn first_passes(&self) -> anyhow::Result<()> {
        self.within("the first poll did not end", self.passes(|polling| !polling["backfilled_at"].is_null()))
            .await
    }

    /// Waits until all is done. What was found last may have led to more, so it looks twice.
    pub(super) async fn all(&self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.within("not everything ended", self.idle()).await?;
            let health = self.http.get(&format!("{}/healthz", self.host), None).await?;
            let now = health["now"]
                .as_str()
                .and_then(Timestamp::parse)
                .context("the host does not tell the time")?;
            let covered = |polling: &Value| {
                polling["covers_until"].as_str().and_then(Timestamp::parse).is_some_and(|until| until >= now)
            };
            self.within("not everything was found by polling", self.passes(covered)).await?;
        }
        self.within("not everything ended", self.idle()).await
    }

    async fn within(&self, what: &str, wait: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        self.clock.within(LONGEST, wait).await.unwrap_or_else(|| bail!("{what} within {LONGEST:?}"))
    }

    /// Until the sandbox has sent everything, and the host has ended every event and every effect.
    async fn idle(&self) -> anyhow::Result<()> {
        let mut quiet = 0;
        while quiet < 3 {
            let pending = self.http.get(&format!("{}/_sandbox/pending", self.sandbox), None).await?;
            let health = self.http.get(&format!("{}/healthz", self.host), None).await?;
            let idle = pending["pending"] == 0 && health["events_open"] == 0 && health["effects_open"] == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            self.clock.machine_sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Until each polled connection's view is as wanted.
    async fn passes(&self, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let url = format!("{}/v1/connections?limit=1000", self.host);
        let connections = self.http.get(&url, Some(self.key)).await?;
        let polled =
            connections["items"].as_array().into_iter().flatten().filter(|it| it["kind"] == "api-key");
        for id in polled.filter_map(|it| it["id"].as_str()) {
            let url = format!("{}/v1/connections/{id}/polling", self.host);
            while !wanted(&self.http.get(&url, Some(self.key)).await?) {
                self.clock.machine_sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
