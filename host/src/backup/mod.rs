//! Backups: one file with the database as it was at one moment and a manifest that says what must be in it; verified
//! without a host, restored into an empty folder.
//!
//! The vault's key is not part of the file unless asked for: who finds a backup then finds no usable token. Keep
//! `vault.key` of the data folder elsewhere, once; it never changes.

mod archive;
mod create;
mod error;
mod kept;
mod manifest;
mod restore;

pub use create::{BackupRequest, create};
pub use error::BackupError;
pub use kept::Backups;
pub use manifest::{BackupReport, Manifest};
pub use restore::{RestoreReport, restore, verify};
