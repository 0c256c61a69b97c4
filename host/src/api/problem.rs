//! Errors as RFC 9457 problem documents; the only map from failures to HTTP.

use super::envelope;
use crate::accounts::{AccountError, Denied};
use crate::effects::DecideError;
use crate::pipeline::RerunRefusal;
use crate::schedule::RuleError;
use crate::store::StoreError;
use crate::tenants::{ConnectError, TenantError};
use crate::webhooks::{RankrRefusal, Refusal};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;

/// A problem document.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    /// What kind of problem this is; stable, for programs.
    #[serde(rename = "type")]
    #[schema(example = "/problems/bad-parameter")]
    pub(super) kind: String,
    /// The same for people.
    pub(super) title: &'static str,
    /// HTTP status.
    pub(super) status: u16,
    /// What, where, and how to mend it.
    pub(super) detail: String,
    /// The id of the request, which the log has too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    /// After how many seconds it may be tried again.
    #[serde(skip)]
    pub(super) retry_after: Option<u64>,
    /// Places in the body that are at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Fault>>)]
    pub(super) errors: Option<Box<Faults>>,
}

/// Places at fault; boxed in a problem, which every handler's result has room for.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Faults(Vec<Fault>);

/// A place in the body that is at fault.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Fault {
    /// JSON Pointer (RFC 6901) to it.
    #[schema(example = "/config/tags/0")]
    pub(super) pointer: String,
    /// What is wrong there.
    pub(super) detail: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            retry_after: None,
            errors: None,
        }
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "Send a key as `Authorization: Bearer KEY`: one made by `mapwright key create`, or api.host_key of the \
             configuration. Keys that expired or were revoked open nothing.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "The key is missing or wrong", detail)
    }

    pub(super) fn too_many_wrong_keys(left: Duration) -> Self {
        let detail = "Too many wrong keys came from this address; wait, then send the right one. Behind a proxy, name \
            it in http.trusted_proxies, so that its clients are told apart.";
        let title = "Too many wrong keys";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-wrong-keys", title, detail);
        Self { retry_after: Some(left.as_secs() + 1), ..problem }
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        let detail =
            format!("The request took longer than {} seconds (http.request_seconds).", limit.as_secs());
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed-out", "The request took too long", detail)
    }

    pub(super) fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "A parameter is wrong", detail)
    }

    pub(super) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-body", "The body is wrong", detail)
    }

    pub(super) fn not_json() -> Self {
        let detail = "Send JSON, with the header `Content-Type: application/json`.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "stands-otherwise", "It stands otherwise", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "This resource does not know that method; the header `Allow` names those it knows.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed", detail)
    }

    pub(super) fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("The body is longer than {limit_bytes} bytes (http.body_limit_bytes).");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
    }

    pub(super) fn upload_too_large(limit_bytes: usize) -> Self {
        let detail = format!("The file is longer than {limit_bytes} bytes (plugins.upload_bytes).");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The file is too large", detail)
    }

    /// A body that is well formed and can't be done, with the places at fault.
    pub(super) fn refused(kind: &str, faults: &[(&str, String)]) -> Self {
        let detail = faults.iter().map(|(_, detail)| detail.as_str()).collect::<Vec<_>>().join(" ");
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, "What was asked for is refused", detail);
        let faults = faults
            .iter()
            .map(|(pointer, detail)| Fault { pointer: (*pointer).to_owned(), detail: detail.clone() })
            .collect();
        problem.errors = Some(Box::new(Faults(faults)));
        problem
    }

    pub(super) fn clash(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, "It does not stand so", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not ready", detail)
    }

    pub(super) fn location_taken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "location-taken", "The location has a connection already", detail)
    }

    pub(super) fn key_refused(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "api-key-refused",
            "GHL does not take the API key",
            detail,
        )
    }

    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "busy", "The same is being done already", detail)
    }

    pub(super) fn internal() -> Self {
        let detail = "The fault is ours and is in the log; trying again is safe.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.instance = envelope::request_id();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed on the store");
        Self::internal()
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::Permission { .. } | Denied::HostWide { .. } => {
                Self::new(StatusCode::FORBIDDEN, "permission-missing", "This key may not do that", detail)
            }
            Denied::OtherTenant { .. } => {
                Self::new(StatusCode::FORBIDDEN, "other-tenant", "This key reaches another tenant", detail)
            }
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Invalid(_) => Self::bad_body(detail),
            AccountError::NoTenant(_) | AccountError::NoKey(_) => Self::not_found(detail),
            AccountError::Random => {
                tracing::error!("a request failed: {detail}");
                Self::internal()
            }
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<TenantError> for Problem {
    fn from(error: TenantError) -> Self {
        let detail = error.to_string();
        match error {
            TenantError::Invalid(_) => Self::bad_body(detail),
            TenantError::Exists(_) => {
                Self::new(StatusCode::CONFLICT, "exists", "There is such a thing already", detail)
            }
            TenantError::Unknown(_) => Self::not_found(detail),
            TenantError::Store(error) => error.into(),
        }
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        let detail = format!("{error}.");
        match error {
            DecideError::Unknown(_) => Self::not_found(detail),
            DecideError::State { .. } => Self::conflict(detail),
            DecideError::NeedsId { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "needs-id",
                "The id of what it made is needed",
                detail,
            ),
            DecideError::Store(error) => error.into(),
        }
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let detail = format!("{error}.");
        match error {
            ConnectError::UnknownTenant(_)
            | ConnectError::UnknownApp(_)
            | ConnectError::UnknownConnection(_) => Self::not_found(detail),
            ConnectError::BadScopes(_) => Self::bad_parameter(detail),
            ConnectError::NotRegistered(_) | ConnectError::NotOauth { .. } => Self::new(
                StatusCode::CONFLICT,
                "not-authorizable",
                "It can't be connected by authorisation",
                detail,
            ),
            ConnectError::NoCode(_)
            | ConnectError::UnknownState
            | ConnectError::OtherApp(_)
            | ConnectError::StateUsed
            | ConnectError::StateExpired(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad-link", "The link is not good", detail)
            }
            ConnectError::Taken { .. }
            | ConnectError::Configured { .. }
            | ConnectError::OtherLocation { .. } => {
                Self::new(StatusCode::CONFLICT, "location-taken", "The location can't be had", detail)
            }
            ConnectError::Ghl(_) | ConnectError::FirstRead(_) => {
                Self::new(StatusCode::BAD_GATEWAY, "ghl-refused", "GHL refused", detail)
            }
            ConnectError::Vault(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed on the vault");
                Self::internal()
            }
            ConnectError::Store(error) => error.into(),
        }
    }
}

