//! Names of log fields and metrics, and the subscriber that writes the log. Nothing here sees a body or a token.

mod health;
mod metrics;
mod subscriber;

pub use health::HealthNotes;
pub use metrics::{render_metrics, start_metrics};
pub use subscriber::{LogFormat, start};
