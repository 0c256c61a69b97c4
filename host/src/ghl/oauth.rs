//! GHL's OAuth endpoints: codes and refresh tokens for pairs, agencies' tokens for locations', and the way back in when a
//! refresh token is lost. Each call is one request; when and how often is decided above.

use super::redact::redacted;
use crate::domain::{Clock, CompanyId, LocationId};
use crate::outbound::{Client, Method, OutboundError, Reply, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const VERSION: &str = "2021-07-28";
/// How long an access token lives when an answer does not say.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Locations asked for in one page.
const PAGE: usize = 100;

/// A registration with GHL, as its token endpoint has to know it.
#[derive(Clone, Debug)]
pub struct OauthApp {
    /// GHL's client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Where GHL sends people back to.
    pub redirect_uri: String,
    /// Where the API is.
    pub base_url: Arc<str>,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenClass {
    /// A location's.
    Location(LocationId),
    /// A whole agency's; it opens no location's data, but mints locations' tokens.
    Company(CompanyId),
}

impl TokenClass {
    fn word(&self) -> &'static str {
        match self {
            Self::Location(_) => "Location",
            Self::Company(_) => "Company",
        }
    }
}

/// What GHL gave.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token; locations' tokens that an agency's minted may come without.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives.
    pub expires_in: Duration,
    /// Granted scopes, space separated; empty when the answer names none.
    pub scopes: String,
    /// Whose they are.
    pub class: TokenClass,
    /// The agency.
    pub company: Option<CompanyId>,
    /// Locations that the person chose, with an agency's.
    pub approved: Vec<LocationId>,
    /// Whether the person chose all locations, so that they have to be asked for.
    pub all_locations: bool,
}

/// Why GHL gave nothing; the variant tells what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OauthError {
    /// The code or refresh token is used up, expired or revoked.
    #[error("GHL does not take the {step}: {status} {body}")]
    DeadGrant {
        /// Which step failed.
        step: &'static str,
        /// HTTP status.
        status: u16,
        /// What GHL said, secrets left out.
        body: String,
    },
    /// The location is paused; the same refresh token works again when it is active.
    #[error("GHL says that the location is not active ({status})")]
    LocationInactive {
        /// Which step failed.
        step: &'static str,
        /// HTTP status.
        status: u16,
        /// What GHL said.
        body: String,
    },
    /// GHL refused it for another reason: an app that is not registered so, a wrong secret.
    #[error("GHL refused the {step} with {status}: {body}")]
    Refused {
        /// Which step failed.
        step: &'static str,
        /// HTTP status.
        status: u16,
        /// What GHL said, secrets left out.
        body: String,
    },
    /// GHL failed or could not be reached; whether it did what was asked is not known.
    #[error("GHL gave no answer to the {step}: {why}")]
    NoAnswer {
        /// Which step failed.
        step: &'static str,
        /// Why.
        why: String,
    },
    /// The answer is not what it should be.
    #[error("GHL's answer to the {step} can't be read: {why}")]
    BadAnswer {
        /// Which step failed.
        step: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl OauthError {
    /// Which step failed.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::DeadGrant { step, .. }
            | Self::LocationInactive { step, .. }
            | Self::Refused { step, .. }
            | Self::NoAnswer { step, .. }
            | Self::BadAnswer { step, .. } => step,
        }
    }

    /// GHL's status, if it answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::DeadGrant { status, .. }
            | Self::LocationInactive { status, .. }
            | Self::Refused { status, .. } => Some(*status),
            Self::NoAnswer { .. } | Self::BadAnswer { .. } => None,
        }
    }

    /// What was said, secrets left out.
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::DeadGrant { body, .. }
            | Self::LocationInactive { body, .. }
            | Self::Refused { body, .. } => body,
            Self::NoAnswer { why, .. } | Self::BadAnswer { why, .. } => why,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::DeadGrant { .. } => "dead-grant",
            Self::LocationInactive { .. } => "location-inactive",
            Self::Refused { .. } => "refused",
            Self::NoAnswer { .. } => "no-answer",
            Self::BadAnswer { .. } => "bad-answer",
        }
    }
}

/// The way to GHL's OAuth endpoints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Oauth {
    client: Client,
    clock: Clock,
}

