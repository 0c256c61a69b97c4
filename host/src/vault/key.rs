//! The key as a thing to keep: its bytes for a backup that is asked to hold them, and a fingerprint that tells two keys
//! apart and says nothing of either.

use super::seal::VaultError;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The bytes of a data folder's key; none where it has no key yet. Makes none.
///
/// # Errors
/// When the file can't be read.
pub fn key_bytes(folder: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let path = folder.join("vault.key");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|cause| VaultError::KeyFile { path, cause })?;
    Ok(Some(Zeroizing::new(bytes)))
}

/// The first 8 bytes of a hash over the key, hexadecimal.
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    let named = Zeroizing::new([b"mapwright vault key\0", key].concat());
    let mut text = String::with_capacity(16);
    for byte in digest(&SHA256, &named).as_ref().iter().take(8) {
        let _ignored_infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_keys_apart_without_showing_them() {
        let (one, other) = ([1; 32], [2; 32]);
        assert_eq!(fingerprint(&one), fingerprint(&one));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one).len(), 16);
        let folder = tempfile::tempdir().unwrap();
        assert!(key_bytes(folder.path()).unwrap().is_none());
        assert!(!folder.path().join("vault.key").exists());
    }
}
