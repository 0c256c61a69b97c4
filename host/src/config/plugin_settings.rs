//! `[plugins]`: the limits of runs and deployments, the watched folder, the breaker.

use serde::Deserialize;
use std::path::PathBuf;

/// Limits of plugins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    /// Fuel of one run.
    pub fuel: u64,
    /// Fuel of one call into the host.
    pub host_call_fuel: u64,
    /// Sum of a run's memories, bytes.
    pub memory_bytes: usize,
    /// Elements of a run's tables together.
    pub table_elements: usize,
    /// A guest's stack of calls, bytes.
    pub stack_bytes: usize,
    /// Seconds until a run is given up.
    pub wall_seconds: u64,
    /// Bytes copied out of a guest for one call.
    pub copied_bytes: usize,
    /// Bytes of a run's output.
    pub output_bytes: usize,
    /// Fields a mapping may name.
    pub output_fields: usize,
    /// Effects of a run.
    pub effects: usize,
    /// Reads of a run.
    pub reads: usize,
    /// Bytes of the answers to a run's reads.
    pub read_bytes: usize,
    /// Times a run is begun again for reads of GHL.
    pub read_rounds: usize,
    /// Lines a run may log.
    pub log_lines: usize,
    /// Bytes of one of them.
    pub log_line_bytes: usize,
    /// Bytes of all of them.
    pub log_bytes: usize,
    /// Bytes of one state value.
    pub state_value_bytes: usize,
    /// State values a run may set.
    pub state_writes: usize,
    /// Bytes `prepare` may give.
    pub prepared_bytes: usize,
    /// Bytes of an uploaded file.
    pub upload_bytes: usize,
    /// Bytes of one function's code.
    pub function_bytes: usize,
    /// Seconds a compilation may take.
    pub compile_seconds: u64,
    /// Versions kept loaded.
    pub loaded_versions: usize,
    /// Bytes of machine code kept loaded.
    pub loaded_bytes: usize,
    /// Bytes of machine code kept in the data folder.
    pub cache_bytes: u64,
    /// The watched folder; empty: none.
    pub folder: PathBuf,
    /// Milliseconds between two looks at the folder.
    pub folder_every_millis: u64,
    /// Whether a new version in the folder is activated where an older one is active.
    pub activate_new: bool,
    /// Contacts an assignment must fail on for its breaker to open.
    pub breaker_contacts: usize,
    /// Seconds of product time within which.
    pub breaker_window_seconds: u64,
    /// Seconds of product time until an open breaker has one run tried.
    pub breaker_pause_seconds: u64,
}
