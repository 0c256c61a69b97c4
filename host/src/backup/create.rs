//! Making a backup, beside a running host or without one.

use super::archive;
use super::error::BackupError;
use super::manifest::{BackupReport, FORMAT, Manifest};
use crate::domain::Timestamp;
use crate::store::{DatabaseState, Thoroughness, copy_database};
use crate::vault;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What is backed up, and to where.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The host's data folder.
    pub folder: PathBuf,
    /// The file to write; it must not be there.
    pub to: PathBuf,
    /// Whether the vault's key goes into the file.
    pub with_key: bool,
    /// The time to note, the host's own.
    pub now: Timestamp,
}

/// Copies the database as it is now, looks at the copy, and writes both copy and manifest to one file. A host that runs
/// on the folder goes on meanwhile; everything it committed before is in the backup.
///
/// # Errors
/// When the target exists, the database can't be read or the copy does not hold; then no file is left behind.
pub async fn create(request: &BackupRequest) -> Result<BackupReport, BackupError> {
    if request.to.exists() {
        return Err(BackupError::Exists(request.to.clone()));
    }
    let database = request.folder.join("mapwright.db");
    if !database.is_file() {
        return Err(BackupError::NoDatabase(request.folder.clone()));
    }
    // The copy is made in the target's folder, so that a full disk is the target's and not the host's.
    let beside = parent(&request.to);
    let working = tempfile::Builder::new()
        .prefix(".mapwright-backup-")
        .tempdir_in(beside)
        .map_err(BackupError::file(beside))?;
    let copy = working.path().join("mapwright.db");
    copy_database(&database, &copy).await?;
    let state = DatabaseState::of(&copy, Thoroughness::Whole).await?;
    if !state.faults.is_empty() {
        return Err(BackupError::Damaged(state.faults));
    }
    let request = request.clone();
    let written = tokio::task::spawn_blocking(move || {
        let done = write(&request, &state, &copy);
        drop(working);
        done
    });
    written.await.map_err(|error| BackupError::Damaged(vec![format!("it could not be written: {error}")]))?
}

fn write(request: &BackupRequest, state: &DatabaseState, copy: &Path) -> Result<BackupReport, BackupError> {
    let mut from = File::open(copy).map_err(BackupError::file(copy))?;
    let (database_bytes, database_sha256) =
        archive::copy_hashed(&mut from, &mut std::io::sink()).map_err(BackupError::file(copy))?;
    let key = vault::key_bytes(&request.folder)?;
    let manifest = Manifest {
        format: FORMAT,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: request.now.to_rfc3339(),
        schema: state.schema,
        database_bytes,
        database_sha256,
        counts: state.counts.clone(),
        sealed_secrets: state.sealed,
        vault_key: key.as_ref().map(|key| vault::fingerprint(key)),
        holds_vault_key: request.with_key && key.is_some(),
    };
    // Written beside and renamed, so that a file of that name is always whole.
    let part = copy.with_file_name("backup.tar");
    let file = archive::new_file(&part)?;
    let with = key.as_ref().filter(|_| request.with_key);
    let bytes = archive::write(file, &manifest, copy, with).map_err(BackupError::file(&part))?;
    std::fs::hard_link(&part, &request.to).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(request.to.clone()),
        _ => BackupError::File { path: request.to.clone(), cause },
    })?;
    sync_folder(parent(&request.to))?;
    Ok(BackupReport::new(request.to.display().to_string(), bytes, manifest))
}

/// The folder a file is in.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder's entries last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(BackupError::file(folder))
}
