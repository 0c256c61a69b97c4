//! GHL's error bodies.

use super::shape::Kind;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why GHL does not do what is asked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 401 with GHL's sentence.
    Unauthorized(&'static str),
    /// 403: another location's object.
    OtherLocation,
    /// 404 with GHL's sentence.
    NotFound(String),
    /// 422: a list of what is wrong with the body.
    Invalid(Vec<String>),
    /// 400: the location allows no duplicates.
    Duplicate {
        /// The contact that is there already.
        id: String,
        /// `email` or `phone`.
        field: &'static str,
    },
    /// 429.
    TooMany,
    /// Any other status, with its body.
    Bad(u16, Value),
    /// The sandbox itself failed.
    Broken(std::io::Error),
}

impl Refusal {
    /// There is no such object.
    pub(super) fn not_found(kind: Kind, id: &str) -> Self {
        let mut word = kind.word().to_owned();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::NotFound(format!("{word} with id {id} not found"))
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let trace = uuid::Uuid::new_v4().to_string();
        let (status, body) = match self {
            Self::Unauthorized(message) => (
                401,
                json!({"statusCode": 401, "message": message, "error": "Unauthorized", "traceId": trace}),
            ),
            Self::OtherLocation => (
                403,
                json!({"statusCode": 403, "message": "The token does not have access to this location.", "error": "Forbidden", "traceId": trace}),
            ),
            Self::NotFound(message) => {
                (404, json!({"statusCode": 404, "message": message, "traceId": trace}))
            }
            Self::Invalid(messages) => (
                422,
                json!({"statusCode": 422, "message": messages, "error": "Unprocessable Entity", "traceId": trace}),
            ),
            Self::Duplicate { id, field } => (
                400,
                json!({"statusCode": 400, "message": "This location does not allow duplicated contacts.",
                    "meta": {"contactId": id, "matchingField": field}, "traceId": trace}),
            ),
            Self::Bad(status, mut body) => {
                if let Value::Object(fields) = &mut body {
                    fields.insert("traceId".to_owned(), json!(trace));
                }
                (status, body)
            }
            Self::TooMany => (429, json!({"statusCode": 429, "message": "Too Many Requests"})),
            Self::Broken(error) => {
                tracing::error!(%error, "the sandbox's journal failed");
                (500, json!({"statusCode": 500, "message": "Internal Server Error", "traceId": trace}))
            }
        };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body))
            .into_response()
    }
}
