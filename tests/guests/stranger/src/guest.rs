//! All of it.
#![expect(unsafe_code, reason = "generated code meets the host's calling convention")]

wit_bindgen::generate!({ world: "stranger", path: "wit" });

/// The plugin.
pub(crate) struct Stranger;

impl exports::mapwright::plugin::descriptor::Guest for Stranger {
    fn describe() -> String {
        "A stranger.".to_owned()
    }
}

export!(Stranger);
