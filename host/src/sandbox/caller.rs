//! Who calls: the token's location, its scopes, and whether a person or a program holds it.

use super::keys::PREFIX;
use super::refusal::Refusal;
use super::state::State;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::sync::Arc;

/// What a token opens.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The location.
    pub(super) location: String,
    /// Scopes; none means all, as a person in the CRM has them.
    pub(super) scopes: Option<Vec<String>>,
}

/// A caller whose version header and token are good.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) location: String,
    scopes: Option<Vec<String>>,
    /// What the caller names its request.
    pub(super) request_id: Option<String>,
}

impl Caller {
    /// Who it is in the journal: `user` for a person, `api` for a program.
    pub(super) fn by(&self) -> &'static str {
        if self.scopes.is_none() { "user" } else { "api" }
    }

    /// Lets the call pass if the token has the scope.
    pub(super) fn needs(&self, scope: &str) -> Result<(), Refusal> {
        match &self.scopes {
            Some(scopes) if !scopes.iter().any(|known| known == scope) => {
                Err(Refusal::Unauthorized("The token is not authorized for this scope."))
            }
            _ => Ok(()),
        }
    }

    /// Lets the call pass if it is about the token's own location.
    pub(super) fn owns(&self, location: &str) -> Result<(), Refusal> {
        if self.location == location { Ok(()) } else { Err(Refusal::OtherLocation) }
    }
}

/// The bearer token of a request.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Refusal> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // GHL looks at the version before the token.
        match header("version") {
            None => return Err(Refusal::Unauthorized("version header was not found.")),
            Some("2021-04-15" | "2021-07-28" | "2023-02-21" | "v3") => {}
            Some(_) => return Err(Refusal::Unauthorized("version header is invalid")),
        }
        let given = token(&parts.headers);
        let grant = given.and_then(|token| state.grant_of(token)).ok_or_else(|| {
            let private = given.is_some_and(|token| token.starts_with(PREFIX));
            Refusal::Unauthorized(if private {
                "Invalid Private Integration token"
            } else {
                "Invalid token: access token is invalid"
            })
        })?;
        let request_id = header("x-request-id").map(str::to_owned);
        Ok(Self { location: grant.location, scopes: grant.scopes, request_id })
    }
}
