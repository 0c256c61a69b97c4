//! Why a connection could not be made or changed: which step, what was said, and how to mend it.

use crate::domain::{AppId, ConnectionId, LocationId, TenantId};
use crate::ghl::OauthError;
use crate::store::StoreError;
use crate::vault::VaultError;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    /// There is no such app.
    #[error("there is no app {0}; apps are registered as [[app]] in the configuration")]
    UnknownApp(AppId),
    /// There is no such connection.
    #[error("there is no connection {0}")]
    UnknownConnection(ConnectionId),
    /// The app can't be authorised.
    #[error("app {0} has no client_id and client_secret; set both under its [[app]] in the configuration")]
    NotRegistered(AppId),
    /// The connection is not made by authorisation.
    #[error("connection {connection} has a {kind} credential, which is not renewed by authorising; {mend}")]
    NotOauth {
        /// Which.
        connection: ConnectionId,
        /// `fixed` or `api-key`.
        kind: String,
        /// What to do.
        mend: &'static str,
    },
    /// The scopes asked for are none.
    #[error("scopes are {0:?}: give GHL's names, separated by spaces, such as contacts.readonly")]
    BadScopes(String),
    /// GHL sent no code.
    #[error("GHL came back without a code: {0}")]
    NoCode(String),
    /// The state is missing, or none of ours.
    #[error("the link's state is missing or unknown; make a new link and open it in one go")]
    UnknownState,
    /// The state was handed out for another app.
    #[error("the link was made for another app than {0}; make a new link")]
    OtherApp(AppId),
    /// The link was used before.
    #[error("the link was used before; each is good for one use, make a new one")]
    StateUsed,
    /// The link is too old.
    #[error("the link was good until {0}; make a new one")]
    StateExpired(String),
    /// GHL gave no tokens.
    #[error(transparent)]
    Ghl(#[from] OauthError),
    /// The location is another tenant's.
    #[error(
        "location {location} is connected for tenant {tenant} (connection {connection}); close that connection first"
    )]
    Taken {
        /// Which location.
        location: LocationId,
        /// Whose it is.
        tenant: TenantId,
        /// Its connection.
        connection: ConnectionId,
    },
    /// The location's connection comes from the configuration.
    #[error(
        "location {location} has the connection {connection} of the configuration; take it out of there first"
    )]
    Configured {
        /// Which location.
        location: LocationId,
        /// Its connection.
        connection: ConnectionId,
    },
    /// Another location was chosen than the one to be reconnected.
    #[error(
        "this link reconnects location {wanted}, but {chosen} was chosen; open the link again and choose {wanted}"
    )]
    OtherLocation {
        /// The connection's.
        wanted: LocationId,
        /// What was chosen instead.
        chosen: String,
    },
    /// The tokens are good, the first real read was not.
    #[error("the tokens are kept, but the first read failed: {0}; it is tried again by itself")]
    FirstRead(String),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl ConnectError {
    /// Which step of connecting failed, for the record.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::NoCode(_) => "consent",
            Self::UnknownState | Self::OtherApp(_) | Self::StateUsed | Self::StateExpired(_) => "state",
            Self::Ghl(error) => error.step(),
            Self::Taken { .. } | Self::Configured { .. } | Self::OtherLocation { .. } => "location",
            Self::FirstRead(_) => "first read",
            Self::Vault(_) | Self::Store(_) => "storing",
            Self::UnknownTenant(_)
            | Self::UnknownApp(_)
            | Self::UnknownConnection(_)
            | Self::NotRegistered(_)
            | Self::NotOauth { .. }
            | Self::BadScopes(_) => "link",
        }
    }

    /// GHL's status, where GHL answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Ghl(error) => error.status(),
            _ => None,
        }
    }
}
