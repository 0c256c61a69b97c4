//! What a run may use. Each limit is a key with its reason; hitting one is an outcome of the run.

use crate::config::PluginSettings;
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// The limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel, roughly one for each WebAssembly instruction. 200 million are about 50 ms: a thousand times a normal
    /// mapping, and short enough that a spinner is no burden.
    pub fuel: u64,
    /// Fuel each call into the host costs, so that calling forever ends too: about the price of the call itself.
    pub host_call_fuel: u64,
    /// Machine time; passing it is the host's own fault (`stalled`), since fuel ends a guest long before.
    pub wall: Duration,
    /// Sum of all linear memories, bytes. Enough for a parser and tables, and for guests in other languages.
    pub memory_bytes: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Bytes the host copies out of the guest for one call. A result is read whole before it is looked at.
    pub copied_bytes: usize,
    /// Bytes of a run's output once converted: all names and values.
    pub output_bytes: usize,
    /// Fields a mapping may name.
    pub output_fields: usize,
    /// Lines a run may log; more are dropped and counted.
    pub log_lines: usize,
    /// Bytes of one log line; more are cut.
    pub log_line_bytes: usize,
    /// Bytes of all log lines of a run.
    pub log_bytes: usize,
    /// Effects a run may ask for.
    pub effects: usize,
    /// Reads a run may ask for.
    pub reads: usize,
    /// Bytes of the answers a run is handed.
    pub read_bytes: usize,
    /// Bytes of one value of a plugin's state.
    pub state_value_bytes: usize,
    /// State values a run may set.
    pub state_writes: usize,
    /// Bytes `prepare` may give, since every run is handed them.
    pub prepared_bytes: usize,
    /// Bytes of an uploaded file. Guests in other languages bring their engine along (12 to 18 MB).
    pub upload_bytes: usize,
    /// Bytes of one function's code. A compiler's time grows faster than a function's size.
    pub function_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 200_000_000,
            host_call_fuel: 20_000,
            wall: Duration::from_secs(5),
            memory_bytes: 32 * 1024 * 1024,
            table_elements: 20_000,
            copied_bytes: 4 * 1024 * 1024,
            output_bytes: 1024 * 1024,
            output_fields: 1000,
            log_lines: 64,
            log_line_bytes: 2048,
            log_bytes: 64 * 1024,
            effects: 100,
            reads: 32,
            read_bytes: 4 * 1024 * 1024,
            state_value_bytes: 64 * 1024,
            state_writes: 32,
            prepared_bytes: 1024 * 1024,
            upload_bytes: 24 * 1024 * 1024,
            function_bytes: 1024 * 1024,
        }
    }
}

impl From<&PluginSettings> for Limits {
    fn from(settings: &PluginSettings) -> Self {
        Self {
            fuel: settings.fuel,
            host_call_fuel: settings.host_call_fuel,
            wall: Duration::from_secs(settings.wall_seconds),
            memory_bytes: settings.memory_bytes,
            table_elements: settings.table_elements,
            copied_bytes: settings.copied_bytes,
            output_bytes: settings.output_bytes,
            output_fields: settings.output_fields,
            log_lines: settings.log_lines,
            log_line_bytes: settings.log_line_bytes,
            log_bytes: settings.log_bytes,
            effects: settings.effects,
            reads: settings.reads,
            read_bytes: settings.read_bytes,
            state_value_bytes: settings.state_value_bytes,
            state_writes: settings.state_writes,
            prepared_bytes: settings.prepared_bytes,
            upload_bytes: settings.upload_bytes,
            function_bytes: settings.function_bytes,
        }
    }
}

/// Counts what a store grows, and says no beyond the limits.
#[derive(Debug)]
pub(super) struct Growth {
    memory_left: usize,
    tables_left: usize,
    /// Whether memory was refused, to tell a failed allocation from another trap.
    pub(super) memory_refused: bool,
    /// Whether a table was refused.
    pub(super) table_refused: bool,
    /// Whether an answer was refused, since the answers together are too large.
    pub(super) reads_refused: bool,
}

impl Growth {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_left: limits.memory_bytes,
            tables_left: limits.table_elements,
            memory_refused: false,
            table_refused: false,
            reads_refused: false,
        }
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match self.memory_left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.memory_left = left;
                Ok(true)
            }
            None => {
                self.memory_refused = true;
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match self.tables_left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.tables_left = left;
                Ok(true)
            }
            None => {
                self.table_refused = true;
                Ok(false)
            }
        }
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_to_the_very_byte() {
        let mut growth = Growth::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(growth.memory_growing(0, 60, None).unwrap());
        assert!(growth.memory_growing(0, 40, None).unwrap());
        assert!(!growth.memory_refused);
        assert!(!growth.memory_growing(60, 61, None).unwrap());
        assert!(growth.memory_refused);
    }

    #[test]
    fn tables_are_summed_too() {
        let mut growth = Growth::new(&Limits { table_elements: 10, ..Limits::default() });
        assert!(growth.table_growing(0, 6, None).unwrap());
        assert!(growth.table_growing(0, 4, None).unwrap());
        assert!(!growth.table_refused);
        assert!(!growth.table_growing(4, 5, None).unwrap());
        assert!(growth.table_refused && !growth.memory_refused);
    }

    #[test]
    fn the_configured_defaults_are_the_limits_in_force() {
        let settings = crate::config::load_text("").unwrap();
        assert_eq!(Limits::from(&settings.plugins), Limits::default());
    }
}
