//! What is kept of agencies, installs and tokens: every change is an entry of the journal, and nothing else changes it,
//! so that a restart finds it as it was. Tokens are kept as hashes.

use super::state::App;
use crate::domain::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The agency of locations that nobody has put into one.
pub(super) const DEFAULT_COMPANY: &str = "cmpSandbox0000000001";

/// A location of an agency.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Location {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    /// Whether it is active; tokens of others are not refreshed.
    #[serde(default = "yes")]
    pub(super) active: bool,
    /// `live`, or `sandbox` for a sandbox account with its lower limits.
    #[serde(default = "live")]
    pub(super) plan: String,
}

fn yes() -> bool {
    true
}

fn live() -> String {
    "live".to_owned()
}

/// An agency.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agency {
    pub(super) company_id: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) locations: Vec<Location>,
}

/// Whose a token is: a location's where one is named, else a whole agency's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) company_id: String,
    pub(super) location_id: Option<String>,
}

/// A pair that was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Issued {
    /// `authorization_code`, `refresh_token` or `location_token`.
    pub(super) grant: String,
    pub(super) app_id: String,
    #[serde(flatten)]
    pub(super) place: Place,
    /// Space separated.
    pub(super) scopes: String,
    /// The access token's hash.
    pub(super) access: String,
    /// The refresh token's hash.
    pub(super) refresh: Option<String>,
    /// When the access token ends, product time.
    pub(super) expires_at: Timestamp,
    /// The hash of the refresh token that was used up for it; its access token is dead too.
    pub(super) used: Option<String>,
}

/// A change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Change {
    /// An app was registered, or anew.
    App { app: App },
    /// An agency was set.
    Agency { agency: Agency },
    /// An app was installed at a location, or for a whole agency.
    Installed {
        app_id: String,
        #[serde(flatten)]
        place: Place,
    },
    /// An app was taken off.
    Uninstalled {
        app_id: String,
        #[serde(flatten)]
        place: Place,
    },
    /// A pair was given.
    Issued(Issued),
    /// Access tokens were made to end, and with `all` refresh tokens were revoked as well.
    Revoked {
        #[serde(flatten)]
        place: Place,
        all: bool,
    },
    /// A token that does not end was given by control.
    Fixed { location_id: String, scopes: Option<String>, access: String },
}

/// A change and its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InstallEntry {
    /// When, product time, RFC 3339.
    pub(super) at: String,
    #[serde(flatten)]
    pub(super) change: Change,
}

/// What an authorization code opens; codes are not kept over a restart.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) app_id: String,
    pub(super) place: Place,
    pub(super) scopes: String,
    pub(super) redirect_uri: String,
    pub(super) approved: Vec<String>,
    pub(super) ends: Timestamp,
}

/// Agencies, installs, tokens.
#[derive(Debug, Default)]
pub(super) struct Installs {
    pub(super) apps: Vec<App>,
    pub(super) agencies: BTreeMap<String, Agency>,
    /// By app: at locations, and for whole agencies.
    installed: BTreeSet<(String, Place)>,
    /// Pairs by the hash of their access token.
    access: HashMap<String, Issued>,
    /// Access tokens' hashes by those of their refresh tokens, which are good for one use.
    refresh: HashMap<String, Issued>,
    pub(super) codes: HashMap<String, Code>,
}

/// The hash under which a secret is kept.
pub(super) fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

