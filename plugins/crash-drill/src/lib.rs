//! Fails on purpose on contacts with a certain tag, so that people can see what a failing plugin does: its event
//! becomes a dead letter with the plugin's own message, the other plugins' work on the same event stands, and the next
//! event is run as if nothing had happened.

use mapwright_sdk::{Effects, Event, Plugin, Reaction, Record, RunError, Value, export_plugin};

/// On which contacts it fails.
#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The tag; `drill` if not given.
    #[serde(default = "drill")]
    pub tag: String,
}

fn drill() -> String {
    "drill".to_owned()
}

/// The plugin.
pub struct CrashDrill;

impl Plugin for CrashDrill {
    type Config = Config;
    const NAME: &'static str = "crash-drill";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Fails on purpose on contacts with a certain tag.";
    const EVENTS: &'static [&'static str] = &["ContactTagUpdate", "ContactUpdate"];
}

impl Reaction for CrashDrill {
    #[expect(clippy::panic, reason = "this plugin is there to panic")]
    fn react(
        event: &Event,
        _before: Option<&Record>,
        _after: Option<&Record>,
        config: &Config,
    ) -> Result<Effects, RunError> {
        let tags = event.contact().and_then(|contact| contact.get("tags")).and_then(Value::as_texts);
        if tags.is_some_and(|tags| tags.contains(&config.tag.as_str())) {
            panic!("a drill: the contact has the tag {:?}", config.tag);
        }
        Ok(Effects::none())
    }
}

export_plugin!(CrashDrill: reaction);

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_sdk::testing::{contact_event, prepared};

    fn react(tags: &[&str]) -> std::thread::Result<usize> {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        std::panic::catch_unwind(|| {
            let event = contact_event("ContactTagUpdate").with("tags", tags);
            let config = prepared::<CrashDrill>("{}").unwrap();
            CrashDrill::react(&event, None, None, &config).unwrap().len()
        })
    }

    #[test]
    fn it_fails_on_its_tag_and_on_no_other() {
        assert_eq!(react(&["new", "vip"]).unwrap(), 0);
        let panicked = react(&["new", "drill"]).unwrap_err();
        assert!(panicked.downcast_ref::<String>().unwrap().contains("a drill"));
    }
}
