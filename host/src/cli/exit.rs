//! A command that has said all there is to say, and ends with a code of its own.

/// The exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exit code {0}")]
pub(super) struct Exit(pub(super) u8);
