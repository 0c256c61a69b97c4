//! Every id is its own type, so that a tenant can't be passed where a location is meant.
//!
//! Our own ids carry a prefix (`tn_`, `cn_` …); ids that GHL or Rankr gave are passed through unchanged.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident $(= $prefix:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes the id as it is written elsewhere; ids are opaque and never re-shaped.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(std::sync::Arc::from(text.as_ref()))
            }

            $(
                /// A new id of ours: the prefix and a time-ordered UUID.
                #[must_use]
                pub fn generate() -> Self {
                    Self::new(format!(concat!($prefix, "{}"), uuid::Uuid::now_v7().simple()))
                }
            )?

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    )*};
}

text_id! {
    /// A Rankr customer.
    TenantId = "tn_";
    /// A tenant's link to one GHL location.
    ConnectionId = "cn_";
    /// A tenant's authorisation of a whole GHL agency.
    AgencyId = "ag_";
    /// An attempt to connect: a link that was handed out.
    AuthorizationId = "au_";
    /// Whose tokens: the id of a connection or of an agency.
    TokenOwner;
    /// A tenant's use of a plugin.
    AssignmentId = "as_";
    /// A version with a configuration and grants, in use by an assignment or once in use.
    ActivationId = "ac_";
    /// One call of one plugin version on one event.
    RunId = "rn_";
    /// A key of the REST API.
    KeyId = "ky_";
    /// One registration with GHL; chosen by the operator, part of the webhook path.
    AppId;
    /// A GHL location (sub-account).
    LocationId;
    /// A GHL agency.
    CompanyId;
    /// A GHL object, whatever its kind.
    GhlId;
    /// A Rankr object, whatever its kind.
    RankrId;
    /// A plugin's name, as its descriptor states it.
    PluginName;
    /// A plugin version: `sha256:` and the hex hash of the uploaded bytes.
    VersionId;
    /// The unit of order: `contact:ID`, else `object:KIND:ID`, else `connection:ID`.
    Lane;
}

/// 16 bytes that are the same for the same parts: what tells a delivery that came before from a new one.
#[must_use]
pub fn dedupe_key(parts: &[&str]) -> [u8; 16] {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut hash = Context::new(&SHA256);
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hash.update(b"\0");
        }
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().first_chunk::<16>().copied().unwrap_or_default()
}

impl From<&ConnectionId> for TokenOwner {
    fn from(id: &ConnectionId) -> Self {
        Self::new(id.as_str())
    }
}

impl From<&AgencyId> for TokenOwner {
    fn from(id: &AgencyId) -> Self {
        Self::new(id.as_str())
    }
}

impl Lane {
    /// The lane of a contact.
    #[must_use]
    pub fn of_contact(connection: &ConnectionId, contact: &GhlId) -> Self {
        Self::new(format!("{connection}/contact:{contact}"))
    }

    /// Whether it is a contact's lane.
    #[must_use]
    pub fn is_of_contact(&self) -> bool {
        self.as_str().contains("/contact:")
    }
}

/// The place of an event in the order of ingest; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub i64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
