//! Who is let in, and to what: every route asks the table of `accounts` before its handler runs.

use super::problem::Problem;
use super::state::ApiState;
use crate::accounts::{self, Actor, Decision, Denied};
use crate::domain::TenantId;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

/// Lets a request on to its handler if the table says so; a route without a row is closed.
pub(super) async fn decide(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let rule = parts
        .extensions
        .get::<MatchedPath>()
        .and_then(|path| accounts::rule(parts.method.as_str(), path.as_str()));
    let Some(rule) = rule else {
        tracing::error!(
            "{} {} has no row in the table of accounts; it is closed",
            parts.method,
            parts.uri.path()
        );
        return Err(Problem::internal());
    };
    if let Decision::Needs(permission) = rule.decision {
        let actor = actor(&state, &parts).await?;
        accounts::decide(&actor, permission, None)?;
        for tenant in named_tenants(&mut parts).await {
            accounts::decide(&actor, permission, Some(&tenant))?;
        }
        parts.extensions.insert(Caller(actor));
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn actor(state: &ApiState, parts: &Parts) -> Result<Actor, Problem> {
    let given = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let Some(given) = given else { return Err(Problem::unauthorized()) };
    state.accounts.actor(given.trim()).await?.ok_or_else(Problem::unauthorized)
}

/// The tenants that path and query name. Those of a body, and of what an id leads to, are the handler's to check,
/// by [`Caller::of`].
async fn named_tenants(parts: &mut Parts) -> Vec<TenantId> {
    let mut named = Vec::new();
    if let Ok(params) = RawPathParams::from_request_parts(parts, &()).await {
        named.extend(params.iter().filter(|(name, _)| *name == "tenant").map(|(_, id)| TenantId::from(id)));
    }
    if let Ok(Query(asked)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
        named
            .extend(asked.into_iter().filter(|(name, _)| name == "tenant").map(|(_, id)| TenantId::from(id)));
    }
    named
}

/// Who called. A handler that meets a tenant in a body or behind an id lets this decide.
#[derive(Clone, Debug)]
pub(super) struct Caller(Actor);

impl Caller {
    /// Goes on with what belongs to that tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Result<(), Denied> {
        self.0.of(tenant)
    }

    /// Whether it sees what belongs to that tenant; answer 404 where it does not.
    #[expect(dead_code, reason = "the first routes whose ids lead to a tenant's things are on their way")]
    pub(super) fn sees(&self, tenant: &TenantId) -> bool {
        self.0.sees(tenant)
    }

    /// Narrows a listing to what it reaches.
    pub(super) fn narrow(&self, asked: Option<String>) -> Result<Option<TenantId>, Denied> {
        self.0.narrow(asked.map(TenantId::from))
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
