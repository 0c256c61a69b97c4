//! The way back from GHL: the state is checked and used up, the code becomes tokens, the tokens a connection.

use super::connect_error::ConnectError;
use super::connections::{Connections, hash};
use super::registrations::Registration;
use super::sealed;
use crate::domain::{AgencyId, AppId, CompanyId, ConnectionId, LocationId, TenantId, Timestamp, TokenOwner};
use crate::ghl::{OauthError, TokenClass, TokenPair};
use crate::store::{
    AgencyRow, AuthorizationEnd, AuthorizationRow, ConnectionRow, OpenConnection, StoreError,
};
use secrecy::SecretString;

/// What GHL sent a person back with.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The app in the path.
    pub app: AppId,
    /// The code.
    pub code: Option<SecretString>,
    /// The state.
    pub state: Option<String>,
    /// What GHL says instead of a code.
    pub error: Option<String>,
}

/// A location that is connected now.
#[derive(Clone, Debug)]
pub struct FinishedLocation {
    /// The connection.
    pub connection: ConnectionId,
    /// GHL's location.
    pub location: LocationId,
    /// Whether it was connected before.
    pub again: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// For whom.
    pub tenant: TenantId,
    /// What is connected.
    pub locations: Vec<FinishedLocation>,
    /// The agency, where a whole one was authorised; later installs at its locations are connected by themselves.
    pub agency: Option<CompanyId>,
    /// Locations that were not connected, each with its reason.
    pub refused: Vec<String>,
}

/// What did not come of it.
#[derive(Debug)]
pub struct CallbackFailure {
    /// The attempt, where the state named one.
    pub attempt: Option<String>,
    /// Why.
    pub error: ConnectError,
}

impl Connections {
    /// Finishes an attempt; goes on to its end even when the person's browser goes away.
    ///
    /// # Errors
    /// Which step failed and why; the same is kept as the attempt's record.
    pub async fn finish(&self, callback: Callback) -> Result<Finished, CallbackFailure> {
        let this = self.clone();
        let finishing = tokio::spawn(async move { this.finish_whole(callback).await });
        finishing.await.unwrap_or_else(|_panicked| {
            let error = ConnectError::Store(StoreError::Closed);
            Err(CallbackFailure { attempt: None, error })
        })
    }

    async fn finish_whole(&self, callback: Callback) -> Result<Finished, CallbackFailure> {
        let attempt = match self.take_state(&callback).await {
            Ok(attempt) => attempt,
            Err((attempt, error)) => {
                metrics::counter!("mapwright_connects_total", "outcome" => "state-refused").increment(1);
                return Err(CallbackFailure { attempt, error });
            }
        };
        let done = self.connect(&attempt, callback).await;
        let ended = self.record(&attempt, &done).await;
        let attempt = Some(attempt.id.to_string());
        match (done, ended) {
            (Ok(finished), Ok(())) => Ok(finished),
            (Err(error), _) => Err(CallbackFailure { attempt, error }),
            (Ok(_), Err(error)) => Err(CallbackFailure { attempt, error: error.into() }),
        }
    }

    /// The attempt whose state this is, used up now.
    async fn take_state(
        &self,
        callback: &Callback,
    ) -> Result<AuthorizationRow, (Option<String>, ConnectError)> {
        let store = &self.parts.store;
        let nobody = |error: ConnectError| (None, error);
        let state =
            callback.state.as_deref().filter(|state| !state.is_empty()).ok_or(ConnectError::UnknownState);
        let state = state.map_err(nobody)?;
        let found = store.authorization_of(&hash(state)).await.map_err(|error| nobody(error.into()))?;
        let attempt = found.ok_or(ConnectError::UnknownState).map_err(nobody)?;
        let refuse = |error: ConnectError| (Some(attempt.id.to_string()), error);
        if attempt.app != callback.app {
            return Err(refuse(ConnectError::OtherApp(callback.app.clone())));
        }
        let now = self.parts.clock.now();
        let used = store.use_authorization(&attempt.id, now).await.map_err(|error| refuse(error.into()))?;
        if used {
            return Ok(attempt);
        }
        Err(refuse(if attempt.expires_at <= now && attempt.used_at.is_none() {
            ConnectError::StateExpired(attempt.expires_at.to_rfc3339())
        } else {
            ConnectError::StateUsed
        }))
    }

