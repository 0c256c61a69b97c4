//! The first version of the guest `stage`.

use mapwright_sdk::{ConfigError, Event, Mapped, Mapping, Plugin, Record, RunError, export_plugin};

pub mod stage;
use stage::Config;

/// The plugin.
pub struct Stage;

impl Plugin for Stage {
    type Config = Config;
    const NAME: &'static str = "stage";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Writes which version ran.";
    const EVENTS: &'static [&'static str] = &["ContactCreate", "ContactUpdate"];

    fn check(config: &Config) -> Vec<ConfigError> {
        stage::check(config)
    }
}

impl Mapping for Stage {
    fn map(event: &Event, _current: Option<&Record>, config: &Config) -> Result<Mapped, RunError> {
        stage::map(event, config, Self::VERSION)
    }
}

export_plugin!(Stage: mapping);
