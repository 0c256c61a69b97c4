//! The second version of the guest `stage`, which can't do without a capability.

use mapwright_sdk::{
    Capability, ConfigError, Event, Mapped, Mapping, Plugin, Record, RunError, export_plugin,
};

#[path = "../../stage-one/src/stage.rs"]
pub mod stage;
use stage::Config;

/// The plugin.
pub struct Stage;

impl Plugin for Stage {
    type Config = Config;
    const NAME: &'static str = "stage";
    const VERSION: &'static str = "2.0.0";
    const SUMMARY: &'static str = "Writes which version ran.";
    const EVENTS: &'static [&'static str] = &["ContactCreate", "ContactUpdate"];
    const CAPABILITIES: &'static [Capability] = &[
        Capability::required("crm.tags.write", "Marks whom it has seen."),
        Capability::optional("crm.notes.read", "Would read the last note."),
    ];

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
