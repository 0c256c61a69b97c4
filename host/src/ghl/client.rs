//! One call: a place in the quota, a token, a request with a deadline, a classified answer, a line in the log.

use super::error::GhlError;
use super::limiter::{Limiter, Quota, Urgency};
use super::operations::Operation;
use crate::domain::{Clock, ConnectionId, LocationId};
use crate::outbound::{Client, Method, OutboundError, Reply, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Tries of a read before its caller is told.
const TRIES: u32 = 5;
/// The first pause between tries lies between nothing and this, the later ones' bound doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What it takes to call GHL for a connection.
#[derive(Clone, Debug)]
pub struct Access {
    /// The bearer token.
    pub token: SecretString,
    /// Where the API is.
    pub base_url: Arc<str>,
    /// GHL's location.
    pub location: LocationId,
    /// Scopes the token is known to have, space separated; empty: not known.
    pub scopes: Arc<str>,
    /// Scopes it is known to lack whatever was granted, space separated: GHL said so.
    pub lacking: Arc<str>,
}

impl Access {
    fn allows(&self, scope: &str) -> bool {
        let names = |list: &str| list.split_whitespace().any(|known| known == scope);
        (self.scopes.is_empty() || names(&self.scopes)) && !names(&self.lacking)
    }
}

/// A boxed look-up of an access.
pub type Accessing<'a> = Pin<Box<dyn Future<Output = Result<Access, GhlError>> + Send + 'a>>;

/// Whoever keeps the connections' tokens.
pub trait Tokens: Send + Sync + 'static {
    /// The access of a connection, refreshed if need be.
    fn access<'a>(&'a self, connection: &'a ConnectionId) -> Accessing<'a>;

    /// GHL did not take this token: whether there is another one now.
    fn rejected<'a>(
        &'a self,
        connection: &'a ConnectionId,
        token: &'a SecretString,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// GHL says that the token lacks this scope.
    fn lacks<'a>(
        &'a self,
        connection: &'a ConnectionId,
        scope: &'a str,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// A request, complete but for the token.
#[derive(Clone, Debug, PartialEq)]
pub struct GhlRequest {
    /// Which operation.
    pub operation: &'static Operation,
    /// Values of the path's parameters, in order; `{locationId}` is filled by the transport.
    pub parameters: Vec<String>,
    /// The query.
    pub query: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<Value>,
    /// Sent along as `X-Request-Id`, so that both sides' logs speak of the same write.
    pub request_id: Option<String>,
}

impl GhlRequest {
    /// A request without query and body.
    #[must_use]
    pub fn new(operation: &'static Operation, parameters: &[&str]) -> Self {
        Self {
            operation,
            parameters: parameters.iter().map(|it| (*it).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            request_id: None,
        }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With this in the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn url(&self, access: &Access) -> String {
        let mut url = String::from(&*access.base_url);
        let mut parameters = self.parameters.iter();
        for part in self.operation.path.split_inclusive('/') {
            match part.strip_prefix('{') {
                Some(name) => {
                    let value = if name.starts_with("locationId") {
                        access.location.as_str()
                    } else {
                        parameters.next().map_or("", String::as_str)
                    };
                    url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
                    if part.ends_with('/') {
                        url.push('/');
                    }
                }
                None => url.push_str(part),
            }
        }
        for (place, (name, value)) in self.query.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            let value = if value == "{locationId}" { access.location.as_str() } else { value };
            url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        url
    }
}

/// An answer of 2xx.
#[derive(Clone, Debug, PartialEq)]
pub struct GhlReply {
    /// Its JSON; null when the body is empty.
    pub json: Value,
}

/// A token and a place in the quota for one sending; nothing was sent yet.
#[derive(Debug)]
pub struct Ready {
    access: Access,
}

/// The transport. Cheap to clone.
#[derive(Clone)]
pub struct Ghl {
    client: Client,
    clock: Clock,
    tokens: Arc<dyn Tokens>,
    limiter: Limiter,
}

impl Ghl {
    /// A transport over these.
    #[must_use]
    pub fn new(client: Client, clock: Clock, tokens: Arc<dyn Tokens>) -> Self {
        Self { client, clock, tokens, limiter: Limiter::default() }
    }

    /// The same transport, quota and all, with tokens from elsewhere.
    #[must_use]
    pub fn with_tokens(&self, tokens: Arc<dyn Tokens>) -> Self {
        Self { tokens, ..self.clone() }
    }

    /// Reads: tried again while that may help, with exponential backoff and full jitter.
    ///
    /// # Errors
    /// The last try's.
    pub async fn read(&self, connection: &ConnectionId, request: &GhlRequest) -> Result<GhlReply, GhlError> {
        self.repeat(connection, request, Urgency::Live).await
    }

    /// Reads that can wait: they leave half of the quota to whatever cannot.
    ///
    /// # Errors
    /// The last try's.
    pub async fn poll(&self, connection: &ConnectionId, request: &GhlRequest) -> Result<GhlReply, GhlError> {
        self.repeat(connection, request, Urgency::Background).await
    }

    /// What is known of the connection's quota.
    #[must_use]
    pub fn quota(&self, connection: &ConnectionId) -> Quota {
        self.limiter.quota(connection)
    }

    async fn repeat(
        &self,
        connection: &ConnectionId,
        request: &GhlRequest,
        urgency: Urgency,
    ) -> Result<GhlReply, GhlError> {
        let mut attempt = 1;
        loop {
            match self.exchange(connection, request, attempt, urgency).await {
                Err(error) if attempt < TRIES && error.is_transient() => {
                    if !matches!(error, GhlError::RateLimited { .. }) {
                        self.clock.sleep(full_jitter(attempt)).await;
                    }
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Sends once, as soon as the quota has a place; once more where GHL did not take the token and there is another.
    ///
    /// # Errors
    /// What became of it; see [`GhlError`].
    pub async fn send(
        &self,
        connection: &ConnectionId,
        request: &GhlRequest,
        attempt: u32,
    ) -> Result<GhlReply, GhlError> {
        self.exchange(connection, request, attempt, Urgency::Live).await
    }

    async fn exchange(
        &self,
        connection: &ConnectionId,
        request: &GhlRequest,
        attempt: u32,
        urgency: Urgency,
    ) -> Result<GhlReply, GhlError> {
        let access = self.authorised(connection, request.operation).await?;
        self.limiter.permit(connection, &self.clock, urgency).await;
        self.send_ready((connection, &Ready { access }), request, attempt).await
    }

    /// A token and a place in the quota for one sending. It does not wait for a place, so that nobody else waits either.
    ///
    /// # Errors
    /// Why there is none now; nothing was sent.
    pub async fn ready(
        &self,
        connection: &ConnectionId,
        operation: &'static Operation,
    ) -> Result<Ready, GhlError> {
        let access = self.authorised(connection, operation).await?;
        match self.limiter.take(connection, self.clock.now()) {
            Ok(()) => Ok(Ready { access }),
            Err(until) => Err(GhlError::RateLimited { until }),
        }
    }

    /// The connection's access, if its scopes suffice.
    async fn authorised(
        &self,
        connection: &ConnectionId,
        operation: &'static Operation,
    ) -> Result<Access, GhlError> {
        let access = self.tokens.access(connection).await?;
        if !access.allows(operation.scope) {
            return Err(GhlError::MissingScope {
                scope: operation.scope.to_owned(),
                operation: operation.id.to_owned(),
            });
        }
        Ok(access)
    }

    /// Sends once what is ready; once more where GHL did not take the token and there is another.
    ///
    /// # Errors
    /// What became of it; see [`GhlError`].
    pub async fn send_ready(
        &self,
        (connection, ready): (&ConnectionId, &Ready),
        request: &GhlRequest,
        attempt: u32,
    ) -> Result<GhlReply, GhlError> {
        let done = self.send_as((connection, &ready.access), request, attempt).await;
        if !matches!(done, Err(GhlError::Unauthorized { .. }))
            || !self.tokens.rejected(connection, &ready.access.token).await
        {
            return done;
        }
        let access = self.authorised(connection, request.operation).await?;
        self.limiter.permit(connection, &self.clock, Urgency::Live).await;
        self.send_as((connection, &access), request, attempt).await
    }

    async fn send_as(
        &self,
        (connection, access): (&ConnectionId, &Access),
        request: &GhlRequest,
        attempt: u32,
    ) -> Result<GhlReply, GhlError> {
        let operation = request.operation;
        let began = self.clock.machine_now();
        let sent = self.client.send(self.request(access, request)).await;
        let took = began.elapsed();
        let done = self.classify(connection, operation, sent);
        if let Err(GhlError::MissingScope { scope, .. }) = &done {
            self.tokens.lacks(connection, scope).await;
        }
        let outcome = done.as_ref().map_or_else(GhlError::word, |_| "ok");
        metrics::counter!("mapwright_ghl_calls_total", "operation" => operation.id, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("mapwright_ghl_call_seconds", "operation" => operation.id)
            .record(took.as_secs_f64());
        tracing::info!(
            connection = connection.as_str(),
            operation = operation.id,
            attempt,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            outcome,
            request_id = request.request_id.as_deref(),
            "called GHL"
        );
        done
    }

    fn request(&self, access: &Access, request: &GhlRequest) -> Request {
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {}", access.token.expose_secret())),
            ("version".to_owned(), request.operation.version.to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ];
        if request.body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        if let Some(id) = &request.request_id {
            headers.push(("x-request-id".to_owned(), id.clone()));
        }
        Request {
            method: Method::from_bytes(request.operation.method.as_bytes()).unwrap_or(Method::GET),
            url: request.url(access),
            headers,
            body: request.body.as_ref().map(|body| filled(body, access).to_string().into_bytes()),
        }
    }

    fn classify(
        &self,
        connection: &ConnectionId,
        operation: &'static Operation,
        sent: Result<Reply, OutboundError>,
    ) -> Result<GhlReply, GhlError> {
        let reply = match sent {
            Ok(reply) => reply,
            Err(OutboundError::NotSent(_)) => return Err(GhlError::NotSent),
            Err(OutboundError::NoAnswer(_)) => return Err(GhlError::NoAnswer),
            Err(error @ OutboundError::TooLong { .. }) => {
                return Err(GhlError::BadAnswer { operation: operation.id, detail: error.to_string() });
            }
        };
        let parked = self.limiter.learn(connection, &reply, self.clock.now());
        if let Some(until) = parked {
            return Err(GhlError::RateLimited { until });
        }
        match reply.status {
            200..=299 if reply.body.is_empty() => Ok(GhlReply { json: Value::Null }),
            200..=299 => serde_json::from_slice(&reply.body)
                .map(|json| GhlReply { json })
                .map_err(|error| GhlError::BadAnswer { operation: operation.id, detail: error.to_string() }),
            status => Err(refusal(status, &reply, operation)),
        }
    }
}

/// The body with the connection's location where it is asked for.
fn filled(body: &Value, access: &Access) -> Value {
    let mut body = body.clone();
    if let Some(location) = body.get_mut("locationId") {
        *location = Value::String(access.location.as_str().to_owned());
    }
    body
}

/// A pause of a random length up to a bound that doubles with each try.
pub(super) fn full_jitter(attempt: u32) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    bound.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// What a refusal's body says; its message is a text or a list of texts.
fn refusal(status: u16, reply: &Reply, operation: &Operation) -> GhlError {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = match body.get("message") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        Some(Value::String(one)) => one.clone(),
        _ => text("error").unwrap_or_default(),
    };
    // GHL's sentences name fields; what might be somebody's data is cut with the length.
    let message: String = message.chars().take(200).collect();
    let trace_id = text("traceId");
    match status {
        400 if body.pointer("/meta/contactId").is_some() => GhlError::Duplicate {
            contact: body.pointer("/meta/contactId").and_then(Value::as_str).unwrap_or_default().to_owned(),
            field: body
                .pointer("/meta/matchingField")
                .and_then(Value::as_str)
                .unwrap_or("e-mail or phone")
                .to_owned(),
        },
        // Another token would not help: it is of the wrong class, or our header is wrong.
        401 | 403
            if ["authClass", "user type mismatch", "version header"]
                .iter()
                .any(|words| message.contains(words)) =>
        {
            GhlError::Refused { status, message, trace_id }
        }
        401 | 403 if message.contains("scope") => {
            GhlError::MissingScope { scope: operation.scope.to_owned(), operation: operation.id.to_owned() }
        }
        401 => GhlError::Unauthorized { message },
        404 => GhlError::NotFound { trace_id },
        408 | 500..=599 => GhlError::Failed { status, trace_id },
        _ => GhlError::Refused { status, message, trace_id },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ghl::operation;

    fn access() -> Access {
        Access {
            token: SecretString::from("t"),
            base_url: Arc::from("https://example.com"),
            location: LocationId::from("loc1"),
            scopes: Arc::from(""),
            lacking: Arc::from(""),
        }
    }

    #[test]
    fn a_scope_counts_unless_it_is_known_to_be_missing() {
        let with = |scopes: &str, lacking: &str| Access {
            scopes: Arc::from(scopes),
            lacking: Arc::from(lacking),
            ..access()
        };
        assert!(with("", "").allows("contacts.write"));
        assert!(with("contacts.readonly contacts.write", "").allows("contacts.write"));
        assert!(!with("contacts.readonly", "").allows("contacts.write"));
        assert!(!with("", "contacts.write").allows("contacts.write"));
        assert!(!with("contacts.write", "contacts.write").allows("contacts.write"));
    }

    #[test]
    fn parameters_can_not_leave_their_place() {
        let request = GhlRequest::new(operation("contact_get_task").unwrap(), &["../x?y", "t/1"]);
        assert_eq!(request.url(&access()), "https://example.com/contacts/%2E%2E%2Fx%3Fy/tasks/t%2F1");
        let found = GhlRequest::new(operation("contact_find_duplicate").unwrap(), &[])
            .query("locationId", "{locationId}")
            .query("number", "+1555");
        assert_eq!(
            found.url(&access()),
            "https://example.com/contacts/search/duplicate?locationId=loc1&number=%2B1555"
        );
        let search = GhlRequest::new(operation("location_task_search").unwrap(), &[]);
        assert_eq!(search.url(&access()), "https://example.com/locations/loc1/tasks/search");
    }

    #[test]
    fn refusals_are_told_apart() {
        let refuse = |status: u16, body: &str| {
            let reply = Reply { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
            refusal(status, &reply, operation("create_contact").unwrap())
        };
        assert_eq!(
            refuse(422, r#"{"message":["a","b"],"traceId":"t"}"#),
            GhlError::Refused { status: 422, message: "a; b".into(), trace_id: Some("t".into()) }
        );
        assert_eq!(
            refuse(400, r#"{"message":"m","meta":{"contactId":"c","matchingField":"email"}}"#),
            GhlError::Duplicate { contact: "c".into(), field: "email".into() }
        );
        assert_eq!(
            refuse(401, r#"{"message":"The token is not authorized for this scope."}"#).word(),
            "missing-scope"
        );
        assert_eq!(refuse(401, r#"{"message":"Invalid JWT"}"#).word(), "unauthorized");
        let for_good = [
            r#"{"message":"Token's user type mismatch!"}"#,
            r#"{"message":"This authClass type is not allowed to access this scope. Please verify your IAM configuration if this is not the case."}"#,
            r#"{"message":"version header was not found."}"#,
        ];
        for body in for_good {
            assert_eq!(refuse(401, body).word(), "refused", "{body}");
        }
        let elsewhere = r#"{"message":"The token does not have access to this location."}"#;
        assert_eq!(refuse(403, elsewhere).word(), "refused");
        assert_eq!(refuse(503, "oops"), GhlError::Failed { status: 503, trace_id: None });
    }

    #[test]
    fn pauses_are_random_and_bounded() {
        for attempt in 1..20 {
            assert!(full_jitter(attempt) <= LONGEST_PAUSE);
        }
    }
}
