//! Renewing tokens: one refresh at a time for each owner, marked in the database before GHL is asked, and what is left
//! when a refresh token is lost.
//!
//! A refresh token is good for one use. So the mark is committed before the call and the new pair before it is used; a
//! process that dies in between leaves the mark, and whoever comes next tries the old refresh token once, then has the
//! agency mint a token or GHL give a code to an app that is still installed, and only then calls for a person.

use super::connect_error::ConnectError;
use super::credentials::Credentials;
use super::registrations::Registration;
use super::sealed::{self, Opened};
use crate::domain::{AgencyId, CompanyId, ConnectionId, Timestamp, TokenOwner};
use crate::ghl::{OauthError, TokenClass, TokenPair};
use crate::store::{CredentialRow, RefreshFailure, RefreshMark, StoreError};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Machine time after which another process's mark is one of a dead process; longer than any call may take.
const LEASE: Duration = Duration::from_secs(90);
/// Machine time between two looks at another process's refresh.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Tries of storing a new pair before it is given up.
const STORE_TRIES: u32 = 8;
/// A token that GHL does not take although it is younger is not renewed at once: the fault is elsewhere.
const RESPITE: Duration = Duration::from_secs(60);
/// The bound of the first pause after a failure; each later one's is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Why tokens are to be renewed.
#[derive(Clone, Copy)]
pub(super) enum Renewal<'a> {
    /// They come to their end.
    Due,
    /// GHL did not take this one.
    Rejected(&'a SecretString),
}

/// Why they were not.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// What is stored can't be used.
    #[error("{0}")]
    Unusable(String),
    /// The app can't be used.
    #[error(transparent)]
    App(#[from] ConnectError),
}

/// Whose tokens they are and what else could give them.
struct Holder {
    registration: Registration,
    class: TokenClass,
    agency: Option<(AgencyId, CompanyId)>,
}

/// How the way through all that is left ended, other than with a pair.
enum Stop {
    /// Try again later.
    Later(OauthError),
    /// Nothing is left; a person has to authorise anew.
    Person(OauthError),
    /// Somebody else renewed them meanwhile.
    Renewed,
}

