//! `POST /webhooks/ghl/{app}`: raw bytes in, 200 when they are kept.

use super::problem::Problem;
use super::state::ApiState;
use crate::domain::AppId;
use crate::webhooks::{Delivery, Signatures};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

/// Takes one delivery of GHL's.
#[utoipa::path(post, path = "/webhooks/ghl/{app}", tag = "webhooks", params(("app" = String, Path, description = "The app's id")),
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, description = "Kept, or known to be unwanted"),
        (status = 400, description = "The body is no event", body = Problem),
        (status = 401, description = "The signature is missing or wrong", body = Problem),
        (status = 404, description = "No such app", body = Problem),
        (status = 429, description = "Too much is waiting; come again", body = Problem)))]
pub(super) async fn take(
    State(state): State<ApiState>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let body = body.map_err(|_too_long_or_broken| Problem::too_large(state.body_limit_bytes))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signatures = Signatures { ed25519: header("x-ghl-signature"), rsa: header("x-wh-signature") };
    let app = AppId::from(app);
    let taken = state.ingest.take(Delivery { app: &app, signatures, body: &body }).await;
    let outcome = match &taken {
        Ok(taken) => taken.word(),
        Err(_) => "refused",
    };
    metrics::counter!("mapwright_webhooks_total", "outcome" => outcome).increment(1);
    taken?;
    crate::config::failpoint("before-webhook-reply");
    #[cfg(feature = "test-support")]
    {
        let clock = state.clock.clone();
        tokio::spawn(async move {
            // Long enough for the reply to be on its way.
            clock.machine_sleep(std::time::Duration::from_millis(2)).await;
            crate::config::failpoint("after-webhook-reply");
        });
    }
    Ok(StatusCode::OK)
}
