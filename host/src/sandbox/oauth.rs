//! GHL's OAuth endpoints: codes and refresh tokens for pairs, agencies' tokens for locations', the way back in.

use super::caller::{self, Holder, WRONG_CLASS};
use super::installs::{Change, Code, Installs, Issued, Place, hash};
use super::refusal::Refusal;
use super::state::{Object, State, new_id, strikes};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State as Extract};
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Shared = Extract<Arc<State>>;

/// The user of every token.
const USER: &str = "usrSandbox0000000001";

/// A body's fields, whether it is a form or JSON.
fn fields(headers: &HeaderMap, body: &Bytes) -> HashMap<String, String> {
    let json = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    if json {
        let given: HashMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        return given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect();
    }
    let uri = format!("/?{}", String::from_utf8_lossy(body)).parse::<Uri>();
    uri.ok()
        .and_then(|uri| Query::<HashMap<String, String>>::try_from_uri(&uri).ok())
        .map(|Query(given)| given)
        .unwrap_or_default()
}

fn bad(message: &str) -> Refusal {
    Refusal::Bad(400, json!({"statusCode": 400, "message": message}))
}

/// What a token call does when it is switched to go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Before,
    After,
}

/// Lets the faults of the token endpoint strike.
async fn fault(state: &State) -> Fault {
    let (slow, fault) = {
        let mut guard = state.lock();
        let faults = &mut guard.0.faults;
        let slow = if strikes(&mut faults.token_slow) { faults.token_slow_millis } else { 0 };
        let fault = if strikes(&mut faults.token_fail_before) {
            Fault::Before
        } else if strikes(&mut faults.token_fail_after) {
            Fault::After
        } else {
            Fault::None
        };
        (slow, fault)
    };
    state.clock.machine_sleep(Duration::from_millis(slow)).await;
    fault
}

fn down() -> Refusal {
    Refusal::Bad(503, json!({"statusCode": 503, "message": "Service Unavailable"}))
}

/// Takes a request's fields, unless a fault strikes before.
async fn begin(
    state: &State,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Fault, HashMap<String, String>), Refusal> {
    match fault(state).await {
        Fault::Before => Err(down()),
        fault => Ok((fault, fields(headers, body))),
    }
}

/// `POST /oauth/token`.
pub(super) async fn token(
    Extract(state): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let (fault, given) = begin(&state, &headers, &body).await?;
    let answer = match given.get("grant_type").map(String::as_str) {
        None => return Err(bad("Missing parameter: grantType")),
        Some("authorization_code") => exchange(&state, &given)?,
        Some("refresh_token") => refresh(&state, &given)?,
        Some(_) => return Err(bad("Invalid parameter: grantType")),
    };
    if fault == Fault::After { Err(down()) } else { Ok(Json(answer)) }
}

fn known_client(installs: &Installs, given: &HashMap<String, String>) -> Result<String, Refusal> {
    let text = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    for (name, shown) in [("client_id", "clientId"), ("client_secret", "clientSecret")] {
        if text(name).is_empty() {
            return Err(bad(&format!("Missing parameter: {shown}")));
        }
    }
    let app = installs.app_of_client(text("client_id")).ok_or_else(|| bad("Invalid parameter: clientId"))?;
    if app.client_secret == text("client_secret") {
        Ok(app.app_id.clone())
    } else {
        Err(bad("Invalid parameter: clientSecret"))
    }
}

fn exchange(state: &State, given: &HashMap<String, String>) -> Result<Value, Refusal> {
    let now = state.clock.now();
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    // The code is looked at before the client, as GHL does.
    let code = given.get("code").and_then(|code| inner.installs.codes.remove(&hash(code)));
    let Some(code) = code.filter(|code| code.ends > now) else {
        let body = json!({"error": "UnAuthorized!", "error_description": "Authorization code not found"});
        return Err(Refusal::Bad(401, body));
    };
    let app_id = known_client(&inner.installs, given)?;
    let redirect = given.get("redirect_uri");
    if app_id != code.app_id || redirect.is_some_and(|uri| *uri != code.redirect_uri) {
        return Err(bad("Invalid parameter: redirectUri"));
    }
    let ask = Ask { grant: "authorization_code", app_id, place: code.place, scopes: code.scopes, used: None };
    let (issued, mut answer) = ask.pair(state, inner.oauth.access_seconds, Some(secret(64)));
    if issued.place.location_id.is_none() {
        answer.insert("approvedLocations".to_owned(), json!(code.approved));
        answer.insert("isBulkInstallation".to_owned(), json!(true));
    }
    state.keep(inner, journal, [Change::Issued(issued)])?;
    Ok(Value::Object(answer))
}

