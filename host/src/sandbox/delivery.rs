//! Sending webhooks: signed, several at once, retried like GHL does it (12 times, exponential backoff and jitter).

use super::state::State;
use crate::outbound::{Client, Method, Request};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Where to.
    pub(super) url: String,
    /// Its id.
    pub(super) webhook_id: String,
    /// Its body, verbatim.
    pub(super) body: String,
    /// How often it is sent even when it is answered.
    pub(super) times: u32,
    /// Product seconds before the first sending.
    pub(super) wait_seconds: u64,
}

/// Retries after the first try.
const RETRIES: u32 = 12;
/// Messages under way at once.
const AT_ONCE: usize = 16;

/// Sends what comes until the sender is closed.
pub(super) async fn send_all(state: Arc<State>, client: Client, mut messages: mpsc::Receiver<Outgoing>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(message) = messages.recv().await {
        let (state, client, places) = (Arc::clone(&state), client.clone(), Arc::clone(&places));
        tokio::spawn(async move {
            state.clock.sleep(Duration::from_secs(message.wait_seconds)).await;
            for _ in 0..message.times {
                deliver(&state, &client, &places, &message).await;
            }
            state.ended();
        });
    }
}

async fn deliver(state: &State, client: &Client, places: &Semaphore, message: &Outgoing) {
    for attempt in 0..=RETRIES {
        let status = {
            let Ok(_place) = places.acquire().await else {
                return;
            };
            send(state, client, message).await
        };
        if let Err(error) = state.attempted(&message.webhook_id, status) {
            tracing::error!(%error, "an attempt could not be journalled");
        }
        if status.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        let longest = Duration::from_secs(2).saturating_mul(1 << attempt.min(10));
        let jittered = longest.mul_f64(rand::rng().random_range(0.5..1.0));
        state.clock.sleep(jittered).await;
    }
}

async fn send(state: &State, client: &Client, message: &Outgoing) -> Option<u16> {
    let request = Request {
        method: Method::POST,
        url: message.url.clone(),
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("x-ghl-signature".into(), state.signer.sign(message.body.as_bytes())),
        ],
        body: Some(message.body.clone().into_bytes()),
    };
    client.send(request).await.ok().map(|reply| reply.status)
}
