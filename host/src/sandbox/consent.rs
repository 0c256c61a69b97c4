//! The page on which a person installs an app: at a location, or for a whole agency; for programs it approves by itself.

use super::installs::{Change, Code, DEFAULT_COMPANY, Installs, Place, hash};
use super::oauth::secret;
use super::refusal::Refusal;
use super::state::{App, Object, State};
use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// What the link of the app's owner asks for, and what the person answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Consent {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    /// The person's choice: a location's id, or an agency's.
    approve: String,
    /// With an agency: which of its locations, separated by commas; all if left out.
    locations: String,
    /// The person said no.
    deny: String,
}

/// What programs may have approved without a person: `{"approve": "ID", "locations": "ID,ID"}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Approval {
    approve: String,
    locations: String,
}

/// `GET /oauth/chooselocation`: the form, or, with `approve`, what the form leads to.
pub(super) async fn choose(
    Extract(state): Extract<Arc<State>>,
    Query(mut consent): Query<Consent>,
) -> Result<Response, Refusal> {
    let (app, form) = {
        let guard = state.lock();
        let installs = &guard.0.installs;
        let app = match checked(installs, &consent) {
            Ok(app) => app.clone(),
            Err(why) => return Ok(page(StatusCode::BAD_REQUEST, &format!("<p>{}</p>", escaped(&why)))),
        };
        if consent.approve.is_empty() && !guard.0.oauth.approval.approve.is_empty() {
            consent.approve.clone_from(&guard.0.oauth.approval.approve);
            consent.locations.clone_from(&guard.0.oauth.approval.locations);
        }
        (app.clone(), form(installs, &app, &consent))
    };
    if !consent.deny.is_empty() {
        return Ok(back(&consent, &[("error", "access_denied"), ("error_description", "The user said no")]));
    }
    if consent.approve.is_empty() {
        return Ok(page(StatusCode::OK, &form));
    }
    let code = approve(&state, &app, &consent)?;
    Ok(back(&consent, &[("code", &code)]))
}

fn checked<'a>(installs: &'a Installs, consent: &Consent) -> Result<&'a App, String> {
    if consent.response_type != "code" {
        return Err("response_type has to be code".to_owned());
    }
    let app = installs
        .app_of_client(&consent.client_id)
        .ok_or_else(|| format!("there is no app with the client_id {:?}", consent.client_id))?;
    if !app.redirect_uris.contains(&consent.redirect_uri) {
        return Err(format!("{:?} is no redirect address of this app", consent.redirect_uri));
    }
    let offered: Vec<&str> = app.scopes.split_whitespace().collect();
    let strange = consent.scope.split_whitespace().find(|scope| !offered.contains(scope));
    match strange {
        Some(scope) => Err(format!("the app's registration does not have the scope {scope}")),
        None if consent.scope.trim().is_empty() => Err("scope is empty".to_owned()),
        None => Ok(app),
    }
}