fn refresh(state: &State, given: &HashMap<String, String>) -> Result<Value, Refusal> {
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    let app_id = known_client(&inner.installs, given)?;
    let Some(token) = given.get("refresh_token") else {
        return Err(bad("Missing parameter: refreshToken"));
    };
    let known = inner.installs.refreshable(token).filter(|pair| pair.app_id == app_id);
    let Some(old) = known.cloned() else {
        return Err(bad("Invalid grant: refresh token is invalid"));
    };
    if !inner.installs.is_active(&old.place) {
        return Err(bad("Location is not active"));
    }
    let ask =
        Ask { grant: "refresh_token", app_id, place: old.place, scopes: old.scopes, used: Some(hash(token)) };
    let (issued, answer) = ask.pair(state, inner.oauth.access_seconds, Some(secret(64)));
    state.keep(inner, journal, [Change::Issued(issued)])?;
    Ok(Value::Object(answer))
}

/// A pair to make.
struct Ask {
    grant: &'static str,
    app_id: String,
    place: Place,
    scopes: String,
    used: Option<String>,
}

impl Ask {
    fn pair(self, state: &State, seconds: u64, refresh: Option<String>) -> (Issued, Object) {
        let class = if self.place.location_id.is_some() { "Location" } else { "Company" };
        let access = access_token(class, &self);
        let mut answer = Object::new();
        let mut set = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
        set("access_token", json!(access));
        set("token_type", json!("Bearer"));
        set("expires_in", json!(seconds));
        set("scope", json!(self.scopes));
        set("userType", json!(class));
        set("companyId", json!(self.place.company_id));
        set("userId", json!(USER));
        set("traceId", json!(uuid::Uuid::new_v4().to_string()));
        if let Some(location) = &self.place.location_id {
            set("locationId", json!(location));
        }
        if let Some(refresh) = &refresh {
            set("refresh_token", json!(refresh));
            set("refreshTokenId", json!(new_id()));
        }
        let issued = Issued {
            grant: self.grant.to_owned(),
            app_id: self.app_id,
            place: self.place,
            scopes: self.scopes,
            access: hash(&access),
            refresh: refresh.as_deref().map(hash),
            expires_at: state.clock.now().plus(Duration::from_secs(seconds)),
            used: self.used,
        };
        (issued, answer)
    }
}

