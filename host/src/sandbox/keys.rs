//! Private integration tokens: keys of one location with scopes that do not expire. No webhook is sent for them, and they
//! outlive a restart.

use super::caller::Grant;
use super::refusal::Refusal;
use super::state::State;
use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a private integration token begins with.
pub(super) const PREFIX: &str = "pit-";

/// What is kept of a key: location and scopes.
type Known = BTreeMap<String, (String, Vec<String>)>;

/// All keys and the file they are kept in.
#[derive(Debug)]
pub(super) struct Keys {
    file: PathBuf,
    known: Mutex<Known>,
}

impl Keys {
    /// Reads the keys of a sandbox's folder.
    pub(super) fn open(folder: &FilePath) -> std::io::Result<Self> {
        let file = folder.join("api-keys.json");
        let known =
            if file.exists() { serde_json::from_slice(&std::fs::read(&file)?)? } else { Known::new() };
        Ok(Self { file, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key opens.
    pub(super) fn grant_of(&self, key: &str) -> Option<Grant> {
        let (location, scopes) = self.known().get(key).cloned()?;
        Some(Grant { location, scopes: Some(scopes) })
    }

    fn change(&self, change: impl FnOnce(&mut Known)) -> std::io::Result<()> {
        let mut known = self.known();
        change(&mut known);
        std::fs::write(&self.file, serde_json::to_vec(&*known)?)
    }
}

/// What a key is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    location_id: String,
    /// Space separated.
    scopes: String,
}

/// Makes a key, as a person does in the location's settings.
pub(super) async fn create(
    Extract(state): Extract<Arc<State>>,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let key = format!("{PREFIX}{}", uuid::Uuid::new_v4());
    let scopes = asked.scopes.split_whitespace().map(str::to_owned).collect();
    state.keys.change(|known| drop(known.insert(key.clone(), (asked.location_id, scopes))))?;
    Ok((StatusCode::CREATED, Json(json!({"api_key": key}))))
}

/// Takes a key away.
pub(super) async fn revoke(
    Extract(state): Extract<Arc<State>>,
    Path(key): Path<String>,
) -> Result<StatusCode, Refusal> {
    state.keys.change(|known| drop(known.remove(&key)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a key's scopes, as a person may at any time.
pub(super) async fn set_scopes(
    Extract(state): Extract<Arc<State>>,
    Path(key): Path<String>,
    Json(asked): Json<NewKey>,
) -> Result<StatusCode, Refusal> {
    let scopes = asked.scopes.split_whitespace().map(str::to_owned).collect();
    state.keys.change(|known| drop(known.insert(key, (asked.location_id, scopes))))?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_outlive_a_restart_until_they_are_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        keys.change(|known| drop(known.insert("pit-1".into(), ("l".into(), vec!["a".into()])))).unwrap();
        let again = Keys::open(folder.path()).unwrap();
        let grant = again.grant_of("pit-1").unwrap();
        assert_eq!((grant.location.as_str(), grant.scopes), ("l", Some(vec!["a".to_owned()])));
        again.change(|known| drop(known.remove("pit-1"))).unwrap();
        assert!(Keys::open(folder.path()).unwrap().grant_of("pit-1").is_none());
    }
}
