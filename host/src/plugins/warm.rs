//! A plugin's `warm`, run once when it is checked: what it built in memory is in every instance from the start.
//!
//! Only core modules are warmed; a component that comes finished is stored as it is, and its `warm` is never called.

use super::contract::componentize;
use super::error::{PackageError, RunFailure};
use super::limits::Limits;
use super::state::RunState;
use std::collections::HashMap;
use wasmtime::{Caller, Engine, Extern, ExternType, Instance, Linker, Memory, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// The export's name, in the contract and in a core module.
pub(super) const EXPORT: &str = "warm";
/// A module's own start of its runtime, where it has one.
const INITIALIZE: &str = "_initialize";
/// The logger, the one import a warming plugin may call: a panic says what happened through it.
const LOG: (&str, &str) = ("mapwright:plugin/log", "write");

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    // The contract names it, so it stays; it is never called again.
    wizer.init_func(EXPORT).keep_init_func(true);
    wizer
}

/// Compiles a module whose memory can be looked at after `warm`.
pub(super) fn instrument(engine: &Engine, core: &[u8]) -> Result<Module, PackageError> {
    let (_, instrumented) = wizer()
        .instrument(core)
        .map_err(|error| PackageError::Warm { detail: format!("its memory can't be kept: {error:#}") })?;
    Module::new(engine, instrumented)
        .map_err(|error| PackageError::Malformed { detail: format!("{error:#}") })
}

/// Memories and globals after `warm`.
pub(super) struct Warmed {
    memories: HashMap<String, Vec<u8>>,
    globals: HashMap<String, SnapshotVal>,
}

/// Calls `warm` in a store that has its limits already.
pub(super) async fn call(store: &mut Store<RunState>, module: &Module) -> wasmtime::Result<Warmed> {
    let mut linker = Linker::new(store.engine());
    for import in module.imports() {
        let (from, name) = (import.module().to_owned(), import.name().to_owned());
        let ExternType::Func(signature) = import.ty() else {
            return Err(wasmtime::Error::msg(format!("it imports {from}.{name}, which is no function")));
        };
        let logs = from.split('@').next() == Some(LOG.0) && name == LOG.1;
        linker.func_new(&from.clone(), &name.clone(), signature, move |mut caller, parameters, _| {
            if logs {
                log(&mut caller, parameters);
                return Ok(());
            }
            Err(wasmtime::Error::msg(format!(
                "it called {from}.{name}: while it warms a plugin may only log"
            )))
        })?;
    }
    let instance = linker.instantiate_async(&mut *store, module).await?;
    for name in [INITIALIZE, EXPORT] {
        if let Ok(function) = instance.get_typed_func::<(), ()>(&mut *store, name) {
            function.call_async(&mut *store, ()).await?;
        }
    }
    Ok(take(store, &instance))
}

/// Takes a line from the guest's memory: level, address, length.
fn log(caller: &mut Caller<'_, RunState>, parameters: &[Val]) {
    let Some([level, address, length]) = parameters.get(..3) else { return };
    let number =
        |value: &Val| value.i32().and_then(|it| usize::try_from(it.cast_unsigned()).ok()).unwrap_or(0);
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else { return };
    let (address, length) = (number(address), number(length));
    let limit = caller.data().limits.log_line_bytes;
    let text =
        memory.data(&*caller).get(address..address.saturating_add(length.min(limit))).unwrap_or_default();
    let text = String::from_utf8_lossy(text).into_owned();
    let level = match number(level) {
        0 => "debug",
        1 => "info",
        2 => "warn",
        _ => "error",
    };
    caller.data_mut().line(level, text);
}

fn take(store: &mut Store<RunState>, instance: &Instance) -> Warmed {
    let exports: Vec<(String, Extern)> = instance
        .exports(&mut *store)
        .map(|export| (export.name().to_owned(), export.into_extern()))
        .collect();
    let mut warmed = Warmed { memories: HashMap::new(), globals: HashMap::new() };
    for (name, export) in exports {
        match export {
            Extern::Memory(memory) => {
                warmed.memories.insert(name, Memory::data(&memory, &*store).to_vec());
            }
            Extern::Global(global) => {
                let value = match global.get(&mut *store) {
                    Val::I32(it) => SnapshotVal::I32(it),
                    Val::I64(it) => SnapshotVal::I64(it),
                    Val::F32(it) => SnapshotVal::F32(it),
                    Val::F64(it) => SnapshotVal::F64(it),
                    Val::V128(it) => SnapshotVal::V128(it.as_u128()),
                    _ => continue,
                };
                warmed.globals.insert(name, value);
            }
            _ => {}
        }
    }
    warmed
}

impl InstanceState for Warmed {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        // Asked once for each global that instrumenting exported.
        self.globals.remove(name).unwrap_or(SnapshotVal::I32(0))
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        contents(self.memories.get(name).map(Vec::as_slice).unwrap_or_default());
    }
}

/// The component whose every instance begins as `warm` left this module.
pub(super) fn image(core: &[u8], warmed: &mut Warmed) -> Result<Vec<u8>, PackageError> {
    let refused = |error: wasmtime::Error| PackageError::Warm { detail: format!("{error:#}") };
    let (module, _) = wizer().instrument(core).map_err(refused)?;
    let snapshot = std::pin::pin!(async { wizer().snapshot(&module, warmed).await });
    // Nothing in it waits: memories and globals were taken before.
    let image = futures_util::FutureExt::now_or_never(snapshot)
        .ok_or_else(|| PackageError::Warm { detail: "its memory could not be taken".to_owned() })?
        .map_err(refused)?;
    componentize(&image)
}

/// Why `warm` failed, in the plugin's own words where it left some.
pub(super) fn failed(failure: &RunFailure, backtrace: Option<String>, limits: &Limits) -> PackageError {
    let backtrace = backtrace.map(|trace| format!("\n{trace}")).unwrap_or_default();
    let detail = match failure {
        RunFailure::OutOfFuel { .. } => format!(
            "it used up its fuel of {}: build less, or at the first run that needs it{backtrace}",
            limits.fuel
        ),
        other => format!("{other}{backtrace}"),
    };
    PackageError::Warm { detail }
}
