//! The backups of a running host: one at a time, in a folder of its own, the oldest removed.

use super::create::{BackupRequest, create};
use super::error::BackupError;
use super::manifest::BackupReport;
use super::{archive, manifest::Manifest};
use crate::domain::Clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// How the names of these backups begin and end.
const NAME: (&str, &str) = ("mapwright-", ".tar");

/// What a host's backups are made of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backups {
    data: PathBuf,
    folder: PathBuf,
    keep: usize,
    clock: Clock,
    making: Arc<Mutex<()>>,
}

impl Backups {
    /// Backups of the host in `data`, kept in `folder`; the newest `keep` of them, all where it is 0.
    #[must_use]
    pub fn new(data: &Path, folder: &Path, keep: usize, clock: Clock) -> Self {
        Self { data: data.to_owned(), folder: folder.to_owned(), keep, clock, making: Arc::default() }
    }

    /// Makes one, then removes what is too many; the vault's key is never in it.
    ///
    /// # Errors
    /// [`BackupError::Busy`] while another is made; else as [`create`].
    pub async fn make(&self) -> Result<BackupReport, BackupError> {
        let Ok(_one) = self.making.try_lock() else { return Err(BackupError::Busy) };
        std::fs::create_dir_all(&self.folder).map_err(BackupError::file(&self.folder))?;
        let now = self.clock.now();
        let name = now.to_rfc3339().replace([':', '.'], "-");
        let to = self.folder.join(format!("{}{name}{}", NAME.0, NAME.1));
        let request = BackupRequest { folder: self.data.clone(), to, with_key: false, now };
        let made = create(&request).await?;
        if self.keep > 0 {
            let files = self.files()?;
            let old = files.len().saturating_sub(self.keep);
            for file in files.iter().take(old) {
                std::fs::remove_file(file).map_err(BackupError::file(file))?;
            }
        }
        Ok(made)
    }

    /// What is kept, oldest first; a file that is no backup is left out.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> Result<Vec<BackupReport>, BackupError> {
        let mut found = Vec::new();
        for file in self.files()? {
            let bytes = std::fs::metadata(&file).map_err(BackupError::file(&file))?.len();
            if let Ok(manifest) = archive::manifest(&file) {
                let manifest: Manifest = manifest;
                found.push(BackupReport::new(file.display().to_string(), bytes, manifest));
            }
        }
        Ok(found)
    }

    /// The files that are named as ours, oldest first.
    fn files(&self) -> Result<Vec<PathBuf>, BackupError> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(BackupError::file(&self.folder))? {
            let path = entry.map_err(BackupError::file(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(NAME.0) && name.ends_with(NAME.1) {
                files.push(path);
            }
        }
        // Names are times, so the order of names is that of time.
        files.sort_unstable();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::store::{Store, StoreSettings};
    use std::time::Duration;

    #[tokio::test]
    async fn the_newest_are_kept_and_strangers_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
        Store::open(&StoreSettings::in_folder(&data)).await.unwrap().close().await;
        let clock = Clock::manual(Timestamp::from_millis(1_767_225_600_000));
        let backups = Backups::new(&data, &kept, 2, clock.clone());
        assert!(backups.list().unwrap().is_empty());
        let mut names = Vec::new();
        for _ in 0..3 {
            names.push(backups.make().await.unwrap().file);
            clock.advance(Duration::from_secs(3600));
        }
        std::fs::write(kept.join("notes.txt"), b"mine").unwrap();
        std::fs::write(kept.join("mapwright-x.tar"), b"no backup").unwrap();
        let listed: Vec<_> = backups.list().unwrap().into_iter().map(|backup| backup.file).collect();
        assert_eq!(listed, names[1..]);
        assert!(kept.join("notes.txt").exists());
    }
}
