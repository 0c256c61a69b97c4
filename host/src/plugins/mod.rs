//! The WebAssembly runtime: packages checked, versions loaded, runs under limits. The only room that knows wasmtime.
//!
//! A run gets a fresh store and instance, fuel, a sum of memories, a wall limit and a capped output; whatever it
//! does ends as an outcome of that run and never as a fault of the host.

mod bench;
mod bindings;
mod cache;
mod calls;
mod code;
mod compiler;
mod contract;
mod convert;
mod describe;
mod effects;
mod engine;
mod error;
mod imports;
mod limits;
mod loaded;
mod package;
mod run;
mod runtime;
mod state;
mod warm;
mod wasi;

pub use bench::PluginBench;
pub use cache::CacheSettings;
pub use describe::{CAPABILITIES, CapabilityRequest, Description};
pub use error::{ConfigFault, PackageError, PluginError, RunFailure};
pub use limits::Limits;
pub use package::{Package, version_of};
pub use run::{LogLine, MappedRecord, ObjectInput, RunContext, RunInput, RunReport};
pub use runtime::{LoadedVersion, Runtime, RuntimeSettings};
