//! Tokens as they are sealed, and the row that holds them.

use crate::domain::{TenantId, Timestamp, TokenOwner};
use crate::ghl::TokenPair;
use crate::store::CredentialRow;
use crate::vault::{Vault, VaultError};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

/// What is sealed.
#[derive(Deserialize)]
pub(super) struct Opened {
    pub(super) access_token: SecretString,
    #[serde(default)]
    pub(super) refresh_token: Option<SecretString>,
}

#[derive(Serialize)]
struct Plain<'a> {
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// Seals tokens for their owner.
pub(super) fn seal(
    vault: &Vault,
    owner: &TokenOwner,
    access: &SecretString,
    refresh: Option<&SecretString>,
) -> Result<Vec<u8>, VaultError> {
    let plain = Plain {
        access_token: access.expose_secret(),
        refresh_token: refresh.map(|token| token.expose_secret()),
    };
    let text = Zeroizing::new(serde_json::to_vec(&plain).unwrap_or_default());
    vault.seal(owner.as_str(), &text)
}

/// Opens an owner's tokens; why not, in words that name no secret.
pub(super) fn open(vault: &Vault, row: &CredentialRow) -> Result<Opened, String> {
    let text = vault.unseal(row.owner.as_str(), &row.sealed).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|_broken| "what is stored can't be read; connect anew".to_owned())
}

/// The row of a fresh pair, to be stored over that version.
pub(super) fn fresh(
    vault: &Vault,
    (owner, tenant): (TokenOwner, TenantId),
    pair: &TokenPair,
    (now, ahead): (Timestamp, Duration),
    version: i64,
) -> Result<CredentialRow, VaultError> {
    let sealed = seal(vault, &owner, &pair.access_token, pair.refresh_token.as_ref())?;
    let mut row = CredentialRow::lasting(owner, tenant, sealed, version);
    row.issued_at = Some(now);
    row.expires_at = Some(now.plus(pair.expires_in));
    row.refresh_at = Some(now.plus(refresh_after(pair.expires_in, ahead)));
    Ok(row)
}

/// When a token of that life is refreshed: ahead of its end, by half as much again at the most, so that not all are
/// refreshed at once; never before half of its life.
fn refresh_after(life: Duration, ahead: Duration) -> Duration {
    let ahead = ahead.mul_f64(rand::rng().random_range(1.0..1.5));
    life.saturating_sub(ahead.min(life / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refreshed_ahead_of_their_end_and_not_all_at_once() {
        let (day, ahead) = (Duration::from_secs(86_400), Duration::from_secs(600));
        let moments: Vec<Duration> = (0..50).map(|_| refresh_after(day, ahead)).collect();
        assert!(moments.iter().all(|at| *at <= day - ahead && *at >= day - ahead.mul_f64(1.5)));
        assert!(moments.iter().any(|at| at != moments.first().unwrap()));
        assert_eq!(refresh_after(Duration::from_secs(100), ahead), Duration::from_secs(50));
    }

    #[test]
    fn tokens_open_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let (owner, tenant) = (TokenOwner::from("cn_1"), TenantId::from("t"));
        let sealed = seal(&vault, &owner, &SecretString::from("a"), Some(&SecretString::from("r"))).unwrap();
        let row = CredentialRow::lasting(owner, tenant.clone(), sealed.clone(), 0);
        let opened = open(&vault, &row).unwrap();
        assert_eq!(opened.access_token.expose_secret(), "a");
        assert_eq!(opened.refresh_token.unwrap().expose_secret(), "r");
        assert!(open(&vault, &CredentialRow::lasting(TokenOwner::from("cn_2"), tenant, sealed, 0)).is_err());
    }
}
