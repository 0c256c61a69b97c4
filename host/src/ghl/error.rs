//! What can go wrong with a call, as what the caller has to do about it.

use crate::domain::Timestamp;

/// Why a call gave no answer to work with. Nothing in it names a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GhlError {
    /// GHL refused it for good.
    #[error("GHL refused with {status}: {message}{}", trace(.trace_id.as_deref()))]
    Refused {
        /// HTTP status.
        status: u16,
        /// GHL's sentence, values in it left out.
        message: String,
        /// GHL's id of the request, for its support.
        trace_id: Option<String>,
    },
    /// The object is not there.
    #[error("GHL knows no such object{}", trace(.trace_id.as_deref()))]
    NotFound {
        /// GHL's id of the request.
        trace_id: Option<String>,
    },
    /// The location has a contact with this e-mail or phone already.
    #[error("GHL has a contact with the same {field} already")]
    Duplicate {
        /// GHL's id of that contact.
        contact: String,
        /// `email` or `phone`.
        field: String,
    },
    /// The token is not taken.
    #[error("GHL does not take the token: {message}")]
    Unauthorized {
        /// GHL's sentence.
        message: String,
    },
    /// The connection lacks a scope; found out here or by GHL.
    #[error("the connection lacks the scope {scope}, which {operation} needs")]
    MissingScope {
        /// Which scope.
        scope: String,
        /// What was asked.
        operation: String,
    },
    /// The quota is used up.
    #[error("GHL's quota is used up until {until}")]
    RateLimited {
        /// When to come again.
        until: Timestamp,
    },
    /// GHL failed; it may have done what was asked.
    #[error("GHL failed with {status}{}", trace(.trace_id.as_deref()))]
    Failed {
        /// HTTP status.
        status: u16,
        /// GHL's id of the request.
        trace_id: Option<String>,
    },
    /// Nothing was sent.
    #[error("GHL could not be reached")]
    NotSent,
    /// It was sent, but no whole answer came.
    #[error("GHL gave no answer")]
    NoAnswer,
    /// The answer is not what it should be.
    #[error("GHL's answer to {operation} can't be read: {detail}")]
    BadAnswer {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no token to send, for now.
    #[error("the connection has no usable credential: {0}")]
    NoToken(String),
    /// The connection was closed; nothing goes out through it any more.
    #[error("the connection is closed: {0}")]
    Closed(String),
}

fn trace(id: Option<&str>) -> String {
    id.map(|id| format!(" (trace {id})")).unwrap_or_default()
}

impl GhlError {
    /// Whether a repeat of the same call may do better.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Failed { .. } | Self::NotSent | Self::NoAnswer)
    }

    /// Whether the whole connection has to wait, through no fault of this call.
    #[must_use]
    pub fn parks_connection(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unauthorized { .. } | Self::NoToken(_))
    }

    /// Whether the call may have been done all the same.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::NoAnswer | Self::BadAnswer { .. })
    }

    /// The outcome's word, for logs and counts.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NotFound { .. } => "not-found",
            Self::Duplicate { .. } => "duplicate",
            Self::Unauthorized { .. } => "unauthorized",
            Self::MissingScope { .. } => "missing-scope",
            Self::RateLimited { .. } => "rate-limited",
            Self::Failed { .. } => "failed",
            Self::NotSent => "not-sent",
            Self::NoAnswer => "no-answer",
            Self::BadAnswer { .. } => "bad-answer",
            Self::NoToken(_) => "no-token",
            Self::Closed(_) => "closed",
        }
    }
}
