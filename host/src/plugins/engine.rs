//! The one engine of the process, and the ticker that makes a spinning guest give its thread back.

use super::error::PluginError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Machine time between two ticks: how long a guest may hold a thread at a stretch.
const TICK: Duration = Duration::from_millis(5);
/// Room on a guest's fibre for the host functions it calls, beside the guest's own stack.
const HOST_STACK_BYTES: usize = 512 * 1024;
/// Memory kept mapped in a slot between runs: instantiating in place of mapping again (6.3 to 4.3 µs).
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
/// The same of its tables, which are small: giving them back costs a system call and interrupts the other cores.
const KEEP_RESIDENT_TABLE_BYTES: usize = 16 * 1024;
/// The largest single memory a slot can hold, if no run may have more.
const LARGEST_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// What is said where there is no pool.
pub(super) const NO_POOL: &str = "no pool for plugin instances: each run maps its memory anew and is slower; raise the limit on address space (ulimit -v)";

/// What the engine is made for.
pub(super) struct EngineSettings {
    /// Runs at a time.
    pub(super) runs: u32,
    /// The guest's stack; this bounds recursion.
    pub(super) stack_bytes: usize,
    /// Memory of a run.
    pub(super) memory_bytes: usize,
    /// Table elements of a run.
    pub(super) table_elements: usize,
}

/// An engine and whether it got its pool.
pub(super) struct MadeEngine {
    pub(super) engine: Engine,
    pub(super) pooled: bool,
    pub(super) ticker: Ticker,
}

/// Makes the engine: pooled where the address space allows, else on demand and said so.
pub(super) fn make(settings: &EngineSettings) -> Result<MadeEngine, PluginError> {
    let (engine, pooled) = match Engine::new(&config(settings, true)) {
        Ok(engine) => (engine, true),
        Err(error) => {
            tracing::warn!(%error, "{NO_POOL}");
            let engine = Engine::new(&config(settings, false))
                .map_err(|error| PluginError::Engine(error.to_string()))?;
            (engine, false)
        }
    };
    metrics::gauge!("mapwright_plugin_pool").set(if pooled { 1.0 } else { 0.0 });
    let ticker = Ticker::start(engine.clone())?;
    Ok(MadeEngine { engine, pooled, ticker })
}

fn config(settings: &EngineSettings, pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .cranelift_nan_canonicalization(true)
        // One core is lost to a compilation, not all.
        .parallel_compilation(false)
        .max_wasm_stack(settings.stack_bytes)
        .async_stack_size(settings.stack_bytes.saturating_add(HOST_STACK_BYTES))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
    if pooled {
        // Two slots a run: one in use, one being cleaned.
        let slots = settings.runs.saturating_mul(2).max(8);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_core_instances(slots.saturating_mul(4))
            .total_memories(slots)
            .total_tables(slots.saturating_mul(4))
            .total_stacks(slots)
            .max_core_instances_per_component(16)
            .max_memories_per_component(1)
            .max_tables_per_component(16)
            .table_elements(settings.table_elements)
            .max_memory_size(settings.memory_bytes.max(LARGEST_MEMORY_BYTES))
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .table_keep_resident(KEEP_RESIDENT_TABLE_BYTES)
            .max_unused_warm_slots(slots);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    } else {
        // A memory is not given four gigabytes of address space where there is little of it.
        config.memory_reservation(0).memory_guard_size(64 * 1024).memory_may_move(true);
    }
    config
}

/// Ticks the engine's epoch until it is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: Engine) -> Result<Self, PluginError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::park_timeout(TICK);
                    engine.increment_epoch();
                }
            })
            .map_err(|error| PluginError::Engine(error.to_string()))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A ticker that panicked has nothing left to stop.
            drop(thread.join());
        }
    }
}
