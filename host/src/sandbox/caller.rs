//! Who calls: the token's location, its scopes, and whether a person or a program holds it.

use super::installs::Issued;
use super::keys::PREFIX;
use super::refusal::Refusal;
use super::state::State;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::json;
use std::sync::Arc;

/// What a token opens.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The location.
    pub(super) location: String,
    /// Scopes; none means all, as a person in the CRM has them.
    pub(super) scopes: Option<Vec<String>>,
}

/// Whose a token is.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// Given by control; it does not end.
    Lasting(Grant),
    /// A location's, through OAuth.
    Location(Grant),
    /// A whole agency's.
    Company(Issued),
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

/// What a Company token is told that asks for a location's data.
pub(super) const WRONG_CLASS: &str = "This authClass type is not allowed to access this scope. Please verify your IAM configuration if this is not the case.";

/// Refuses versions as GHL does: missing, not published, and not even shaped like one.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let version = headers.get("version").and_then(|value| value.to_str().ok());
    let like_a_date = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match version {
        None => Err(Refusal::Unauthorized("version header was not found.")),
        Some("2021-04-15" | "2021-07-28" | "2023-02-21" | "v3") => Ok(()),
        Some(text) if like_a_date(text) => Err(Refusal::Unauthorized("version header is invalid")),
        Some(text) => {
            let message = format!("Invalid API version segment '{text}' at position 0");
            Err(Refusal::Bad(400, json!({"statusCode": 400, "message": message})))
        }
    }
}

/// Whose the request's token is.
pub(super) fn holder(state: &State, headers: &HeaderMap) -> Result<Holder, Refusal> {
    let given = token(headers);
    given.and_then(|token| state.holder_of(token)).ok_or_else(|| {
        let private = given.is_some_and(|token| token.starts_with(PREFIX));
        Refusal::Unauthorized(if private {
            "Invalid Private Integration token"
        } else {
            "Invalid token: access token is invalid"
        })
    })
}

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Refusal> {
        // GHL looks at the version before the token.
        check_version(&parts.headers)?;
        let grant = match holder(state, &parts.headers)? {
            Holder::Lasting(grant) | Holder::Location(grant) => grant,
            Holder::Company(_) => return Err(Refusal::Unauthorized(WRONG_CLASS)),
        };
        let request_id = parts.headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let request_id = request_id.map(str::to_owned);
        Ok(Self { location: grant.location, scopes: grant.scopes, request_id })
    }
}
