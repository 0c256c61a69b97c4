//! Sealing and opening.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The first byte of what is sealed: how it is laid out.
const LAYOUT: u8 = 1;
/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Why a secret can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file can't be read or made.
    #[error("the vault's key file {path} can't be used: {cause}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The key file does not hold a key.
    #[error(
        "the vault's key file {path} must hold {KEY_BYTES} bytes; restore it from a backup, secrets sealed under it are lost without it"
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("no randomness could be had")]
    Random,
    /// It was sealed under another key or for another purpose, or was changed.
    #[error(
        "a stored secret does not open under this vault's key; restore the vault.key it was sealed under, or connect anew"
    )]
    DoesNotOpen,
}

/// The vault. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    seals: LessSafeKey,
    derives: hmac::Key,
}

impl Vault {
    /// Opens the vault of a data folder; makes its key at the first time, readable by its owner only.
    ///
    /// # Errors
    /// When the key can't be read or made.
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        let path = folder.join("vault.key");
        let file_error = |cause| VaultError::KeyFile { path: path.clone(), cause };
        if !path.exists() {
            let mut fresh = Zeroizing::new([0_u8; KEY_BYTES]);
            SystemRandom::new().fill(fresh.as_mut()).map_err(|_unspecified| VaultError::Random)?;
            // Written beside and renamed, so that a crash leaves no half of a key.
            let beside = folder.join("vault.key.new");
            let mut file = std::fs::File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)
                .map_err(file_error)?;
            file.write_all(fresh.as_ref()).and_then(|()| file.sync_all()).map_err(file_error)?;
            std::fs::rename(&beside, &path).map_err(file_error)?;
        }
        let bytes = Zeroizing::new(std::fs::read(&path).map_err(file_error)?);
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|_unspecified| VaultError::NoKey { path: path.clone() })?;
        Ok(Self(Arc::new(Keys {
            seals: LessSafeKey::new(key),
            derives: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })))
    }

    /// A key for a purpose of its own, always the same; the vault's own key can't be told from it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<Vec<u8>> {
        let labelled = format!("mapwright derived key 1: {purpose}");
        Zeroizing::new(hmac::sign(&self.0.derives, labelled.as_bytes()).as_ref().to_vec())
    }

    /// Seals a secret for a purpose, which has to be named again to open it.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0_u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_unspecified| VaultError::Random)?;
        let mut text = secret.to_vec();
        self.0
            .seals
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut text,
            )
            .map_err(|_unspecified| VaultError::Random)?;
        Ok([&[LAYOUT], &nonce[..], &text[..]].concat())
    }

    /// Opens what was sealed for that purpose.
    ///
    /// # Errors
    /// When it was sealed otherwise, or changed.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let Some((&LAYOUT, rest)) = sealed.split_first() else { return Err(VaultError::DoesNotOpen) };
        let Some((nonce, text)) = rest.split_first_chunk::<NONCE_LEN>() else {
            return Err(VaultError::DoesNotOpen);
        };
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .0
            .seals
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose.as_bytes()), &mut text)
            .map_err(|_unspecified| VaultError::DoesNotOpen)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_opens_for_its_purpose_and_under_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let sealed = vault.seal("cn_1", b"token").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        let again = Vault::open(folder.path()).unwrap();
        assert_eq!(again.unseal("cn_1", &sealed).unwrap().as_slice(), b"token");
        assert!(matches!(again.unseal("cn_2", &sealed), Err(VaultError::DoesNotOpen)));
        let mut changed = sealed.clone();
        changed[20] ^= 1;
        assert!(again.unseal("cn_1", &changed).is_err());
        let other = tempfile::tempdir().unwrap();
        assert!(Vault::open(other.path()).unwrap().unseal("cn_1", &sealed).is_err());
    }

    #[test]
    fn a_derived_key_belongs_to_its_purpose_and_vault() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let vault = Vault::open(one.path()).unwrap();
        let key = vault.derive("machine code");
        assert_eq!(key.len(), 32);
        assert_eq!(key, Vault::open(one.path()).unwrap().derive("machine code"));
        assert_ne!(key, vault.derive("something else"));
        assert_ne!(key, Vault::open(other.path()).unwrap().derive("machine code"));
        assert_ne!(key.as_slice(), std::fs::read(one.path().join("vault.key")).unwrap());
    }

    #[test]
    fn the_key_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        Vault::open(folder.path()).unwrap();
        let mode = std::fs::metadata(folder.path().join("vault.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.path().join("vault.key"), b"short").unwrap();
        assert!(matches!(Vault::open(folder.path()), Err(VaultError::NoKey { .. })));
    }
}