    async fn connect(
        &self,
        attempt: &AuthorizationRow,
        callback: Callback,
    ) -> Result<Finished, ConnectError> {
        let Some(code) = callback.code else {
            let said = callback.error.unwrap_or_else(|| "nothing was said".to_owned());
            return Err(ConnectError::NoCode(said.chars().take(200).collect()));
        };
        let registration = self.parts.registrations.find(&attempt.app).await?;
        let pair = self.parts.oauth.exchange(&registration.oauth, &code).await?;
        crate::config::failpoint("code-exchanged");
        let finished = match pair.class.clone() {
            TokenClass::Location(location) => {
                let made = self.keep_location(attempt, &registration, (&location, &pair), None).await?;
                Finished {
                    tenant: attempt.tenant.clone(),
                    locations: vec![made],
                    agency: None,
                    refused: Vec::new(),
                }
            }
            TokenClass::Company(company) => {
                self.keep_agency(attempt, &registration, (&company, &pair)).await?
            }
        };
        self.parts.directory.refresh(&self.parts.store).await?;
        self.parts.wake.notify_one();
        for made in &finished.locations {
            self.first_read(&made.connection).await?;
        }
        self.parts.planned.notify_one();
        Ok(finished)
    }

    /// Makes or opens again the connection of a location, with these tokens.
    pub(super) async fn keep_location(
        &self,
        attempt: &AuthorizationRow,
        registration: &Registration,
        (location, pair): (&LocationId, &TokenPair),
        agency: Option<AgencyId>,
    ) -> Result<FinishedLocation, ConnectError> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        if let Some(id) = &attempt.connection {
            let wanted = self.find(id).await?.location;
            if wanted != *location {
                return Err(ConnectError::OtherLocation { wanted, chosen: location.to_string() });
            }
        }
        let known =
            store.connection_of_location(&attempt.tenant, &registration.environment, location).await?;
        if let Some(known) = &known {
            if known.tenant != attempt.tenant {
                let (tenant, connection) = (known.tenant.clone(), known.id.clone());
                return Err(ConnectError::Taken { location: location.clone(), tenant, connection });
            }
            if known.kind == "fixed" && known.state != "closed" {
                let connection = known.id.clone();
                return Err(ConnectError::Configured { location: location.clone(), connection });
            }
        }
        let again = known.is_some();
        let created_at = known.as_ref().map_or(now, |known| known.created_at);
        let id = known.map_or_else(ConnectionId::generate, |known| known.id);
        let whose = (TokenOwner::from(&id), attempt.tenant.clone());
        let times = (now, self.parts.refresh_ahead);
        let credential = sealed::fresh(&self.parts.vault, whose, pair, times, 0)?;
        let connection = ConnectionRow {
            id: id.clone(),
            tenant: attempt.tenant.clone(),
            app: Some(registration.id.clone()),
            environment: registration.environment.clone(),
            location: location.clone(),
            company: pair.company.clone(),
            kind: "oauth".to_owned(),
            state: "connecting".to_owned(),
            scopes: if pair.scopes.is_empty() { attempt.scopes.clone() } else { pair.scopes.clone() },
            created_at,
        };
        let opened = store.open_connection(OpenConnection { connection, agency, credential, at: now }).await;
        if let Err(StoreError::Exists { .. }) = opened {
            // Somebody was faster: say who.
            let rival =
                store.connection_of_location(&attempt.tenant, &registration.environment, location).await?;
            if let Some(rival) = rival {
                let (tenant, connection) = (rival.tenant, rival.id);
                return Err(ConnectError::Taken { location: location.clone(), tenant, connection });
            }
        }
        opened?;
        self.parts.credentials.forget(&id);
        tracing::info!(
            connection = id.as_str(),
            tenant = attempt.tenant.as_str(),
            location = location.as_str(),
            again,
            "location {location} is connected as {id}"
        );
        Ok(FinishedLocation { connection: id, location: location.clone(), again })
    }

    /// Keeps an agency's tokens, and connects the locations that the person chose with it.
    async fn keep_agency(
        &self,
        attempt: &AuthorizationRow,
        registration: &Registration,
        (company, pair): (&CompanyId, &TokenPair),
    ) -> Result<Finished, ConnectError> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let known = store.agencies_of(&registration.id, company.as_str()).await?;
        let id = known
            .into_iter()
            .find(|known| known.tenant == attempt.tenant)
            .map_or_else(AgencyId::generate, |known| known.id);
        let whose = (TokenOwner::from(&id), attempt.tenant.clone());
        let tokens = sealed::fresh(&self.parts.vault, whose, pair, (now, self.parts.refresh_ahead), 0)?;
        let row = AgencyRow {
            id: id.clone(),
            tenant: attempt.tenant.clone(),
            app: registration.id.clone(),
            environment: registration.environment.clone(),
            company: company.clone(),
            state: "active".to_owned(),
            scopes: if pair.scopes.is_empty() { attempt.scopes.clone() } else { pair.scopes.clone() },
            connected_at: now,
        };
        store.put_agency(row, tokens).await?;
        let mut finished = Finished {
            tenant: attempt.tenant.clone(),
            locations: Vec::new(),
            agency: Some(company.clone()),
            refused: Vec::new(),
        };
        for location in self.chosen(attempt, registration, (company, pair)).await? {
            match self.mint_location(attempt, registration, (&id, company), &location).await {
                Ok(made) => finished.locations.push(made),
                Err(error) if attempt.connection.is_some() => return Err(error),
                Err(error @ ConnectError::Store(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!(location = location.as_str(), %error, "a location of the agency is not connected");
                    finished.refused.push(format!("{location}: {error}"));
                }
            }
        }
        Ok(finished)
    }

    /// Which of an agency's locations are to be connected.
    async fn chosen(
        &self,
        attempt: &AuthorizationRow,
        registration: &Registration,
        (company, pair): (&CompanyId, &TokenPair),
    ) -> Result<Vec<LocationId>, ConnectError> {
        let mut chosen = pair.approved.clone();
        if chosen.is_empty() && (pair.all_locations || attempt.connection.is_some()) {
            let agency = (company, &pair.access_token);
            chosen = self
                .parts
                .oauth
                .installed_locations(&registration.oauth, agency, &registration.ghl_app_id)
                .await?;
        }
        let Some(id) = &attempt.connection else { return Ok(chosen) };
        let wanted = self.find(id).await?.location;
        if chosen.contains(&wanted) {
            return Ok(vec![wanted]);
        }
        let chosen = chosen.iter().map(LocationId::as_str).collect::<Vec<_>>().join(", ");
        Err(ConnectError::OtherLocation { wanted, chosen })
    }

    /// A connection for a location of an agency, with tokens that the agency's mint.
    pub(super) async fn mint_location(
        &self,
        attempt: &AuthorizationRow,
        registration: &Registration,
        (agency, company): (&AgencyId, &CompanyId),
        location: &LocationId,
    ) -> Result<FinishedLocation, ConnectError> {
        let token = self
            .parts
            .credentials
            .agency_token(agency)
            .await
            .map_err(|why| OauthError::NoAnswer { step: "location token", why })?;
        let pair = self.parts.oauth.location_token(&registration.oauth, (company, &token), location).await?;
        self.keep_location(attempt, registration, (location, &pair), Some(agency.clone())).await
    }

    async fn record(
        &self,
        attempt: &AuthorizationRow,
        done: &Result<Finished, ConnectError>,
    ) -> Result<(), StoreError> {
        let at = self.parts.clock.now();
        let end = match done {
            Ok(finished) => ended_well(attempt, finished, at),
            Err(error) => {
                let (step, detail) = (error.step(), said(error));
                tracing::warn!(
                    attempt = attempt.id.as_str(),
                    tenant = attempt.tenant.as_str(),
                    step,
                    status = error.status(),
                    "connecting failed at the {step}: {detail}"
                );
                AuthorizationEnd {
                    id: attempt.id.clone(),
                    outcome: "failed",
                    step: Some(step.to_owned()),
                    status: error.status(),
                    detail: Some(detail),
                    connected: "[]".to_owned(),
                    at,
                }
            }
        };
        metrics::counter!("mapwright_connects_total", "outcome" => end.outcome).increment(1);
        self.parts.store.end_authorization(end).await
    }
}

fn ended_well(attempt: &AuthorizationRow, finished: &Finished, at: Timestamp) -> AuthorizationEnd {
    let ids: Vec<&str> = finished.locations.iter().map(|made| made.connection.as_str()).collect();
    AuthorizationEnd {
        id: attempt.id.clone(),
        outcome: "connected",
        step: None,
        status: None,
        detail: (!finished.refused.is_empty()).then(|| finished.refused.join("; ")),
        connected: serde_json::json!(ids).to_string(),
        at,
    }
}

/// What is kept of a failure: GHL's own words where it spoke.
fn said(error: &ConnectError) -> String {
    match error {
        ConnectError::Ghl(ghl) => ghl.said().to_owned(),
        error => error.to_string(),
    }
}