impl Oauth {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock }
    }

    /// A code for a pair.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn exchange(&self, app: &OauthApp, code: &SecretString) -> Result<TokenPair, OauthError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &app.redirect_uri),
        ];
        self.token(app, "code exchange", &form).await
    }

    /// A refresh token for a pair; it is used up by it.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn refresh(
        &self,
        app: &OauthApp,
        token: &SecretString,
        class: &TokenClass,
    ) -> Result<TokenPair, OauthError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
            ("user_type", class.word()),
            ("redirect_uri", &app.redirect_uri),
        ];
        self.token(app, "refresh", &form).await
    }

    /// A code without a person, for an app that is still installed: the way back in when a refresh token is lost.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn reconnect(&self, app: &OauthApp, class: &TokenClass) -> Result<SecretString, OauthError> {
        let (name, id) = match class {
            TokenClass::Location(id) => ("locationId", id.as_str()),
            TokenClass::Company(id) => ("companyId", id.as_str()),
        };
        let secret = app.client_secret.expose_secret();
        let body = json!({"clientKey": app.client_id, "clientSecret": secret, name: id});
        let headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("version".to_owned(), VERSION.to_owned()),
        ];
        let request = Request {
            method: Method::POST,
            url: format!("{}/oauth/reconnect", app.base_url),
            headers,
            body: Some(body.to_string().into_bytes()),
        };
        let answer = self.send("reconnect", request, &[app.client_secret.expose_secret()]).await?;
        answer.get("authorizationCode").and_then(Value::as_str).map(SecretString::from).ok_or_else(|| {
            OauthError::BadAnswer { step: "reconnect", why: "it has no authorizationCode".to_owned() }
        })
    }

    /// An agency's token for one of its locations'.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn location_token(
        &self,
        app: &OauthApp,
        agency: (&CompanyId, &SecretString),
        location: &LocationId,
    ) -> Result<TokenPair, OauthError> {
        let (company, token) = agency;
        let form = [("companyId", company.as_str()), ("locationId", location.as_str())];
        let mut request = form_request(format!("{}/oauth/locationToken", app.base_url), &form);
        request.headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
        request.headers.push(("version".to_owned(), VERSION.to_owned()));
        let answer = self.send("location token", request, &[token.expose_secret()]).await?;
        pair(&answer, "location token")
    }

    /// The locations of an agency at which the app is installed.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn installed_locations(
        &self,
        app: &OauthApp,
        agency: (&CompanyId, &SecretString),
        ghl_app_id: &str,
    ) -> Result<Vec<LocationId>, OauthError> {
        const STEP: &str = "list of installed locations";
        let (company, token) = agency;
        let mut found = Vec::new();
        loop {
            let url = format!(
                "{}/oauth/installedLocations?companyId={}&appId={}&isInstalled=true&limit={PAGE}&skip={}",
                app.base_url,
                utf8_percent_encode(company.as_str(), NON_ALPHANUMERIC),
                utf8_percent_encode(ghl_app_id, NON_ALPHANUMERIC),
                found.len()
            );
            let headers = vec![
                ("authorization".to_owned(), format!("Bearer {}", token.expose_secret())),
                ("version".to_owned(), VERSION.to_owned()),
                ("accept".to_owned(), "application/json".to_owned()),
            ];
            let request = Request { method: Method::GET, url, headers, body: None };
            let answer = self.send(STEP, request, &[token.expose_secret()]).await?;
            let rows = answer.get("locations").and_then(Value::as_array).ok_or_else(|| {
                OauthError::BadAnswer { step: STEP, why: "it has no list of locations".to_owned() }
            })?;
            found.extend(rows.iter().filter_map(|row| row["_id"].as_str()).map(LocationId::from));
            if rows.len() < PAGE {
                return Ok(found);
            }
        }
    }

    async fn token(
        &self,
        app: &OauthApp,
        step: &'static str,
        grant: &[(&str, &str)],
    ) -> Result<TokenPair, OauthError> {
        let mut form =
            vec![("client_id", app.client_id.as_str()), ("client_secret", app.client_secret.expose_secret())];
        form.extend_from_slice(grant);
        let secrets: Vec<&str> = form
            .iter()
            .filter(|(name, _)| matches!(*name, "client_secret" | "code" | "refresh_token"))
            .map(|(_, value)| *value)
            .collect();
        let request = form_request(format!("{}/oauth/token", app.base_url), &form);
        let answer = self.send(step, request, &secrets).await?;
        pair(&answer, step)
    }

    async fn send(
        &self,
        step: &'static str,
        request: Request,
        secrets: &[&str],
    ) -> Result<Value, OauthError> {
        let began = self.clock.machine_now();
        let done = match self.client.send(request).await {
            Ok(reply) if (200..300).contains(&reply.status) => serde_json::from_slice(&reply.body)
                .map_err(|error| OauthError::BadAnswer { step, why: error.to_string() }),
            Ok(reply) => Err(refusal(step, &reply, secrets)),
            Err(OutboundError::TooLong { limit_bytes }) => {
                Err(OauthError::BadAnswer { step, why: format!("it is longer than {limit_bytes} bytes") })
            }
            Err(error) => Err(OauthError::NoAnswer { step, why: error.to_string() }),
        };
        let outcome = done.as_ref().map_or_else(OauthError::word, |_| "ok");
        metrics::counter!("mapwright_oauth_calls_total", "step" => step, "outcome" => outcome).increment(1);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(step, outcome, took_ms, "asked GHL for tokens");
        done
    }
}

