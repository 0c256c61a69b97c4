//! Write Mapwright plugins in ordinary Rust.
//!
//! A plugin is a WebAssembly component that sees only what it is granted and performs nothing: it gets an event and
//! gives back what it wants. There is no clock, no randomness, no file and no network; the event brings `now` and a
//! seed. So the same inputs always give the same result, and the host can repeat a run whenever it likes.
//!
//! # A mapping plugin
//! ```
//! use mapwright_sdk::{Event, Mapped, Mapping, Plugin, Record, RunError, export_plugin};
//!
//! /// What the person who activates the plugin chooses. Derives give the JSON Schema and the check.
//! #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
//! pub struct Config {
//!     /// Put in front of each name.
//!     #[serde(default)]
//!     prefix: String,
//! }
//!
//! pub struct Greeter;
//!
//! impl Plugin for Greeter {
//!     type Config = Config;
//!     const NAME: &'static str = "greeter";
//!     const VERSION: &'static str = "0.1.0";
//!     const SUMMARY: &'static str = "Writes a greeting for each contact.";
//!     const EVENTS: &'static [&'static str] = &["ContactCreate", "ContactUpdate"];
//! }
//!
//! impl Mapping for Greeter {
//!     fn map(event: &Event, _current: Option<&Record>, config: &Config) -> Result<Mapped, RunError> {
//!         let contact = event.contact().ok_or_else(|| RunError::unmappable("the event is about no contact"))?;
//!         let name = contact.text("firstName").unwrap_or("you");
//!         Ok(Mapped::contact().set("greeting", format!("{}{name}", config.prefix)))
//!     }
//! }
//!
//! export_plugin!(Greeter: mapping);
//!
//! // Plugins are tested natively, without WebAssembly:
//! use mapwright_sdk::testing::{contact_event, prepared};
//! let event = contact_event("ContactCreate").with("firstName", "Ada");
//! let config = prepared::<Greeter>(r#"{"prefix": "Hello "}"#).unwrap();
//! let mapped = Greeter::map(&event, None, &config).unwrap();
//! assert_eq!(mapped.text("greeting"), Some("Hello Ada"));
//! ```
//!
//! # A reaction plugin
//! ```
//! use mapwright_sdk::{Capability, Effects, Event, Plugin, Reaction, Record, RunError, TaskDraft, export_plugin};
//!
//! pub struct Welcome;
//!
//! impl Plugin for Welcome {
//!     type Config = ();
//!     const NAME: &'static str = "welcome";
//!     const VERSION: &'static str = "0.1.0";
//!     const SUMMARY: &'static str = "Asks the team to call each new contact within a day.";
//!     const EVENTS: &'static [&'static str] = &["ContactCreate"];
//!     const CAPABILITIES: &'static [Capability] =
//!         &[Capability::required("crm.tasks.write", "Creates the task to call.")];
//! }
//!
//! impl Reaction for Welcome {
//!     fn react(event: &Event, _: Option<&Record>, _: Option<&Record>, _: &()) -> Result<Effects, RunError> {
//!         let tomorrow = event.now + 24 * 3_600_000;
//!         Ok(Effects::none().keyed("call", TaskDraft::new("Call the new contact", tomorrow)))
//!     }
//! }
//!
//! export_plugin!(Welcome: reaction);
//!
//! let event = mapwright_sdk::testing::contact_event("ContactCreate");
//! let effects = Welcome::react(&event, None, None, &()).unwrap();
//! assert_eq!(effects.len(), 1);
//! ```
//! Nothing is done by asking: the host checks the effects against what was granted, stores them with the event, and
//! performs each once. [`crm`], [`rankr`] and [`state`] read; what GHL is asked is fetched by the host, which then runs
//! the plugin again from the start, so a run must give the same result for the same answers.
//!
//! `mapwright plugin build` makes the `.wasm`, `mapwright plugin check` says whether a host would take it.
//!
//! **Read [`guide`] next**: a `Cargo.toml` to copy, event types, fields, capabilities, what keys and state mean, tests.
//!
//! # What is built once
//! A run gets a fresh instance, so a parser or a table would be built anew each time. Implement [`Warm`] and name `warm`
//! in `export_plugin!`: what it leaves in memory is there in every run. (Every plugin is warmed, if only to give its
//! memory room, so that runs needn't ask for more.)
//!
//! # What a run may use
//! 200 million units of fuel (about 50 ms), 32 MiB of memory, 1 MiB of output, 64 log lines. A run that passes a
//! limit, panics or traps has done nothing; its event becomes a dead letter that can be run again with another version.

