//! The adapters between the generated traits and the author's; nobody calls them by name.

use crate::__bindings::{descriptor, mapping, reaction, warm};
use crate::plugin::log;
use crate::{Event, Mapping, Plugin, Reaction, Record, RunError, Warm, config};
use descriptor::exports::mapwright::plugin::descriptor as wit;
use mapping::exports::mapwright::plugin::mapping as wit_mapping;
use reaction::exports::mapwright::plugin::reaction as wit_reaction;
use std::sync::Once;

/// Sends a panic's message to the run's log; without it only `unreachable` would be left of it.
fn keep_panic_message() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
}

/// Bytes that a run can allocate before its memory grows: what most runs need, and what the host keeps mapped.
const ROOM_BYTES: usize = 100_000;

/// Grows the memory that every run begins with, so that few runs grow theirs: each growth costs two system calls, a
/// fifth of a short run. The allocator keeps what it got.
fn make_room() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ROOM_BYTES)));
}

/// Warms a plugin that builds nothing.
pub struct NothingToWarm;

impl warm::Guest for NothingToWarm {
    fn warm() {
        keep_panic_message();
        make_room();
    }
}

impl<T: Plugin> wit::Guest for T {
    fn describe() -> wit::Description {
        keep_panic_message();
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        wit::Description {
            name: T::NAME.to_owned(),
            version: T::VERSION.to_owned(),
            summary: T::SUMMARY.to_owned(),
            config_schema: config::schema::<T::Config>(),
            events: owned(T::EVENTS),
            reads: owned(T::READS),
            capabilities: T::CAPABILITIES
                .iter()
                .map(|asked| wit::CapabilityRequest {
                    name: asked.name.to_owned(),
                    reason: asked.reason.to_owned(),
                    optional: asked.optional,
                })
                .collect(),
            state_schema: T::STATE_SCHEMA,
        }
    }

    fn prepare(config_json: String) -> Result<Vec<u8>, Vec<wit::ConfigError>> {
        keep_panic_message();
        config::prepare::<T>(&config_json).map_err(|errors| {
            errors
                .into_iter()
                .map(|error| wit::ConfigError { path: error.path, message: error.message })
                .collect()
        })
    }
}

impl<T: Mapping> wit_mapping::Guest for T {
    fn run(
        event: Event,
        current: Option<Record>,
        prepared: Vec<u8>,
    ) -> Result<wit_mapping::Mapped, RunError> {
        keep_panic_message();
        let config = config::read::<T>(&prepared);
        let mapped = T::map(&event, current.as_ref(), &config)?;
        Ok(wit_mapping::Mapped { kind: mapped.kind, fields: mapped.fields })
    }
}

impl<T: Warm> warm::Guest for T {
    fn warm() {
        keep_panic_message();
        T::warm();
        make_room();
    }
}

impl<T: Reaction> wit_reaction::Guest for T {
    fn run(
        event: Event,
        before: Option<Record>,
        after: Option<Record>,
        prepared: Vec<u8>,
    ) -> Result<Vec<crate::Effect>, RunError> {
        keep_panic_message();
        let config = config::read::<T>(&prepared);
        Ok(T::react(&event, before.as_ref(), after.as_ref(), &config)?.into())
    }
}
