//! `/healthz` says that the process lives, `/readyz` that it can do its work.

use super::problem::Problem;
use super::state::ApiState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// How the host is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    /// `ok`, or `degraded` where something is not as it should be, though the host works.
    status: &'static str,
    /// What is not as it should be.
    notes: Vec<HealthNote>,
    /// This build's version.
    version: &'static str,
    /// Events known to the pipeline and not ended.
    events_open: usize,
    /// Effects that wait for GHL or are being sent.
    effects_open: i64,
    /// Product time, RFC 3339.
    now: String,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HealthNote {
    /// What: a table or key of the configuration, a file, a part of the host.
    about: String,
    /// What is wrong with it, and how to mend it.
    detail: String,
}

/// Says that the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It lives", body = Health)))]
pub(super) async fn live(State(state): State<ApiState>) -> Json<Health> {
    // Liveness is the process's alone: a database that fails shows as zero here and in `/readyz`.
    let open = state.store.count_open_effects().await.unwrap_or_default();
    Json(health(&state, open))
}

/// Says that the host can do its work.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "It works", body = Health), (status = 503, description = "It can't", body = Problem)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<Health>, Problem> {
    if state.stopping.is_cancelled() {
        return Err(Problem::unavailable(
            "The host is draining: it was told to stop, and finishes what is under way.",
        ));
    }
    state.store.ping().await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "not ready: the database does not answer");
        Problem::unavailable("The database does not answer.")
    })?;
    let open = state.store.count_open_effects().await?;
    Ok(Json(health(&state, open)))
}

/// What was counted, for Prometheus; names begin with `mapwright_`, and no label names a person.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, description = "Prometheus' text format", body = String)))]
pub(super) async fn metrics(State(state): State<ApiState>) -> String {
    let status = (state.pipeline)();
    metrics::gauge!("mapwright_events_open").set(float(status.events));
    metrics::gauge!("mapwright_lanes_open").set(float(status.lanes));
    match state.store.gauges().await {
        Ok(gauges) => {
            for (name, count) in gauges.effects {
                metrics::gauge!("mapwright_effects_open", "state" => name).set(float(count));
            }
            metrics::gauge!("mapwright_dead_letters_open").set(float(gauges.dead_letters));
            metrics::gauge!("mapwright_database_bytes").set(float(gauges.database_bytes));
            metrics::gauge!("mapwright_database_log_bytes").set(float(gauges.log_bytes));
        }
        // What was counted is worth showing without what the database would say.
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the database could not be counted");
        }
    }
    crate::telemetry::render_metrics()
}

/// A count as metrics have it.
fn float(count: impl TryInto<u64>) -> f64 {
    let count: u64 = count.try_into().unwrap_or(0);
    let (high, low) = (count >> 32, count & u64::from(u32::MAX));
    let part = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
    part(high).mul_add(4_294_967_296.0, part(low))
}

fn health(state: &ApiState, effects_open: i64) -> Health {
    let notes: Vec<HealthNote> =
        state.health.all().into_iter().map(|(about, detail)| HealthNote { about, detail }).collect();
    Health {
        status: if notes.is_empty() { "ok" } else { "degraded" },
        notes,
        version: env!("CARGO_PKG_VERSION"),
        events_open: (state.pipeline)().events,
        effects_open,
        now: state.clock.now().to_rfc3339(),
    }
}
