//! What a backup says of itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of the file; another number is another form.
pub(super) const FORMAT: u32 = 1;

/// The first entry of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the file.
    pub format: u32,
    /// Which version of mapwright made it.
    pub made_by: String,
    /// When, RFC 3339, in the host's product time.
    pub made_at: String,
    /// The newest migration of the database.
    pub schema: i64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// SHA-256 of the database, hexadecimal.
    pub database_sha256: String,
    /// Rows by table.
    pub counts: BTreeMap<String, i64>,
    /// Secrets in it, sealed under the vault's key.
    pub sealed_secrets: i64,
    /// Which key they are sealed under, as a fingerprint; none where the folder had no key.
    pub vault_key: Option<String>,
    /// Whether the key itself is in the file.
    pub holds_vault_key: bool,
}

/// A backup and where it is.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct BackupReport {
    /// The file.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// Which version of mapwright made it.
    pub made_by: String,
    /// The newest migration of its database.
    pub schema: i64,
    /// SHA-256 of its database, hexadecimal.
    pub database_sha256: String,
    /// Rows by table.
    pub counts: BTreeMap<String, i64>,
    /// Secrets in it, sealed under the vault's key.
    pub sealed_secrets: i64,
    /// Which key they are sealed under, as a fingerprint.
    pub vault_key: Option<String>,
    /// Whether the key itself is in the file.
    pub holds_vault_key: bool,
}

impl BackupReport {
    pub(super) fn new(file: String, bytes: u64, manifest: Manifest) -> Self {
        Self {
            file,
            bytes,
            made_at: manifest.made_at,
            made_by: manifest.made_by,
            schema: manifest.schema,
            database_sha256: manifest.database_sha256,
            counts: manifest.counts,
            sealed_secrets: manifest.sealed_secrets,
            vault_key: manifest.vault_key,
            holds_vault_key: manifest.holds_vault_key,
        }
    }
}