impl Credentials {
    /// Renews an owner's tokens unless somebody else has. When it returns well the row is as good as it gets for now;
    /// the caller reads it anew.
    pub(super) fn renew<'a>(
        &'a self,
        owner: &'a TokenOwner,
        why: Renewal<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<(), RenewError>> + Send + 'a>> {
        // Boxed, since an agency's tokens are renewed on the way to a location's.
        Box::pin(async move {
            let turn = self.turn(owner);
            let _turn = turn.lock().await;
            self.renew_in_turn(owner, why).await
        })
    }

    async fn renew_in_turn(&self, owner: &TokenOwner, why: Renewal<'_>) -> Result<(), RenewError> {
        let (store, clock) = (&self.parts.store, &self.parts.clock);
        loop {
            let Some(row) = store.credential(owner).await? else { return Ok(()) };
            let now = clock.now();
            let opened = match sealed::open(&self.parts.vault, &row) {
                Ok(opened) => opened,
                Err(why) => {
                    let later = now.plus(LONGEST_PAUSE);
                    self.fail(owner, &row, ("storing", None, why.clone()), Some(later)).await?;
                    return Err(RenewError::Unusable(why));
                }
            };
            if row.expires_at.is_none() || !is_needed(&row, &opened, why, now) {
                return Ok(());
            }
            let mark = RefreshMark {
                owner: owner.clone(),
                version: row.version,
                by: self.process.clone(),
                at: now,
                stale_before: now.minus(clock.product_span(LEASE)),
            };
            if store.begin_refresh(mark).await? {
                crate::config::failpoint("token-refreshing");
                return self.marked(owner, CredentialRow { version: row.version + 1, ..row }, opened).await;
            }
            // Another process is at it, or was faster.
            clock.machine_sleep(LOOK_AGAIN).await;
        }
    }

    /// Under our mark: asks GHL, and stores what came of it.
    async fn marked(&self, owner: &TokenOwner, row: CredentialRow, opened: Opened) -> Result<(), RenewError> {
        let holder = match self.holder(owner).await {
            Ok(holder) => holder,
            Err(error) => {
                let failed = (error.step(), None, error.to_string());
                self.fail(owner, &row, failed, Some(self.pause(row.failures))).await?;
                return Err(error.into());
            }
        };
        let given = self.give(owner, &holder, &row, &opened).await;
        let now = self.parts.clock.now();
        let outcome = match given {
            Ok(pair) => {
                crate::config::failpoint("token-answered");
                self.keep(owner, row, &pair).await?;
                "renewed"
            }
            Err(Stop::Renewed) => "renewed-elsewhere",
            Err(Stop::Later(error)) => {
                let at = match error {
                    // The same refresh token works again when the location does.
                    OauthError::LocationInactive { .. } => now.plus(LONGEST_PAUSE / 3),
                    _ => self.pause(row.failures),
                };
                tracing::warn!(owner = owner.as_str(), %error, "tokens are not renewed yet; the old ones stay");
                self.fail(owner, &row, failed(&error), Some(at)).await?;
                "later"
            }
            Err(Stop::Person(error)) => {
                self.fail(owner, &row, failed(&error), None).await?;
                self.call_for_a_person(owner, &holder.class, &error).await?;
                "reconnect-needed"
            }
        };
        metrics::counter!("mapwright_token_renewals_total", "outcome" => outcome).increment(1);
        Ok(())
    }

    /// All that is left, one after the other: the refresh token, the agency, the code for an installed app.
    async fn give(
        &self,
        owner: &TokenOwner,
        holder: &Holder,
        row: &CredentialRow,
        opened: &Opened,
    ) -> Result<TokenPair, Stop> {
        let (oauth, app) = (&self.parts.oauth, &holder.registration.oauth);
        if let Some(token) = &opened.refresh_token {
            match oauth.refresh(app, token, &holder.class).await {
                Ok(pair) => return Ok(pair),
                Err(error @ OauthError::DeadGrant { .. }) => {
                    tracing::warn!(owner = owner.as_str(), %error, "the refresh token is not taken; looking for another way");
                    let known = self.parts.store.credential(owner).await;
                    if known.is_ok_and(|known| known.is_none_or(|known| known.version != row.version)) {
                        return Err(Stop::Renewed);
                    }
                }
                // While the access token still works a refusal may be mended in the app's settings.
                Err(error @ OauthError::Refused { .. }) if is_alive(row, self.parts.clock.now()) => {
                    return Err(Stop::Later(error));
                }
                Err(OauthError::Refused { .. }) => {}
                Err(error) => return Err(Stop::Later(error)),
            }
        }
        if let Some((agency, company)) = &holder.agency {
            match self.mint(holder, (agency, company)).await {
                Ok(pair) => return Ok(pair),
                Err(Stop::Person(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        let person = |error: OauthError| match error {
            OauthError::NoAnswer { .. }
            | OauthError::BadAnswer { .. }
            | OauthError::LocationInactive { .. } => Stop::Later(error),
            OauthError::DeadGrant { .. } | OauthError::Refused { .. } => Stop::Person(error),
        };
        let code = oauth.reconnect(app, &holder.class).await.map_err(person)?;
        let pair = oauth.exchange(app, &code).await.map_err(person)?;
        if pair.class == holder.class {
            Ok(pair)
        } else {
            let why = "the code's tokens are another location's".to_owned();
            Err(Stop::Person(OauthError::BadAnswer { step: "reconnect", why }))
        }
    }

    /// Has an agency mint a location's token.
    async fn mint(&self, holder: &Holder, agency: (&AgencyId, &CompanyId)) -> Result<TokenPair, Stop> {
        let TokenClass::Location(location) = &holder.class else {
            let why = "only locations' tokens are minted".to_owned();
            return Err(Stop::Person(OauthError::BadAnswer { step: "location token", why }));
        };
        let token = match self.agency_token(agency.0).await {
            Ok(token) => token,
            Err(why) => return Err(Stop::Person(OauthError::NoAnswer { step: "location token", why })),
        };
        let given =
            self.parts.oauth.location_token(&holder.registration.oauth, (agency.1, &token), location).await;
        given.map_err(|error| match error {
            OauthError::DeadGrant { .. } | OauthError::Refused { .. } => Stop::Person(error),
            OauthError::NoAnswer { .. }
            | OauthError::BadAnswer { .. }
            | OauthError::LocationInactive { .. } => Stop::Later(error),
        })
    }

    /// An agency's access token, renewed if it has ended; why there is none.
    pub(super) async fn agency_token(&self, agency: &AgencyId) -> Result<SecretString, String> {
        let owner = TokenOwner::from(agency);
        for tried in [false, true] {
            let row = self.parts.store.credential(&owner).await.map_err(|error| error.to_string())?;
            let row = row.ok_or_else(|| format!("agency {agency} has no token; authorise it anew"))?;
            if is_alive(&row, self.parts.clock.now()) {
                return sealed::open(&self.parts.vault, &row).map(|opened| opened.access_token);
            }
            if !tried {
                self.renew(&owner, Renewal::Due).await.map_err(|error| error.to_string())?;
            }
        }
        Err(format!("the token of agency {agency} has ended and is not renewed yet"))
    }

    async fn holder(&self, owner: &TokenOwner) -> Result<Holder, ConnectError> {
        let id = ConnectionId::from(owner.as_str());
        if let Some(connection) = self.parts.store.connection_detail(&id).await? {
            let app = connection.app.ok_or_else(|| ConnectError::UnknownConnection(id.clone()))?;
            let registration = self.parts.registrations.find(&app.into()).await?;
            let agency = connection.agency.zip(connection.company.map(CompanyId::from));
            return Ok(Holder { registration, class: TokenClass::Location(connection.location), agency });
        }
        let agency = self.parts.store.agency(&AgencyId::from(owner.as_str())).await?;
        let agency = agency.ok_or(ConnectError::UnknownConnection(id))?;
        let registration = self.parts.registrations.find(&agency.app).await?;
        Ok(Holder { registration, class: TokenClass::Company(agency.company), agency: None })
    }

    /// Stores a new pair; it is used by nobody before it is stored.
    async fn keep(&self, owner: &TokenOwner, row: CredentialRow, pair: &TokenPair) -> Result<(), RenewError> {
        let times = (self.parts.clock.now(), self.parts.refresh_ahead);
        let whose = (owner.clone(), row.tenant);
        let fresh = sealed::fresh(&self.parts.vault, whose, pair, times, row.version)
            .map_err(|error| RenewError::Unusable(error.to_string()))?;
        if !self.put(fresh).await? {
            // A person connected anew while we asked: that pair is the newer one.
            return Ok(());
        }
        if matches!(pair.class, TokenClass::Company(_)) || pair.scopes.is_empty() {
            return Ok(());
        }
        let id = ConnectionId::from(owner.as_str());
        self.parts.store.correct_scopes(&id, Some(pair.scopes.clone()), None).await?;
        Ok(())
    }

    /// Stores a pair that GHL gives only once, so not just at the first try.
    async fn put(&self, fresh: CredentialRow) -> Result<bool, StoreError> {
        for _ in 1..STORE_TRIES {
            match self.parts.store.put_credential(fresh.clone()).await {
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a new pair of tokens could not be stored; trying again"
                    );
                    self.parts.clock.machine_sleep(LOOK_AGAIN).await;
                }
                done => return done,
            }
        }
        self.parts.store.put_credential(fresh).await
    }

    async fn fail(
        &self,
        owner: &TokenOwner,
        row: &CredentialRow,
        (step, status, detail): (&str, Option<u16>, String),
        refresh_at: Option<Timestamp>,
    ) -> Result<(), RenewError> {
        let failure = serde_json::json!({
            "at": self.parts.clock.now().to_rfc3339(), "step": step, "status": status, "detail": detail,
        });
        let failed = RefreshFailure {
            owner: owner.clone(),
            version: row.version,
            failure: failure.to_string(),
            refresh_at,
        };
        self.parts.store.fail_refresh(failed).await?;
        Ok(())
    }

    /// The owner waits for a person; what goes out through it waits too, and nothing that comes in is lost.
    async fn call_for_a_person(
        &self,
        owner: &TokenOwner,
        class: &TokenClass,
        error: &OauthError,
    ) -> Result<(), RenewError> {
        let store = &self.parts.store;
        if matches!(class, TokenClass::Company(_)) {
            store.move_agency(&AgencyId::from(owner.as_str()), "reconnect-needed").await?;
        } else {
            let id = ConnectionId::from(owner.as_str());
            store.move_connection(&id, &["active", "connecting"], "reconnect-needed").await?;
            self.parts.directory.refresh(store).await?;
        }
        metrics::counter!("mapwright_reconnects_needed_total").increment(1);
        tracing::error!(
            owner = owner.as_str(),
            %error,
            "{owner} has lost its tokens and waits for a person: GET /v1/connections/{owner} has the link, \
             `mapwright connection reconnect {owner}` prints it"
        );
        Ok(())
    }

    /// When to try again after so many failures: full jitter under a bound that doubles.
    fn pause(&self, failures: i64) -> Timestamp {
        let doublings = u32::try_from(failures.clamp(0, 16)).unwrap_or(0);
        let bound = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        self.parts.clock.now().plus(bound.mul_f64(rand::rng().random_range(0.2..1.0)))
    }
}

fn is_alive(row: &CredentialRow, now: Timestamp) -> bool {
    row.expires_at.is_none_or(|end| end > now)
}

fn is_needed(row: &CredentialRow, opened: &Opened, why: Renewal<'_>, now: Timestamp) -> bool {
    match why {
        Renewal::Due => row.refresh_at.is_some_and(|at| at <= now),
        Renewal::Rejected(token) => {
            let young = row.issued_at.is_some_and(|at| now.since(at) < RESPITE);
            let failed = row.failures > 0 && row.refresh_at.is_none_or(|at| at > now);
            opened.access_token.expose_secret() == token.expose_secret() && !young && !failed
        }
    }
}

fn failed(error: &OauthError) -> (&'static str, Option<u16>, String) {
    (error.step(), error.status(), error.said().to_owned())
}
