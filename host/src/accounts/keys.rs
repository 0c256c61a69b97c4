//! Keys: made, shown once, kept as their hash, found again, revoked.

use super::actor::{Actor, Role};
use crate::domain::{Clock, KeyId, TenantId, Timestamp};
use crate::store::{ApiKeyRow, AuditRow, Store, StoreError};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How a key begins, so that people and secret scanners know one when they see it.
const PREFIX: &str = "mw_";
/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// Longest name of a key, characters.
const LONGEST_NAME: usize = 100;
/// How exactly it is known when a key was last used; each note is a write.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// Why something about keys could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// What was asked for can't be.
    #[error("{0}")]
    Invalid(String),
    /// There is no such tenant.
    #[error("there is no tenant {0}; make it first")]
    NoTenant(TenantId),
    /// There is no such key.
    #[error("there is no key {0}")]
    NoKey(KeyId),
    /// The operating system gave no randomness.
    #[error("no randomness could be had")]
    Random,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// The role's word.
    pub role: String,
    /// The only tenant it reaches.
    pub tenant: Option<TenantId>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
}

/// A key as it is shown, once.
#[derive(Debug)]
pub struct NewSecret {
    /// What is kept of it.
    pub row: ApiKeyRow,
    /// Itself.
    pub key: SecretString,
}

type Hash = [u8; 32];

struct Inner {
    store: Store,
    clock: Clock,
    host_key: Option<Hash>,
    local_key: Option<Hash>,
    touched: Mutex<HashMap<KeyId, Timestamp>>,
}

/// The keeper of keys. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

impl Accounts {
    /// A keeper over the store; `host_key` is the configuration's, empty: none.
    #[must_use]
    pub fn new(store: Store, clock: Clock, host_key: &SecretString) -> Self {
        let host_key = host_key.expose_secret();
        let host_key = (!host_key.is_empty()).then(|| hash_of(host_key));
        Self(Arc::new(Inner { store, clock, host_key, local_key: None, touched: Mutex::default() }))
    }

    /// The same, with a key that this process alone knows, for the command line at the database itself.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn with_local_key(
        store: Store,
        clock: Clock,
        host_key: &SecretString,
    ) -> Result<(Self, SecretString), AccountError> {
        let key = random_key()?;
        let plain = Self::new(store.clone(), clock.clone(), host_key);
        let inner = Inner {
            store,
            clock,
            host_key: plain.0.host_key,
            local_key: Some(hash_of(key.expose_secret())),
            touched: Mutex::default(),
        };
        Ok((Self(Arc::new(inner)), key))
    }

    /// Who shows this key; none: nobody we know, or not any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn actor(&self, given: &str) -> Result<Option<Actor>, StoreError> {
        let hash = hash_of(given);
        let is = |known: &Option<Hash>| known.is_some_and(|known| bool::from(known.ct_eq(&hash)));
        if is(&self.0.host_key) {
            return Ok(Some(Actor::host_key()));
        }
        if is(&self.0.local_key) {
            return Ok(Some(Actor::local()));
        }
        if !given.starts_with(PREFIX) {
            return Ok(None);
        }
        let Some(row) = self.0.store.api_key_by_hash(&hash).await? else { return Ok(None) };
        let now = self.0.clock.now();
        if row.revoked_at.is_some() || row.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let Some(role) = Role::parse(&row.role) else { return Ok(None) };
        self.touch(&row, now).await;
        Ok(Some(Actor::key(row.id, role, row.tenant)))
    }

    /// Notes that a key is used, not more often than it is worth a write.
    async fn touch(&self, row: &ApiKeyRow, now: Timestamp) {
        {
            let mut touched = self.0.touched.lock().unwrap_or_else(PoisonError::into_inner);
            let last = touched.get(&row.id).copied().or(row.last_used_at);
            if last.is_some_and(|last| now.since(last) < TOUCH_EVERY && last <= now) {
                return;
            }
            touched.insert(row.id.clone(), now);
        }
        if let Err(error) = self.0.store.touch_api_key(&row.id, now).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, key.id = %row.id, "could not note when the key {} was used", row.id);
        }
    }

    /// Makes a key; it is shown here and never again.
    ///
    /// # Errors
    /// [`AccountError`], saying what is wrong with what was asked for.
    pub async fn create(
        &self,
        id: KeyId,
        new: NewKey,
        audit: Option<AuditRow>,
    ) -> Result<NewSecret, AccountError> {
        let invalid = |what: String| Err(AccountError::Invalid(what));
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return invalid(format!(
                "name: give 1 to {LONGEST_NAME} characters that say what the key is for"
            ));
        }
        let Some(role) = Role::parse(&new.role) else {
            let known: Vec<_> = Role::ALL.iter().map(|role| role.word()).collect();
            return invalid(format!("role is {:?}: give one of {}", new.role, known.join(", ")));
        };
        if role == Role::Owner && new.tenant.is_some() {
            return invalid(
                "an owner's key opens everything: leave tenant out, or choose operator".to_owned(),
            );
        }
        let now = self.0.clock.now();
        if new.expires_at.is_some_and(|at| at <= now) {
            return invalid("expires_at is past: give a later moment, or leave it out".to_owned());
        }
        if let Some(tenant) = &new.tenant
            && self.0.store.tenant(tenant).await?.is_none()
        {
            return Err(AccountError::NoTenant(tenant.clone()));
        }
        let key = random_key()?;
        let row = ApiKeyRow {
            id,
            name: name.to_owned(),
            role: role.word().to_owned(),
            tenant: new.tenant,
            hash: hash_of(key.expose_secret()).to_vec(),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        self.0.store.put_api_key(row.clone(), audit).await?;
        Ok(NewSecret { row, key })
    }

    /// Revokes a key; from the next request on it opens nothing.
    ///
    /// # Errors
    /// [`AccountError::NoKey`], or when the store fails.
    pub async fn revoke(&self, id: &KeyId, audit: Option<AuditRow>) -> Result<ApiKeyRow, AccountError> {
        let known = self.0.store.api_key(id).await?;
        let mut row = known.ok_or_else(|| AccountError::NoKey(id.clone()))?;
        let now = self.0.clock.now();
        self.0.store.revoke_api_key(id, now, audit).await?;
        row.revoked_at.get_or_insert(now);
        Ok(row)
    }

    /// A page of keys, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, after: &str, limit: i64) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.0.store.list_api_keys(after, limit).await
    }
}

