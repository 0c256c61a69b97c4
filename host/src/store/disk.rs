//! The disk under the data folder.

use super::StoreError;
use std::path::Path;

/// Bytes of the file system that a folder is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this process may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl DiskSpace {
    /// Asks the operating system. Cross-tenant: it is about the machine.
    ///
    /// # Errors
    /// When the folder is not there.
    pub fn of(folder: &Path) -> Result<Self, StoreError> {
        let told = rustix::fs::statvfs(folder)
            .map_err(|errno| StoreError::File { path: folder.to_owned(), cause: errno.into() })?;
        Ok(Self {
            free: told.f_bavail.saturating_mul(told.f_frsize),
            total: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_disk_and_a_missing_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let space = DiskSpace::of(folder.path()).unwrap();
        assert!(space.free > 0 && space.free <= space.total);
        assert!(DiskSpace::of(&folder.path().join("nothing")).is_err());
    }
}