/// Installs the app where the person chose, and gives the code.
fn approve(state: &State, app: &App, consent: &Consent) -> Result<String, Refusal> {
    let mut guard = state.lock();
    let (inner, journal) = &mut *guard;
    let agency = inner.installs.agencies.get(&consent.approve);
    let (place, chosen) = match agency {
        Some(agency) => {
            let wanted: Vec<&str> = consent.locations.split(',').filter(|id| !id.is_empty()).collect();
            let chosen: Vec<String> = agency
                .locations
                .iter()
                .map(|location| location.id.clone())
                .filter(|id| wanted.is_empty() || wanted.contains(&id.as_str()))
                .collect();
            (Place { company_id: consent.approve.clone(), location_id: None }, chosen)
        }
        None => {
            let company_id = inner.installs.company_of(&consent.approve);
            let location = consent.approve.clone();
            (Place { company_id, location_id: Some(location.clone()) }, vec![location])
        }
    };
    let whole = place.location_id.is_none();
    // An agency's token may mint its locations': that comes with the install.
    let scopes =
        if whole { format!("{} oauth.readonly oauth.write", consent.scope) } else { consent.scope.clone() };
    let mut changes = vec![Change::Installed { app_id: app.app_id.clone(), place: place.clone() }];
    let mut told = Vec::new();
    for location in &chosen {
        let at = Place { company_id: place.company_id.clone(), location_id: Some(location.clone()) };
        if whole || !inner.installs.is_installed(&app.app_id, &at) {
            told.push(location.clone());
        }
        changes.push(Change::Installed { app_id: app.app_id.clone(), place: at });
    }
    state.keep(inner, journal, changes)?;
    let kind = if whole { "Company" } else { "Location" };
    for location in told {
        let body = install_body("INSTALL", &place.company_id, Some(&location), kind);
        state.tell(inner, journal, app, body)?;
    }
    let code = secret(40);
    let kept = Code {
        app_id: app.app_id.clone(),
        place,
        scopes,
        redirect_uri: consent.redirect_uri.clone(),
        approved: chosen,
        ends: state.clock.now().plus(Duration::from_secs(inner.oauth.code_seconds)),
    };
    inner.installs.codes.insert(hash(&code), kept);
    Ok(code)
}

/// The body of an install's or uninstall's message, without what every message has.
pub(super) fn install_body(op: &str, company: &str, location: Option<&str>, kind: &str) -> Value {
    let mut body = Object::new();
    let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    set("type", json!(op));
    set("companyId", json!(company));
    if let Some(location) = location {
        set("locationId", json!(location));
    }
    if op == "INSTALL" {
        set("installType", json!(kind));
        set("userId", json!("usrSandbox0000000001"));
        set("companyName", json!("Example Agency"));
        set("isWhitelabelCompany", json!(false));
        set("whitelabelDetails", json!({}));
    }
    Value::Object(body)
}

fn back(consent: &Consent, answer: &[(&str, &str)]) -> Response {
    let mut url = consent.redirect_uri.clone();
    let mut separator = if url.contains('?') { '&' } else { '?' };
    let state = [("state", consent.state.as_str())];
    for (name, value) in answer.iter().copied().chain(state).filter(|(_, value)| !value.is_empty()) {
        let _written = write!(url, "{separator}{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        separator = '&';
    }
    Redirect::to(&url).into_response()
}

fn form(installs: &Installs, app: &App, consent: &Consent) -> String {
    let mut html = format!(
        "<h1>Install {} (sandbox)</h1><p>It asks for: {}</p><form method=\"get\" action=\"/oauth/chooselocation\">",
        escaped(&app.app_id),
        escaped(&consent.scope)
    );
    let hidden = [
        ("response_type", &consent.response_type),
        ("client_id", &consent.client_id),
        ("redirect_uri", &consent.redirect_uri),
        ("scope", &consent.scope),
        ("state", &consent.state),
    ];
    for (name, value) in hidden {
        let _written = write!(html, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    }
    let mut choice = |id: &str, words: &str| {
        let (id, words) = (escaped(id), escaped(words));
        let _written = write!(
            html,
            "<p><label><input type=\"radio\" name=\"approve\" value=\"{id}\" required> {words} <code>{id}</code></label></p>"
        );
    };
    for agency in installs.agencies.values() {
        choice(&agency.company_id, &format!("The whole agency {}", agency.name));
        for location in &agency.locations {
            choice(&location.id, &location.name);
        }
    }
    for location in app.locations.iter().filter(|id| installs.company_of(id) == DEFAULT_COMPANY) {
        choice(location, "Location");
    }
    html.push_str(
        "<p><button>Install</button> <button name=\"deny\" value=\"1\" formnovalidate>Cancel</button></p></form>",
    );
    html
}

fn page(status: StatusCode, body: &str) -> Response {
    let html =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sandbox GHL</title>{body}");
    (status, Html(html)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