fn form_request(url: String, form: &[(&str, &str)]) -> Request {
    let mut body = String::new();
    for (place, (name, value)) in form.iter().enumerate() {
        if place > 0 {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        body.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    let headers = vec![
        ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ("accept".to_owned(), "application/json".to_owned()),
    ];
    Request { method: Method::POST, url, headers, body: Some(body.into_bytes()) }
}

fn pair(answer: &Value, step: &'static str) -> Result<TokenPair, OauthError> {
    let bad = |why: &str| OauthError::BadAnswer { step, why: why.to_owned() };
    let text = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
    let company = text("companyId").map(CompanyId::from);
    let class = match (text("userType"), text("locationId"), &company) {
        (Some("Company"), _, Some(company)) => TokenClass::Company(company.clone()),
        (Some("Company"), _, None) => return Err(bad("it is a Company token without companyId")),
        (_, Some(location), _) => TokenClass::Location(LocationId::from(location)),
        _ => return Err(bad("it names neither a location nor an agency")),
    };
    let approved = answer["approvedLocations"].as_array().into_iter().flatten();
    Ok(TokenPair {
        access_token: SecretString::from(text("access_token").ok_or_else(|| bad("it has no access_token"))?),
        refresh_token: text("refresh_token").map(SecretString::from),
        expires_in: answer["expires_in"].as_u64().map_or(DAY, Duration::from_secs),
        scopes: text("scope").unwrap_or_default().to_owned(),
        class,
        company,
        approved: approved.filter_map(Value::as_str).map(LocationId::from).collect(),
        all_locations: ["approveAllLocations", "isBulkInstallation"].iter().any(|name| answer[*name] == true),
    })
}

/// What a refusal means. GHL's wordings differ between its generations; all that are known are looked for.
fn refusal(step: &'static str, reply: &Reply, secrets: &[&str]) -> OauthError {
    let body = redacted(&reply.body, secrets);
    let status = reply.status;
    let said = body.to_lowercase();
    let dead = ["invalid grant", "invalid_grant", "refresh token is invalid", "authorization code not found"];
    match status {
        400..=499 if said.contains("location is not active") => {
            OauthError::LocationInactive { step, status, body }
        }
        400..=499 if dead.iter().any(|words| said.contains(words)) => {
            OauthError::DeadGrant { step, status, body }
        }
        408 | 429 | 500.. => OauthError::NoAnswer { step, why: format!("{status} {body}") },
        _ => OauthError::Refused { step, status, body },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> OauthError {
        let reply = Reply { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        refusal("refresh", &reply, &["sec-ret"])
    }

    #[test]
    fn refusals_are_told_apart_by_what_helps() {
        let dead = refused(400, r#"{"statusCode":400,"message":"Invalid grant: refresh token is invalid"}"#);
        assert_eq!(dead.word(), "dead-grant");
        let code =
            refused(401, r#"{"error":"UnAuthorized!","error_description":"Authorization code not found"}"#);
        assert_eq!(code.word(), "dead-grant");
        assert_eq!(
            refused(400, r#"{"statusCode":400,"message":"Location is not active"}"#).word(),
            "location-inactive"
        );
        assert_eq!(refused(400, r#"{"message":"Missing parameter: clientId"}"#).word(), "refused");
        assert_eq!(refused(429, "").word(), "no-answer");
        assert_eq!(refused(502, "<html>").word(), "no-answer");
    }

    #[test]
    fn an_answer_tells_whose_the_token_is() {
        let location = json!({"access_token": "a", "refresh_token": "r", "expires_in": 86399, "scope": "x y",
            "userType": "Location", "locationId": "l", "companyId": "c"});
        let found = pair(&location, "refresh").unwrap();
        assert_eq!(found.class, TokenClass::Location(LocationId::from("l")));
        assert_eq!((found.expires_in.as_secs(), found.scopes.as_str()), (86399, "x y"));
        let company = json!({"access_token": "a", "userType": "Company", "companyId": "c", "approvedLocations": ["l1", "l2"]});
        let found = pair(&company, "refresh").unwrap();
        assert_eq!(found.class, TokenClass::Company(CompanyId::from("c")));
        assert_eq!(found.approved.len(), 2);
        assert!(found.refresh_token.is_none() && found.expires_in == DAY);
        assert!(pair(&json!({"access_token": "a"}), "refresh").is_err());
        assert!(pair(&json!({"userType": "Location", "locationId": "l"}), "refresh").is_err());
    }
}
