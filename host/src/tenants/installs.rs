//! INSTALL and UNINSTALL, in the order they came: an install at a location of an agency that a tenant authorised is
//! connected by itself; an uninstall closes what it names.

use super::connect_error::ConnectError;
use super::connections::Connections;
use crate::domain::{AuthorizationId, LocationId, Timestamp};
use crate::ghl::OauthError;
use crate::store::{AgencyRow, AuthorizationRow, InstallRow, StoreError};
use std::time::Duration;

/// Installs looked at by one statement.
const PAGE: i64 = 32;
/// Tries of an install before it is given up; with the pauses between them about a day.
const TRIES: i64 = 30;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What became of one.
enum Done {
    /// It is done.
    Well(String),
    /// It waits until a tenant authorises the agency.
    Waits(String),
    /// It can't be done.
    Never(String),
    /// It is tried again.
    Later(String),
}

impl Connections {
    /// Does what is due.
    pub(super) async fn do_installs(&self) -> Result<(), StoreError> {
        for row in self.parts.store.due_installs(self.parts.clock.now(), PAGE).await? {
            let done = match row.op.as_str() {
                "UNINSTALL" => self.uninstalled(&row).await,
                _ => self.installed(&row).await,
            };
            let done = match done {
                Ok(done) => done,
                Err(ConnectError::Store(error)) => return Err(error),
                Err(error) => Done::Never(error.to_string()),
            };
            self.mark(&row, done).await?;
        }
        Ok(())
    }

    async fn mark(&self, row: &InstallRow, done: Done) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let (state, detail, next_at) = match done {
            Done::Well(detail) => ("done", detail, now),
            Done::Waits(detail) => ("waiting", detail, now),
            Done::Never(detail) => ("failed", detail, now),
            Done::Later(detail) if row.attempts + 1 >= TRIES => ("failed", detail, now),
            Done::Later(detail) => {
                let doublings = u32::try_from(row.attempts.clamp(0, 10)).unwrap_or(0);
                let pause = Duration::from_secs(10).saturating_mul(1 << doublings).min(LONGEST_PAUSE);
                ("due", detail, now.plus(pause))
            }
        };
        let (op, app) = (row.op.as_str(), row.app.as_str());
        if state == "failed" {
            tracing::error!(op, app, location = row.location.as_deref(), "{op} is not done: {detail}");
        } else {
            tracing::info!(op, app, location = row.location.as_deref(), state, "{op}: {detail}");
        }
        metrics::counter!("mapwright_installs_total", "op" => row.op.clone(), "state" => state).increment(1);
        self.parts.store.mark_install(row.id, state, detail, (now, next_at)).await
    }

    /// The app was taken off a location, or off a whole agency.
    async fn uninstalled(&self, row: &InstallRow) -> Result<Done, ConnectError> {
        let store = &self.parts.store;
        let (company, location) = (row.company.as_deref(), row.location.as_deref());
        store.drop_waiting_installs(row).await?;
        let mut closed = Vec::new();
        for connection in store.installed_connections(row.app.as_str(), company, location).await? {
            if is_stale(row.source_time, connection.connected_at) {
                continue;
            }
            if self.close(&connection.id, "the app was uninstalled at GHL").await? {
                closed.push(connection.id.to_string());
            }
        }
        if let (Some(company), None) = (company, location) {
            for agency in store.agencies_of(&row.app, company).await? {
                if !is_stale(row.source_time, Some(agency.connected_at)) {
                    store.move_agency(&agency.id, "closed").await?;
                    closed.push(agency.id.to_string());
                }
            }
        }
        Ok(Done::Well(match closed.as_slice() {
            [] => "nothing was connected".to_owned(),
            ids => format!("closed {}", ids.join(", ")),
        }))
    }

    /// The app was installed at a location.
    async fn installed(&self, row: &InstallRow) -> Result<Done, ConnectError> {
        let store = &self.parts.store;
        let (Some(company), Some(location)) = (row.company.as_deref(), row.location.as_deref()) else {
            return Ok(Done::Well("it names no location of an agency".to_owned()));
        };
        let open = store.installed_connections(row.app.as_str(), None, Some(location)).await?;
        if let Some(connection) = open.first().filter(|it| it.state != "reconnect-needed") {
            return Ok(Done::Well(format!("connected already as {}", connection.id)));
        }
        let mut agencies = store.agencies_of(&row.app, company).await?;
        agencies.retain(|agency| agency.state == "active");
        let location = LocationId::from(location);
        let agency = match agencies.as_slice() {
            [] => {
                let wait = "no tenant has authorised the agency; a location's own link connects it as well";
                return Ok(Done::Waits(wait.to_owned()));
            }
            [only] => only,
            several => match self.of_old(several, &location).await? {
                Some(known) => known,
                None => {
                    let tenants: Vec<&str> = several.iter().map(|it| it.tenant.as_str()).collect();
                    return Ok(Done::Never(format!(
                        "the tenants {} have all authorised the agency; connect location {location} by a link",
                        tenants.join(", ")
                    )));
                }
            },
        };
        self.mint_for(row, agency, &location).await
    }

    /// The agency of the tenant whose location it was before.
    async fn of_old<'a>(
        &self,
        agencies: &'a [AgencyRow],
        location: &LocationId,
    ) -> Result<Option<&'a AgencyRow>, ConnectError> {
        for agency in agencies {
            let known = self
                .parts
                .store
                .connection_of_location(&agency.tenant, &agency.environment, location)
                .await?;
            if known.is_some_and(|known| known.tenant == agency.tenant) {
                return Ok(Some(agency));
            }
        }
        Ok(None)
    }

    async fn mint_for(
        &self,
        row: &InstallRow,
        agency: &AgencyRow,
        location: &LocationId,
    ) -> Result<Done, ConnectError> {
        let registration = self.parts.registrations.find(&row.app).await?;
        let attempt = by_install(agency, self.parts.clock.now());
        let whose = (&agency.id, &agency.company);
        let made = match self.mint_location(&attempt, &registration, whose, location).await {
            Ok(made) => made,
            Err(ConnectError::Ghl(
                error @ (OauthError::NoAnswer { .. }
                | OauthError::BadAnswer { .. }
                | OauthError::LocationInactive { .. }),
            )) => return Ok(Done::Later(error.to_string())),
            Err(error) => return Err(error),
        };
        self.parts.directory.refresh(&self.parts.store).await?;
        if let Err(error) = self.first_read(&made.connection).await {
            return Ok(Done::Well(format!("connected as {}; {error}", made.connection)));
        }
        self.parts.planned.notify_one();
        Ok(Done::Well(format!("connected as {} for tenant {}", made.connection, agency.tenant)))
    }
}

/// Whether what is told happened before the connection was made; GHL tells again for hours what was not answered.
fn is_stale(told: Timestamp, connected_at: Option<Timestamp>) -> bool {
    connected_at.is_some_and(|at| told < at)
}

/// An attempt that nobody's link began.
fn by_install(agency: &AgencyRow, now: Timestamp) -> AuthorizationRow {
    AuthorizationRow {
        id: AuthorizationId::from("install"),
        tenant: agency.tenant.clone(),
        app: agency.app.clone(),
        connection: None,
        scopes: agency.scopes.clone(),
        created_at: now,
        expires_at: now,
        used_at: None,
        ended_at: None,
        outcome: "exchanging".to_owned(),
        step: None,
        status: None,
        detail: None,
        connected: "[]".to_owned(),
    }
}
