//! The contract's bindings, one module for each exported interface, so that a plugin exports only what it names.
#![expect(clippy::mem_forget, reason = "generated code hands memory over to the host")]

/// What the host offers, and the types all interfaces share.
pub mod imports {
    wit_bindgen::generate!({
        world: "imports",
        path: "../wit",
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
        additional_derives: [PartialEq],
    });
}

/// The descriptor.
pub mod descriptor {
    wit_bindgen::generate!({
        world: "exports-descriptor",
        path: "../wit",
        pub_export_macro: true,
        default_bindings_module: "::mapwright_sdk::__bindings::descriptor",
        additional_derives: [PartialEq],
        with: {
            "mapwright:plugin/types@0.1.0": crate::__bindings::imports::mapwright::plugin::types,
            "mapwright:plugin/log@0.1.0": crate::__bindings::imports::mapwright::plugin::log,
            "mapwright:plugin/effects@0.1.0": crate::__bindings::imports::mapwright::plugin::effects,
            "mapwright:plugin/crm@0.1.0": crate::__bindings::imports::mapwright::plugin::crm,
            "mapwright:plugin/rankr@0.1.0": crate::__bindings::imports::mapwright::plugin::rankr,
            "mapwright:plugin/state@0.1.0": crate::__bindings::imports::mapwright::plugin::state,
        },
    });
}

/// Mapping.
pub mod mapping {
    wit_bindgen::generate!({
        world: "exports-mapping",
        path: "../wit",
        pub_export_macro: true,
        default_bindings_module: "::mapwright_sdk::__bindings::mapping",
        additional_derives: [PartialEq],
        with: {
            "mapwright:plugin/types@0.1.0": crate::__bindings::imports::mapwright::plugin::types,
            "mapwright:plugin/log@0.1.0": crate::__bindings::imports::mapwright::plugin::log,
            "mapwright:plugin/effects@0.1.0": crate::__bindings::imports::mapwright::plugin::effects,
            "mapwright:plugin/crm@0.1.0": crate::__bindings::imports::mapwright::plugin::crm,
            "mapwright:plugin/rankr@0.1.0": crate::__bindings::imports::mapwright::plugin::rankr,
            "mapwright:plugin/state@0.1.0": crate::__bindings::imports::mapwright::plugin::state,
        },
    });
}

/// What is built once.
pub mod warm {
    wit_bindgen::generate!({
        world: "exports-warm",
        path: "../wit",
        pub_export_macro: true,
        default_bindings_module: "::mapwright_sdk::__bindings::warm",
    });
}

/// Reactions.
pub mod reaction {
    wit_bindgen::generate!({
        world: "exports-reaction",
        path: "../wit",
        pub_export_macro: true,
        default_bindings_module: "::mapwright_sdk::__bindings::reaction",
        additional_derives: [PartialEq],
        with: {
            "mapwright:plugin/types@0.1.0": crate::__bindings::imports::mapwright::plugin::types,
            "mapwright:plugin/log@0.1.0": crate::__bindings::imports::mapwright::plugin::log,
            "mapwright:plugin/effects@0.1.0": crate::__bindings::imports::mapwright::plugin::effects,
            "mapwright:plugin/crm@0.1.0": crate::__bindings::imports::mapwright::plugin::crm,
            "mapwright:plugin/rankr@0.1.0": crate::__bindings::imports::mapwright::plugin::rankr,
            "mapwright:plugin/state@0.1.0": crate::__bindings::imports::mapwright::plugin::state,
        },
    });
}
