//! A guest that speaks a contract of another version: `mapwright:plugin@0.3.0`, in which a descriptor is one text.

// Natively there is no host to speak to, and nothing of it is built.
#[cfg(target_family = "wasm")]
mod guest;