mod config;
mod effects;
mod fields;
pub mod guide;
mod mapping;
mod plugin;
mod reads;
pub mod testing;

/// What `export_plugin!` and the generated code refer to; not for authors.
#[doc(hidden)]
pub mod __bindings;
#[doc(hidden)]
pub mod __private;

pub use __bindings::imports::mapwright::plugin::effects::{
    Action, AppointmentDraft, AppointmentWrite, ContactDraft, ContactWrite, Effect, Entry, NoteDraft,
    NoteWrite, OperationCall, RankrEvent, RankrTask, RecordWrite, Schedule, TagsWrite, Target, TaskDraft,
    TaskWrite, WorkflowRun,
};
pub use __bindings::imports::mapwright::plugin::state::{Scope, StateError};
pub use __bindings::imports::mapwright::plugin::types::{
    Cause, Event, Field, Object, ObjectKind, RankrRecord as Record, ReadError, RunError, Timestamp, Value,
};
pub use effects::{Effects, Reaction};
pub use mapping::{Mapped, Mapping};
pub use plugin::{Capability, ConfigError, Plugin, Warm, log};
pub use reads::{crm, rankr, state};

/// Exports a type's implementations as a plugin: `export_plugin!(MyPlugin: mapping)`, or of several,
/// `export_plugin!(MyPlugin: mapping, reaction)`.
///
/// Name each interface the type implements; a missing implementation or a misspelt name is a compile error.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ident : $($interface:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::__export_one!($plugin descriptor);
            $($crate::__export_one!($plugin $interface);)+
            $crate::__export_warm!($plugin $($interface)+);
        };
        const _: () = {
            $crate::__check_one!($plugin descriptor);
            $($crate::__check_one!($plugin $interface);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    ($plugin:ident descriptor) => {
        $crate::__bindings::descriptor::export!($plugin with_types_in $crate::__bindings::descriptor);
    };
    ($plugin:ident mapping) => {
        $crate::__bindings::mapping::export!($plugin with_types_in $crate::__bindings::mapping);
    };
    ($plugin:ident reaction) => {
        $crate::__bindings::reaction::export!($plugin with_types_in $crate::__bindings::reaction);
    };
    ($plugin:ident $other:ident) => {};
}

/// Every plugin is warmed: an author's own `warm`, or else room in its memory only.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_warm {
    ($plugin:ident warm $($rest:ident)*) => {
        $crate::__bindings::warm::export!($plugin with_types_in $crate::__bindings::warm);
    };
    ($plugin:ident $first:ident $($rest:ident)*) => {
        $crate::__export_warm!($plugin $($rest)*);
    };
    ($plugin:ident) => {
        const _: () = {
            use $crate::__private::NothingToWarm;
            $crate::__bindings::warm::export!(NothingToWarm with_types_in $crate::__bindings::warm);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_one {
    ($plugin:ident descriptor) => {
        const fn is_plugin<T: $crate::Plugin>() {}
        const _: () = is_plugin::<$plugin>();
    };
    ($plugin:ident mapping) => {
        const fn is_mapping<T: $crate::Mapping>() {}
        const _: () = is_mapping::<$plugin>();
    };
    ($plugin:ident reaction) => {
        const fn is_reaction<T: $crate::Reaction>() {}
        const _: () = is_reaction::<$plugin>();
    };
    ($plugin:ident warm) => {
        const fn is_warm<T: $crate::Warm>() {}
        const _: () = is_warm::<$plugin>();
    };
    ($plugin:ident $other:ident) => {
        compile_error!(concat!(
            "unknown interface `",
            stringify!($other),
            "`: expected `mapping`, `reaction` or `warm`"
        ));
    };
}