fn hash_of(key: &str) -> Hash {
    digest(&SHA256, key.as_bytes()).as_ref().first_chunk::<32>().copied().unwrap_or_default()
}

fn random_key() -> Result<SecretString, AccountError> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; KEY_BYTES]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_unspecified| AccountError::Random)?;
    Ok(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreSettings, TenantRow};

    const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    struct Bench {
        accounts: Accounts,
        clock: Clock,
        store: Store,
        _folder: tempfile::TempDir,
    }

    async fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        let clock = Clock::manual(START);
        let tenant =
            TenantRow { id: "t".to_owned(), name: "T".to_owned(), state: "active".to_owned(), created_at: 0 };
        store.put_tenant(tenant).await.unwrap();
        let host_key = SecretString::from("the-host-key-of-configuration");
        let accounts = Accounts::new(store.clone(), clock.clone(), &host_key);
        Bench { accounts, clock, store, _folder: folder }
    }

    fn new_key(role: &str, tenant: Option<&str>) -> NewKey {
        NewKey {
            name: "for a test".to_owned(),
            role: role.to_owned(),
            tenant: tenant.map(TenantId::from),
            expires_at: None,
        }
    }

    async fn make(bench: &Bench, new: NewKey) -> NewSecret {
        bench.accounts.create(KeyId::generate(), new, None).await.unwrap()
    }

    #[tokio::test]
    async fn a_key_opens_as_its_role_and_only_its_hash_is_kept() {
        let bench = bench().await;
        let made = make(&bench, new_key("viewer", Some("t"))).await;
        let key = made.key.expose_secret();
        assert!(key.starts_with("mw_") && key.len() == 46, "{}", key.len());
        let actor = bench.accounts.actor(key).await.unwrap().unwrap();
        assert_eq!((actor.role(), actor.tenant()), (Role::Viewer, Some(&TenantId::from("t"))));
        assert_eq!(made.row.hash.len(), 32);
        assert!(bench.accounts.actor("mw_other").await.unwrap().is_none());
        assert!(bench.accounts.actor("").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn revoked_and_expired_keys_open_nothing() {
        let bench = bench().await;
        let revoked = make(&bench, new_key("owner", None)).await;
        bench.accounts.revoke(&revoked.row.id, None).await.unwrap();
        assert!(bench.accounts.actor(revoked.key.expose_secret()).await.unwrap().is_none());
        let expires_at = Some(START.plus(Duration::from_secs(10)));
        let expiring = make(&bench, NewKey { expires_at, ..new_key("owner", None) }).await;
        assert!(bench.accounts.actor(expiring.key.expose_secret()).await.unwrap().is_some());
        bench.clock.advance(Duration::from_secs(10));
        assert!(bench.accounts.actor(expiring.key.expose_secret()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn use_is_noted_to_the_minute() {
        let bench = bench().await;
        let made = make(&bench, new_key("operator", None)).await;
        let used = async || bench.store.api_key(&made.row.id).await.unwrap().unwrap().last_used_at;
        assert_eq!(used().await, None);
        bench.accounts.actor(made.key.expose_secret()).await.unwrap();
        assert_eq!(used().await, Some(START));
        bench.clock.advance(Duration::from_secs(30));
        bench.accounts.actor(made.key.expose_secret()).await.unwrap();
        assert_eq!(used().await, Some(START));
        bench.clock.advance(Duration::from_secs(30));
        bench.accounts.actor(made.key.expose_secret()).await.unwrap();
        assert_eq!(used().await, Some(START.plus(Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn the_host_key_is_an_owner_and_an_empty_one_opens_nothing() {
        let bench = bench().await;
        let actor = bench.accounts.actor("the-host-key-of-configuration").await.unwrap().unwrap();
        assert_eq!((actor.role(), actor.name().as_str()), (Role::Owner, "host-key"));
        let keyless = Accounts::new(bench.store.clone(), bench.clock.clone(), &SecretString::from(""));
        assert!(keyless.actor("").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_by_name() {
        let bench = bench().await;
        let refusal = async |new: NewKey| {
            bench.accounts.create(KeyId::generate(), new, None).await.unwrap_err().to_string()
        };
        assert!(refusal(new_key("root", None)).await.contains("owner, operator, rankr, viewer"));
        assert!(refusal(new_key("owner", Some("t"))).await.contains("leave tenant out"));
        assert!(refusal(new_key("viewer", Some("nobody"))).await.contains("there is no tenant nobody"));
        assert!(refusal(NewKey { name: " ".to_owned(), ..new_key("viewer", None) }).await.contains("name"));
        let past = NewKey { expires_at: Some(START), ..new_key("viewer", None) };
        assert!(refusal(past).await.contains("past"));
    }
}
