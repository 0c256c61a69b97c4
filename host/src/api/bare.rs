//! The least a webhook door can do: verify the signature and answer 200, keeping nothing. `mapwright bench ingest`
//! measures the real door beside it; no host serves it.

use super::serve::Door;
use crate::webhooks::{Signatures, Verifier};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

async fn take(State(verifier): State<Arc<Verifier>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-ghl-signature").and_then(|value| value.to_str().ok());
    if verifier.holds(&body, Signatures { ed25519: signature, rsa: None }) {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

impl Door {
    /// Serves the bare door until `stop`.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve_bare(self, verifier: Verifier, stop: CancellationToken) -> std::io::Result<()> {
        let router = Router::new().route("/webhooks/ghl/{app}", post(take)).with_state(Arc::new(verifier));
        axum::serve(self.into_listener(), router)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
    }
}
