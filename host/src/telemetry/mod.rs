//! Names of log fields and metrics, and the subscriber that writes the log. Nothing here sees a body or a token.

mod subscriber;

pub use subscriber::{LogFormat, start};
