//! Holding a backup against its manifest, and putting it into an empty folder.

use super::archive::{self, Unpacked};
use super::create::sync_folder;
use super::error::BackupError;
use super::manifest::BackupReport;
use crate::store::{DatabaseState, Thoroughness};
use crate::vault;
use serde::Serialize;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a restore came to.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The backup.
    pub backup: BackupReport,
    /// The folder that holds it now.
    pub folder: String,
    /// Whether the vault's key is there: without it the sealed secrets don't open.
    pub has_vault_key: bool,
}

/// Holds a backup against its manifest: checksum, the engine's own check, migrations, counts.
///
/// # Errors
/// What does not hold.
pub async fn verify(file: &Path) -> Result<BackupReport, BackupError> {
    let working = tempfile::Builder::new()
        .prefix("mapwright-verify-")
        .tempdir()
        .map_err(BackupError::file(&PathBuf::from("the temporary folder")))?;
    let (unpacked, bytes) = unpack(file, &working.path().join("mapwright.db")).await?;
    Ok(BackupReport::new(file.display().to_string(), bytes, unpacked.manifest))
}

/// Puts a verified backup into a new or empty folder; with `key`, the vault's key too.
///
/// # Errors
/// When the backup does not hold, the folder is not empty or the key another; then the folder is as it was.
pub async fn restore(file: &Path, to: &Path, key: Option<&Path>) -> Result<RestoreReport, BackupError> {
    if to.exists() {
        let mut entries = std::fs::read_dir(to).map_err(BackupError::file(to))?;
        if entries.next().is_some() {
            return Err(BackupError::NotEmpty(to.to_owned()));
        }
    }
    std::fs::create_dir_all(to).map_err(BackupError::file(to))?;
    let part = to.join("mapwright.db.part");
    let done = restore_into(file, to, key, &part).await;
    if done.is_err() {
        // What can't be removed is no database's name, and the next restore says that the folder is not empty.
        drop(std::fs::remove_file(&part));
    }
    done
}

async fn restore_into(
    file: &Path,
    to: &Path,
    key: Option<&Path>,
    part: &Path,
) -> Result<RestoreReport, BackupError> {
    let (unpacked, bytes) = unpack(file, part).await?;
    let given = match key {
        Some(path) => Some(Zeroizing::new(std::fs::read(path).map_err(BackupError::file(path))?)),
        None => unpacked.key,
    };
    if let (Some(given), Some(expected)) = (&given, &unpacked.manifest.vault_key)
        && vault::fingerprint(given) != *expected
    {
        return Err(BackupError::OtherKey);
    }
    if let Some(given) = &given {
        let path = to.join("vault.key");
        let mut key_file = archive::new_file(&path)?;
        key_file.write_all(given).and_then(|()| key_file.sync_all()).map_err(BackupError::file(&path))?;
    }
    let database = to.join("mapwright.db");
    std::fs::rename(part, &database).map_err(BackupError::file(&database))?;
    sync_folder(to)?;
    Ok(RestoreReport {
        backup: BackupReport::new(file.display().to_string(), bytes, unpacked.manifest),
        folder: to.display().to_string(),
        has_vault_key: given.is_some(),
    })
}