pub(super) fn secret(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

/// Shaped like GHL's, which are JWTs; nobody checks the signature, since nobody but us reads them.
fn access_token(class: &str, ask: &Ask) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let id = ask.place.location_id.as_deref().unwrap_or(&ask.place.company_id);
    let claims = json!({
        "authClass": class, "authClassId": id, "primaryAuthClassId": id, "source": "INTEGRATION",
        "sourceId": ask.app_id, "channel": "OAUTH", "scopes": ask.scopes, "jti": uuid::Uuid::new_v4().to_string(),
    });
    format!("{}.{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims), secret(86))
}

/// The agency whose token calls, if it has the scope.
fn agency(state: &State, headers: &HeaderMap, scope: &str, company: Option<&str>) -> Result<Issued, Refusal> {
    caller::check_version(headers)?;
    match caller::holder(state, headers)? {
        Holder::Location(_) => Err(Refusal::Unauthorized(WRONG_CLASS)),
        Holder::Lasting(_) => Err(Refusal::Unauthorized("Token's user type mismatch!")),
        Holder::Company(pair) => {
            if !pair.scopes.split_whitespace().any(|known| known == scope) {
                return Err(Refusal::Unauthorized("The token is not authorized for this scope."));
            }
            if company != Some(pair.place.company_id.as_str()) {
                return Err(Refusal::OtherLocation);
            }
            Ok(pair)
        }
    }
}

/// `POST /oauth/locationToken`.
pub(super) async fn location_token(
    Extract(state): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (fault, given) = begin(&state, &headers, &body).await?;
    let pair = agency(&state, &headers, "oauth.write", given.get("companyId").map(String::as_str))?;
    let Some(location) = given.get("locationId") else {
        return Err(Refusal::Invalid(vec!["locationId should not be empty".to_owned()]));
    };
    let place = Place { company_id: pair.place.company_id.clone(), location_id: Some(location.clone()) };
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    if !inner.installs.is_installed(&pair.app_id, &place) {
        return Err(bad("The app is not installed at this location"));
    }
    if !inner.installs.is_active(&place) {
        return Err(bad("Location is not active"));
    }
    let ask = Ask { grant: "location_token", app_id: pair.app_id, place, scopes: pair.scopes, used: None };
    let refresh = (!inner.oauth.location_tokens_without_refresh).then(|| secret(64));
    let (issued, answer) = ask.pair(&state, inner.oauth.access_seconds, refresh);
    state.keep(inner, journal, [Change::Issued(issued)])?;
    if fault == Fault::After { Err(down()) } else { Ok((StatusCode::CREATED, Json(Value::Object(answer)))) }
}

/// `GET /oauth/installedLocations`.
pub(super) async fn installed_locations(
    Extract(state): Shared,
    headers: HeaderMap,
    Query(asked): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Refusal> {
    let company = asked.get("companyId").map(String::as_str);
    let pair = agency(&state, &headers, "oauth.readonly", company)?;
    if asked.get("appId") != Some(&pair.app_id) {
        return Err(Refusal::Invalid(vec!["appId should be the token's app".to_owned()]));
    }
    let number = |name: &str, otherwise: usize| {
        asked.get(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let guard = state.lock();
    let installs = &guard.0.installs;
    let all = installs.installed_locations(&pair.app_id, &pair.place.company_id);
    let count = all.len();
    let rows: Vec<Value> = all
        .into_iter()
        .skip(number("skip", 0))
        .take(number("limit", 20))
        .map(|id| {
            let name = installs.location(&id).map(|location| location.name.clone()).unwrap_or_default();
            json!({"_id": id, "name": name, "address": "", "isInstalled": true})
        })
        .collect();
    Ok(Json(json!({"locations": rows, "count": count, "installToFutureLocations": false})))
}

/// `POST /oauth/reconnect`.
pub(super) async fn reconnect(
    Extract(state): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let (fault, given) = begin(&state, &headers, &body).await?;
    let now = state.clock.now();
    let mut guard = state.lock();
    let inner = &mut guard.0;
    let named: HashMap<String, String> = [("client_id", "clientKey"), ("client_secret", "clientSecret")]
        .into_iter()
        .filter_map(|(ours, theirs)| Some((ours.to_owned(), given.get(theirs)?.clone())))
        .collect();
    let app_id = known_client(&inner.installs, &named)?;
    let place = match (given.get("locationId"), given.get("companyId")) {
        (Some(location), _) => {
            Place { company_id: inner.installs.company_of(location), location_id: Some(location.clone()) }
        }
        (None, Some(company)) => Place { company_id: company.clone(), location_id: None },
        (None, None) => return Err(bad("Missing parameter: locationId")),
    };
    if inner.oauth.reconnect_off || !inner.installs.is_installed(&app_id, &place) {
        return Err(bad("The app is not installed here"));
    }
    if !inner.installs.is_active(&place) {
        return Err(bad("Location is not active"));
    }
    let app = inner.installs.app(&app_id).cloned().unwrap_or_default();
    let approved = inner.installs.installed_locations(&app_id, &place.company_id);
    let ends = now.plus(Duration::from_secs(inner.oauth.code_seconds));
    let code = secret(40);
    let kept = Code {
        app_id,
        place,
        scopes: app.scopes,
        redirect_uri: app.redirect_uris.first().cloned().unwrap_or_default(),
        approved,
        ends,
    };
    inner.installs.codes.insert(hash(&code), kept);
    if fault == Fault::After {
        return Err(down());
    }
    let trace = uuid::Uuid::new_v4().to_string();
    Ok(Json(json!({"authorizationCode": code, "expiresAt": ends.to_rfc3339(), "traceId": trace})))
}
