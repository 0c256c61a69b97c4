//! The router, and the listener that serves it until it is told to stop.

use super::problem::Problem;
use super::state::ApiState;
use super::{
    api_keys, assignments, audit, auth, backups, connections, dead_letters, effects, envelope, event_story,
    events, health, keys, listen, oauth, openapi, operations, plugins, records, reruns, runs, tenants,
    timeline, timing_rules, webhooks,
};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use std::any::Any;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(utoipa::OpenApi)]
#[openapi(info(title = "Mapwright", description = "Keeps Rankr and GoHighLevel in step."))]
struct Description;

fn keyed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(api_keys::add))
        .routes(routes!(api_keys::replace))
        .routes(routes!(api_keys::polling))
        .routes(routes!(assignments::list, assignments::activate))
        .routes(routes!(assignments::show))
        .routes(routes!(assignments::roll_back))
        .routes(routes!(assignments::off))
        .routes(routes!(assignments::on))
        .routes(routes!(assignments::resume))
        .routes(routes!(audit::list))
        .routes(routes!(backups::list, backups::create))
        .routes(routes!(events::list, events::take))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::retry))
        .routes(routes!(dead_letters::retry_many))
        .routes(routes!(dead_letters::dismiss))
        .routes(routes!(reruns::reprocess))
        .routes(routes!(reruns::show))
        .routes(routes!(effects::list))
        .routes(routes!(effects::show))
        .routes(routes!(effects::decide))
        .routes(routes!(effects::retry))
        .routes(routes!(effects::cancel))
        .routes(routes!(effects::list_rankr_events))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(operations::list))
        .routes(routes!(operations::show))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::folder))
        .routes(routes!(plugins::show))
        .routes(routes!(plugins::show_version))
        .routes(routes!(records::list))
        .routes(routes!(event_story::show))
        .routes(routes!(event_story::list_conflicts))
        .routes(routes!(records::show))
        .routes(routes!(runs::list))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show))
        .routes(routes!(tenants::pause))
        .routes(routes!(tenants::resume))
        .routes(routes!(runs::show))
        .routes(routes!(timeline::list))
        .routes(routes!(connections::list))
        .routes(routes!(connections::get))
        .routes(routes!(connections::authorize))
        .routes(routes!(connections::reconnect))
        .routes(routes!(connections::close))
        .routes(routes!(connections::attempts))
        .routes(routes!(timing_rules::list, timing_rules::create))
        .routes(routes!(timing_rules::show, timing_rules::change, timing_rules::remove))
        .routes(routes!(timing_rules::preview))
}

/// Uploads have a cap of their own.
fn uploads(limit_bytes: usize) -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plugins::deploy)).layer(DefaultBodyLimit::max(limit_bytes))
}

fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::show))
}

fn door() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(webhooks::take))
}

/// Where people come from and go to, without a key.
fn people() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(oauth::callback)).routes(routes!(oauth::reconnect))
}

/// What the handlers say of themselves.
pub(super) fn described() -> OpenApi {
    open().merge(door()).merge(people()).merge(keyed()).merge(uploads(0)).to_openapi()
}

fn router(state: ApiState) -> Router {
    let limit = DefaultBodyLimit::max(state.body_limit_bytes);
    let mut served = open();
    if state.takes_webhooks {
        served = served.merge(door());
    }
    if state.serves_api {
        served = served.merge(people()).merge(keyed()).merge(uploads(state.upload_bytes));
    }
    let (routes, _) = served.split_for_parts();
    routes
        .route_layer(from_fn_with_state(state.clone(), auth::decide))
        .fallback(async || Problem::not_found("No resource is at this path; see the OpenAPI document."))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(limit)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), envelope::wrap))
        .with_state(state)
}

/// A handler that panicked is our fault; what it said goes to the log.
fn panicked(said: Box<dyn Any + Send>) -> Response {
    let said =
        said.downcast_ref::<String>().map(String::as_str).or_else(|| said.downcast_ref::<&str>().copied());
    tracing::error!("a handler panicked: {}", said.unwrap_or("without a message"));
    Problem::internal().into_response()
}

/// The open door.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(listen: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Serves until the state says stop, then closes the listener and finishes the requests under way.
    pub async fn serve(self, state: ApiState) {
        let header_timeout = state.door.header_timeout;
        let ends = (state.clock.clone(), state.stopping.clone());
        listen::serve(self.listener, router(state), header_timeout, ends).await;
    }
}
