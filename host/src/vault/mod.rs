//! Secrets sealed at rest: AES-256-GCM under a key file of the data folder. Nothing else of the host sees the key.

mod key;
mod seal;

pub use key::{fingerprint, key_bytes};
pub use seal::{Vault, VaultError};