/// Takes a backup apart and holds its database against its manifest.
async fn unpack(file: &Path, database: &Path) -> Result<(Unpacked, u64), BackupError> {
    let bytes = std::fs::metadata(file).map_err(BackupError::file(file))?.len();
    let (from, to): (PathBuf, PathBuf) = (file.to_owned(), database.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || archive::read(&from, &to))
        .await
        .map_err(|error| BackupError::Damaged(vec![format!("it could not be read: {error}")]))??;
    let manifest = &unpacked.manifest;
    let mut faults = Vec::new();
    let (read_bytes, sha256) = &unpacked.database;
    if *read_bytes != manifest.database_bytes || *sha256 != manifest.database_sha256 {
        // The engine is not asked about bytes that are not the ones that were saved.
        return Err(BackupError::Damaged(vec![format!(
            "its database has {read_bytes} bytes with the SHA-256 {sha256}, its manifest says {} and {}",
            manifest.database_bytes, manifest.database_sha256
        )]));
    }
    let state = DatabaseState::of(database, Thoroughness::Whole).await?;
    faults.extend(state.faults);
    if let Some(strange) = state.strange_migrations.first() {
        faults.push(format!(
            "its database was changed by migration {strange}, which this program ({}) does not know; use mapwright {} or newer",
            env!("CARGO_PKG_VERSION"),
            manifest.made_by
        ));
    }
    for (table, expected) in &manifest.counts {
        let found = state.counts.get(table).copied().unwrap_or(0);
        if found != *expected {
            faults.push(format!("its table {table} has {found} rows, its manifest says {expected}"));
        }
    }
    if faults.is_empty() { Ok((unpacked, bytes)) } else { Err(BackupError::Damaged(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{BackupRequest, create};
    use crate::domain::Timestamp;
    use crate::store::{Store, StoreSettings, TenantRow};
    use crate::vault::Vault;

    async fn data() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = Store::open(&StoreSettings::in_folder(&data)).await.unwrap();
        let row =
            TenantRow { id: "tn_1".into(), name: "Example".into(), state: "active".into(), created_at: 1 };
        store.put_tenant(row).await.unwrap();
        store.close().await;
        Vault::open(&data).unwrap();
        (folder, data)
    }

    fn request(data: &Path, to: &Path, with_key: bool) -> BackupRequest {
        BackupRequest { folder: data.to_owned(), to: to.to_owned(), with_key, now: Timestamp::from_millis(0) }
    }

    #[tokio::test]
    async fn a_backup_is_restored_whole_without_the_key_unless_it_is_given() {
        let (folder, data) = data().await;
        let file = folder.path().join("b.tar");
        let made = create(&request(&data, &file, false)).await.unwrap();
        assert!(!made.holds_vault_key && made.counts["tenants"] == 1);
        let key = std::fs::read(data.join("vault.key")).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(32).any(|part| part == key), "the key is in the file");
        assert_eq!(verify(&file).await.unwrap().database_sha256, made.database_sha256);
        let bare = folder.path().join("bare");
        assert!(!restore(&file, &bare, None).await.unwrap().has_vault_key);
        let whole = folder.path().join("whole");
        let restored = restore(&file, &whole, Some(&data.join("vault.key"))).await.unwrap();
        assert!(restored.has_vault_key);
        assert_eq!(std::fs::read(whole.join("vault.key")).unwrap(), key);
        let store = Store::open(&StoreSettings::in_folder(&whole)).await.unwrap();
        assert_eq!(store.tenants().await.unwrap().len(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn a_key_that_is_in_the_file_is_restored_and_another_is_refused() {
        let (folder, data) = data().await;
        let file = folder.path().join("b.tar");
        assert!(create(&request(&data, &file, true)).await.unwrap().holds_vault_key);
        assert!(restore(&file, &folder.path().join("r"), None).await.unwrap().has_vault_key);
        let other = folder.path().join("other.key");
        std::fs::write(&other, [7; 32]).unwrap();
        let refused = restore(&file, &folder.path().join("s"), Some(&other)).await;
        assert!(matches!(refused, Err(BackupError::OtherKey)));
    }

    #[tokio::test]
    async fn one_changed_byte_is_found() {
        let (folder, data) = data().await;
        let file = folder.path().join("b.tar");
        create(&request(&data, &file, false)).await.unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(matches!(verify(&file).await, Err(BackupError::Damaged(_))));
        let to = folder.path().join("r");
        assert!(restore(&file, &to, None).await.is_err());
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn neither_a_file_nor_a_folder_is_overwritten() {
        let (folder, data) = data().await;
        let file = folder.path().join("b.tar");
        create(&request(&data, &file, false)).await.unwrap();
        assert!(matches!(create(&request(&data, &file, false)).await, Err(BackupError::Exists(_))));
        assert!(matches!(restore(&file, &data, None).await, Err(BackupError::NotEmpty(_))));
        let junk = folder.path().join("junk");
        std::fs::write(&junk, b"junk").unwrap();
        assert!(matches!(verify(&junk).await, Err(BackupError::NotABackup { .. })));
        let nothing = folder.path().join("nothing");
        let refused = create(&request(&nothing, &folder.path().join("c.tar"), false)).await;
        assert!(matches!(refused, Err(BackupError::NoDatabase(_))));
        let leftovers: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(!leftovers.iter().any(|name| name.to_string_lossy().starts_with('.')), "{leftovers:?}");
    }
}