impl From<RerunRefusal> for Problem {
    fn from(refusal: RerunRefusal) -> Self {
        match refusal {
            RerunRefusal::Unknown(detail) => Self::not_found(detail),
            RerunRefusal::State(detail) => Self::conflict(detail),
            RerunRefusal::Store(error) => error.into(),
        }
    }
}

/// A reason a person gives, within its bounds.
pub(super) fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
    let given = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match &given {
        Some(text) if text.chars().count() > 500 => {
            Err(Problem::bad_body("reason is longer than 500 characters: say it in fewer"))
        }
        _ => Ok(given),
    }
}

impl From<RankrRefusal> for Problem {
    fn from(refusal: RankrRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            RankrRefusal::Invalid(_) => Self::bad_parameter(detail),
            RankrRefusal::Unknown(_) => Self::not_found(detail),
            RankrRefusal::KeyReused(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key was used for another event",
                detail,
            ),
            RankrRefusal::Store(error) => error.into(),
        }
    }
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        let detail = error.to_string();
        match error {
            RuleError::Invalid(_) => Self::bad_body(detail),
            RuleError::Unknown(_) => Self::not_found(detail),
            RuleError::Configured(_) => {
                Self::new(StatusCode::CONFLICT, "configured", "It stands in the configuration", detail)
            }
            RuleError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::UnknownApp => Self::not_found(detail),
            Refusal::BadSignature => Self::new(
                StatusCode::UNAUTHORIZED,
                "bad-signature",
                "The signature is missing or wrong",
                detail,
            ),
            Refusal::BadBody(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad-body", "The body is no webhook event", detail)
            }
            Refusal::OtherApp => {
                Self::new(StatusCode::FORBIDDEN, "other-app", "The event is another app's", detail)
            }
            Refusal::Overloaded => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "overloaded",
                "Too much is waiting to be stored",
                detail,
            ),
            Refusal::Store(error) => error.into(),
        }
    }
}
