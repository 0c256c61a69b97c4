//! A guest whose descriptor names nothing of what it imports: it would read a contact's tasks without having asked.

use mapwright_sdk::{Event, Mapped, Mapping, Plugin, Record, RunError, crm, export_plugin};

/// The plugin.
pub struct Liar;

impl Plugin for Liar {
    type Config = ();
    const NAME: &'static str = "liar";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Says that it needs nothing.";
    const EVENTS: &'static [&'static str] = &["*"];
}

impl Mapping for Liar {
    fn map(event: &Event, _current: Option<&Record>, _config: &()) -> Result<Mapped, RunError> {
        let contact = event.contact_id.as_deref().unwrap_or_default();
        let tasks = crm::tasks(contact).map_or(0, |tasks| tasks.len());
        Ok(Mapped::contact().set("tasks", i64::try_from(tasks).unwrap_or(0)))
    }
}

export_plugin!(Liar: mapping);
