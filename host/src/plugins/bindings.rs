//! The contract as Rust types, generated; no other file names these modules.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    exports: { default: async },
    include_component_type: true,
    additional_derives: [PartialEq],
});

/// The contract in its binary form, for explaining mismatches in its own words.
pub(super) const CONTRACT: &[u8] = COMPONENT_TYPE;

pub(super) use self::exports::mapwright::plugin::{descriptor, mapping, reaction};
pub(super) use self::mapwright::plugin::{effects, log, state, types};
