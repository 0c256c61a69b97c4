//! Settings, checked as a whole: defaults compiled in, a file, the environment. The only room that reads the
//! environment.

mod environment;
mod failpoint;
mod load;
mod plugin_settings;
#[cfg(feature = "test-support")]
pub mod sabotage;
mod settings;

pub use environment::{own_program, variable};
#[cfg(feature = "test-support")]
pub use failpoint::arm;
pub use failpoint::failpoint;
pub use load::{ConfigError, load, load_text};
pub use plugin_settings::PluginSettings;
pub use settings::{
    ApiSettings, AppSettings, AssignmentSettings, BackupSettings, ClockSettings, ConnectionKind,
    ConnectionSettings, DataSettings, DatabaseSettings, GhlSettings, HttpSettings, PipelineSettings,
    PollingSettings, ProcessSettings, Role, Settings, TenantSettings, TimelineSettings, TimingRuleSettings,
    TimingSettings, WebhookSettings,
};
