//! What the machine has to offer: address space for the pool of instances, and a compiler for plugins.

use super::Check;
use crate::cli::plugin::Toolchain;
use crate::domain::Clock;
use crate::plugins::{Runtime, RuntimeSettings};

/// Whether plugins run from the pool.
pub(super) fn pool() -> Vec<Check> {
    let name = "plugin-pool";
    let runs = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get) * 2;
    let settings =
        RuntimeSettings { concurrent_runs: u32::try_from(runs).unwrap_or(64), ..RuntimeSettings::default() };
    vec![match Runtime::new(settings, Clock::system()) {
        Ok(runtime) if runtime.pooled() => Check::ok(name, format!("{runs} runs at a time fit")),
        Ok(_) => Check::warn(
            name,
            "the address space is too small for the pool: plugins run, several times slower",
            "raise the limit of virtual memory (ulimit -v) or of the container",
        ),
        Err(error) => Check::fail(
            name,
            format!("the WebAssembly runtime can't start: {error}"),
            "look at the limits of this process",
        ),
    }]
}

/// Whether plugins can be built here; a host alone needs no compiler.
pub(super) fn toolchain() -> Check {
    let name = "plugin-compiler";
    match Toolchain::found() {
        Some(found) => Check::ok(name, found),
        None => Check::ok(name, "none; only `mapwright plugin build` needs one, and fetches it"),
    }
}
