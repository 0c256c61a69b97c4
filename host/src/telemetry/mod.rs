//! Names of log fields and metrics, and the subscriber that writes the log. Nothing here sees a body or a token.

mod metrics;
mod subscriber;

pub use metrics::{render_metrics, start_metrics};
pub use subscriber::{LogFormat, start};
