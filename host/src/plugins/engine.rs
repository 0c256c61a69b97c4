//! The one engine of the process, and the ticker that makes a spinning guest give its thread back.

use super::error::PluginError;
use super::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Machine time between two ticks: how long a guest may hold a thread at a stretch.
const TICK: Duration = Duration::from_millis(5);
/// The guest stack. Components are built with a shadow stack of their own; this bounds recursion.
const GUEST_STACK_BYTES: usize = 512 * 1024;
/// The fibre a guest runs on: its stack and room for the host functions it calls.
const FIBRE_BYTES: usize = 1024 * 1024;
/// Memory kept mapped in a slot between runs: instantiating in place of mapping again (6.3 to 4.3 µs).
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
/// The largest single memory a slot can hold; limits of a run are smaller.
const LARGEST_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// An engine and whether it got its pool.
pub(super) struct MadeEngine {
    pub(super) engine: Engine,
    pub(super) pooled: bool,
    pub(super) ticker: Ticker,
}

/// Makes the engine for `runs` runs at a time: pooled where the address space allows, else on demand and said so.
pub(super) fn make(runs: u32) -> Result<MadeEngine, PluginError> {
    let (engine, pooled) = match Engine::new(&config(Some(runs))) {
        Ok(engine) => (engine, true),
        Err(error) => {
            tracing::warn!(%error, "no pool for plugin instances: each run maps its memory anew and is slower; raise the limit on address space (ulimit -v)");
            let engine =
                Engine::new(&config(None)).map_err(|error| PluginError::Engine(error.to_string()))?;
            (engine, false)
        }
    };
    let ticker = Ticker::start(engine.clone())?;
    Ok(MadeEngine { engine, pooled, ticker })
}

fn config(pool_for: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBRE_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
    if let Some(runs) = pool_for {
        // Two slots a run: one in use, one being cleaned.
        let slots = runs.saturating_mul(2).max(8);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_core_instances(slots.saturating_mul(4))
            .total_memories(slots)
            .total_tables(slots.saturating_mul(4))
            .total_stacks(slots)
            .max_core_instances_per_component(16)
            .max_memories_per_component(1)
            .max_tables_per_component(16)
            .table_elements(Limits::default().table_elements)
            .max_memory_size(LARGEST_MEMORY_BYTES)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .max_unused_warm_slots(slots);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
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
