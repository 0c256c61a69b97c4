//! Where GHL sends people back to, and the addresses that lead them there: small plain pages. No key opens these; the
//! link's state, or the seal of the ready link, does.

use super::query::Asked;
use super::state::ApiState;
use crate::domain::AppId;
use crate::tenants::{Callback, CallbackFailure, ConnectError, Finished};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;
use std::fmt::Write as _;

/// What GHL sends a person back with.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    /// The code.
    #[param(value_type = Option<String>)]
    code: Option<SecretString>,
    /// The state of the link.
    state: Option<String>,
    /// What went wrong at GHL.
    error: Option<String>,
    /// The same in words.
    error_description: Option<String>,
}

/// Takes a person back from GHL, and says what is connected or which step failed.
#[utoipa::path(get, path = "/oauth/callback/{app}", tag = "connections", params(("app" = String, Path, description = "The app's id"), CallbackQuery),
    responses((status = 200, description = "A page that says what is connected", body = String, content_type = "text/html"),
        (status = 400, description = "The link is unknown, used or expired", body = String, content_type = "text/html"),
        (status = 409, description = "The location can't be had", body = String, content_type = "text/html"),
        (status = 502, description = "GHL refused; the page says what it said", body = String, content_type = "text/html")))]
pub(super) async fn callback(
    State(state): State<ApiState>,
    Path(app): Path<String>,
    Asked(query): Asked<CallbackQuery>,
) -> Response {
    let said = [query.error, query.error_description].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let callback = Callback {
        app: AppId::from(app),
        code: query.code,
        state: query.state,
        error: (!said.is_empty()).then_some(said),
    };
    match state.connections.finish(callback).await {
        Ok(finished) => page(StatusCode::OK, "Connected", &connected(&finished)),
        Err(failure) => {
            let (status, lines) = failed(&failure);
            page(status, "Not connected", &lines)
        }
    }
}

/// Leads to GHL's page with a fresh link, for a connection that waits for a person.
#[utoipa::path(get, path = "/oauth/reconnect/{ticket}", tag = "connections", params(("ticket" = String, Path, description = "What `reconnect_link` carries")),
    responses((status = 303, description = "To GHL's page"),
        (status = 400, description = "The address is none of ours, or nothing waits", body = String, content_type = "text/html")))]
pub(super) async fn reconnect(State(state): State<ApiState>, Path(ticket): Path<String>) -> Response {
    match state.connections.follow(&ticket).await {
        Ok(link) => Redirect::to(&link.url).into_response(),
        Err(error) => {
            let nothing = "This address leads nowhere: no connection waits to be reconnected by it.";
            let lines = [nothing.to_owned(), what(&error)];
            page(StatusCode::BAD_REQUEST, "Nothing to reconnect", &lines)
        }
    }
}

fn connected(finished: &Finished) -> Vec<String> {
    let mut lines = Vec::new();
    for made in &finished.locations {
        let how = if made.again { "connected again" } else { "connected" };
        lines.push(format!(
            "Location {} is {how} for {} as {}.",
            made.location, finished.tenant, made.connection
        ));
    }
    if let Some(company) = &finished.agency {
        lines.push(format!(
            "The agency {company} is authorised: locations at which the app is installed later are connected by themselves."
        ));
    }
    lines.extend(finished.refused.iter().map(|refused| format!("Not connected: {refused}.")));
    lines.push("You can close this page.".to_owned());
    lines
}

fn failed(failure: &CallbackFailure) -> (StatusCode, Vec<String>) {
    let error = &failure.error;
    let status = match error {
        ConnectError::Taken { .. }
        | ConnectError::Configured { .. }
        | ConnectError::OtherLocation { .. }
        | ConnectError::NotRegistered(_)
        | ConnectError::NotOauth { .. } => StatusCode::CONFLICT,
        ConnectError::Ghl(_) | ConnectError::FirstRead(_) => StatusCode::BAD_GATEWAY,
        ConnectError::Vault(_) | ConnectError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ConnectError::UnknownApp(_) | ConnectError::UnknownConnection(_) | ConnectError::UnknownTenant(_) => {
            StatusCode::NOT_FOUND
        }
        ConnectError::BadScopes(_)
        | ConnectError::NoCode(_)
        | ConnectError::UnknownState
        | ConnectError::OtherApp(_)
        | ConnectError::StateUsed
        | ConnectError::StateExpired(_) => StatusCode::BAD_REQUEST,
    };
    let mut lines = vec![format!("It failed at the step: {}.", error.step())];
    if let Some(status) = error.status() {
        lines.push(format!("GHL answered with the status {status}."));
    }
    lines.push(what(error));
    if let Some(attempt) = &failure.attempt {
        lines.push(format!("The same is kept under the attempt {attempt}."));
    }
    (status, lines)
}

/// The failure for a person; the causes of ours are in the log.
fn what(error: &ConnectError) -> String {
    match error {
        ConnectError::Store(_) | ConnectError::Vault(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "connecting failed here");
            "The fault is ours and is in the log; make a new link and try again.".to_owned()
        }
        error => format!("{error}."),
    }
}

fn page(status: StatusCode, title: &str, lines: &[String]) -> Response {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} · Mapwright</title><h1>{title}</h1>"
    );
    for line in lines {
        // Writing to a string can't fail.
        let _written = write!(html, "<p>{}</p>", escaped(line));
    }
    let mut response = (status, Html(html)).into_response();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ghl_said_can_be_no_markup() {
        let failure = CallbackFailure {
            attempt: Some("au_1".into()),
            error: ConnectError::NoCode("<script>alert(1)</script>".into()),
        };
        let (status, lines) = failed(&failure);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let response = page(status, "Not connected", &lines);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(escaped(&lines.join("")).contains("&lt;script&gt;"));
        assert!(!escaped(&lines.join("")).contains('<'));
    }
}
