//! A checked package: what a deployment stores.

use super::describe::Description;
use crate::domain::VersionId;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;

/// A checked package.
#[derive(Clone, Debug)]
pub struct Package {
    /// `sha256:` and the hash of the uploaded bytes.
    pub version: VersionId,
    /// What the plugin says of itself.
    pub description: Description,
    /// The component made of the uploaded bytes, warmed where the plugin warms.
    pub component: Vec<u8>,
    /// Functions it imports, as `interface.function`.
    pub imports: Vec<String>,
    /// Whether its memory was filled by its `warm` at this check.
    pub warmed: bool,
}

/// The id of a version: the hash of its uploaded bytes.
#[must_use]
pub fn version_of(uploaded: &[u8]) -> VersionId {
    VersionId::from(format!("sha256:{}", hex(digest(&SHA256, uploaded).as_ref())))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
