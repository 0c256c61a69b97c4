//! The router, and the listener that serves it until it is told to stop.

use super::problem::Problem;
use super::state::ApiState;
use super::{api_keys, audit, auth, effects, events, health, keys, records, runs, timeline, webhooks};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
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
        .routes(routes!(audit::list))
        .routes(routes!(events::list, events::take))
        .routes(routes!(effects::list))
        .routes(routes!(effects::list_rankr_events))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(records::list))
        .routes(routes!(runs::list))
        .routes(routes!(timeline::list))
}

fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

fn door() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(webhooks::take))
}

/// The API's `OpenAPI` document, generated from the code.
#[must_use]
pub fn openapi() -> OpenApi {
    open().merge(door()).merge(keyed()).to_openapi()
}

fn router(state: ApiState) -> Router {
    let limit = DefaultBodyLimit::max(state.body_limit_bytes);
    let mut served = open();
    if state.takes_webhooks {
        served = served.merge(door());
    }
    if state.serves_api {
        served = served.merge(keyed());
    }
    let (routes, _) = served.split_for_parts();
    routes
        .route_layer(from_fn_with_state(state.clone(), auth::decide))
        .fallback(async || Problem::not_found("No resource is at this path; see the OpenAPI document."))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(limit)
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(state)
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

    /// Serves until `stop`, then finishes the requests under way.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, state: ApiState, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, router(state))
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Decision, RULES, rule};
    use utoipa::openapi::path::Operation;

    /// Method, path and operation of everything that the document describes.
    fn described() -> Vec<(&'static str, String, Operation)> {
        let mut found = Vec::new();
        for (path, item) in openapi().paths.paths {
            let methods = [
                ("GET", item.get),
                ("PUT", item.put),
                ("POST", item.post),
                ("DELETE", item.delete),
                ("OPTIONS", item.options),
                ("HEAD", item.head),
                ("PATCH", item.patch),
                ("TRACE", item.trace),
            ];
            for (method, operation) in methods {
                found.extend(operation.map(|operation| (method, path.clone(), operation)));
            }
        }
        found
    }

    #[test]
    fn every_route_has_a_row_in_the_table_and_every_row_a_route() {
        let described = described();
        for (method, path, operation) in &described {
            let rule = rule(method, path).unwrap_or_else(|| {
                panic!("{method} {path} has no row in accounts/table.rs, so nobody reaches it")
            });
            let keyed = matches!(rule.decision, Decision::Needs(_));
            assert_eq!(
                operation.security.is_some(),
                keyed,
                "{method} {path}: security of the document and table"
            );
        }
        for rule in RULES {
            let known =
                described.iter().any(|(method, path, _)| *method == rule.method && *path == rule.path);
            assert!(known, "{} {} is in the table and has no route", rule.method, rule.path);
        }
    }
}
