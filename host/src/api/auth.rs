//! Who is let in, and to what: every route asks the table of `accounts` before its handler runs.

use super::envelope::ClientAddress;
use super::problem::Problem;
use super::state::ApiState;
use super::trail::Trail;
use crate::accounts::{self, Actor, Decision, Denied, Rule, Trace};
use crate::domain::TenantId;
use crate::store::AuditRow;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// Lets a request on to its handler if the table says so; a route without a row is closed. A change leaves its trace
/// in the audit, also when it is refused.
pub(super) async fn decide(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let rule = row_of(&parts)?;
    let Decision::Needs(permission) = rule.decision else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let actor = actor(&state, &parts).await?;
    let named = named(&mut parts).await;
    let trail = match rule.trace {
        Trace::Audited(verb) => {
            let address = parts.extensions.get::<ClientAddress>().copied();
            let trail = Trail::new(verb, &actor, state.clock.now(), address);
            trail.about(&named.object, named.tenants.first());
            Some(Arc::new(trail))
        }
        Trace::Reads | Trace::Exempt(_) => None,
    };
    let decided = accounts::decide(&actor, permission, None)
        .and_then(|()| named.tenants.iter().try_for_each(|tenant| actor.of(tenant)));
    let response = match decided {
        Ok(()) => {
            parts.extensions.insert(Caller { actor, trail: trail.clone() });
            next.run(Request::from_parts(parts, body)).await
        }
        Err(denied) => Problem::from(denied).into_response(),
    };
    if let Some(row) = trail.and_then(|trail| trail.left(response.status()))
        && let Err(error) = state.store.put_audit(row).await
    {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a change could not be written to the audit"
        );
    }
    Ok(response)
}

/// The route's row; without one it is closed, whoever asks.
fn row_of(parts: &Parts) -> Result<&'static Rule, Problem> {
    let path = parts.extensions.get::<MatchedPath>();
    path.and_then(|path| accounts::rule(parts.method.as_str(), path.as_str())).ok_or_else(|| {
        tracing::error!(
            "{} {} has no row in the table of accounts; it is closed",
            parts.method,
            parts.uri.path()
        );
        Problem::internal()
    })
}

async fn actor(state: &ApiState, parts: &Parts) -> Result<Actor, Problem> {
    let given = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let Some(given) = given else { return Err(Problem::unauthorized()) };
    let (address, now) = (parts.extensions.get::<ClientAddress>(), state.clock.machine_now());
    if let Some(left) = address.and_then(|address| state.wrong_keys.turned_away(address.0, now)) {
        return Err(Problem::too_many_wrong_keys(left));
    }
    if let Some(actor) = state.accounts.actor(given.trim()).await? {
        return Ok(actor);
    }
    metrics::counter!("mapwright_wrong_keys_total").increment(1);
    if let Some(ClientAddress(address)) = address
        && state.wrong_keys.count(*address, now)
    {
        tracing::warn!(client.address = %address, "too many wrong keys from {address}; it is turned away for a minute");
    }
    Err(Problem::unauthorized())
}

/// What path and query name.
struct NamedThings {
    /// Those of a body, and of what an id leads to, are the handler's to check, by [`Caller::of`].
    tenants: Vec<TenantId>,
    /// The path's parameters.
    object: String,
}

async fn named(parts: &mut Parts) -> NamedThings {
    let mut named = NamedThings { tenants: Vec::new(), object: String::new() };
    if let Ok(params) = RawPathParams::from_request_parts(parts, &()).await {
        let values: Vec<&str> = params.iter().map(|(_, value)| value).collect();
        named.object = values.join("/");
        named.tenants.extend(params.iter().filter(|(name, _)| *name == "tenant").map(|(_, id)| id.into()));
    }
    if let Ok(Query(asked)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
        named.tenants.extend(asked.into_iter().filter(|(name, _)| name == "tenant").map(|(_, id)| id.into()));
    }
    named
}

/// Who called, and the trace the call leaves. A handler that meets a tenant in a body or behind an id lets this decide.
#[derive(Clone)]
pub(super) struct Caller {
    actor: Actor,
    trail: Option<Arc<Trail>>,
}

impl Caller {
    /// Goes on with what belongs to that tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Result<(), Denied> {
        self.actor.of(tenant)
    }

    /// Whether it sees what belongs to that tenant; answer 404 where it does not.
    pub(super) fn sees(&self, tenant: &TenantId) -> bool {
        self.actor.sees(tenant)
    }

    /// Narrows a listing to what it reaches.
    pub(super) fn narrow(&self, asked: Option<String>) -> Result<Option<TenantId>, Denied> {
        self.actor.narrow(asked.map(TenantId::from))
    }

    /// The audit's row of this call, to be written in the commit of the change; what it is done to, by id, and whose
    /// that is. A call whose row nobody takes leaves one all the same, after its answer is known.
    pub(super) fn row(&self, object: &str, tenant: Option<&TenantId>) -> Option<AuditRow> {
        self.trail.as_ref().map(|trail| trail.take(object, tenant))
    }

    /// Says what the call is about, where its path does not, and leaves the row to be written after the answer.
    pub(super) fn about(&self, object: &str, tenant: Option<&TenantId>) {
        if let Some(trail) = &self.trail {
            trail.about(object, tenant);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| {
            tracing::error!(
                "{} is open in the table of accounts, but its handler asks who called",
                parts.uri.path()
            );
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower_service::Service as _;

    #[tokio::test]
    async fn a_route_without_a_row_is_closed() {
        let guard = async |request: Request, next: Next| -> Result<Response, Problem> {
            let (parts, body) = request.into_parts();
            row_of(&parts)?;
            Ok(next.run(Request::from_parts(parts, body)).await)
        };
        let mut router: Router = Router::new()
            .route("/v1/forgotten", get(async || "secret"))
            .route("/v1/tenants/{tenant}", get(async || "known"))
            .route_layer(from_fn(guard));
        let mut ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            router.call(request).await.unwrap().status()
        };
        assert_eq!(ask("/v1/forgotten").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(ask("/v1/tenants/x").await, StatusCode::OK);
    }
}