impl Installs {
    /// Takes a change over.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::App { app } => {
                self.apps.retain(|known| known.app_id != app.app_id);
                self.apps.push(app);
            }
            Change::Agency { agency } => {
                self.agencies.insert(agency.company_id.clone(), agency);
            }
            Change::Installed { app_id, place } => {
                self.installed.insert((app_id, place));
            }
            Change::Uninstalled { app_id, place } => {
                let gone = |known: &Place| covers(&place, known);
                self.installed.retain(|(app, known)| *app != app_id || !gone(known));
                self.access.retain(|_, pair| pair.app_id != app_id || !gone(&pair.place));
                self.refresh.retain(|_, pair| pair.app_id != app_id || !gone(&pair.place));
            }
            Change::Issued(pair) => {
                if let Some(old) = pair.used.as_ref().and_then(|used| self.refresh.remove(used)) {
                    self.access.remove(&old.access);
                }
                if let Some(refresh) = &pair.refresh {
                    self.refresh.insert(refresh.clone(), pair.clone());
                }
                self.access.insert(pair.access.clone(), pair);
            }
            Change::Revoked { place, all } => {
                self.access.retain(|_, pair| pair.place != place);
                if all {
                    self.refresh.retain(|_, pair| pair.place != place);
                }
            }
            Change::Fixed { .. } => {}
        }
    }

    /// The pair of an access token that has not ended.
    pub(super) fn pair_of(&self, access_token: &str, now: Timestamp) -> Option<&Issued> {
        self.access.get(&hash(access_token)).filter(|pair| pair.expires_at > now)
    }

    /// The pair of a refresh token that was not used.
    pub(super) fn refreshable(&self, refresh_token: &str) -> Option<&Issued> {
        self.refresh.get(&hash(refresh_token))
    }

    /// The app of a client id.
    pub(super) fn app_of_client(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| !client_id.is_empty() && app.client_id == client_id)
    }

    /// The app of GHL's id.
    pub(super) fn app(&self, app_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.app_id == app_id)
    }

    /// The agency that a location belongs to.
    pub(super) fn company_of(&self, location: &str) -> String {
        let of = |agency: &&Agency| agency.locations.iter().any(|known| known.id == location);
        self.agencies
            .values()
            .find(of)
            .map_or_else(|| DEFAULT_COMPANY.to_owned(), |agency| agency.company_id.clone())
    }

    pub(super) fn location(&self, id: &str) -> Option<&Location> {
        self.agencies.values().flat_map(|agency| &agency.locations).find(|location| location.id == id)
    }

    /// Whether a location is active; those nobody speaks of are.
    pub(super) fn is_active(&self, place: &Place) -> bool {
        let location = place.location_id.as_deref().and_then(|id| self.location(id));
        location.is_none_or(|location| location.active)
    }

    /// Whether an app is installed there, itself or with the whole agency's locations.
    pub(super) fn is_installed(&self, app_id: &str, place: &Place) -> bool {
        self.installed.contains(&(app_id.to_owned(), place.clone()))
    }

    /// Whether an app hears of a location's changes.
    pub(super) fn hears(&self, app: &App, location: &str) -> bool {
        app.locations.iter().any(|known| known == location)
            || self
                .installed
                .iter()
                .any(|(id, place)| *id == app.app_id && place.location_id.as_deref() == Some(location))
    }

    /// Locations of an agency at which an app is installed.
    pub(super) fn installed_locations(&self, app_id: &str, company: &str) -> Vec<String> {
        self.installed
            .iter()
            .filter(|(id, place)| id == app_id && place.company_id == company)
            .filter_map(|(_, place)| place.location_id.clone())
            .collect()
    }
}

/// Whether what happens to the one happens to the other: to itself, and with a whole agency to its locations.
fn covers(place: &Place, other: &Place) -> bool {
    place.company_id == other.company_id
        && (place.location_id.is_none() || place.location_id == other.location_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(location: Option<&str>) -> Place {
        Place { company_id: "cmp".into(), location_id: location.map(str::to_owned) }
    }

    fn pair(access: &str, refresh: &str, used: Option<&str>) -> Change {
        Change::Issued(Issued {
            grant: "refresh_token".into(),
            app_id: "app".into(),
            place: place(Some("l")),
            scopes: "contacts.readonly".into(),
            access: hash(access),
            refresh: Some(hash(refresh)),
            expires_at: Timestamp::from_millis(1000),
            used: used.map(hash),
        })
    }

    #[test]
    fn a_refresh_token_is_good_for_one_use_and_takes_its_pair_along() {
        let mut installs = Installs::default();
        installs.apply(pair("a1", "r1", None));
        assert!(installs.pair_of("a1", Timestamp::from_millis(999)).is_some());
        assert!(installs.pair_of("a1", Timestamp::from_millis(1000)).is_none());
        installs.apply(pair("a2", "r2", Some("r1")));
        assert!(installs.refreshable("r1").is_none() && installs.refreshable("r2").is_some());
        assert!(installs.pair_of("a1", Timestamp::from_millis(0)).is_none());
        assert!(installs.pair_of("a2", Timestamp::from_millis(0)).is_some());
    }

    #[test]
    fn uninstalling_an_agency_takes_its_locations_along_and_entries_are_read_back() {
        let mut installs = Installs::default();
        let entries = [
            Change::Installed { app_id: "app".into(), place: place(Some("l")) },
            Change::Installed { app_id: "app".into(), place: place(None) },
            pair("a1", "r1", None),
            Change::Uninstalled { app_id: "app".into(), place: place(None) },
        ];
        for (number, change) in entries.into_iter().enumerate() {
            let text = serde_json::to_string(&InstallEntry { at: String::new(), change }).unwrap();
            installs.apply(serde_json::from_str::<InstallEntry>(&text).unwrap().change);
            assert_eq!(installs.is_installed("app", &place(Some("l"))), number < 3, "{text}");
        }
        assert!(installs.refreshable("r1").is_none());
    }
}
