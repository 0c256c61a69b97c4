//! Why a backup could not be made, does not hold, or could not be restored.

use crate::store::StoreError;
use crate::vault::VaultError;
use std::path::{Path, PathBuf};

/// A failure; the variant tells what to mend.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("{path} can't be used: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The target is there already.
    #[error("{0} exists already; a backup never overwrites: give another name, or move the old one away")]
    Exists(PathBuf),
    /// The data folder holds no database.
    #[error("{0} holds no database; is data.folder right, and was the host ever started?")]
    NoDatabase(PathBuf),
    /// The file is no backup of ours.
    #[error("{path} is no backup: {why}")]
    NotABackup {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The backup was made by a newer program.
    #[error(
        "the backup was made by mapwright {made_by} in a form this program ({own}) does not know; use that version or a newer one"
    )]
    TooNew {
        /// Who made it.
        made_by: String,
        /// This program.
        own: &'static str,
    },
    /// The backup is damaged.
    #[error("the backup does not hold: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// The folder to restore into is in use or not empty.
    #[error("{0} is not empty; restore into a new or empty folder, then point data.folder at it")]
    NotEmpty(PathBuf),
    /// The key that was given is another than the one the backup's secrets were sealed under.
    #[error("the vault key given is not the one that this backup's secrets were sealed under")]
    OtherKey,
    /// Another backup is being made.
    #[error("a backup is being made already; ask again when it is done")]
    Busy,
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The vault's key could not be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl BackupError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}
